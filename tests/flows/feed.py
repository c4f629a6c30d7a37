"""The feed of posted invoices, beside the server that it asks."""

from __future__ import annotations

import json
from typing import Any

from tests.flows.office import INVOICE, POSTED, Office
from tests.flows.runs import ORGANIZATION

from tfso_hypatos.flows.postings import Known, Postings
from tfso_hypatos.flows.watch import OVERLAP

MEMO = "our memo\naf:abcdefghijklmnop/abcdefghij/abcdefghijkl"
SENT = f"{MEMO}!"


class Feed(Office):
    """The server, and the feed's side of it."""

    def __init__(self, *, only_marked: bool = True) -> None:
        super().__init__()
        self.only_marked = only_marked
        self.start(Known(self.now - OVERLAP))

    def start(self, known: Known) -> None:
        self.feed = Postings(known, only_marked=self.only_marked, organization=ORGANIZATION, now=self.clock)

    def restart(self) -> None:
        """Go on with what was kept, as another triggerer does."""
        known = Known.from_json(json.loads(json.dumps(self.feed.known.to_json())))
        assert known is not None
        self.start(known)

    def make(self, *order_ids: int, memo: str | None = MEMO, posted: bool = False, **fields: Any) -> None:
        for order_id in order_ids:
            invoice = POSTED if posted else INVOICE
            self.change(order_id, **{"status": "Invoice", "internalMemo": memo, "invoice": invoice, **fields})

    def news(self, interval: float = 60.0) -> list[int]:
        self.lists, self.reads, self.pages = [], [], 0
        self.drive(self.feed.look(interval, self.clock))
        self.passes(interval)
        return [order.id for order in self.feed.take_news()]

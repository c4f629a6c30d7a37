"""Invoices that are posted, found as they come: what to list, what to read, what is news.

It rests on ``GET /salesorders`` with ``modifiedFrom`` and on ``GET /salesorders/{id}`` of
https://rest-api.developer.24sevenoffice.com/doc/v1, which does not say whether posting an invoice touches
``modifiedAt``. So an order that was seen invoiced and not posted is remembered, and read now and then.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass, field
from typing import Any

from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso_lists import SalesOrderFilter, walk_sales_orders
from tfso_hypatos.exceptions import PermissionDenied, TfsoHypatosError, TransactionNeverPosted, UnexpectedResponse
from tfso_hypatos.flows.by_hand import without_copied_marker
from tfso_hypatos.flows.intent import is_billed, marker_of
from tfso_hypatos.flows.moments import moment_of
from tfso_hypatos.flows.rounds import Round
from tfso_hypatos.flows.sweep import Sweep
from tfso_hypatos.flows.transaction import Look, Posting, look_at_transaction, posting_of
from tfso_hypatos.flows.watch import FEW, MOST_FIRST_READS, OF_THE_CONNECTION, OVERLAP
from tfso_hypatos.flows.watched import Listing, Watched
from tfso_hypatos.models.tfso_read import SalesOrder

log = logging.getLogger(__name__)

LOOK_BACK = datetime.timedelta(days=1)
"""How far the first list goes back behind the beginning: for orders that are invoiced by then and not posted."""

MOST_REPORTED = 2000
"""Orders that are remembered as reported at least; one of them that is changed once more is no news.

Those that the next list may show once more are remembered whatever their number.
"""

MOST_UNPOSTED = 2000
"""Orders that are remembered as invoiced and not posted; the oldest are given up first."""

MOST_NAMED = 100
"""Orders that one warning names."""


@dataclass
class Known:
    """What is kept from one triggerer to the next: ids and times only.

    :param news_from: what was changed before is no news, unless it was seen unposted.
    :param watermark: the server's clock as of which everything was listed; None: nothing was.
    :param reported: orders that were reported, the latest last, and as of when the list is known to have shown them.
    :param unposted: orders that were seen invoiced and not posted, the latest last.
    """

    news_from: datetime.datetime
    watermark: datetime.datetime | None = None
    reported: dict[int, datetime.datetime] = field(default_factory=dict)
    unposted: dict[int, None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "news_from": self.news_from.isoformat(),
            "watermark": None if self.watermark is None else self.watermark.isoformat(),
            "reported": list(self.reported),
            "unposted": list(self.unposted),
        }

    @classmethod
    def from_json(cls, value: object) -> Known | None:
        """Return what was kept, or None if it is not what :meth:`to_json` makes."""
        match value:
            case {
                "news_from": begun,
                "watermark": listed,
                "reported": list() as reported,
                "unposted": list() as unposted,
            }:
                news_from, watermark = moment_of(begun), moment_of(listed)
            case _:
                return None
        if news_from is None or (listed is not None and watermark is None):
            return None
        if not all(type(order_id) is int for order_id in (*reported, *unposted)):
            return None
        return cls(news_from, watermark, dict.fromkeys(reported, watermark or news_from), dict.fromkeys(unposted))


def posted_result(order: SalesOrder, organization: str) -> dict[str, Any]:
    """Return what is told of a posted invoice: ids only, and the hash of the order key if the order is marked.

    :param order: the order.
    :param organization: organization id.
    """
    marker = marker_of(without_copied_marker(organization, order))[1]
    result: dict[str, Any] = {
        "organization_id": organization,
        "sales_order_id": order.id,
        "invoice_number": order.invoice_number,
        "transaction_id": order.transaction_id,
    }
    return result if marker is None else {**result, "order_key_hash": marker.key}


class Postings:
    """Looks in rounds for orders whose invoices are posted; each is news once.

    :param known: what is known from before.
    :param only_marked: leave out orders that do not carry the marker of this provider.
    :param organization: organization id.
    :param now: seconds of a monotonic clock.
    """

    def __init__(self, known: Known, *, only_marked: bool, organization: str, now: float) -> None:
        self.known = known
        self._organization = organization
        self.round = Round()
        self._only_marked = only_marked
        self._news: dict[int, SalesOrder] = {}
        self._watched: dict[int, Watched] = {}
        # What the list showed to have changed since it was read, and when.
        self._changed: dict[int, datetime.datetime | None] = {}
        self._sweep = Sweep()
        self._number = 0
        self._given_up: dict[int, None] = {}
        for order_id in known.unposted:
            self._watched[order_id] = Watched(None)
            self._sweep.joined(order_id, now)

    def take_news(self) -> list[SalesOrder]:
        """Return the orders that are news, and remember them as reported."""
        news, self._news = list(self._news.values()), {}
        self.known.reported.update((order.id, self._shown(order)) for order in news)
        self._forget_reported()
        return news

    def _shown(self, order: SalesOrder) -> datetime.datetime:
        """Return the moment that a list must begin after to show an order no more, unless it is changed again."""
        as_of = self.known.watermark or self.known.news_from
        return as_of if order.modified_at is None else max(as_of, order.modified_at)

    def _forget_reported(self) -> None:
        reported, watermark = self.known.reported, self.known.watermark
        excess = len(reported) - MOST_REPORTED
        if excess <= 0 or watermark is None:
            return
        old = [order_id for order_id, shown in reported.items() if shown < watermark - OVERLAP]
        for order_id in old[:excess]:
            del reported[order_id]

    def look(self, interval: float, now: float) -> Flow[None]:
        """Do one round: list what has changed, and read what is to be read; errors are left in ``round``.

        :param interval: seconds between two rounds.
        :param now: seconds of a monotonic clock.
        """
        self.round = Round()
        self._number += 1
        yield from self._list(now)
        self._say_what_was_given_up()
        for order_id in self._choose(interval, now):
            if self.round.is_over:
                break
            yield from self._read(order_id, now)
        self.round.judge()
        for order_id in self.round.unread:
            watched = self._watched[order_id]
            watched.failures += 1
            watched.resumes = self._number + 2 ** min(watched.failures, 6)

    def _list(self, now: float) -> Flow[None]:
        known = self.known
        since = known.news_from - LOOK_BACK if known.watermark is None else known.watermark - OVERLAP
        # Servers that ignore a filter are older than it; what they show beside it is no news either.
        news_from = max(known.news_from, since)
        listing = Listing(since, lambda order: self._note_listed(order, news_from, now))
        try:
            is_whole = yield from walk_sales_orders(SalesOrderFilter(modified_from=since), listing.visit)
            if not is_whole:
                raise UnexpectedResponse("24SevenOffice ignores modifiedFrom in its list of sales orders")
        except TfsoHypatosError as error:
            if isinstance(error, (*OF_THE_CONNECTION, PermissionDenied)) or error.permanent:
                self.round.fatal = error
            else:
                self.round.failed(None, error)
        else:
            self.round.succeeded()
            known.watermark = listing.as_of or listing.latest or since + OVERLAP

    def _note_listed(self, order: SalesOrder, news_from: datetime.datetime, now: float) -> None:
        if order.id in self.known.reported:
            known = self.known.reported[order.id]
            self.known.reported[order.id] = max(known, order.modified_at or self._shown(order))
            return
        if order.id in self._news:
            return
        posting = posting_of(order)
        if order.id not in self._watched:
            if not is_billed(order) or (self._only_marked and not self._is_marked(order)):
                return
            if posting is Posting.POSTED and self._is_old(order, news_from):
                return
        if posting is Posting.NEVER:
            self._forget(order.id)
        elif posting is Posting.POSTED and order.invoice_number is not None:
            self._found(order)
        else:
            self._watch(order, now)

    def _is_marked(self, order: SalesOrder) -> bool:
        return marker_of(without_copied_marker(self._organization, order))[1] is not None

    def _is_old(self, order: SalesOrder, news_from: datetime.datetime) -> bool:
        """Say whether an order that nobody saw unposted was posted before the beginning."""
        return self.known.watermark is None if order.modified_at is None else order.modified_at < news_from

    def _watch(self, order: SalesOrder, now: float) -> None:
        watched = self._watched.get(order.id)
        if watched is None:
            if len(self._watched) >= MOST_UNPOSTED:
                self._give_up(next(iter(self._watched)))
            watched = self._watched[order.id] = Watched(None)
            self.known.unposted[order.id] = None
            self._sweep.joined(order.id, now)
        if order.modified_at is not None and not watched.has_seen(order.modified_at):
            self._changed[order.id] = order.modified_at

    def _give_up(self, order_id: int) -> None:
        self._given_up[order_id] = None
        self._forget(order_id)

    def _say_what_was_given_up(self) -> None:
        """Name them once a round; one that the list showed again meanwhile is not given up."""
        given_up = [order_id for order_id in self._given_up if order_id not in self._watched]
        self._given_up.clear()
        if not given_up:
            return
        named = ", ".join(map(str, given_up[:MOST_NAMED]))
        more = f" and {len(given_up) - MOST_NAMED} more" if len(given_up) > MOST_NAMED else ""
        text = (
            "More than %d invoices are not posted; the oldest are given up, and reported only if posting touches them: "
            "sales orders %s%s"
        )
        log.warning(text, MOST_UNPOSTED, named, more)

    def _forget(self, order_id: int) -> None:
        self._watched.pop(order_id, None)
        self._changed.pop(order_id, None)
        self.known.unposted.pop(order_id, None)
        self._sweep.left(order_id)

    def _found(self, order: SalesOrder) -> None:
        self._forget(order.id)
        self._news[order.id] = order
        self.round.found += 1

    def _choose(self, interval: float, now: float) -> list[int]:
        if self.round.is_over:
            return []
        if len(self._watched) <= FEW:
            self._sweep.rest(now)
            return [order_id for order_id in self._watched if self._is_ready(order_id)]
        changed = [order_id for order_id in self._changed if self._is_ready(order_id)][:MOST_FIRST_READS]
        return [*changed, *self._sweep.take(interval, now, set(changed), self._is_ready)]

    def _is_ready(self, order_id: int) -> bool:
        return self._watched[order_id].resumes <= self._number

    def _read(self, order_id: int, now: float) -> Flow[None]:
        self.round.begins(order_id)
        self._sweep.read(order_id, now)
        try:
            look = yield from look_at_transaction(order_id)
        except TransactionNeverPosted:
            self.round.succeeded()
            self._forget(order_id)
        except OF_THE_CONNECTION as error:
            self.round.fatal = error
        except TfsoHypatosError as error:
            # A refusal of one order is no reason to forget it: nobody would hear of its posting.
            self.round.failed(order_id, error)
        else:
            self.round.succeeded()
            self._note_read(look)

    def _note_read(self, look: Look) -> None:
        order = look.order
        if look.is_posted:
            self._found(order)
        elif not is_billed(order):
            # It will be listed again when it is invoiced.
            self._forget(order.id)
        else:
            self._watched[order.id].note(look, self._changed.pop(order.id, None))

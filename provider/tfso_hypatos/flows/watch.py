"""Many orders whose invoices are waited for, looked at together: what to list, what to read, what is found.

It rests on ``GET /salesorders`` with ``modifiedFrom`` and on ``GET /salesorders/{id}`` of
https://rest-api.developer.24sevenoffice.com/doc/v1, which does not say whether posting an invoice touches
``modifiedAt``. So what the list does not show is read all the same, only more slowly.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterator
from typing import TypeAlias

from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso_lists import SalesOrderFilter, walk_sales_orders
from tfso_hypatos.exceptions import AuthenticationFailed, ConfigurationError, PermissionDenied, TfsoHypatosError
from tfso_hypatos.flows.rounds import Round
from tfso_hypatos.flows.sweep import Sweep
from tfso_hypatos.flows.transaction import Look, Posting, look_at_transaction, posting_of, set_inactive
from tfso_hypatos.flows.watched import Listing, Watched, is_complete
from tfso_hypatos.models.tfso_read import SalesOrder

log = logging.getLogger(__name__)

Outcome: TypeAlias = SalesOrder | TfsoHypatosError
"""What a wait ends with: the order with its transaction, or why there will be none."""

FEW = 5
"""Orders that are read one by one in every round; a list would cost as much and show less."""

MOST_FIRST_READS = 100
"""Orders a round that are read because nobody knows when they were last looked at."""

OVERLAP = datetime.timedelta(seconds=120)
"""How far a list goes back behind what has been listed: for servers whose clocks differ, and lists that lag."""

LONGEST_CATCH_UP = datetime.timedelta(hours=1)
"""How far a list goes back for a new wait; the order of an older one is read, which is cheaper than days of changes."""

MOST_LIST_FAILURES = 3
"""Lists in a row that fail, after which the list is given up for a while."""

ROUNDS_WITHOUT_LIST = 10
"""Rounds from one list to the next as long as the list is of no use."""

OF_THE_CONNECTION = (AuthenticationFailed, ConfigurationError)
"""Errors that every other request would meet, too."""


class Watch:
    """Looks at many orders in rounds, until each is posted or never will be.

    A round is a :meth:`survey`, then a :meth:`read` of every order that the survey names, in any order or side by side,
    then :meth:`finish`.

    :param deliver: told the order and the outcome as soon as it is known; the order is no longer watched then.
    """

    def __init__(self, deliver: Callable[[int, Outcome], None]) -> None:
        self._deliver_to = deliver
        self._watched: dict[int, Watched] = {}
        # What nobody has looked at as of a known moment; what the list showed to have changed, and when; and from when
        # on a list has to cover what the watermark does not stand for.
        self._unseen: dict[int, None] = {}
        self._changed: dict[int, datetime.datetime | None] = {}
        self._uncovered: dict[int, datetime.datetime] = {}
        self._watermark: datetime.datetime | None = None
        self._is_trusted = True
        self._has_warned_of_clock = False
        self._list_failures = 0
        self._sweep = Sweep()
        self._number = 0
        self.round = Round()

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, order_id: int, seen_at: datetime.datetime | None, now: float) -> bool:
        """Watch an order, and say whether it is to be read soon, for nobody knows how it stands.

        One that is watched already stays as it is, for all its changes are being looked for.

        :param order_id: the order.
        :param seen_at: the server's clock at a look that found it not posted; None: nobody knows.
        :param now: seconds of a monotonic clock.
        """
        if order_id in self._watched:
            return False
        if seen_at is not None and seen_at < datetime.datetime.now(datetime.UTC) - LONGEST_CATCH_UP:
            seen_at = None
        self._watched[order_id] = Watched(seen_at)
        self._sweep.joined(order_id, now)
        if seen_at is not None:
            self._uncovered[order_id] = seen_at
        if seen_at is None or not self._is_trusted:
            # The list would not tell what has become of it since it was looked at.
            self._unseen[order_id] = None
        return seen_at is None

    def drop(self, order_id: int) -> None:
        """Watch an order no longer."""
        if self._watched.pop(order_id, None) is not None:
            self._sweep.left(order_id)
            self._unseen.pop(order_id, None)
            self._changed.pop(order_id, None)
            self._uncovered.pop(order_id, None)

    def survey(self, interval: float, now: float, *, early: bool = False) -> Flow[list[int]]:
        """Begin a round: list what has changed, and return what is to be read.

        :param interval: seconds between two rounds.
        :param now: seconds of a monotonic clock.
        :param early: the round is one before its time: it only reads what nobody has looked at.
        """
        self.round = Round()
        if early:
            return list(self._first_reads())
        self._number += 1
        if len(self._watched) <= FEW:
            self._leave_off_listing()
            self._sweep.rest(now)
            return [order_id for order_id in self._watched if self._is_ready(order_id)]
        if self._is_trusted or self._number % ROUNDS_WITHOUT_LIST == 0:
            yield from self._list(interval, now)
        return [] if self.round.is_over else self._choose(interval, now)

    def _leave_off_listing(self) -> None:
        """Let a later list go on from what single reads show: no list keeps the watermark up."""
        if self._watermark is not None:
            for order_id in self._watched:
                self._uncovered.setdefault(order_id, self._watermark)
            self._watermark = None

    def _is_ready(self, order_id: int) -> bool:
        return self._watched[order_id].resumes <= self._number

    def _list(self, interval: float, now: float) -> Flow[None]:
        moments = [*self._uncovered.values(), *([self._watermark] if self._watermark is not None else [])]
        if not moments:
            return
        # A wait that joins while pages come in needs the next list.
        covering, self._uncovered = self._uncovered, {}
        listing = Listing(min(moments) - OVERLAP, lambda order: self._note_listed(order, interval, now))
        was_trusted, is_whole = self._is_trusted, False
        try:
            is_whole = yield from walk_sales_orders(SalesOrderFilter(modified_from=listing.since), listing.visit)
        except TfsoHypatosError as error:
            self._list_failed(error)
        else:
            self.round.succeeded()
            self._list_failures = 0
            if is_whole:
                self._is_trusted = True
                # Set and not only raised: a clock that was wrong once must not hide what comes.
                self._watermark = listing.as_of or listing.latest or listing.since + OVERLAP
            else:
                self._distrust("ignores modifiedFrom")
        finally:
            # Whatever ended it: what this list should have covered is left to the next.
            self.round.pages = listing.pages
            if not is_whole:
                self._uncovered.update(item for item in covering.items() if item[0] in self._watched)
        if was_trusted and not self._is_trusted:
            self._unseen.update(dict.fromkeys(self._uncovered))

    def survey_broke(self, kind: str) -> None:
        """Note that the survey met something that nobody thought of: the round is over, and there will be another.

        :param kind: name of the exception's class.
        """
        self.round, was_trusted = Round(), self._is_trusted
        self._list_failed(TfsoHypatosError(f"{kind}, see above"))
        if was_trusted and not self._is_trusted:
            self._unseen.update(dict.fromkeys(self._uncovered))

    def _list_failed(self, error: TfsoHypatosError) -> None:
        if isinstance(error, (*OF_THE_CONNECTION, PermissionDenied)):
            self.round.fatal = error
            return
        if error.permanent:
            self._distrust(f"refuses modifiedFrom ({error})")
            return
        self.round.failed(None, error)
        self._list_failures += 1
        if self._list_failures >= MOST_LIST_FAILURES:
            self._distrust(f"cannot be listed ({error})")

    def _distrust(self, why: str) -> None:
        if self._is_trusted:
            self._is_trusted = False
            log.warning("24SevenOffice %s; orders are read one by one, and postings may be seen much later", why)

    def _note_listed(self, order: SalesOrder, interval: float, now: float) -> None:
        watched = self._watched.get(order.id)
        if watched is None:
            return
        posting = posting_of(order)
        if posting is Posting.NEVER:
            self._deliver(order.id, set_inactive(order.id))
        elif posting is Posting.POSTED and is_complete(order):
            self._deliver(order.id, order)
        elif posting is Posting.POSTED:
            self._changed[order.id] = order.modified_at
        elif order.modified_at is None:
            if self._sweep.is_due(order.id, interval, now):
                self._changed[order.id] = None
        elif not watched.has_seen(order.modified_at):
            self._changed[order.id] = order.modified_at

    def _choose(self, interval: float, now: float) -> list[int]:
        chosen = {order_id: None for order_id in self._changed if self._is_ready(order_id)}
        chosen.update(dict.fromkeys(self._first_reads()))
        skipped = chosen.keys() | self._unseen.keys()
        chosen.update(dict.fromkeys(self._sweep.take(interval, now, skipped, self._is_ready)))
        return list(chosen)

    def _first_reads(self) -> Iterator[int]:
        left = MOST_FIRST_READS
        for order_id in self._unseen:
            if left == 0:
                return
            if self._is_ready(order_id) and order_id not in self._changed:
                left -= 1
                yield order_id

    def read(self, order_id: int, now: float) -> Flow[None]:
        """Read one order, unless the round is over or has read it.

        :param order_id: the order.
        :param now: seconds of a monotonic clock.
        """
        if order_id not in self._watched or self.round.is_over or not self.round.begins(order_id):
            return
        self._sweep.read(order_id, now)
        begun = datetime.datetime.now(datetime.UTC)
        try:
            look = yield from look_at_transaction(order_id)
        except OF_THE_CONNECTION as error:
            self.round.fatal = error
        except PermissionDenied as error:
            self.round.denied[order_id] = error
        except TfsoHypatosError as error:
            if error.permanent:
                self._deliver(order_id, error)
            else:
                self.round.failed(order_id, error)
        else:
            self.round.succeeded()
            self._note_read(order_id, look, begun)

    def _note_read(self, order_id: int, look: Look, now: datetime.datetime) -> None:
        watched = self._watched.get(order_id)
        if look.is_posted:
            self._deliver(order_id, look.order)
        elif watched is not None:
            self._unseen.pop(order_id, None)
            watched.note(look, self._changed.pop(order_id, None))
            if self._watermark is None:
                self._uncovered[order_id] = self._ours(now) if look.as_of is None else look.as_of

    def _ours(self, now: datetime.datetime) -> datetime.datetime:
        """Return when an order was looked at if the server does not say, early enough for two clocks that differ."""
        if not self._has_warned_of_clock:
            self._has_warned_of_clock = True
            text = "does not tell the time; this computer's clock is used, which must not be wrong by minutes"
            log.warning("24SevenOffice %s", text)
        return now - OVERLAP

    def finish(self) -> Round:
        """End a round, and return how it went."""
        self.round.judge()
        for order_id, error in self.round.denied.items():
            self._deliver(order_id, error)
        for order_id in self.round.unread:
            watched = self._watched.get(order_id)
            if watched is not None:
                watched.failures += 1
                watched.resumes = self._number + 2 ** min(watched.failures, 6)
        return self.round

    def _deliver(self, order_id: int, outcome: Outcome) -> None:
        if order_id in self._watched:
            self.drop(order_id)
            self.round.found += 1
            self._deliver_to(order_id, outcome)

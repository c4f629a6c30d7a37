"""Who may change an order: the holder named in its marker (a timed lock after Fischer); and what follows a setback."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import (
    Conflict,
    ConnectionFailed,
    NotFound,
    NotSent,
    OrderBusy,
    OutcomeUncertain,
    RateLimited,
    TfsoHypatosError,
    TokenUnavailable,
)
from tfso_hypatos.flows.by_hand import marker_by_hand
from tfso_hypatos.flows.intent import Holder, Marker, marker_change, marker_of

MOST_TAKE_OVERS = 5
"""Attempts to become the holder of one order in one try of a task."""

MOST_HELD_BACK = 20
"""Requests in a row that were held back because the look they rest on was too old, after which a flow gives up."""


@dataclass(frozen=True)
class Timing:
    """The waits of the protocol, in seconds.

    :param settle: how long after it was sent a change may still take effect, with or without an answer, and a third
        of that on top. Everything that follows an unclear answer or a take-over waits for it.
    :param shortest_settle: the shortest settle time of those who may work on the same order, if it is another one.
    """

    settle: float = 10.0
    shortest_settle: float | None = None

    @property
    def claim(self) -> float:
        """How long an order must stand still before another run may take it over."""
        return 6 * self.settle

    @property
    def evidence(self) -> float:
        """How long a look at the holder is good for: a change sent later could meet the next holder's."""
        return min(self.settle, self.shortest_settle or self.settle) / 4

    @property
    def busy(self) -> float:
        """How long to wait for another run before the task gives up and is retried."""
        return 3 * self.claim


def too_slow(timing: Timing, what: str) -> OrderBusy:
    """Return the error of a flow whose changes are always held back.

    :param timing: the waits.
    :param what: what was tried, in a person's words.
    """
    return OrderBusy(
        f"24SevenOffice takes longer to answer than the {timing.evidence:.1f} s for which a look at an order is good, "
        f"so it cannot safely {what}. Retry later, or raise settle_seconds in the connection, for all tasks."
    )


@dataclass
class Setbacks:
    """Weighs the errors of one flow: which ones call for another look, and when it is enough.

    :param timing: the waits.
    :param most: errors after which the flow gives up.
    """

    timing: Timing
    most: int = 5
    _count: int = 0
    _held_back: int = 0
    _slowed: int = 0

    def succeeded(self) -> None:
        """Note that a change went through."""
        self._count = self._held_back = self._slowed = 0

    def weigh(self, error: TfsoHypatosError, what: str) -> Flow[None]:
        """Wait as the error demands, so that the caller can look again; raise it if looking again cannot help.

        :param error: what happened.
        :param what: what was tried, in a person's words.
        :raises OutcomeUncertain: if there was no clear answer too often.
        :raises OrderBusy: if 24SevenOffice is too slow for the settle time.
        """
        if isinstance(error, NotSent):
            self._held_back += 1
            if self._held_back > MOST_HELD_BACK:
                raise too_slow(self.timing, what) from error
            return
        self._count += 1
        if error.ambiguous:
            if self._count > self.most:
                raise OutcomeUncertain(
                    f"Could not find out whether it succeeded to {what}: {error}. The next try of this task reads "
                    "before it sends anything; do not do the same by hand in the meantime."
                ) from error
            yield from pause(
                self.timing.settle, f"no clear answer to the attempt to {what}; then looking at what is there"
            )
        elif self._count > self.most:
            raise error
        elif isinstance(error, RateLimited | ConnectionFailed | TokenUnavailable):
            if (error.retry_after or 0.0) > self.timing.busy:
                raise error
            longer = min(self.timing.settle * 2**self._slowed, self.timing.claim)
            self._slowed += 1
            reason = "asked to slow down" if isinstance(error, RateLimited) else "cannot be reached"
            yield from pause(error.retry_after or longer, f"24SevenOffice {reason}; then looking again")
        elif not isinstance(error, Conflict | NotFound):
            raise error


class Standing(Enum):
    """How a task stands to an order it wants to change."""

    MINE = "mine"
    WAIT = "wait"
    GONE = "gone"
    INVOICED = "invoiced"


class Claim(NamedTuple):
    """The outcome of trying to become the holder.

    :param standing: how the task stands to the order now.
    :param sight: the latest look at it, or None if it is gone.
    """

    standing: Standing
    sight: Sight | None


@dataclass
class Hold:
    """Becomes and stays the holder of one order, or waits for the one who is.

    :param me: this try of this task.
    :param organization: organization id, for the marker of an order that has none.
    :param timing: the waits.
    :param as_mine: a further holder that counts as this one: the create step of this run, finished before.
    """

    me: Holder
    organization: str
    timing: Timing
    as_mine: Holder | None = None
    _waiting_since: float | None = None
    _still_since: dict[str, float] = field(default_factory=dict)
    _displaced_by: set[Holder] = field(default_factory=set)
    _take_overs: int = 0
    _held_back: int = 0
    _last_refusal: TfsoHypatosError | None = None

    def not_after(self, sight: Sight) -> float:
        """Return the moment (:func:`clock.now`) until which a change may rest on this look at the holder."""
        return sight.seen_at + self.timing.evidence

    def is_mine(self, sight: Sight) -> bool:
        """Say whether the order names this task as its holder."""
        marker = marker_of(sight.order)[1]
        return marker is not None and marker.holder in (self.me, self.as_mine)

    def claim(self, sight: Sight) -> Flow[Claim]:
        """Become the holder if nobody else is at work on the order.

        :param sight: a look at the order, not invoiced.
        :raises OrderBusy: if another run is at work on it for too long, or it cannot be taken over.
        """
        if self.is_mine(sight):
            return Claim(Standing.MINE, sight)
        marker = marker_of(sight.order)[1]
        if marker is not None and (marker.invoicing or not self._may_take_over(sight, marker.holder)):
            yield from self._wait(sight)
            return Claim(Standing.WAIT, sight)
        return (yield from self._take_over(sight, marker))

    def _may_take_over(self, sight: Sight, holder: Holder) -> bool:
        # An earlier try or task of the same run is over, as far as Airflow knows; but whoever took the order from us
        # is alive, and taking it back at once could go on for ever.
        if holder.run == self.me.run and holder not in self._displaced_by:
            return True
        modified, now = sight.order.modified_at, sight.server_time
        if (
            holder not in self._displaced_by
            and modified is not None
            and now is not None
            and (now - modified).total_seconds() >= self.timing.claim
        ):
            return True
        state = f"{sight.order.id}/{holder}/{modified}/{sight.order.status}"
        since = self._still_since.setdefault(state, sight.answered_at)
        return sight.answered_at - since >= self.timing.claim

    def _wait(self, sight: Sight) -> Flow[None]:
        if self._waiting_since is None:
            self._waiting_since = sight.answered_at
        if sight.answered_at - self._waiting_since > self.timing.busy:
            raise OrderBusy(
                f"Another run has been working on sales order {sight.order.id} for {self.timing.busy:.0f} s. "
                "Retry this task later: it will look first."
            )
        yield from pause(self.timing.settle / 2, f"another run is working on sales order {sight.order.id}")

    def _take_over(self, sight: Sight, marker: Marker | None) -> Flow[Claim]:
        order_id = sight.order.id
        doing = f"take over sales order {order_id}"
        self._take_overs += 1
        if self._take_overs > MOST_TAKE_OVERS:
            raise OrderBusy(
                f"Sales order {order_id} could not be taken over in {MOST_TAKE_OVERS} attempts: another run keeps "
                "taking it back, or 24SevenOffice does not store its marker. Retry later."
            ) from self._last_refusal
        if marker is None:
            marker = marker_by_hand(self.organization, order_id, self.me)
        change = marker_change(sight.order, marker.held_by(self.me))
        seconds = self.timing.settle
        try:
            # Not repeated by the driver: of two, the earlier could take effect last.
            yield from tfso.update_sales_order(
                order_id, change, doing=doing, repeatable=False, not_after=self.not_after(sight)
            )
        except NotFound:
            return Claim(Standing.GONE, None)
        except NotSent as error:
            self._take_overs -= 1
            self._held_back += 1
            if self._held_back > MOST_HELD_BACK:
                raise too_slow(self.timing, doing) from error
            return Claim(Standing.WAIT, sight)
        except TfsoHypatosError as error:
            if not (error.ambiguous or isinstance(error, Conflict)):
                raise
            self._last_refusal = error
            # Until it has taken effect, and until whoever it displaced has finished.
            seconds *= 2
        yield from pause(seconds, f"took over sales order {order_id}; making sure nobody else did")
        return (yield from self._look_again(order_id))

    def _look_again(self, order_id: int) -> Flow[Claim]:
        try:
            sight = yield from tfso.see_sales_order(order_id)
        except NotFound:
            return Claim(Standing.GONE, None)
        if sight.order.is_invoiced:
            return Claim(Standing.INVOICED, sight)
        if self.is_mine(sight):
            return Claim(Standing.MINE, sight)
        marker = marker_of(sight.order)[1]
        if marker is not None:
            self._displaced_by.add(marker.holder)
        return Claim(Standing.WAIT, sight)

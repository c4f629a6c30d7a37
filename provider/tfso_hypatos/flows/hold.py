"""Who may change an order: the holder named in its marker (a timed lock after Fischer)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import Conflict, NotFound, NotSent, OrderBusy, TfsoHypatosError
from tfso_hypatos.flows.by_hand import marker_by_hand
from tfso_hypatos.flows.intent import Holder, Marker, marker_change, marker_of
from tfso_hypatos.flows.setbacks import Setbacks, Timing

MOST_TAKE_OVERS = 5
"""Attempts to become the holder of one order in one try of a task."""


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

    ``setbacks`` weighs what goes wrong in its flow, take-overs and changes together.

    :param me: this try of this task.
    :param organization: organization id, for the marker of an order that has none.
    :param timing: the waits.
    :param as_mine: a further holder that counts as this one: the create step of this run, finished before.
    """

    me: Holder
    organization: str
    timing: Timing
    as_mine: Holder | None = None
    setbacks: Setbacks = field(init=False)
    _waiting_since: float | None = None
    _waited: float = 0.0
    _still_since: dict[str, float] = field(default_factory=dict)
    _displaced_by: set[Holder] = field(default_factory=set)
    _take_overs: int = 0
    _last_refusal: TfsoHypatosError | None = None

    def __post_init__(self) -> None:
        self.setbacks = Setbacks(self.timing)

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
        if self._waiting_since is not None:
            # A look that had to wait for the budget of requests for an hour saw nothing of that hour.
            self._waited += min(sight.answered_at - self._waiting_since, self.timing.settle)
        self._waiting_since = sight.answered_at
        if self._waited > self.timing.busy:
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
            yield from self.setbacks.weigh(error, doing)
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

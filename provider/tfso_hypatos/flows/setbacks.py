"""How long the protocol waits, and what follows a setback: another look, or the end of the try."""

from __future__ import annotations

from dataclasses import dataclass

from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.exceptions import (
    Conflict,
    ConnectionFailed,
    Delay,
    NotFound,
    NotSent,
    OrderBusy,
    OutcomeUncertain,
    RateLimited,
    TfsoHypatosError,
    TokenUnavailable,
)

MOST_HELD_BACK = 20
"""Requests in a row that were held back because the look they rest on was too old, after which a flow gives up."""


MOST_OUTLASTED = 100
"""The same if an allowance of requests was used up meanwhile; more could go on for days, and use it up in vain."""


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


def held_up(timing: Timing, what: str, delay: Delay) -> OrderBusy:
    """Return the error of a flow whose changes always wait too long for their turn in this process.

    :param timing: the waits.
    :param what: what was tried, in a person's words.
    :param delay: the longest of its waits.
    """
    return OrderBusy(
        f"Requests wait longer for their turn in this process than the {timing.evidence:.1f} s for which a look at an "
        f"order is good ({delay.reason}), so it cannot safely {what}. Let more requests be sent or fewer orders be at "
        "work at once, or raise settle_seconds in the connection, for all tasks."
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
    _outlasted: int = 0
    _slowed: int = 0

    def succeeded(self) -> None:
        """Note that a change went through."""
        self._count = self._held_back = self._outlasted = self._slowed = 0

    def weigh(self, error: TfsoHypatosError, what: str) -> Flow[None]:
        """Wait as the error demands, so that the caller can look again; raise it if looking again cannot help.

        :param error: what happened.
        :param what: what was tried, in a person's words.
        :raises OutcomeUncertain: if there was no clear answer too often.
        :raises OrderBusy: if 24SevenOffice is too slow for the settle time.
        """
        if isinstance(error, NotSent):
            self._weigh_held_back(error, what)
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

    def _weigh_held_back(self, error: NotSent, what: str) -> None:
        looked_at = error.not_after - self.timing.evidence
        delays = [delay for delay in error.delays if delay.until > looked_at]
        longest = max(delays, key=lambda delay: delay.seconds, default=None)
        if longest is None or sum(delay.seconds for delay in delays) <= self.timing.evidence / 2:
            longest = None
        # Who waits for an allowance that is used up finds each of its looks too old, and still gets on in the end.
        if longest is not None and longest.used_up:
            self._outlasted += 1
        else:
            self._held_back += 1
        if self._held_back > MOST_HELD_BACK or self._outlasted > MOST_OUTLASTED:
            raise (held_up(self.timing, what, longest) if longest else too_slow(self.timing, what)) from error

"""The account of a try at a batch: how many orders are done, what failed, and what that says about the service."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from tfso_hypatos.exceptions import (
    BatchFailed,
    ConnectionFailed,
    Failure,
    InvalidInput,
    InvoicingStopped,
    NoAnswer,
    OutcomeUncertain,
    PermissionDenied,
    PreviewIncomplete,
    RateLimited,
    ServerError,
    TfsoHypatosError,
    TokenUnavailable,
)
from tfso_hypatos.operators.batch.items import Job, Plan
from tfso_hypatos.operators.batch.results import Counts
from tfso_hypatos.words import counted, is_or_are, was_or_were

log = logging.getLogger(__name__)

MOST_LISTED = 20
"""Failures that the error of the task names; the log has all of them."""

MOST_HANDED_ON = 1000
"""Failed orders that are handed on by their names; all are counted, and the log has all of them."""

FIRST_IN_A_ROW = 20
"""The first so many orders fail, each with an error that speaks of the service: it is down."""

LAST_IN_A_ROW = 50
"""So many orders fail one after the other, each with an error that speaks of the service: it is down."""

FIRST_DENIED = 3
"""The first so many orders are denied: it is a scope that is missing, and no matter of the single order."""

OF_THE_SERVICE = (ConnectionFailed, NoAnswer, RateLimited, ServerError, TokenUnavailable)
"""Errors that speak of the service. All others are those of one order: the service has answered."""


class Account:
    """How far a try is, and what failed in it.

    :param plan: what is known of all orders.
    :param only_looks: whether nothing is changed.
    """

    def __init__(self, plan: Plan, *, only_looks: bool) -> None:
        self._plan = plan
        self._orders = counted(plan.total, "order")
        self._only_looks = only_looks
        self._begun = self._done = self._failed = self._skipped = self._repeats = 0
        self._in_a_row = self._denied = 0
        self._failures: list[Failure] = []
        self._handed_on: list[dict[str, Any]] = []
        self._kinds: Counter[str] = Counter()
        self._permanent = True
        self._retry_after: float | None = None
        self._down = False

    @property
    def counts(self) -> Counts:
        """How far it is."""
        return Counts(self._plan.total, self._done, self._failed, self._skipped)

    @property
    def _settled(self) -> int:
        """Orders that are done, by this try or by an earlier one; what repeats another one is not counted."""
        return self._done + self._skipped - self._repeats

    @property
    def is_down(self) -> bool:
        """Whether the service is taken to be down."""
        return self._down

    @property
    def is_complete(self) -> bool:
        """Whether every order is done."""
        return not (self._failed or self.counts.open)

    def begin(self) -> None:
        """Note that an order is begun."""
        self._begun += 1

    def skip(self, *, repeats: bool) -> None:
        """Note an order that needs no work.

        :param repeats: whether another one of this batch stands for it; else an earlier try has done it.
        """
        self._skipped += 1
        self._repeats += repeats

    def succeed(self) -> None:
        """Note that an order is done."""
        self._done += 1
        self._in_a_row = 0

    def fail(self, job: Job, error: Exception) -> None:
        """Note that an order failed.

        :param job: the order.
        :param error: why.
        """
        failure = Failure(job.name, type(error).__name__, str(error))
        log.error("%s", failure)
        self._failed += 1
        self._denied += isinstance(error, PermissionDenied)
        self._kinds[failure.kind] += 1
        if len(self._failures) < MOST_LISTED:
            self._failures.append(failure)
        if len(self._handed_on) < MOST_HANDED_ON:
            self._handed_on.append({**job.labels, "kind": failure.kind})
        permanent, retry_after = False, None
        if isinstance(error, TfsoHypatosError):
            permanent, retry_after = error.permanent, error.retry_after
        self._permanent = self._permanent and permanent
        if retry_after is not None:
            self._retry_after = max(self._retry_after or 0.0, retry_after)
        self._in_a_row = self._in_a_row + 1 if _speaks_of_the_service(error) else 0
        only_failures = self._in_a_row == self._done + self._failed
        if self._in_a_row >= (FIRST_IN_A_ROW if only_failures else LAST_IN_A_ROW) and not self._down:
            self._down = True
            log.error("%d orders in a row failed because of the service: no further one is begun", self._in_a_row)

    def can_do_no_more(self, *, retry_is_left: bool) -> bool:
        """Say whether orders are done, all others were tried, and another try would or could not do more of them.

        :param retry_is_left: whether the task would be tried again.
        """
        is_tried = self._settled > 0 and not self.counts.open and not self._down
        return is_tried and (self._permanent or not retry_is_left)

    def failed_orders(self) -> dict[str, Any]:
        """Return which orders failed: how many, and the first of them by their ids and the kinds of their errors."""
        return {"total": self._failed, "orders": self._handed_on}

    def handing_on(self) -> str:
        """Return what the log says if failed orders are handed on."""
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(self._kinds.items()))
        return (
            f"{self._failed} of {self._orders} failed ({kinds}): the tasks that follow go on with the orders that are "
            "done, and the check fails"
        )

    @property
    def all_are_denied(self) -> bool:
        """Whether every order of this try was denied, and these are enough to tell."""
        only_denials = self._denied == self._failed and not self._done
        return only_denials and self._denied >= min(FIRST_DENIED, self._plan.total - len(self._plan.repeats))

    def ended_by(self, error: Exception) -> Exception:
        """Return the error that ended the batch, with how far it is.

        :param error: one that every other order would have met as well.
        """
        if isinstance(error, InvoicingStopped):
            done = self._settled
            left = self._plan.total - len(self._plan.repeats) - done
            # Of an order that failed, or was stopped in the middle, the books may know more than we do.
            billed = f"{counted(done, 'order')} {is_or_are(done)} invoiced"
            unknown = f"{left} {is_or_are(left)} not, or it is not known ({self._failed} failed)"
            return type(error)(f"{billed}, {unknown}. {error}.")
        if isinstance(error, InvalidInput) and self._begun:
            # It says that nothing was sent, which is no longer true.
            said = "; ".join(map(str, error.problems))
            return self.error(Failure("the rest of the input", type(error).__name__, said))
        if isinstance(error, TfsoHypatosError) and self._begun:
            error.args = (f"{self.so_far()}. {error}", *error.args[1:])
        elif self._begun:
            error.add_note(self.so_far())
        return error

    def error(self, ending: Failure | None = None) -> BatchFailed:
        """Return what a batch fails with that is not complete.

        :param ending: what ended it before its end.
        """
        counts = self.counts
        kind, verb = (PreviewIncomplete, "looked at") if self._only_looks else (BatchFailed, "done")
        untried = f", {counts.open} {was_or_were(counts.open)} not tried" if counts.open else ""
        others = "repeats another one" if self._repeats == 1 else "repeat others"
        repeats = f", {self._repeats} {others}" if self._repeats else ""
        done = self._settled
        return kind(
            f"{counts.failed} of {self._orders} failed{untried}; {done} {is_or_are(done)} {verb}{repeats}",
            [*([ending] if ending else []), *self._failures],
            self._kinds + Counter([ending.kind] if ending else []),
            # A retry would take the input for what it has become, so a person has to see that first.
            permanent=ending is not None or (self._permanent and not counts.open),
            retry_after=self._retry_after,
        )

    def so_far(self) -> str:
        """Return how far it is, for an error that cut it off."""
        done = self._settled
        left = self._plan.total - done - self._failed - self._repeats
        return (
            f"{done} of {self._orders} {is_or_are(done)} done, {self._failed} failed, "
            f"{left} {was_or_were(left)} not tried to the end"
        )

    def progress(self, seconds: float | None) -> str:
        """Return a line of progress.

        :param seconds: how long it has been at work, or None at its end.
        """
        counts = self.counts
        verb = "looked at" if self._only_looks else "done"
        text = f"{counts.done} of {self._orders} {verb}, {counts.failed} failed, {counts.skipped} skipped"
        rate = (counts.done + counts.failed) / seconds if seconds else 0.0
        if not rate:
            return text
        left = counts.open / rate
        return f"{text}; {rate:.1f} a second, about {left // 60:.0f} min {left % 60:.0f} s left"


def _speaks_of_the_service(error: Exception) -> bool:
    # What could not be found out of one order is what the service left open: its cause tells.
    return isinstance(error.__cause__ if isinstance(error, OutcomeUncertain) else error, OF_THE_SERVICE)

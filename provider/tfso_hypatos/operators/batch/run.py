"""Works through a batch: several orders at a time, until all are done or nothing more can be."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from tfso_hypatos.clients import clock
from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    BatchFailed,
    ConfigurationError,
    ConnectionFailed,
    DryRunIncomplete,
    Failure,
    InvalidInput,
    InvoicingStopped,
    NoAnswer,
    OutcomeUncertain,
    PermissionDenied,
    RateLimited,
    ServerError,
    Stopped,
    TfsoHypatosError,
    TokenUnavailable,
)
from tfso_hypatos.operators.batch.items import Entry, Job, Plan, Step
from tfso_hypatos.operators.batch.results import PART_SIZE, Collected, Counts, Part, Written
from tfso_hypatos.operators.batch.sources import Reader

log = logging.getLogger(__name__)

PROGRESS = 5.0
"""Seconds from one line of progress in the log to the next."""

MOST_LISTED = 20
"""Failures that the error of the task names; the log has all of them."""

FIRST_IN_A_ROW = 20
"""The first so many orders fail, each with an error that speaks of the service: it is down."""

LAST_IN_A_ROW = 50
"""So many orders fail one after the other, each with an error that speaks of the service: it is down."""

SAVE_EVERY = 10.0
"""Seconds after which results are written that do not fill a file yet: so much is lost if the process dies."""

NOTICE = 0.2
"""Seconds after which a kill is noticed at the latest."""

FIRST_DENIED = 3
"""The first so many orders are denied: it is a scope that is missing, and no matter of the single order."""

OF_THE_SERVICE = (ConnectionFailed, NoAnswer, RateLimited, ServerError, TokenUnavailable)
"""Errors that speak of the service. All others are those of one order: the service has answered."""

ENDING = (AuthenticationFailed, ConfigurationError, InvoicingStopped, Stopped)
"""Errors that every other order would meet as well."""


class BatchRun:
    """One try at a batch.

    :param step: what is done with each order.
    :param plan: what is known of all of them.
    :param source: the items.
    :param results: where the results go.
    :param concurrency: orders at a time.
    :param killed: says whether the task was killed.
    :param again: whether this is not the first try.
    :param only_looks: whether nothing is changed.
    """

    def __init__(
        self,
        step: Step,
        plan: Plan,
        source: Iterable[Entry],
        results: Collected | Written,
        concurrency: int,
        killed: Callable[[], bool],
        *,
        again: bool = False,
        only_looks: bool = False,
    ) -> None:
        self._step = step
        self._plan = plan
        self._reader = Reader(source, plan, again=again)
        self._results = results
        self._concurrency = concurrency
        self._killed = killed
        self._only_looks = only_looks
        self._done = self._failed = self._skipped = self._in_a_row = 0
        self._denied = self._repeats = self._begun = 0
        self._failures: list[Failure] = []
        self._kinds: Counter[str] = Counter()
        self._permanent = True
        self._retry_after: float | None = None
        self._down = False
        self._ending: Exception | None = None
        self._unwritten: list[Part] = []

    def counts(self) -> Counts:
        """Return how far it is."""
        return Counts(self._plan.total, self._done, self._failed, self._skipped)

    async def run(self) -> None:
        """Do every order that is not done yet.

        :raises BatchFailed: if orders failed or were not tried.
        :raises TfsoHypatosError: if an error ended the batch that every order would have met.
        :raises Exception: if the orders could not be read, or their results not written.
        """
        try:
            async with AsyncExitStack() as stack:
                for hook in self._step.hooks:
                    await stack.enter_async_context(hook)
                # Whatever happens, what is done must not be lost for the tasks that follow.
                stack.callback(self._write_the_rest)
                await self._work()
        except Exception as error:
            error.add_note(self._so_far())
            raise
        log.info("%s", self._progress(None))
        if self._ending is not None:
            log.error("The batch was ended: %s", self._ending)
            raise self._with_counts(self._ending)
        if self._failed or self.counts().open:
            raise self._error()

    def _with_counts(self, error: Exception) -> Exception:
        if isinstance(error, InvoicingStopped):
            done = self._done + self._skipped - self._repeats
            left = self._plan.total - len(self._plan.repeats) - done
            # Of an order that failed, or was stopped in the middle, the books may know more than we do.
            counts = f"{done} orders are invoiced, {left} are not, or it is not known ({self._failed} of them failed)"
            return type(error)(f"{counts}. {error}.")
        if isinstance(error, InvalidInput) and self._begun:
            # It says that nothing was sent, which is no longer true.
            said = "; ".join(map(str, error.problems))
            return self._error(Failure("the rest of the input", type(error).__name__, said))
        if isinstance(error, TfsoHypatosError) and self._begun:
            error.args = (f"{self._so_far()}. {error}", *error.args[1:])
        elif self._begun:
            error.add_note(self._so_far())
        return error

    def _so_far(self) -> str:
        done = self._done + self._skipped - self._repeats
        left = self._plan.total - done - self._failed - self._repeats
        return (
            f"{done} of {self._plan.total} orders are done, {self._failed} failed, {left} were not tried to their end"
        )

    def _write_the_rest(self) -> None:
        if part := self._results.take(0):
            self._unwritten.append(part)
        for part in self._unwritten:
            self._results.write(part)

    async def _work(self) -> None:
        # So many workers that take the next order, and not a task for each order: memory stays flat.
        workers = [asyncio.create_task(self._worker()) for _ in range(min(self._concurrency, self._plan.total))]
        helpers = [asyncio.create_task(self._report()), asyncio.create_task(self._save())]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in (*workers, *helpers):
                task.cancel()
            await asyncio.gather(*workers, *helpers, return_exceptions=True)

    async def _worker(self) -> None:
        while True:
            try:
                entry = await self._reader.next()
            except Exception as error:  # noqa: BLE001 - raised once the orders that were begun have ended
                self._end(error)
                return
            if entry is None or self._down or self._ending is not None:
                return
            if self._killed():
                self._end(Stopped("the task was killed; no further order was begun"))
                return
            await self._take(entry)

    async def _take(self, entry: Entry) -> None:
        try:
            job = self._plan.confirm(entry, self._step.job)
        except InvalidInput as error:
            # What the check found out of the items, by their places, is no longer true.
            self._end(error)
            return
        if entry.position in self._plan.repeats:
            self._skipped += 1
            self._repeats += 1
        elif self._results.has(job):
            self._skipped += 1
        else:
            await self._do(entry.position, job)
            return
        # A long row of these must not keep those at work from going on.
        await asyncio.sleep(0)

    async def _do(self, position: int, job: Job) -> None:
        self._begun += 1
        try:
            result = await job.run()
        except ENDING as error:
            self._end(error)
        except PermissionDenied as error:
            self._note(job.name, error)
            self._end_if_all_are_denied(error)
        except TfsoHypatosError as error:
            self._note(job.name, error)
        except Exception as error:
            # A fault of ours, or of a library: it must not cut off the other orders in the middle of their changes.
            log.exception("%s failed with an error that nobody thought of", job.name)
            self._note(job.name, error)
        else:
            self._done += 1
            self._in_a_row = 0
            self._results.add(position, job, result)
            if part := self._results.take(PART_SIZE):
                await self._write(part)

    async def _write(self, part: Part) -> None:
        try:
            await asyncio.to_thread(self._results.write, part)
        except Exception as error:  # noqa: BLE001 - raised once the orders that were begun have ended
            # Perhaps it can be written later; if not, the next try adopts these orders.
            self._unwritten.append(part)
            self._end(error)

    async def _save(self) -> None:
        """Write what would be lost if the process died; at once after a kill, which a harder one may follow."""
        saved_at = clock.now()
        while True:
            await asyncio.sleep(NOTICE)
            if not self._killed() and clock.now() - saved_at < SAVE_EVERY:
                continue
            saved_at = clock.now()
            if part := self._results.unsaved():
                try:
                    await asyncio.to_thread(self._results.write, part)
                except Exception as error:  # noqa: BLE001 - they are written again when there are more, or at the end
                    log.warning("Results could not be written yet (%s)", error)

    def _end(self, error: Exception) -> None:
        """Begin no further order; those that were begun go on to their end."""
        self._ending = self._ending or error

    def _end_if_all_are_denied(self, error: PermissionDenied) -> None:
        self._denied += 1
        only_denials = self._denied == self._failed and not self._done and not self._results.from_earlier_tries
        if only_denials and self._denied >= min(FIRST_DENIED, self._plan.total - len(self._plan.repeats)):
            self._end(error)

    def _note(self, name: str, error: Exception) -> None:
        failure = Failure(name, type(error).__name__, str(error))
        log.error("%s", failure)
        self._failed += 1
        self._kinds[failure.kind] += 1
        if len(self._failures) < MOST_LISTED:
            self._failures.append(failure)
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

    def _error(self, ending: Failure | None = None) -> BatchFailed:
        counts = self.counts()
        kind, verb = (DryRunIncomplete, "looked at") if self._only_looks else (BatchFailed, "done")
        untried = f", {counts.open} were not tried" if counts.open else ""
        repeats = f", {self._repeats} repeat others" if self._repeats else ""
        done = counts.done + counts.skipped - self._repeats
        return kind(
            f"{counts.failed} of {counts.total} orders failed{untried}; {done} are {verb}{repeats}",
            [*([ending] if ending else []), *self._failures],
            self._kinds + Counter([ending.kind] if ending else []),
            # A retry would take the input for what it has become, so a person has to see that first.
            permanent=ending is not None or (self._permanent and not counts.open),
            retry_after=self._retry_after,
        )

    async def _report(self) -> None:
        started = clock.now()
        while True:
            await asyncio.sleep(PROGRESS)
            log.info("%s", self._progress(clock.now() - started))

    def _progress(self, seconds: float | None) -> str:
        counts = self.counts()
        verb = "looked at" if self._only_looks else "done"
        text = f"{counts.done} of {counts.total} orders {verb}, {counts.failed} failed, {counts.skipped} skipped"
        rate = (counts.done + counts.failed) / seconds if seconds else 0.0
        if not rate:
            return text
        left = counts.open / rate
        return f"{text}; {rate:.1f} a second, about {left // 60:.0f} min {left % 60:.0f} s left"


def _speaks_of_the_service(error: Exception) -> bool:
    # What could not be found out of one order is what the service left open: its cause tells.
    return isinstance(error.__cause__ if isinstance(error, OutcomeUncertain) else error, OF_THE_SERVICE)

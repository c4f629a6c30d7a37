"""Works through a batch: several orders at a time, until all are done or nothing more can be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from tfso_hypatos.clients import clock
from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    ConfigurationError,
    InvalidInput,
    InvoicingStopped,
    PermissionDenied,
    Stopped,
    TfsoHypatosError,
)
from tfso_hypatos.operators.batch.account import Account
from tfso_hypatos.operators.batch.items import Entry, Job, Plan, Step
from tfso_hypatos.operators.batch.results import PART_SIZE, Collected, Counts, Part, Written
from tfso_hypatos.operators.batch.sources import Reader

log = logging.getLogger(__name__)

PROGRESS = 5.0
"""Seconds from one line of progress in the log to the next."""

SAVE_EVERY = 10.0
"""Seconds after which results are written that do not fill a file yet: so much is lost if the process dies."""

NOTICE = 0.2
"""Seconds after which a kill is noticed at the latest."""

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
    :param hands_on: whether it succeeds with the orders that are done, if another try would or could not do more.
    :param retry_is_left: whether the task is tried again if it fails.
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
        hands_on: bool = False,
        retry_is_left: bool = False,
    ) -> None:
        self._step = step
        self._plan = plan
        self._reader = Reader(source, plan, again=again)
        self._results = results
        self._concurrency = concurrency
        self._killed = killed
        self._account = Account(plan, only_looks=only_looks)
        self._hands_on = hands_on and not only_looks
        self._retry_is_left = retry_is_left
        self._ending: Exception | None = None
        self._unwritten: list[Part] = []

    def counts(self) -> Counts:
        """Return how far it is."""
        return self._account.counts

    def failed_orders(self) -> dict[str, Any]:
        """Return which orders failed, for a later task."""
        return self._account.failed_orders()

    async def run(self) -> None:
        """Do every order that is not done yet.

        :raises BatchFailed: if orders failed or were not tried, unless they are handed on.
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
            error.add_note(self._account.so_far())
            raise
        log.info("%s", self._account.progress(None))
        if self._ending is not None:
            log.error("The batch was ended: %s", self._ending)
            raise self._account.ended_by(self._ending)
        if self._account.is_complete:
            return
        if not (self._hands_on and self._account.can_do_no_more(retry_is_left=self._retry_is_left)):
            raise self._account.error()
        log.error("%s", self._account.handing_on())

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
            if entry is None or self._account.is_down or self._ending is not None:
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
            self._account.skip(repeats=True)
        elif self._results.has(job):
            self._account.skip(repeats=False)
        else:
            await self._do(entry.position, job)
            return
        # A long row of these must not keep those at work from going on.
        await asyncio.sleep(0)

    async def _do(self, position: int, job: Job) -> None:
        self._account.begin()
        try:
            result = await job.run()
        except ENDING as error:
            self._end(error)
        except PermissionDenied as error:
            self._account.fail(job, error)
            if self._account.all_are_denied and not self._results.from_earlier_tries:
                self._end(error)
        except TfsoHypatosError as error:
            self._account.fail(job, error)
        except Exception as error:
            # A fault of ours, or of a library: it must not cut off the other orders in the middle of their changes.
            log.exception("%s failed with an error that nobody thought of", job.name)
            self._account.fail(job, error)
        else:
            self._account.succeed()
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

    async def _report(self) -> None:
        started = clock.now()
        while True:
            await asyncio.sleep(PROGRESS)
            log.info("%s", self._account.progress(clock.now() - started))

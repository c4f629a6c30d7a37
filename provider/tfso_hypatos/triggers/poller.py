"""Looks at all the orders that are waited for on one connection."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import logging
from collections import Counter
from typing import NamedTuple, NoReturn, TypeAlias

from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.flows.rounds import Round
from tfso_hypatos.flows.watch import Outcome, Watch
from tfso_hypatos.hooks.settings import Settings
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers.back_off import back_off
from tfso_hypatos.triggers.opening import patiently, points_elsewhere, target_of
from tfso_hypatos.triggers.portal import enter_portal
from tfso_hypatos.triggers.turn import Turn

log = logging.getLogger(__name__)

NOTABLE = 10
"""How many times as many waits, or as few, are worth a line in the log."""

SIDE_BY_SIDE = 4
"""Orders that are read at the same time."""

AT_ONCE = 100
"""Waits that are woken before the event loop gets a turn."""


class WaitFailed(NamedTuple):
    """The poller met something that nobody thought of, of all orders or of one; it stands in the triggerer's log.

    :param kind: name of the exception's class.
    """

    kind: str


Answer: TypeAlias = Outcome | WaitFailed
"""What a wait is woken with. Not raised: one exception in thousands of tasks would gather a traceback of all."""

Wait: TypeAlias = asyncio.Future[Answer | None]
"""One that gets None is to join anew."""

Key: TypeAlias = tuple[str, str | None]
"""A connection, and the organization that it has to point to; None: whichever it does."""


_ENDING: set[asyncio.Task[None]] = set()
"""Pollers that are closing; the loop itself would not keep them from being thrown away."""


class Poller:
    """Looks at all the orders that are waited for on one connection, from the first wait to the last.

    Whatever ends it takes it out of the registry before it awaits anything: whoever finds it there may join.
    It asks one API about one organization from its first look to its last: elsewhere, an id means another order.

    :param key: connection of type ``tfso``, and the organization that it has to point to.
    :param registry: where it stands as long as it can be joined.
    """

    def __init__(self, key: Key, registry: dict[Key, Poller]) -> None:
        self.conn_id, self.organization = self._key = key
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(self._wake)
        self._waits: dict[int, set[Wait]] = {}
        # Those that have joined since the connection was last read.
        self._newcomers: set[Wait] = set()
        # It was read since the last regular round began.
        self._is_current = False
        self._intervals: Counter[float] = Counter()
        self._turn = Turn(self._loop)
        self._hook: TfsoHook | None = None
        self._logged = 0
        # Not in the context of the first trigger: this does not belong into the log of its task.
        self._task = self._loop.create_task(
            self._run(), name=f"wait for transactions on {self.conn_id}", context=contextvars.Context()
        )
        self._task.add_done_callback(self._ended)

    @property
    def interval(self) -> float:
        """Seconds between two rounds: the shortest that a wait asks for."""
        return min(self._intervals)

    def join(self, order_id: int, interval: float, seen_at: datetime.datetime | None) -> Wait:
        """Return a new wait; it ends with an answer.

        :param order_id: the order.
        :param interval: seconds between two looks.
        :param seen_at: the server's clock at a look that found it not posted; None: nobody knows.
        """
        wait: Wait = self._loop.create_future()
        self._waits.setdefault(order_id, set()).add(wait)
        self._newcomers.add(wait)
        self._intervals[interval] += 1
        if self._watch.add(order_id, seen_at, self._loop.time()):
            self._turn.call()
        else:
            # It was looked at a moment ago.
            self._turn.reckon()
        return wait

    async def leave(self, wait: Wait, order_id: int, interval: float) -> None:
        """End a wait, whether it was answered or not; the last one ends the poller and sees it gone.

        :param wait: the wait.
        :param order_id: its order.
        :param interval: its interval.
        """
        self._newcomers.discard(wait)
        waits = self._waits.get(order_id, set())
        waits.discard(wait)
        if not waits:
            self._waits.pop(order_id, None)
            self._watch.drop(order_id)
        self._intervals[interval] -= 1
        if not self._intervals[interval]:
            del self._intervals[interval]
        if not self._intervals:
            self._unregister()
            if not self._task.done():
                _ENDING.add(self._task)
                self._task.add_done_callback(_ENDING.discard)
                self._task.cancel()
                await asyncio.wait([self._task])

    def _unregister(self) -> None:
        if self._registry.get(self._key) is self:
            del self._registry[self._key]

    def _wake(self, order_id: int, answer: Answer) -> None:
        """Answer all waits for an order; one that was cancelled needs no answer."""
        for wait in self._waits.pop(order_id, ()):
            if not wait.done():
                wait.set_result(answer)

    async def _wake_all(self, answer: Answer) -> None:
        for number, order_id in enumerate(list(self._waits), 1):
            self._wake(order_id, answer)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """See to it that nobody waits for a poller that is gone, whatever ended it."""
        self._unregister()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        for order_id in list(self._waits):
            self._wake(order_id, WaitFailed(type(error).__name__))

    async def _run(self) -> None:
        answer: Answer
        try:
            await enter_portal()
            await self._poll()
        except TfsoHypatosError as error:
            answer = error
        except Exception as error:
            log.exception("Looking for transactions on %s failed", self.conn_id)
            answer = WaitFailed(type(error).__name__)
        finally:
            self._unregister()
            if self._hook is not None:
                await self._hook.aclose()
        await self._wake_all(answer)

    async def _poll(self) -> NoReturn:
        failures = 0
        while True:
            is_early = await self._turn.comes(lambda: self.interval)
            self._is_current = self._is_current and is_early
            if self._hook is None:
                await self._open()
            elif self._newcomers and not self._is_current:
                await self._reopen(self._hook)
            done = await self._look(early=is_early)
            if done.fatal is not None and self._hook is not None and await self._reopen(self._hook):
                done = await self._look(early=False)
            if done.fatal is not None:
                raise done.fatal
            failures = failures + 1 if done.has_failed else 0
            held = back_off(self.interval, failures, done.trouble) if failures else 0.0
            self._turn.ends(early=is_early, held=held)
            self._report(done, held)

    async def _open(self) -> None:
        """Take the connection as it stands; what may be Airflow's own trouble is waited out for some minutes."""
        self._is_current = True
        joined, hook, settings = await patiently(self.conn_id, self._read_connection)
        if self.organization not in (None, target_of(settings).organization):
            raise points_elsewhere(self.conn_id)
        self._hook = hook
        self._newcomers -= joined

    async def _read_connection(self) -> tuple[set[Wait], TfsoHook, Settings]:
        joined, hook = set(self._newcomers), TfsoHook(self.conn_id)
        return joined, hook, await hook.asettings()

    async def _reopen(self, former: TfsoHook) -> bool:
        """Take the connection as it stands now, and return whether it is another than before."""
        joined, hook, self._is_current = set(self._newcomers), TfsoHook(self.conn_id), True
        try:
            before, now = await former.asettings(), await hook.asettings()
        except Exception as error:  # noqa: BLE001 - whatever it is, the waits that are under way can go on
            log.warning("Connection %s cannot be read again (%s)", self.conn_id, type(error).__name__)
            return False
        if target_of(now) != target_of(before):
            self._unregister()
            for wait in self._newcomers:
                if not wait.done():
                    wait.set_result(None)
            raise points_elsewhere(self.conn_id)
        self._newcomers -= joined
        if now == before:
            return False
        log.info("Connection %s was changed; looking for transactions with what it says now", self.conn_id)
        self._hook = hook
        await former.aclose()
        return True

    async def _look(self, *, early: bool) -> Round:
        if self._hook is None:
            raise RuntimeError("looked before the connection was read")
        hook, watch = self._hook, self._watch
        try:
            wanted = iter(await hook.adrive(watch.survey(self.interval, self._loop.time(), early=early)))
        except TfsoHypatosError:
            raise
        except Exception as error:
            # It may pass, and no wait is to end for what may be wrong with the list alone; each has a time-out.
            log.exception("Listing the changes on %s failed", self.conn_id)
            watch.survey_broke(type(error).__name__)
            return watch.finish()

        async def read() -> None:
            await enter_portal()
            for order_id in wanted:
                try:
                    await hook.adrive(watch.read(order_id, self._loop.time()))
                except TfsoHypatosError:
                    raise
                except Exception as error:
                    log.exception("Looking at sales order %s on %s failed", order_id, self.conn_id)
                    watch.drop(order_id)
                    self._wake(order_id, WaitFailed(type(error).__name__))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(SIDE_BY_SIDE):
                    group.create_task(read())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return watch.finish()

    def _report(self, done: Round, held: float) -> None:
        count = len(self._watch)
        log.debug(
            "%s: %d orders waited for, %d pages listed, %d orders read, %d done",
            *(self.conn_id, count, done.pages, done.reads, done.found),
        )
        if held:
            log.warning("Could not look for transactions (%s); looking again in %.0f s", done.trouble, held)
        elif done.unread:
            text = "Could not look at %d sales orders, %s among them (%s); looking again later"
            log.warning(text, len(done.unread), done.unread[0], done.trouble)
        if not self._logged or not self._logged / NOTABLE < max(count, 1) < self._logged * NOTABLE:
            log.info("Waiting for the transactions of %d sales orders on %s", count, self.conn_id)
            self._logged = max(count, 1)

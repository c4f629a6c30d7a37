"""An event loop in a thread of its own, which ends when the task is killed or times out."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

LONGEST_END = 10.0
"""Seconds that are waited for the loop to end after it was interrupted."""


def run_on_a_loop(work: Callable[[], Coroutine[Any, Any, None]], stop: Callable[[], None]) -> None:
    """Run a coroutine to its end.

    In a thread of its own: Airflow's time-out is an exception out of a signal handler, and so could hit the main thread
    in the middle of the loop's own work, where it would be swallowed, or break the loop for ever.

    :param work: makes the coroutine.
    :param stop: lets it end soon.
    :raises BaseException: what the coroutine raises, and what a signal handler does.
    """
    ended: Future[None] = Future()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()

    async def watched() -> None:
        running.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        await work()

    # Whoever takes it first decides: the thread that begins the work, or the one that gives it up before that.
    first = threading.Lock()

    def run() -> None:
        if not first.acquire(blocking=False):
            return
        try:
            asyncio.run(watched())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            ended.set_exception(error)
        else:
            ended.set_result(None)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="batch", daemon=True)
    try:
        thread.start()
        ended.result()
    except BaseException:
        if first.acquire(blocking=False):
            raise
        if not ended.done():
            stop()
            _cancel(running)
        thread.join(LONGEST_END)
        raise
    thread.join()


def _cancel(running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]]) -> None:
    # A loop that has ended meanwhile, or has not begun in all that time, has nothing to cancel.
    with suppress(RuntimeError, TimeoutError):
        loop, task = running.result(LONGEST_END)
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

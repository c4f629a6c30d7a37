"""A batch that is killed, or times out."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operators.batches import creating, items

from tfso_hypatos.clients.messages import pause
from tfso_hypatos.exceptions import Stopped
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.batch.loop import run_on_a_loop
from tfso_hypatos.sandbox.delivery import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


def meeting(monkeypatch: pytest.MonkeyPatch, count: int, then: Callable[[], None]) -> None:
    """Hold requests that a fault makes slow until so many are there, and do something at that moment."""
    held: list[Exchange] = []

    async def wait(exchange: Exchange, *_: Any, for_client: bool = True) -> None:
        held.append(exchange)
        if len(held) == count:
            then()
        while len(held) < count or (for_client and exchange.request.transport is not None):
            if exchange.later.is_closing:
                return
            await asyncio.sleep(0.005)

    monkeypatch.setattr(Exchange, "wait", wait)


def test_a_kill_stops_before_the_next_changes_and_a_retry_does_the_rest(
    run: Run, log: Log, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.tfso(extra={"timeout": 30})
    log.sandbox.add_fault(action="slow", method="POST", path="/lines$", times=3)
    operator = creating(items(8), concurrency=3)
    meeting(monkeypatch, 3, operator.on_kill)
    with pytest.raises(Stopped):
        run.execute(operator)
    assert len(log.orders) == 3
    assert len(log.sent("POST", "/lines")) == 3
    results = run.execute(creating(items(8), concurrency=3), try_number=2)
    assert len(results) == len(log.orders) == 8
    assert all(len(order["lines"]) == 2 for order in log.orders)


def test_a_kill_ends_the_waits_of_all_orders(run: Run, log: Log) -> None:
    log.sandbox.add_fault(action="rate_limit", retry_after=40, method="POST", path="/salesorders$", times=8)
    operator = creating(items(8))

    def kill() -> None:
        deadline = time.monotonic() + 20
        while not log.sent("POST", "/salesorders") and time.monotonic() < deadline:
            time.sleep(0.005)
        operator.on_kill()

    thread = threading.Thread(target=kill)
    thread.start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        run.execute(operator)
    thread.join()
    assert time.monotonic() - started < 30
    assert log.orders == []


def test_a_kill_before_the_first_order_sends_nothing(run: Run, log: Log) -> None:
    operator = creating(items(8))
    operator.on_kill()
    with pytest.raises(Stopped):
        run.execute(operator)
    assert log.sent() == []


async def test_a_pause_of_the_async_driver_ends_when_another_thread_stops_it() -> None:
    async with TfsoHook() as hook:
        await hook.atransport()
        timer = threading.Timer(0.05, hook.stop)
        timer.start()
        with pytest.raises(Stopped, match="stopped while waiting"):
            await hook.adrive(pause(60, "the settle time"))
        timer.join()
    hook.stop()


class TimedOut(BaseException):
    """Stands for Airflow's time-out, which is no Exception either."""


@pytest.fixture
def alarm() -> Iterator[None]:
    """Raise out of a signal handler, as ``execution_timeout`` does.

    Without collecting garbage: Python swallows what a handler raises in the middle of a finalizer.
    """

    def handle(*_: Any) -> None:
        raise TimedOut

    before = signal.signal(signal.SIGALRM, handle)
    gc.disable()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    gc.enable()
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_a_time_out_ends_the_batch_and_what_was_done_is_written(
    run: Run, log: Log, connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.tfso(extra={"timeout": 60})
    log.sandbox.add_fault(action="hang_before", method="POST", path="/salesorders$", skip=2, times=8)
    # Both of the two that are at work have done one order once both hang with the next.
    main = threading.main_thread().ident
    assert main is not None
    meeting(monkeypatch, 2, lambda: signal.pthread_kill(main, signal.SIGALRM))
    with pytest.raises(TimedOut):
        run.execute(creating(items(8), concurrency=2, results_path=str(tmp_path)))
    (part,) = tmp_path.glob("*.jsonl")
    assert len(part.read_text().splitlines()) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "batch"]


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("after", [0.001, 0.01, 0.03, 0.06])
def test_a_time_out_at_any_moment_is_raised(run: Run, after: float) -> None:
    def longer_than_that() -> None:
        # What is imported only now would be imported with callbacks, which swallow what a handler raises, too.
        run.execute(creating(items(1)))
        signal.setitimer(signal.ITIMER_REAL, after)
        run.execute(creating(items(200)))
        time.sleep(1)

    with pytest.raises(TimedOut):
        longer_than_that()
    assert not [thread for thread in threading.enumerate() if thread.name == "batch" and thread.ident is not None]


def test_a_loop_passes_on_what_is_raised_in_it() -> None:
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_on_a_loop(broken, lambda: None)


@pytest.mark.parametrize("begun", [False, True])
def test_a_time_out_while_the_thread_starts_leaves_no_work_behind(monkeypatch: pytest.MonkeyPatch, begun: bool) -> None:
    events: list[str] = []
    at_work = threading.Event()

    async def work() -> None:
        at_work.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if begun:
            start(thread)
            at_work.wait(30)
        raise TimedOut

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(TimedOut):
            run_on_a_loop(work, lambda: events.append("stopped"))
    assert events == (["stopped", "cancelled"] if begun else [])
    assert not [thread for thread in threading.enumerate() if thread.name == "batch"]


CHILD = """
import json, sys
from tfso_hypatos.operators.sales_order import CreateSalesOrdersOperator
CreateSalesOrdersOperator(task_id="create", orders=json.load(sys.stdin), concurrency=3).execute({})
"""


def test_a_process_that_is_killed_is_followed_by_one_that_does_the_rest(run: Run, log: Log) -> None:
    log.sandbox.add_fault(action="hang_before", seconds=600, method="POST", path="/lines$", skip=4, times=1000)
    child = subprocess.Popen(  # noqa: S603 - our own Python and our own code
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, env=dict(os.environ), text=True, stderr=subprocess.DEVNULL
    )
    assert child.stdin is not None
    json.dump(items(8), child.stdin)
    child.stdin.close()
    deadline = time.monotonic() + 120
    while len(log.sent("POST", "/lines")) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.wait()
    log.sandbox.clear_faults()
    assert 0 < len(log.orders) < 8
    assert sum(len(order["lines"]) for order in log.orders) == 4
    results = run.execute(creating(items(8)), try_number=2)
    assert len(results) == len(log.orders) == 8
    assert all(len(order["lines"]) == 2 for order in log.orders)

"""A batch that is killed, times out, or is given something wrong."""

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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from tfso_hypatos.clients.messages import pause
from tfso_hypatos.exceptions import BatchFailed, ConfigurationError, Failure, InvalidInput, Stopped
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.arguments import TaskIdentity
from tfso_hypatos.operators.batch.items import Job
from tfso_hypatos.operators.batch.loop import run_on_a_loop
from tfso_hypatos.operators.batch.results import Part, Written
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.sandbox.delivery import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")

LINE = {"description": "Kaffe", "quantity": 1, "price": 8}
ORDER = {"customer": {"id": 42, "name": "K"}}


def item(number: int) -> dict[str, Any]:
    return {"order_key": f"web-{number}", "order": ORDER, "lines": [LINE, {**LINE, "price": 9}]}


def creating(count: int = 8, **arguments: Any) -> CreateSalesOrdersOperator:
    return CreateSalesOrdersOperator(task_id="create", orders=[item(n) for n in range(count)], **arguments)


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
    operator = creating(concurrency=3)
    meeting(monkeypatch, 3, operator.on_kill)
    with pytest.raises(Stopped):
        run.execute(operator)
    assert len(log.orders) == 3
    assert len(log.sent("POST", "/lines")) == 3
    results = run.execute(creating(concurrency=3), try_number=2)
    assert len(results) == len(log.orders) == 8
    assert all(len(order["lines"]) == 2 for order in log.orders)


def when_written(monkeypatch: pytest.MonkeyPatch, folder: Path, operator: Any, *, kill: bool) -> list[int]:
    """Answer requests that a fault makes slow only once two results are in a file; return how many there were."""
    seen: list[int] = []

    def look() -> None:
        lines, deadline = 0, time.monotonic() + 20
        while lines < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
            lines = sum(len(part.read_text().splitlines()) for part in folder.glob("*.jsonl"))
        seen.append(lines)

    async def wait(*_: Any, **__: Any) -> None:
        if kill:
            operator.on_kill()
        await asyncio.to_thread(look)

    monkeypatch.setattr(Exchange, "wait", wait)
    return seen


@pytest.mark.parametrize("kill", [False, True])
def test_results_are_written_while_requests_are_under_way(
    run: Run, log: Log, connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool
) -> None:
    connections.tfso(extra={"timeout": 60})
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.SAVE_EVERY", 1000 if kill else 0.1)
    log.sandbox.add_fault(action="slow", method="POST", path="/salesorders$", skip=2)
    operator = creating(4, concurrency=1, results_path=str(tmp_path))
    seen = when_written(monkeypatch, tmp_path, operator, kill=kill)
    if kill:
        with pytest.raises(Stopped):
            run.execute(operator)
    else:
        assert run.execute(operator)["done"] == 4
    assert seen == [2]
    (part,) = tmp_path.glob("*.jsonl")
    assert len(part.read_text().splitlines()) == (2 if kill else 4)


def test_a_file_that_was_written_too_slowly_does_not_replace_a_fuller_one(tmp_path: Path) -> None:
    results = Written(str(tmp_path), TaskIdentity("d", "r", "t", -1, 1))
    jobs = [Job(f"web-{number}", f"{number}", "", {}, job_of_nothing) for number in range(2)]
    results.add(0, jobs[0], {})
    early = results.unsaved()
    assert early is not None
    assert results.unsaved() is None
    results.add(1, jobs[1], {})
    whole = results.take(2)
    assert whole is not None
    assert early.name == whole.name
    results.write(whole)
    results.write(early)
    assert len((tmp_path / whole.name).read_text().splitlines()) == 2
    assert results.unsaved() is None


async def job_of_nothing() -> dict[str, Any]:
    return {}


def test_results_that_cannot_be_written_yet_are_told_and_written_later(
    run: Run, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.SAVE_EVERY", 0.1)
    log.sandbox.add_fault(action="slow", seconds=0.8, method="POST", path="/salesorders$", skip=2)
    write = Written.write

    def full_at_first(self: Written, part: Part) -> None:
        if not part.is_whole:
            raise OSError("no space left on device")
        write(self, part)

    monkeypatch.setattr(Written, "write", full_at_first)
    assert run.execute(creating(4, concurrency=1, results_path=str(tmp_path)))["done"] == 4
    assert "Results could not be written yet (no space left on device)" in caplog.text
    (part,) = tmp_path.glob("*.jsonl")
    assert len(part.read_text().splitlines()) == 4


def test_a_kill_ends_the_waits_of_all_orders(run: Run, log: Log) -> None:
    log.sandbox.add_fault(action="rate_limit", retry_after=40, method="POST", path="/salesorders$", times=8)
    operator = creating()

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
    operator = creating()
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
        run.execute(creating(concurrency=2, results_path=str(tmp_path)))
    (part,) = tmp_path.glob("*.jsonl")
    assert len(part.read_text().splitlines()) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "batch"]


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("after", [0.001, 0.01, 0.03, 0.06])
def test_a_time_out_at_any_moment_is_raised(run: Run, after: float) -> None:
    def longer_than_that() -> None:
        # What is imported only now would be imported with callbacks, which swallow what a handler raises, too.
        run.execute(creating(1))
        signal.setitimer(signal.ITIMER_REAL, after)
        run.execute(creating(200))
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
    json.dump([item(n) for n in range(8)], child.stdin)
    child.stdin.close()
    deadline = time.monotonic() + 120
    while len(log.sent("POST", "/lines")) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.wait()
    log.sandbox.clear_faults()
    assert 0 < len(log.orders) < 8
    assert sum(len(order["lines"]) for order in log.orders) == 4
    results = run.execute(creating(), try_number=2)
    assert len(results) == len(log.orders) == 8
    assert all(len(order["lines"]) == 2 for order in log.orders)


def refused(log: Log, operator: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        operator.execute({})
    assert log.sandbox.requests() == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"order_key": "web-9", "order": {}, "lines": [LINE]}, "item 2 ('web-9'): order.customer: is required"),
        ({"order_key": "web-9", "order": ORDER, "lines": []}, "item 2 ('web-9'): lines: at least one line"),
        ({"order_key": "web-9", "order": ORDER}, "item 2 ('web-9'): lines: a list of lines is needed"),
        ({"order_key": "web-9", "order": ORDER, "lines": [LINE], "x": 1}, "item 2 ('web-9'): x: is not a field"),
        ({"order": ORDER, "lines": [LINE]}, "item 2: order_key: is required, as text: a place in a list is no name"),
        ({"order_key": "None", "order": ORDER, "lines": [LINE]}, "item 2 ('None'): order_key: must not be empty"),
        ({"order_key": "web-0", "order": ORDER, "lines": [LINE]}, "item 2 ('web-0'): names the same order as item 1"),
        (7, "item 2: item: an object with named fields is needed, not int"),
    ],
)
def test_a_wrong_item_is_named_and_nothing_is_sent(log: Log, wrong: Any, said: str) -> None:
    assert said in refused(log, CreateSalesOrdersOperator(task_id="t", orders=[item(0), wrong]))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("web-1", "item 2: sales_order_id: a sales order id is needed"),
        ({"sales_order_id": 8, "due_date": "soon"}, "item 2 (8): due_date: "),
        ({"sales_order_id": 8, "duedate": "2026-01-01"}, "item 2 (8): duedate: is not a field of an item"),
        ({"sales_order_id": 7, "order_key": "k"}, "item 2 ('k'): names the same order as item 1"),
        ({"sales_order_id": 8, "expected_gross_amount": "ten"}, "item 2 (8): expected_gross_amount: "),
    ],
)
def test_a_wrong_item_of_the_invoice_batch_is_named(log: Log, wrong: Any, said: str) -> None:
    said_now = refused(log, InvoiceSalesOrdersOperator(task_id="t", orders=[7, wrong]))
    assert said in said_now.replace("('7')", "(7)")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"external_id": "K"}, "item 1 ('K'): patch: is required"),
        ({"patch": {"headerText": "x"}}, "item 1: external_id: must not be empty"),
        ({"external_id": "K", "patch": {"headertext": "x"}}, "item 1 ('K'): patch.headertext: "),
    ],
)
def test_a_wrong_item_of_the_enrichment_batch_is_named(log: Log, wrong: Any, said: str) -> None:
    assert said in refused(log, EnrichSalesOrdersOperator(task_id="t", orders=[wrong]))


def test_a_mistake_in_every_item_is_not_told_a_hundred_times(log: Log) -> None:
    text = refused(log, CreateSalesOrdersOperator(task_id="t", orders=[{**item(n), "x": 1} for n in range(100)]))
    assert text.count("is not a field") == 20
    assert "orders: 80 more rules are broken" in text


@pytest.mark.parametrize(
    "arguments", [{}, {"orders": [], "path": "x"}, {"orders": [], "concurrency": 0}, {"orders": "", "path": None}]
)
def test_arguments_that_cannot_work_are_told(log: Log, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CreateSalesOrdersOperator(task_id="t", **arguments).execute({})
    assert log.sandbox.requests() == []


@pytest.mark.parametrize("orders", ["{}", {}, 7, '"text"'])
def test_orders_that_are_no_list_are_told(log: Log, orders: Any) -> None:
    assert "orders: a list of orders is needed" in refused(log, CreateSalesOrdersOperator(task_id="t", orders=orders))


class Outputs(Sequence[Any]):
    """The outputs of a mapped task, as Airflow gives them: fetched when asked for, equal to any sequence."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        return self._values[key]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


@pytest.mark.parametrize("count", [0, 3])
def test_the_outputs_of_a_mapped_task_are_a_list(run: Run, log: Log, count: int) -> None:
    outputs = Outputs([item(number) for number in range(count)])
    results = run.execute(CreateSalesOrdersOperator(task_id="create", orders=outputs))
    assert len(results) == len(log.orders) == count
    assert outputs.threads <= {threading.current_thread().name}


@pytest.mark.parametrize("native", [False, True])
def test_a_list_may_come_out_of_one_template(run: Run, log: Log, native: bool) -> None:
    operator = CreateSalesOrdersOperator(
        task_id="create", orders="{{ conf.orders }}" if native else "{{ conf.orders | tojson }}"
    )
    operator.dag = DAG("orders", schedule=None, render_template_as_native_obj=native)
    operator.render_template_fields({"conf": {"orders": [item(1), item(2)]}})  # type: ignore[typeddict-unknown-key]
    assert len(run.execute(operator)) == len(log.orders) == 2


def test_the_error_of_a_batch_names_the_first_failures_and_counts_all() -> None:
    failures = [Failure(f"web-{n}", "OrderBusy", "busy") for n in range(20)]
    text = str(BatchFailed("21 of 30 orders failed", failures, {"OrderBusy": 20, "NotFound": 1}))
    assert text.startswith("21 of 30 orders failed (1 × NotFound, 20 × OrderBusy). web-0: OrderBusy: busy | ")
    assert text.endswith("| and 1 more, see the log")

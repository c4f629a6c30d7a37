from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.exceptions import Stopped
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    EnrichSalesOrderOperator,
    InvoiceSalesOrderOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


def killed(run: Run, log: Log, operator: BaseOperator, method: str, path: str) -> BaseException:
    """Run a task in a thread, kill it while a request is under way, and return how it ended."""
    ended: list[BaseException] = []

    def execute() -> None:
        try:
            run.execute(operator)
        except BaseException as error:  # noqa: BLE001 - how it ended is what the test is about
            ended.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    deadline = time.monotonic() + 2
    while not log.sent(method, path) and time.monotonic() < deadline:
        time.sleep(0.005)
    operator.on_kill()
    thread.join(2)
    (error,) = ended
    return error


def test_a_kill_before_the_task_runs_is_harmless() -> None:
    CreateSalesOrderOperator(task_id="t", order={}, lines=[]).on_kill()


def test_a_kill_stops_before_the_next_line(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.add_fault(action="slow", seconds=0.3, method="POST", path="/lines$")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k", settle_seconds=2)
    assert isinstance(killed(run, log, operator, "POST", "/lines"), Stopped)
    assert len(log.order["lines"]) == 1
    assert len(log.sent("POST", "/lines")) == 1
    again = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    assert run.execute(again, try_number=2)["created"] is False
    assert len(log.order["lines"]) == 3


def test_a_kill_while_looking_creates_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.add_fault(action="slow", seconds=0.3, method="GET", path="/salesorders$")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    assert isinstance(killed(run, log, operator, "GET", "/salesorders"), Stopped)
    assert log.orders == []
    assert log.changes == []


def test_a_kill_while_the_order_is_read_invoices_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    create = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    created = run.execute(create)
    log.sandbox.add_fault(action="slow", seconds=0.3, method="GET", path="/salesorders/")
    before = len(log.changes)
    operator = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created)
    seen = len(log.sent("GET", f"/salesorders/{created['sales_order_id']}"))
    thread_error: list[BaseException] = []

    def execute() -> None:
        try:
            run.execute(operator)
        except BaseException as error:  # noqa: BLE001 - how it ended is what the test is about
            thread_error.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    while len(log.sent("GET", f"/salesorders/{created['sales_order_id']}")) == seen:
        time.sleep(0.005)
    operator.on_kill()
    thread.join(2)
    assert isinstance(thread_error[0], Stopped)
    assert len(log.changes) == before
    assert log.invoices == []


def test_a_kill_ends_a_wait_for_the_server(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.add_fault(action="rate_limit", retry_after=30, method="POST", path="/salesorders$")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    started = time.monotonic()
    assert isinstance(killed(run, log, operator, "POST", "/salesorders"), Stopped)
    assert time.monotonic() - started < 1.5
    assert log.orders == []


def test_a_kill_between_missing_record_and_insert_inserts_nothing(run: Run, log: Log) -> None:
    log.sandbox.add_fault(action="slow", seconds=0.3, method="PATCH", api="hypatos")
    operator = EnrichSalesOrderOperator(
        task_id="enrich", external_id="K", patch={"headerText": "x"}, on_missing="insert"
    )
    assert isinstance(killed(run, log, operator, "PATCH", "/enrichment"), Stopped)
    assert log.records == {}


def test_a_kill_while_the_token_is_fetched_creates_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.add_fault(action="slow", seconds=0.3, path="token")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    timer = threading.Timer(0.1, operator.on_kill)
    timer.start()
    with pytest.raises(Stopped):
        run.execute(operator)
    timer.join()
    assert log.changes == []


def test_a_kill_while_the_connection_is_looked_up_creates_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    get = TfsoHook.get_connection.__func__  # type: ignore[attr-defined]

    def slow(cls: type[TfsoHook], conn_id: str) -> Any:
        operator.on_kill()
        return get(cls, conn_id)

    monkeypatch.setattr(TfsoHook, "get_connection", classmethod(slow))
    with pytest.raises(Stopped):
        run.execute(operator)
    assert log.changes == []

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
from tfso_hypatos.sandbox.delivery import Exchange

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


def killed_by_the_server(monkeypatch: pytest.MonkeyPatch, operator: BaseOperator) -> None:
    """Kill a task at the very moment at which the server has a request of it that a fault makes slow."""

    async def kill(*_: Any, **__: Any) -> None:
        operator.on_kill()

    monkeypatch.setattr(Exchange, "wait", kill)


def test_a_kill_before_the_task_runs_is_harmless() -> None:
    CreateSalesOrderOperator(task_id="t", order={}, lines=[]).on_kill()


def test_a_kill_stops_before_the_next_line(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.sandbox.add_fault(action="slow", method="POST", path="/lines$")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k", settle_seconds=2)
    killed_by_the_server(monkeypatch, operator)
    with pytest.raises(Stopped):
        run.execute(operator)
    assert len(log.order["lines"]) == 1
    assert len(log.sent("POST", "/lines")) == 1
    again = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    assert run.execute(again, try_number=2)["created"] is False
    assert len(log.order["lines"]) == 3


def test_a_kill_while_looking_creates_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.sandbox.add_fault(action="slow", method="GET", path="/salesorders$")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    killed_by_the_server(monkeypatch, operator)
    with pytest.raises(Stopped):
        run.execute(operator)
    assert log.sent("GET", "/salesorders")
    assert log.orders == []
    assert log.changes == []


def test_a_kill_while_the_order_is_read_invoices_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    create = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    created = run.execute(create)
    log.sandbox.add_fault(action="slow", method="GET", path="/salesorders/")
    before = len(log.changes)
    operator = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created)
    seen = len(log.sent("GET", f"/salesorders/{created['sales_order_id']}"))
    killed_by_the_server(monkeypatch, operator)
    with pytest.raises(Stopped):
        run.execute(operator)
    assert len(log.sent("GET", f"/salesorders/{created['sales_order_id']}")) > seen
    assert len(log.changes) == before
    assert log.invoices == []


def killed_while_it_waits(run: Run, log: Log, operator: BaseOperator, method: str, path: str) -> float:
    """Kill a task once such a request was answered, and return how many seconds it took to end."""

    def kill() -> None:
        deadline = time.monotonic() + 20
        while not log.sent(method, path) and time.monotonic() < deadline:
            time.sleep(0.005)
        killed_at.append(time.monotonic())
        operator.on_kill()

    killed_at: list[float] = []
    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(Stopped):
        run.execute(operator)
    thread.join()
    return time.monotonic() - killed_at[0]


def test_a_kill_ends_a_wait_for_the_server(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.add_fault(action="rate_limit", retry_after=30, method="POST", path="/salesorders$")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    assert killed_while_it_waits(run, log, operator, "POST", "/salesorders") < 10
    assert log.orders == []


def test_a_kill_ends_a_wait_for_the_order_that_is_to_be_enriched(run: Run, log: Log) -> None:
    log.sandbox.add_fault(action="rate_limit", retry_after=30, method="GET", path="/salesorders/")
    operator = EnrichSalesOrderOperator(task_id="enrich", external_id="K", sales_order_id=7)
    assert killed_while_it_waits(run, log, operator, "GET", "/salesorders/") < 10
    assert log.changes == []


def test_a_kill_between_missing_record_and_insert_inserts_nothing(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.sandbox.add_fault(action="slow", method="PATCH", api="hypatos")
    operator = EnrichSalesOrderOperator(
        task_id="enrich", external_id="K", patch={"headerText": "x"}, on_missing="insert"
    )
    killed_by_the_server(monkeypatch, operator)
    with pytest.raises(Stopped):
        run.execute(operator)
    assert log.sent("PATCH", "/enrichment")
    assert log.records == {}


def test_a_kill_while_the_token_is_fetched_creates_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.sandbox.add_fault(action="slow", path="token")
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
    killed_by_the_server(monkeypatch, operator)
    with pytest.raises(Stopped):
        run.execute(operator)
    assert log.token_requests
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

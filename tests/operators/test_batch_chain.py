"""Many orders in one task, at the wire."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    BatchFailed,
    OrderBusy,
    OutcomeUncertain,
    PermissionDenied,
    ServerError,
    Stopped,
)
from tfso_hypatos.operators.batch.sources import ListSource, shuffled
from tfso_hypatos.operators.batch.steps import Creation
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)

if TYPE_CHECKING:
    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run

    from tfso_hypatos.flows.intent import Intent

DAGS = Path(__file__).resolve().parents[2] / "dags"

pytestmark = pytest.mark.usefixtures("connections")


def item(number: int, **order: Any) -> dict[str, Any]:
    return {
        "order_key": f"web-{number}",
        "order": {"customer": {"id": 42, "name": "Bjørn Ås AS"}, **order},
        "lines": [
            {"description": "Kaffe", "quantity": 1, "price": number},
            {"description": "Te", "quantity": 2, "price": "1.50"},
        ],
    }


def items(count: int) -> list[dict[str, Any]]:
    return [item(number) for number in range(1, count + 1)]


def creating(orders: Any, **arguments: Any) -> CreateSalesOrdersOperator:
    return CreateSalesOrdersOperator(task_id="create", orders=orders, **arguments)


def invoicing(orders: Any, **arguments: Any) -> InvoiceSalesOrdersOperator:
    return InvoiceSalesOrdersOperator(task_id="invoice", orders=orders, **arguments)


def test_three_batches_take_every_order_to_its_invoice_and_into_hypatos(run: Run, log: Log) -> None:
    created = run.execute(creating(items(7)))
    invoiced = run.execute(invoicing(created))
    enrich = EnrichSalesOrdersOperator(task_id="enrich", orders=invoiced, on_missing="insert")
    enriched = run.execute(enrich)

    keys = [f"web-{number}" for number in range(1, 8)]
    assert [each["order_key"] for each in created] == keys == [each["order_key"] for each in invoiced]
    assert [each["sales_order_id"] for each in created] == [each["sales_order_id"] for each in invoiced]
    assert enriched == [{"order_key": key, "external_id": key, "outcome": "inserted"} for key in keys]
    amounts = {order["id"]: order["grossAmount"] for order in log.orders}
    assert [amounts[each["sales_order_id"]] for each in created] == [
        (number + 3) * Decimal("1.25") for number in range(1, 8)
    ]
    assert all(len(order["lines"]) == 2 for order in log.orders)
    assert sorted(invoice["order_id"] for invoice in log.invoices) == sorted(each["id"] for each in log.orders)
    assert sorted(log.records) == keys
    assert len(log.token_requests) == 2
    for results in (created, invoiced, enriched):
        assert json.loads(json.dumps(results)) == results
        assert "Bjørn" not in json.dumps(results, ensure_ascii=False)


def test_a_result_is_that_of_the_operator_for_one_order(run: Run) -> None:
    one = CreateSalesOrderOperator(task_id="one", order=item(1)["order"], lines=item(1)["lines"], order_key="web-1")
    single = run.execute(one)
    (batched,) = run.execute(creating([item(1)]))
    assert batched == {**{name: each for name, each in single.items() if name != "holder"}, "created": False}
    invoiced = run.execute(InvoiceSalesOrderOperator(task_id="i", sales_order_id=single))
    (again,) = run.execute(invoicing([single]))
    assert again == {**invoiced, "order_key": "web-1", "invoiced": False}


def test_no_orders_are_no_error(run: Run, log: Log) -> None:
    assert run.execute(creating("[]")) == []
    assert log.sandbox.requests() == []


def test_an_item_may_stand_twice(run: Run, log: Log) -> None:
    first, second, third = run.execute(creating([item(1), item(2), {**item(1), "order_key": " web-1 "}]))
    assert first == third
    assert second["order_key"] == "web-2"
    assert len(log.orders) == 2
    invoiced = run.execute(invoicing([first, first, second]))
    assert invoiced[0] == invoiced[1]
    assert len(log.invoices) == 2


def test_an_item_of_the_invoice_batch_has_its_own_details(run: Run, log: Log) -> None:
    one, two, three = run.execute(creating(items(3)))
    terms = {"type": "NumberOfDays", "value": 30}
    results = run.execute(
        invoicing(
            [
                {**one, "due_date": "2026-12-24", "payment_terms": None},
                {"sales_order_id": two, "invoice_date": "2026-11-30", "expected_gross_amount": two["gross_amount"]},
                three["sales_order_id"],
            ],
            invoice_date="2026-11-20",
            payment_terms=json.dumps(terms),
            distribution_method="emaildistribution",
        )
    )
    assert [each["invoice_date"] for each in results] == ["2026-11-20", "2026-11-30", "2026-11-20"]
    assert results[0]["due_date"] == "2026-12-24"
    assert {order["invoice"]["distributionMethod"] for order in log.orders} == {"emaildistribution"}


def test_one_order_that_fails_does_not_stop_the_others(run: Run, log: Log) -> None:
    log.sandbox.configure(known_customers=[42])
    wrong = item(3)
    wrong["order"]["customer"]["id"] = 43
    with pytest.raises(BatchFailed, match=r"1 of 4 orders failed; 3 are done \(1 × BadRequest\)\. web-3: ") as caught:
        run.execute(creating([item(1), item(2), wrong, item(4)]))
    assert caught.value.permanent
    assert [failure.order for failure in caught.value.failures] == ["web-3"]
    assert len(log.orders) == 3


def test_the_nouns_and_verbs_of_a_batch_agree_with_their_counts(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    failing(monkeypatch, DENIED, "web-1")
    with pytest.raises(BatchFailed, match=r"^1 of 3 orders failed; 1 is done, 1 repeats another one \("):
        run.execute(creating([item(1), item(2), item(2)]))
    failing(monkeypatch, OrderBusy("busy"), "web-1")
    with pytest.raises(BatchFailed, match=r"^1 of 1 order failed; 0 are done \("):
        run.execute(creating(items(1)))
    assert "0 of 1 order done, 1 failed, 0 skipped" in caplog.text
    failing(monkeypatch, AuthenticationFailed("changed", status=401), "web-2")
    with pytest.raises(AuthenticationFailed, match=r"^1 of 2 orders is done, 0 failed, 1 was not tried to the end\. "):
        run.execute(creating([item(3), item(2)], concurrency=1))
    monkeypatch.setattr("tfso_hypatos.operators.batch.account.FIRST_IN_A_ROW", 1)
    failing(monkeypatch, ServerError("down", status=500), "web-3")
    with pytest.raises(BatchFailed, match=r"^1 of 2 orders failed, 1 was not tried; 0 are done \("):
        run.execute(creating([item(3), item(4)], concurrency=1))


def test_what_repeats_an_order_that_failed_is_not_called_done(run: Run, log: Log) -> None:
    log.sandbox.configure(known_customers=[42])
    wrong = item(2)
    wrong["order"]["customer"]["id"] = 43
    with pytest.raises(BatchFailed, match=r"1 of 4 orders failed; 1 is done, 2 repeat others \("):
        run.execute(creating([item(1), wrong, wrong, wrong]))


def test_the_example_refuses_more_orders_than_airflow_maps_a_task_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    param = DagBag(str(DAGS)).dags["orders_to_invoices"].params.get_param("orders")
    param.resolve(items(3))
    with pytest.raises(ParamValidationError):
        param.resolve(items(4))


FAULTS: list[dict[str, Any]] = [
    {"action": "drop_after", "method": "POST", "path": "/salesorders$", "skip": 1, "times": 2},
    {"action": "drop_before", "method": "POST", "path": "/lines$", "skip": 2, "times": 2},
    {"action": "status_after", "status": 500, "method": "POST", "path": "/lines$", "skip": 3, "times": 2},
    {"action": "truncate", "method": "GET", "path": "/salesorders/", "times": 3},
    {"action": "commit_late", "seconds": 0.04, "method": "POST", "path": "/salesorders$", "skip": 2},
    {"action": "drop_after", "method": "PATCH", "body": '"status":"Invoice"', "times": 3},
    {"action": "status_after", "status": 503, "method": "PATCH", "body": '"status":"Invoice"', "skip": 1, "times": 2},
    {"action": "restart", "seconds": 0.05, "method": "POST", "path": "/lines$", "skip": 4},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['action']}, {fault['method']}")
def test_whatever_goes_wrong_each_order_is_there_once_and_invoiced_once(
    run: Run, log: Log, fault: dict[str, Any]
) -> None:
    log.sandbox.configure(reinvoice="invoice_again")
    log.sandbox.add_fault(**fault)
    created = until_done(run, creating(items(5)))
    until_done(run, invoicing(created))
    assert len({order["internalMemo"].split("/")[0] for order in log.orders}) == 5
    assert len(log.orders) == len(log.invoices) == 5
    assert all(len(order["lines"]) == 2 for order in log.orders)


def until_done(run: Run, operator: Any) -> Any:
    for try_number in (1, 2, 3):
        try:
            return run.execute(operator, try_number=try_number)
        except BatchFailed as error:
            if error.permanent:
                raise
    raise AssertionError("not done in three tries")


def test_two_batches_with_the_same_keys_at_the_same_moment_make_each_order_once(run: Run, log: Log) -> None:
    log.sandbox.configure(reinvoice="invoice_again")
    other = type(run)(run_id="run-2")
    orders = items(4)

    def chain(each: Run) -> Any:
        return until_done(each, invoicing(until_done(each, creating(orders))))

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(chain, (run, other)))
    active = [order for order in log.orders if order["status"] != "Inactive"]
    assert len(active) == 4
    assert all(len(order["lines"]) == 2 for order in active)
    assert len(log.invoices) == 4
    one, two = ([each["sales_order_id"] for each in result] for result in results)
    assert one == two


def batch_dag(**more: Any) -> tuple[CreateSalesOrdersOperator, InvoiceSalesOrdersOperator]:
    with DAG("orders", schedule=None):
        create = creating(items(3))
        output: Any = create.output
        invoice = invoicing(output)
        for name, orders in more.items():
            InvoiceSalesOrderOperator(task_id=name, sales_order_id=orders)
    return create, invoice


def test_the_invoice_batch_of_the_same_run_goes_on_without_taking_over(run: Run, log: Log) -> None:
    create, invoice = batch_dag()
    invoice.orders = run.execute(create)
    run.execute(invoice)
    assert len(log.sent("PATCH")) == 3


@pytest.mark.parametrize("how", ["second invoice task", "second try", "another run", "mapped"])
def test_every_other_invoice_batch_takes_over_first(run: Run, log: Log, how: str) -> None:
    create, invoice = batch_dag(**({"other": 7} if how == "second invoice task" else {}))
    invoice.orders = run.execute(create)
    runner = type(run)(run_id="run-2") if how == "another run" else run
    runner.execute(invoice, try_number=2 if how == "second try" else 1, map_index=0 if how == "mapped" else -1)
    assert len(log.sent("PATCH")) == 6
    assert len(log.invoices) == 3


def test_a_refused_secret_ends_the_batch_at_once(run: Run, log: Log, connections: Connections) -> None:
    connections.tfso(password="feil")
    with pytest.raises(AuthenticationFailed):
        run.execute(creating(items(30), concurrency=2))
    assert log.sent() == []
    assert len(log.token_requests) <= 2


@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_missing_scope_ends_the_batch_after_three_orders(run: Run, log: Log, count: int) -> None:
    log.sandbox.configure(missing_scopes=["api.invoicing.salesorder:write"])
    with pytest.raises(PermissionDenied):
        run.execute(creating(items(count), concurrency=1))
    assert len(log.sent("POST")) == min(count, 3)


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *keys: str) -> None:
    """Let these orders fail with this error."""
    create = Creation._create

    async def create_or_fail(self: Creation, intent: Intent) -> dict[str, Any]:
        if intent.order_key in keys:
            raise error
        return await create(self, intent)

    monkeypatch.setattr(Creation, "_create", create_or_fail)


def test_an_error_that_ends_the_batch_says_how_far_it_came(run: Run, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, AuthenticationFailed("the secret was changed", status=401), "web-3")
    with pytest.raises(
        AuthenticationFailed, match=r"^2 of 4 orders are done, 0 failed, 2 were not tried to the end\. the secret"
    ) as caught:
        run.execute(creating(items(4), concurrency=1))
    assert (caught.value.permanent, caught.value.status) == (True, 401)
    assert len(log.orders) == 2


DENIED = PermissionDenied("this order is another department's", status=403)


@pytest.mark.parametrize("denied", ["web-1", "web-3", "web-6"])
def test_an_order_that_is_denied_does_not_stop_the_others(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    failing(monkeypatch, DENIED, denied)
    with pytest.raises(BatchFailed, match=r"1 of 6 orders failed; 5 are done \(1 × PermissionDenied\)") as caught:
        run.execute(creating(items(6), concurrency=1))
    assert caught.value.permanent
    assert len(log.orders) == 5


def test_orders_that_are_denied_after_others_were_done_do_not_end_the_batch(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing(monkeypatch, DENIED, "web-2", "web-3", "web-4", "web-5")
    operator = creating(items(7), concurrency=1, results_path=str(tmp_path))
    for try_number in (1, 2):
        with pytest.raises(BatchFailed, match="4 of 7 orders failed; 3 are done"):
            run.execute(operator, try_number=try_number)


def test_an_error_that_nobody_thought_of_is_that_of_one_order(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, KeyError("surprise"), "web-1")
    with pytest.raises(BatchFailed, match=r"1 of 6 orders failed; 5 are done \(1 × KeyError\)\. web-1: ") as caught:
        run.execute(creating(items(6), concurrency=3))
    assert not caught.value.permanent
    assert len(log.orders) == 5
    assert any(record.exc_info for record in caplog.records)


def test_a_service_that_is_down_is_not_asked_for_every_order(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.account.FIRST_IN_A_ROW", 3)
    log.sandbox.add_fault(action="status_before", status=500, method="POST", path="/salesorders$", times=1000)
    with pytest.raises(BatchFailed, match="were not tried; 0 are done") as caught:
        run.execute(creating(items(40), concurrency=2))
    assert not caught.value.permanent
    assert len(log.sent("POST")) <= 5


def test_a_service_that_goes_down_later_is_not_asked_for_every_order(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.account.LAST_IN_A_ROW", 4)
    log.sandbox.add_fault(action="status_before", status=500, method="POST", path="/salesorders$", skip=5, times=1000)
    with pytest.raises(BatchFailed, match="were not tried; 5 are done"):
        run.execute(creating(items(40), concurrency=2))
    assert len(log.orders) == 5


@pytest.mark.parametrize("error", [OrderBusy("busy"), OutcomeUncertain("?"), KeyError("surprise"), DENIED])
def test_orders_that_fail_of_themselves_do_not_stand_for_a_service_that_is_down(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, error, *(f"web-{number}" for number in range(2, 56)))
    with pytest.raises(BatchFailed, match="54 of 58 orders failed; 4 are done"):
        run.execute(creating(items(58), concurrency=1))
    assert len(log.orders) == 4


def test_what_the_service_left_open_stands_for_a_service_that_is_down(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OutcomeUncertain("?")
    error.__cause__ = ServerError("down", status=500)
    failing(monkeypatch, error, *(f"web-{number}" for number in range(1, 59)))
    with pytest.raises(BatchFailed, match="20 of 58 orders failed, 38 were not tried"):
        run.execute(creating(items(58), concurrency=1))


def test_orders_that_always_fail_do_not_keep_a_retry_from_those_behind_them(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, ServerError("on this one", status=500), *(f"web-{number}" for number in range(1, 36)))
    with pytest.raises(BatchFailed, match="20 of 80 orders failed, 60 were not tried"):
        run.execute(creating(items(80), concurrency=1))
    with pytest.raises(BatchFailed, match="35 of 80 orders failed; 45 are done"):
        run.execute(creating(items(80), concurrency=1), try_number=2)
    assert len(log.orders) == 45


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
def test_items_in_another_order_are_the_same_items(count: int) -> None:
    entries = list(ListSource(range(count)))
    assert sorted(shuffled(entries, 8)) == entries
    assert list(shuffled(entries, 8)) != entries or count < 100


def test_a_server_that_refuses_too_many_requests_gets_fewer(run: Run, log: Log) -> None:
    log.sandbox.configure(tfso_rate=20, tfso_window=0.2)
    created = until_done(run, creating(items(4)))
    assert len(created) == len(log.orders) == 4
    assert all(len(order["lines"]) == 2 for order in log.orders)


def test_orders_wait_until_the_hour_allows_more(
    run: Run, log: Log, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.tfso(extra={"requests_per_hour": 12})
    monkeypatch.setattr("tfso_hypatos.clients.budget.HOUR", 1.5)
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", partial(Patience, budget=0.2))
    created = run.execute(creating(items(4)))
    invoiced = run.execute(invoicing(created))
    assert len(invoiced) == len(log.orders) == len(log.invoices) == 4
    assert all(len(order["lines"]) == 2 for order in log.orders)


def test_a_kill_ends_the_wait_for_the_hour(
    run: Run, log: Log, connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    connections.tfso(extra={"requests_per_hour": 10})
    operator = creating(items(8))
    killed_at: list[float] = []

    def kill() -> None:
        deadline = time.monotonic() + 20
        while "is used up" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        killed_at.append(time.monotonic())
        operator.on_kill()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(Stopped):
        run.execute(operator)
    thread.join()
    assert time.monotonic() - killed_at[0] < 10
    waits = [each.getMessage() for each in caplog.records if "is used up" in each.getMessage()]
    assert re.match(r"Waiting 3\d\d\d\.\d s to .*: requests_per_hour of the connection \(10\) is used up$", waits[0])
    assert len(log.sent()) <= 10


def test_requests_keep_to_the_budget_of_the_connection(run: Run, log: Log, connections: Connections) -> None:
    connections.tfso(extra={"requests_per_second": 100})
    log.sandbox.configure(tfso_rate=250, tfso_window=1)
    assert len(run.execute(creating(items(6), concurrency=6))) == 6
    assert not [each for each in log.sent() if each["status"] == 429]

"""Many orders in one task, at the wire."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from tests.operators.batches import creating, invoicing, item, items, until_done

from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run


pytestmark = pytest.mark.usefixtures("connections")

DAGS = Path(__file__).resolve().parents[2] / "dags"


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

"""A batch that is given something wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from tests.operators.batches import item, items

from tfso_hypatos.exceptions import BatchFailed, ConfigurationError, Failure, InvalidInput
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrdersOperator,
)

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")

LINE = {"description": "Kaffe", "quantity": 1, "price": 8}
ORDER = {"customer": {"id": 42, "name": "K"}}


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
        ({"order_key": "web-1", "order": ORDER, "lines": [LINE]}, "item 2 ('web-1'): names the same order as item 1"),
        (7, "item 2: item: an object with named fields is needed, not int"),
    ],
)
def test_a_wrong_item_is_named_and_nothing_is_sent(log: Log, wrong: Any, said: str) -> None:
    assert said in refused(log, CreateSalesOrdersOperator(task_id="t", orders=[item(1), wrong]))


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
    outputs = Outputs(items(count))
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

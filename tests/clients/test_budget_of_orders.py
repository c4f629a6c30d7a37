"""Whole orders on a tight budget."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.clients.looks import over

from tfso_hypatos.clients.budget import BUDGETS, BURST
from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Connections, Log


@dataclass
class Order:
    """A task context as far as the operators look at one."""

    order_key: str
    try_number: int = 1

    def context(self, task_id: str) -> Any:
        order = self

        class Instance:
            dag_id, run_id, map_index, try_number = "orders", f"run-{order.order_key}", -1, order.try_number

            def __init__(self) -> None:
                self.task_id = task_id

            def xcom_push(self, key: str, value: Any) -> None:
                """Keep nothing."""

        return {"ti": Instance()}


@pytest.mark.parametrize(("rate", "settle"), [(8, 0.48), (4, 0.8)])
def test_one_order_is_created_and_invoiced_however_tight_the_budget(
    connections: Connections, order: Any, lines: Any, log: Log, rate: float, settle: float
) -> None:
    """A look is good for a quarter of the settle time: less than the time of one request, in each of these."""
    assert settle / 4 < 1 / rate
    connections.tfso(extra={"requests_per_second": rate, "settle_seconds": settle})
    work = Order("web-1")
    created = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="web-1").execute(
        work.context("create")
    )
    invoicing = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created)
    invoiced = invoicing.execute(work.context("invoice"))
    assert invoiced["invoiced"]
    assert len(log.invoices) == 1
    assert len(log.order["lines"]) == 3
    (budget,) = BUDGETS._budgets.values()
    assert over(budget, rate) <= 2 * BURST


def test_orders_created_at_once_in_one_process_keep_to_the_budget(
    connections: Connections, order: Any, lines: Any, log: Log
) -> None:
    connections.tfso(extra={"requests_per_second": 10, "settle_seconds": 1})
    outcomes: list[Any] = []

    def create(key: str) -> None:
        operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key=key)
        try:
            outcomes.append(operator.execute(Order(key).context("create")))
        except TfsoHypatosError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=create, args=(f"web-{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in outcomes if isinstance(each, Exception)] == []
    assert [len(each["lines"]) for each in log.orders] == [3] * 5
    (budget,) = BUDGETS._budgets.values()
    assert over(budget, 10) <= 2 * BURST

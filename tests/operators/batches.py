"""Business orders in one task: items, the tasks that take them, and orders that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.exceptions import BatchFailed
from tfso_hypatos.operators.batch.steps import Creation
from tfso_hypatos.operators.sales_order import CreateSalesOrdersOperator, InvoiceSalesOrdersOperator

if TYPE_CHECKING:
    from tests.operators.conftest import Run

    from tfso_hypatos.flows.intent import Intent


def item(number: int, customer: int = 42) -> dict[str, Any]:
    """Return an item of a create task."""
    return {
        "order_key": f"web-{number}",
        "order": {"customer": {"id": customer, "name": "Bjørn Ås AS"}},
        "lines": [
            {"description": "Kaffe", "quantity": 1, "price": number},
            {"description": "Te", "quantity": 2, "price": "1.50"},
        ],
    }


def items(count: int) -> list[dict[str, Any]]:
    """Return so many items, from number one on."""
    return [item(number) for number in range(1, count + 1)]


def creating(orders: Any, **arguments: Any) -> CreateSalesOrdersOperator:
    """Return a task that creates orders."""
    return CreateSalesOrdersOperator(task_id="create", orders=orders, **arguments)


def invoicing(orders: Any, **arguments: Any) -> InvoiceSalesOrdersOperator:
    """Return a task that invoices orders."""
    return InvoiceSalesOrdersOperator(task_id="invoice", orders=orders, **arguments)


def until_done(run: Run, operator: Any) -> Any:
    """Run a task as often as a DAG with two retries does, and return its result."""
    for try_number in (1, 2, 3):
        try:
            return run.execute(operator, try_number=try_number)
        except BatchFailed as error:
            if error.permanent:
                raise
    raise AssertionError("not done in three tries")


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *keys: str) -> None:
    """Let these orders fail with this error."""
    create = Creation._create

    async def create_or_fail(self: Creation, intent: Intent) -> dict[str, Any]:
        if intent.order_key in keys:
            raise error
        return await create(self, intent)

    monkeypatch.setattr(Creation, "_create", create_or_fail)

"""Orders that people made and confirmed in 24SevenOffice, and the tasks that bill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import InvoiceSalesOrderOperator, InvoiceSalesOrdersOperator
from tfso_hypatos.operators.sales_order_list import ListSalesOrdersOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run


def made(count: int = 1, **fields: Any) -> list[int]:
    """Make confirmed orders as a person does, and return their ids."""
    order = {"customer": {"id": 42, "name": "Åse Sørby"}, "date": "2026-11-20", "currency": {"code": "NOK"}}
    found = []
    with TfsoHook() as hook:
        for _ in range(count):
            order_id = hook.create_sales_order({**order, **fields}).id
            hook.add_line(order_id, {"description": "Kaffe", "quantity": 1, "price": 100})
            hook.update_sales_order(order_id, {"status": "Confirmed"})
            found.append(order_id)
    return found


def change(order_id: int, **fields: Any) -> None:
    """Edit an order as a person does."""
    with TfsoHook() as hook:
        hook.update_sales_order(order_id, fields)


def listed(run: Run) -> list[dict[str, Any]]:
    """Return the confirmed orders, as the list task does."""
    rows: list[dict[str, Any]] = run.execute(ListSalesOrdersOperator(task_id="list", status="Confirmed"))
    return rows


def single(order: Any, **arguments: Any) -> InvoiceSalesOrderOperator:
    """Return a task that invoices one order."""
    return InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=order, **arguments)


def batch(orders: Any, **arguments: Any) -> InvoiceSalesOrdersOperator:
    """Return a task that invoices many orders."""
    return InvoiceSalesOrdersOperator(task_id="invoice", orders=orders, **arguments)


def billed(log: Log) -> list[int]:
    """Return the ids of the orders that were billed, once for each invoice."""
    return sorted(invoice["order_id"] for invoice in log.invoices)

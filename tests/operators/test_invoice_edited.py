"""A person edits an order between the task that creates it and the one that invoices it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("skipped_pauses")


def created(run: Run, order: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    given = {**order, "paymentMethod": {"id": 3}}
    result: dict[str, Any] = run.execute(
        CreateSalesOrderOperator(task_id="create", order=given, lines=lines, order_key="web-10045")
    )
    return result


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"customer": {"id": 99, "name": "Another"}}, "customer: it was created with 42, 24SevenOffice shows 99"),
        ({"currency": {"code": "EUR"}}, "currency: it was created with NOK, 24SevenOffice shows EUR"),
        ({"paymentMethod": {"id": 4}}, "payment method: it was created with 3, 24SevenOffice shows 4"),
    ],
)
def test_nobody_else_is_billed_nor_otherwise(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], edit: dict[str, Any], said: str
) -> None:
    result = created(run, order, lines)
    with TfsoHook() as hook:
        hook.update_sales_order(result["sales_order_id"], edit)
    with pytest.raises(OrderDrift, match=f"{said}. It was not invoiced"):
        run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result))
    assert log.invoices == []


def test_an_edited_line_is_not_billed_even_if_the_total_is_the_same(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    result = created(run, order, lines)
    edited = result["line_ids"][1]
    with TfsoHook() as hook:
        hook.update_line(result["sales_order_id"], edited, {"description": "Something else"})
    with pytest.raises(OrderDrift, match=f"line {edited} was edited"):
        run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result))
    assert log.invoices == []


def test_what_does_not_change_the_bill_may_be_edited(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    result = created(run, order, lines)
    with TfsoHook() as hook:
        hook.update_sales_order(result["sales_order_id"], {"memo": "Ring the bell", "yourReference": {"name": "Ola"}})
    run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result))
    assert len(log.invoices) == 1

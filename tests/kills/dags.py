"""The DAGs whose tasks are killed: create, invoice, enrich; and withdraw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG

from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.batch import loop, results, run, steps
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrderOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.operators.withdrawal import WithdrawSalesOrderOperator

if TYPE_CHECKING:
    from tests.kills.worker import Try

IMPORTED = (HypatosHook, TfsoHook, loop, results, run, steps)
"""Operators import them where they use them; here they are there before the fork."""

LINES: list[dict[str, Any]] = [
    {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
    {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
    {"description": "Frakt", "quantity": "1", "price": "150.50", "tax": {"number": 3}},
]
ORDER = {"customer": {"id": 42, "name": "Bjørn Ås AS"}, "date": "2026-11-20", "currency": {"code": "NOK"}}
OTHERS_ORDER = {**ORDER, "customer": {"id": 43, "name": "Åse Sørby"}}


def dag_of(task: Try) -> DAG:
    """Return the DAG of a try."""
    with DAG(task.dag_id, schedule=None) as dag:
        if task.batch:
            _batch(task)
        elif task.map_index >= 0:
            _mapped(task)
        else:
            _single(task)
    return dag


def _batch(task: Try) -> None:
    """Every order in each task; the last one is of another customer."""

    def more(task_id: str) -> dict[str, Any]:
        results_path = Path(task.home) / "results" / task.run_id / task_id
        return {
            "task_id": task_id,
            "retries": task.retries,
            "results_path": str(results_path) if task.batch == "files" else None,
        }

    orders = [
        {"order_key": key, "order": OTHERS_ORDER if key == task.keys[-1] else ORDER, "lines": LINES}
        for key in task.keys
    ]
    create: Any = CreateSalesOrdersOperator(orders=orders, marker_field=task.marker_field, **more("create"))
    invoice: Any = InvoiceSalesOrdersOperator(orders=task.result or create.output, **more("invoice"))
    EnrichSalesOrdersOperator(orders=invoice.output, on_missing="insert", **more("enrich"))


def _mapped(task: Try) -> None:
    create = CreateSalesOrderOperator.partial(
        task_id="create", order=ORDER, lines=LINES, marker_field=task.marker_field, retries=task.retries
    ).expand(order_key=task.keys)
    InvoiceSalesOrderOperator.partial(task_id="invoice", retries=task.retries).expand(sales_order_id=create.output)
    EnrichSalesOrderOperator.partial(task_id="enrich", on_missing="insert", retries=task.retries).expand_kwargs(
        [{"external_id": key, "patch": {"headerText": key}} for key in task.keys]
    )


def _single(task: Try) -> None:
    one = CreateSalesOrderOperator(
        task_id="create",
        order={**ORDER, "status": "Confirmed"} if task.rejected == "draft" else ORDER,
        lines=LINES,
        order_key=task.keys[0],
        marker_field=task.marker_field,
        retries=task.retries,
    )
    WithdrawSalesOrderOperator(
        task_id="withdraw",
        sales_order_id=task.result or one.output,
        outcome="draft" if task.rejected == "draft" else "withdraw",
        retries=task.retries,
    )
    invoice: Any = InvoiceSalesOrderOperator(
        task_id="invoice", sales_order_id=task.result or one.output, retries=task.retries
    )
    EnrichSalesOrderOperator(
        task_id="enrich",
        external_id=task.keys[0],
        sales_order_id=invoice.output,
        patch={"headerText": task.keys[0]},
        on_missing="insert",
        retries=task.retries,
    )

"""Contexts of callbacks, as Airflow gives them for a task that has failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tfso_hypatos.operators.sales_order import InvoiceSalesOrderOperator

LOG_URL = "http://airflow.example/dags/orders/runs/run-1/tasks/invoice?try_number=2"


def invoicing(**arguments: Any) -> InvoiceSalesOrderOperator:
    given = {"sales_order_id": {"sales_order_id": 1001, "order_key": "web-10045"}, **arguments}
    return InvoiceSalesOrderOperator(task_id="invoice", **given)


def failed(error: Any, task: Any = None, state: str = "failed", **more: Any) -> Any:
    instance = SimpleNamespace(dag_id="orders", run_id="run-1", task_id="invoice", state=state, log_url=LOG_URL)
    return {"ti": instance, "task": task or invoicing(), "exception": error, **more}

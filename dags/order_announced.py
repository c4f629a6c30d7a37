"""A DAG that announces what it invoices, and one that starts when it has."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from tfso_hypatos.assets import INVOICED_SALES_ORDERS, orders_of_events
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

with DAG("order_announced", schedule=None, params={"order_key": "web-10047"}, tags=["24SevenOffice"], doc_md=__doc__):
    create = CreateSalesOrderOperator(
        task_id="create",
        order_key="{{ params.order_key }}",
        order={"customer": {"id": 42, "name": "Bjørn Ås Rørleggerservice AS"}},
        lines=[{"description": "Rørdeler", "quantity": 2, "price": "99.99"}],
    )
    # [START outlet]
    InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=create.output, outlets=[INVOICED_SALES_ORDERS])
    # [END outlet]

with DAG("after_invoicing", schedule=[INVOICED_SALES_ORDERS], catchup=False, tags=["24SevenOffice"], doc_md=__doc__):
    # [START orders_of]
    @task(inlets=[INVOICED_SALES_ORDERS], retries=3)
    def invoiced(**context: Any) -> list[int]:
        """Return the orders that were invoiced."""
        return [order["sales_order_id"] for order in orders_of_events(context, INVOICED_SALES_ORDERS)]

    # [END orders_of]

    invoiced()

"""Starts when invoices are posted in 24SevenOffice, whoever invoiced them; tells Hypatos of those that people made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from tfso_hypatos.assets import orders_of_events
from tfso_hypatos.notifications.order_needs_person import OrderNeedsPersonNotifier
from tfso_hypatos.operators.sales_order import EnrichSalesOrderOperator
from tfso_hypatos.triggers.sales_order_invoiced import SalesOrderInvoicedTrigger

ABOUT = """
Airflow starts this DAG when invoices are posted, whoever invoiced them. One run may be for several invoices, and an
invoice may come twice: each is a task of its own, which writes the record of its order into Hypatos. Writing it again
changes nothing.

It leaves out the orders that DAGs have created or invoiced: those carry a marker, and their own DAG writes their
record, by a key of its own. Written here, too, one sale would have two records.

It looks into 24SevenOffice from the moment on when you unpause it.
"""

# [START watcher]
POSTED_INVOICES = Asset(
    name="tfso_posted_invoices",
    watchers=[AssetWatcher(name="24SevenOffice", trigger=SalesOrderInvoicedTrigger(only_marked=False))],
)
# [END watcher]

with DAG(
    dag_id="on_invoice_posted",
    schedule=[POSTED_INVOICES],
    catchup=False,
    is_paused_upon_creation=True,
    # [START notifier]
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=2),
        "on_failure_callback": OrderNeedsPersonNotifier(),
    },
    # [END notifier]
    tags=["24SevenOffice", "Hypatos"],
    doc_md=ABOUT,
):
    # [START mapped]
    @task(inlets=[POSTED_INVOICES])
    def orders(**context: Any) -> list[dict[str, Any]]:
        """Return what the enrich task is mapped over: unmarked orders, each once, whatever Airflow has merged."""
        return [
            {"external_id": f"sales-order-{order['sales_order_id']}", "sales_order_id": order["sales_order_id"]}
            for order in orders_of_events(context, POSTED_INVOICES)
            if "order_key_hash" not in order
        ]

    EnrichSalesOrderOperator.partial(
        task_id="enrich", on_missing="insert", map_index_template="{{ task.external_id }}"
    ).expand_kwargs(orders())
    # [END mapped]

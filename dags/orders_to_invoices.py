"""Many orders: create them in 24SevenOffice, invoice them, wait until the invoices are posted, tell Hypatos."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, XComArg
from airflow.sdk.configuration import conf

from tfso_hypatos.operators.failed_orders import CheckFailedOrdersOperator
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

ABOUT = """
Takes the orders of a day to their invoices, all in one run: **create**, **invoice**, **wait** until each invoice is
posted, **enrich** Hypatos.

Each order has a name of its own (`order_key`), and becomes one sales order with each line once, and one invoice. If
some orders fail, a retry does what is left. The others go on without those that no retry helps; then **check_create**
or **check_invoice** fails and names them.
"""

# One task waits for each invoice, and Airflow maps a task over no more: better refused before billing than after it.
MOST = conf.getint("core", "max_map_length", fallback=1024)

ORDERS = Param(
    [
        {
            "order_key": "web-10051",
            "order": {"customer": {"id": 42, "name": "Bjørn Ås Rørleggerservice AS"}},
            "lines": [{"description": "Rørdeler, kobber 15 mm", "quantity": 3, "price": 99.99, "tax": {"number": 3}}],
        },
        {
            "order_key": "web-10052",
            "order": {"customer": {"id": 43, "name": "Åse Sørby"}},
            "lines": [{"description": "Montering på kjøkken", "quantity": 2.5, "price": 890, "tax": {"number": 3}}],
        },
    ],
    type="array",
    maxItems=MOST,
    items={"type": "object", "required": ["order_key", "order", "lines"]},
    title="Orders",
    description="Each with your own number of it (order_key), the order and its lines, by the field names of the API.",
)

with DAG(
    dag_id="orders_to_invoices",
    schedule=None,
    catchup=False,
    params={"orders": ORDERS},
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    tags=["24SevenOffice", "Hypatos"],
    doc_md=ABOUT,
):
    # [START batch]
    create = CreateSalesOrdersOperator(
        task_id="create", orders="{{ params.orders | tojson }}", on_failed_orders="hand_on"
    )
    invoice = InvoiceSalesOrdersOperator(
        task_id="invoice",
        orders=create.output,
        payment_terms={"type": "NumberOfDays", "value": 14},
        distribution_method="emaildistribution",
        on_failed_orders="hand_on",
    )
    # [END batch]
    # [START check]
    CheckFailedOrdersOperator(task_id="check_create", failed_orders=XComArg(create, key="failed_orders"))
    CheckFailedOrdersOperator(task_id="check_invoice", failed_orders=XComArg(invoice, key="failed_orders"))
    # [END check]
    # [START wait]
    wait = InvoiceTransactionSensor.partial(
        task_id="wait",
        map_index_template="{{ task.sales_order_id.order_key }}",
        deferrable=True,
        poke_interval=10,
        timeout=timedelta(days=1),
    ).expand(sales_order_id=invoice.output)
    # [END wait]
    enrich = EnrichSalesOrdersOperator(task_id="enrich", orders=invoice.output, on_missing="insert")
    wait >> enrich

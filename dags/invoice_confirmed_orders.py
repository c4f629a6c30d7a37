"""Orders that people have confirmed in 24SevenOffice: invoice them, wait until they are posted, tell Hypatos."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, XComArg

from tfso_hypatos.operators.failed_orders import CheckFailedOrdersOperator
from tfso_hypatos.operators.sales_order import EnrichSalesOrdersOperator, InvoiceSalesOrdersOperator
from tfso_hypatos.operators.sales_order_list import ListSalesOrdersOperator
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

ABOUT = """
People make orders in 24SevenOffice and set them to *Confirmed*; this DAG bills them: **list** the confirmed orders,
**invoice** them, **wait** until each invoice is posted, **enrich** Hypatos.

- It is a dry run unless you switch that off in the form: the log of *invoice* shows what would be billed.
- An order that is edited, or set back to *Draft*, after it was listed is not billed. The others are, and are waited
  for; then **check** fails and names it.
- Set the Airflow Variable `tfso_stop_invoicing` to `true` to stop it; clear *invoice* when it may go on.
- It needs the pool `tfso_invoicing` (one slot): `airflow pools set tfso_invoicing 1 "Billing in 24SevenOffice"`

It has no schedule: nobody who copies an example should find invoices sent the next morning. To bill every day at six,
set `schedule=CronTriggerTimetable("0 6 * * *", timezone="Europe/Oslo")` and the default of `preview` to False.
"""

OPTIONAL_DATE: dict[str, Any] = {"type": ["null", "string"], "format": "date", "section": "Which orders"}

FORM = {
    "preview": Param(
        True,
        type="boolean",
        title="Dry run",
        description="Bills nothing: the log of the task invoice shows what would be billed.",
    ),
    "date_from": Param(None, title="Order date from", **OPTIONAL_DATE),
    "date_to": Param(None, title="Order date to", **OPTIONAL_DATE),
    "customer_id": Param(None, type=["null", "integer"], minimum=1, title="Only this customer", section="Which orders"),
    "payment_days": Param(14, type="integer", minimum=0, maximum=90, title="Payment terms (days)", section="Invoice"),
    "distribution_method": Param(
        "emaildistribution",
        type="string",
        enum=["emaildistribution", "ehfdistribution", "efakturadistribution", "printdistribution"],
        values_display={
            "emaildistribution": "E-mail",
            "ehfdistribution": "EHF",
            "efakturadistribution": "eFaktura",
            "printdistribution": "Print",
        },
        title="Sent by",
        section="Invoice",
    ),
}

with DAG(
    dag_id="invoice_confirmed_orders",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=FORM,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    tags=["24SevenOffice", "Hypatos"],
    doc_md=ABOUT,
):
    # [START confirmed]
    confirmed = ListSalesOrdersOperator(
        task_id="list",
        status="Confirmed",
        customer_id="{{ params.customer_id or 'any' }}",
        date_from="{{ params.date_from or 'any' }}",
        date_to="{{ params.date_to or 'any' }}",
    )
    invoice = InvoiceSalesOrdersOperator(
        task_id="invoice",
        orders=confirmed.output,
        expected_status="Confirmed",
        stop_variable="tfso_stop_invoicing",
        preview="{{ params.preview }}",
        payment_terms={"type": "NumberOfDays", "value": "{{ params.payment_days }}"},
        distribution_method="{{ params.distribution_method }}",
        on_failed_orders="hand_on",
        pool="tfso_invoicing",
    )
    CheckFailedOrdersOperator(task_id="check", failed_orders=XComArg(invoice, key="failed_orders"))
    # [END confirmed]
    wait = InvoiceTransactionSensor.partial(
        task_id="wait",
        map_index_template="{{ task.sales_order_id.sales_order_id }}",
        deferrable=True,
        poke_interval=10,
        timeout=timedelta(days=1),
    ).expand(sales_order_id=invoice.output)

    # Orders that people make have no key of ours, so the record in Hypatos is named after the order itself.
    EnrichSalesOrdersOperator(
        task_id="enrich",
        orders=wait.output,
        external_id_format="sales-order-{sales_order_id}",
        on_missing="insert",
    )

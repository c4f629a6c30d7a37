"""One order: create it in 24SevenOffice, invoice it, wait until the invoice is posted, tell Hypatos."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    EnrichSalesOrderOperator,
    InvoiceSalesOrderOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

ABOUT = """
Takes one order of a shop, a CRM or a document to an invoice:

**create** the sales order in 24SevenOffice, **invoice** it, **wait** until the invoice is posted, **enrich** Hypatos.

The *order number* names the business order. However often it is sent, and whatever is retried, cleared or cut off, it
becomes one sales order with each line once, and one invoice. Sending it again takes over what is there; sending it
with another content fails and says what differs.

Trigger it with the form, or with the same fields as the run's `conf`.
"""

# [START params]
LINE = {
    "type": "object",
    "required": ["description", "quantity", "price"],
    "properties": {
        "description": {"type": "string", "minLength": 1, "maxLength": 300},
        "quantity": {"type": "number"},
        "price": {"type": "number", "description": "of one unit, without VAT"},
    },
}

FORM = {
    "order_key": Param(
        "web-10045",
        type="string",
        minLength=1,
        title="Order number",
        description="Your own number of the business order. The same number never becomes a second order or a second "
        "invoice, so enter a new one for a new order.",
    ),
    "order_date": Param("2026-11-20", type="string", format="date", title="Order date"),
    "your_reference": Param("Åse Sørby", type="string", minLength=1, title="Your reference"),
    "purchase_order": Param(
        "PO-7731", type="string", minLength=1, maxLength=50, title="Purchase order of the customer"
    ),
    "customer_id": Param(42, type="integer", minimum=1, title="Customer ID in 24SevenOffice", section="Customer"),
    "customer_name": Param(
        "Bjørn Ås Rørleggerservice AS", type="string", minLength=1, maxLength=200, title="Name", section="Customer"
    ),
    "street": Param("Grünerløkka 12 B", type="string", minLength=1, maxLength=250, title="Street", section="Customer"),
    "postal_code": Param("0552", type="string", pattern="^[0-9 ]{4,6}$", title="Postal code", section="Customer"),
    "postal_area": Param("Oslo", type="string", minLength=1, maxLength=50, title="Postal area", section="Customer"),
    "country_code": Param(
        "NO",
        type="string",
        enum=["NO", "SE", "DK", "FI"],
        values_display={"NO": "Norway", "SE": "Sweden", "DK": "Denmark", "FI": "Finland"},
        title="Country",
        section="Customer",
    ),
    "lines": Param(
        [
            {"description": "Rørdeler, kobber 15 mm", "quantity": 3, "price": 99.99, "tax": {"number": 3}},
            {"description": "Montering på kjøkken", "quantity": 2.5, "price": 890, "tax": {"number": 3}},
            {"description": "Frakt til Grünerløkka", "quantity": 1, "price": 149.5, "tax": {"number": 3}},
        ],
        type="array",
        minItems=1,
        items=LINE,
        title="Lines",
        description="Prices in NOK without VAT; tax number 3 is 25 % VAT. Any field that 24SevenOffice has for a line.",
        section="Lines",
    ),
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
    "invoice_email": Param(
        "faktura@bjornas.example", type="string", format="email", title="Invoice e-mail", section="Invoice"
    ),
    "hypatos_external_id": Param(
        None,
        type=["null", "string"],
        title="External ID",
        description="Key of the record in Hypatos. Left empty: the order number.",
        section="Hypatos",
    ),
}
# [END params]

# [START dag]
with DAG(
    dag_id="order_to_invoice",
    schedule=None,
    catchup=False,
    params=FORM,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    tags=["24SevenOffice", "Hypatos"],
    doc_md=ABOUT,
):
    create = CreateSalesOrderOperator(
        task_id="create",
        order_key="{{ params.order_key }}",
        order={
            "customer": {
                "id": "{{ params.customer_id }}",
                "name": "{{ params.customer_name }}",
                "street": "{{ params.street }}",
                "postalCode": "{{ params.postal_code }}",
                "postalArea": "{{ params.postal_area }}",
                "countryCode": "{{ params.country_code }}",
                "invoiceEmailAddresses": ["{{ params.invoice_email }}"],
            },
            "date": "{{ params.order_date }}",
            "currency": {"code": "NOK"},
            "yourReference": {"name": "{{ params.your_reference }}"},
            "referenceNumber": "{{ params.purchase_order }}",
        },
        lines="{{ params.lines | tojson }}",
    )
    invoice = InvoiceSalesOrderOperator(
        task_id="invoice",
        sales_order_id=create.output,
        payment_terms={"type": "NumberOfDays", "value": "{{ params.payment_days }}"},
        distribution_method="{{ params.distribution_method }}",
    )
    wait = InvoiceTransactionSensor(
        task_id="wait",
        sales_order_id=invoice.output,
        deferrable=True,
        poke_interval=10,
        timeout=timedelta(days=1),
    )
    EnrichSalesOrderOperator(
        task_id="enrich",
        external_id="{{ params.hypatos_external_id or params.order_key }}",
        sales_order_id=wait.output,
        on_missing="insert",
    )
# [END dag]

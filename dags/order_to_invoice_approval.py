"""One order that a person approves: create it in 24SevenOffice, show its bill, then invoice it or take it back."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from tfso_hypatos.operators.approval import ApproveSalesOrderOperator
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    EnrichSalesOrderOperator,
    InvoiceSalesOrderOperator,
)
from tfso_hypatos.operators.withdrawal import WithdrawSalesOrderOperator
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

ABOUT = """
**create** the sales order in 24SevenOffice, then **approve**: a person sees its bill under *Required Actions* and
approves or rejects it.

Approved: **invoice**, **wait** until the invoice is posted, **enrich** Hypatos. Only what was approved is invoiced: an
order that is changed after the approval is refused.

Rejected, or no answer within three days: **withdraw** takes the order back, as chosen in the form.

Orders below the threshold approve themselves.
"""

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
        "web-10047",
        type="string",
        minLength=1,
        title="Order number",
        description="Your own number of the business order. The same number never becomes a second order or a second "
        "invoice.",
    ),
    "customer_id": Param(42, type="integer", minimum=1, title="Customer ID in 24SevenOffice"),
    "customer_name": Param(
        "Bjørn Ås Rørleggerservice AS", type="string", minLength=1, maxLength=200, title="Customer name"
    ),
    "lines": Param(
        [{"description": "Rørdeler, kobber 15 mm", "quantity": 30, "price": 99.99, "tax": {"number": 3}}],
        type="array",
        minItems=1,
        items=LINE,
        title="Lines",
        description="Prices in NOK without VAT; tax number 3 is 25 % VAT.",
    ),
    "payment_days": Param(14, type="integer", minimum=0, maximum=90, title="Payment terms (days)"),
    "approve_below": Param(
        1000,
        type="number",
        minimum=0,
        title="Approve by itself below (NOK with VAT)",
        description="An order with a smaller total is invoiced without asking anybody. 0: every order is asked about.",
        section="Approval",
    ),
    "approvers": Param(
        [],
        type=["null", "array"],
        items={"type": "string", "minLength": 1},
        title="Approvers",
        description="User names, one a line. Left empty: everybody who may respond to requests of this DAG.",
        section="Approval",
    ),
    "if_rejected": Param(
        "withdraw",
        type="string",
        enum=["withdraw", "draft"],
        values_display={
            "withdraw": "Withdraw the order: delete it, or set it inactive",
            "draft": "Leave it as a draft in 24SevenOffice",
        },
        title="After a rejection",
        description="A draft can be changed and invoiced by hand. After a withdrawal nothing is left to invoice.",
        section="Approval",
    ),
}

TERMS = {"type": "NumberOfDays", "value": "{{ params.payment_days }}"}

with DAG(
    dag_id="order_to_invoice_approval",
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
            "customer": {"id": "{{ params.customer_id }}", "name": "{{ params.customer_name }}"},
            "currency": {"code": "NOK"},
            # Not yet Confirmed: what is confirmed may be billed by others before anybody has approved it.
            "status": "Web",
        },
        lines="{{ params.lines | tojson }}",
    )
    # [START approval]
    approve = ApproveSalesOrderOperator(
        task_id="approve",
        sales_order_id=create.output,
        if_rejected="withdraw",
        approve_below="{{ params.approve_below }}",
        approve_below_currency="NOK",
        payment_terms=TERMS,
        assigned_users="{{ (params.approvers or []) | tojson }}",
        response_timeout=timedelta(days=3),
    )
    invoice = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=approve.output, payment_terms=TERMS)
    WithdrawSalesOrderOperator(task_id="withdraw", sales_order_id=approve.output, outcome="{{ params.if_rejected }}")
    # [END approval]
    wait = InvoiceTransactionSensor(
        task_id="wait",
        sales_order_id=invoice.output,
        deferrable=True,
        poke_interval=10,
        timeout=timedelta(days=1),
    )
    EnrichSalesOrderOperator(
        task_id="enrich",
        external_id="{{ params.order_key }}",
        sales_order_id=wait.output,
        on_missing="insert",
    )

"""What a task hands on: plain dicts of ids, numbers and states. Names, addresses and e-mail stay out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NotRequired, TypedDict

from tfso_hypatos.flows.approval import Bill
from tfso_hypatos.flows.billing import NONE, Payer
from tfso_hypatos.flows.compare import line_hash
from tfso_hypatos.flows.create import Created
from tfso_hypatos.flows.intent import marker_of
from tfso_hypatos.flows.invoice import Invoiced
from tfso_hypatos.flows.preview import Preview
from tfso_hypatos.models.tfso_read import SalesOrder


class CreatedResult(TypedDict):
    """What the create step hands on; amounts as text, for Airflow sends a Decimal through a float.

    ``holder`` is there only if this task wrote it on the order: the invoice step of the same run goes on under it.
    Payer, currency and line hashes let the invoice step see what was edited in between.
    """

    order_key: str
    sales_order_id: int
    status: str | None
    created: bool
    line_ids: list[int]
    line_hashes: list[str]
    customer_id: int | None
    currency: str | None
    payment_method_id: int | str | None
    net_amount: str | None
    tax_amount: str | None
    gross_amount: str | None
    holder: NotRequired[str]


class InvoiceResult(TypedDict):
    """What an invoiced order hands on; ``transaction_id`` is None until it is posted."""

    sales_order_id: int
    status: str | None
    invoice_number: int | None
    invoice_date: str | None
    due_date: str | None
    remittance_reference: str | None
    transaction_id: str | None


class InvoicedResult(InvoiceResult):
    """What the invoice step hands on; ``invoiced`` says whether it was this try."""

    invoiced: bool


class ListedResult(TypedDict):
    """What a list hands on of an order."""

    sales_order_id: int
    status: str | None
    expected_status: str | None
    gross_amount: str | None
    currency: str | None
    customer_id: int | None
    payment_method_id: int | str
    date: str | None


class Decision(TypedDict):
    """What an approval adds to what was approved; ``approved_by`` is a user's id, ``responded_at`` of ISO form."""

    approved: bool
    decision: str
    approved_by: str | None
    responded_at: str | None


_RESULTS = (CreatedResult, InvoicedResult, ListedResult, Decision)

RESULT_FIELDS = frozenset().union(*(kind.__annotations__ for kind in _RESULTS))
"""Members of all results."""


def created_result(order_key: str, created: Created) -> dict[str, Any]:
    """Return what the create step hands on."""
    order, payer = created.order, Payer.of(created.order)
    result: CreatedResult = {
        "order_key": order_key,
        "sales_order_id": order.id,
        "status": order.status,
        "created": created.created,
        "line_ids": [line.id for line in created.lines],
        "line_hashes": [line_hash(line) for line in created.lines],
        "customer_id": payer.customer_id,
        "currency": payer.currency,
        "payment_method_id": payer.payment_method_id,
        "net_amount": _amount(order.net_amount),
        "tax_amount": _amount(order.tax_amount),
        "gross_amount": _amount(order.gross_amount),
    }
    return {**result} if created.holder is None else {**result, "holder": str(created.holder)}


def listed_result(order: SalesOrder) -> dict[str, Any]:
    """Return what a list hands on of an order, by which the invoice step sees what was edited in between."""
    payer = Payer.of(order)
    result: ListedResult = {
        "sales_order_id": order.id,
        "status": order.status,
        "expected_status": order.status,
        "gross_amount": _amount(order.gross_amount),
        "currency": payer.currency,
        "customer_id": payer.customer_id,
        "payment_method_id": NONE if payer.payment_method_id is None else payer.payment_method_id,
        "date": order.date.isoformat() if order.date else None,
    }
    return {**result}


def approval_facts(order_key: str | None, bill: Bill) -> dict[str, Any]:
    """Return what was approved, or is to be: what the invoice step compares the order with."""
    order = bill.order
    facts: dict[str, Any] = {
        "sales_order_id": order.id,
        "status": order.status,
        **Payer.of(order)._asdict(),
        "net_amount": _amount(order.net_amount),
        "tax_amount": _amount(order.tax_amount),
        "gross_amount": _amount(order.gross_amount),
    }
    if order_key is not None:
        facts["order_key"] = order_key
    if bill.lines:
        facts["line_ids"] = [line.id for line in bill.lines]
        facts["line_hashes"] = [line_hash(line) for line in bill.lines]
    return facts


def invoice_result(order: SalesOrder) -> dict[str, Any]:
    """Return what an invoiced order hands on."""
    return {**_invoice_result(order)}


def invoiced_result(invoiced: Invoiced) -> dict[str, Any]:
    """Return what the invoice step hands on."""
    result: InvoicedResult = {**_invoice_result(invoiced.order), "invoiced": invoiced.invoiced}
    return {**result}


def _invoice_result(order: SalesOrder) -> InvoiceResult:
    invoice = order.invoice
    return {
        "sales_order_id": order.id,
        "status": order.status,
        "invoice_number": order.invoice_number,
        "invoice_date": invoice.date.isoformat() if invoice and invoice.date else None,
        "due_date": invoice.due_date.isoformat() if invoice and invoice.due_date else None,
        "remittance_reference": invoice.remittance_reference if invoice else None,
        "transaction_id": order.transaction_id,
    }


def preview_result(order_id: int, look: Preview) -> dict[str, Any]:
    """Return what invoicing an order would do."""
    payer = Payer.of(look.order) if look.order else Payer()
    marker = marker_of(look.order)[1] if look.order else None
    return {
        "sales_order_id": order_id,
        "marker_key": marker.key if marker else None,
        "customer_id": payer.customer_id,
        "gross_amount": _amount(look.order.gross_amount) if look.order else None,
        "currency": payer.currency,
        "date": look.order.date.isoformat() if look.order and look.order.date else None,
        "lines": look.lines,
        "is_due": look.is_due,
        "remark": look.remark,
    }


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")

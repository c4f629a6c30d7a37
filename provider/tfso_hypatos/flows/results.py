"""What a task hands on: plain dicts of ids, numbers and states. Names, addresses and e-mail stay out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tfso_hypatos.flows.approval import Bill
from tfso_hypatos.flows.billing import Payer
from tfso_hypatos.flows.compare import line_hash
from tfso_hypatos.flows.create import Created
from tfso_hypatos.flows.invoice import Invoiced
from tfso_hypatos.models.tfso_read import SalesOrder


def created_result(order_key: str, created: Created) -> dict[str, Any]:
    """Return what the create step hands on; amounts as text, for Airflow sends a Decimal through a float.

    ``holder`` is there only if this task wrote it on the order: the invoice step of the same run goes on under it.
    Payer, currency and line hashes let the invoice step see what was edited in between.
    """
    order = created.order
    payer = Payer.of(order)
    result: dict[str, Any] = {
        "order_key": order_key,
        "sales_order_id": order.id,
        "status": order.status,
        "created": created.created,
        "line_ids": [line.id for line in created.lines],
        "line_hashes": [line_hash(line) for line in created.lines],
        **payer._asdict(),
        "net_amount": _amount(order.net_amount),
        "tax_amount": _amount(order.tax_amount),
        "gross_amount": _amount(order.gross_amount),
    }
    return result if created.holder is None else {**result, "holder": str(created.holder)}


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
    """Return what an invoiced order hands on, with ``transaction_id`` None until it is posted."""
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


def invoiced_result(invoiced: Invoiced) -> dict[str, Any]:
    """Return what the invoice step hands on."""
    return {**invoice_result(invoiced.order), "invoiced": invoiced.invoiced}


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")

"""An order of 24SevenOffice becomes a JSON Merge Patch for Hypatos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tfso_hypatos.clients import hypatos, tfso
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.exceptions import NotFound
from tfso_hypatos.flows.intent import Marker
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import CURRENCIES, EnrichmentPatch, EnrichmentSalesOrder
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

OnMissing = Literal["fail", "skip", "insert"]
ON_MISSING: tuple[OnMissing, ...] = ("fail", "skip", "insert")


def enrich(
    external_id: str, patch: EnrichmentPatch, on_missing: OnMissing, insert_headers: Mapping[str, str] | None = None
) -> Flow[str]:
    """Write a patch into Hypatos; repeating it is harmless.

    :param external_id: key of the record.
    :param patch: the patch, checked.
    :param on_missing: what to do if there is no such record: ``fail``, ``skip``, or ``insert`` the patch as a record.
    :param insert_headers: extra headers of the insertion.
    :return: ``patched``, ``skipped`` or ``inserted``.
    :raises NotFound: if there is no such record and ``on_missing`` is ``fail``.
    """
    try:
        yield from hypatos.patch_sales_order(external_id, patch)
    except NotFound:
        if on_missing == "fail":
            raise
        if on_missing == "skip":
            return "skipped"
        yield from hypatos.insert_sales_order(_as_record(patch), insert_headers)
        return "inserted"
    return "patched"


def _as_record(patch: EnrichmentPatch) -> EnrichmentSalesOrder:
    # What a patch would remove, a new record does not have.
    return validate(EnrichmentSalesOrder, without_nulls(patch.to_wire()), "patch")


def without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what RFC 7396 makes of a patch for a record that does not exist: null members, at any depth, left out."""
    return {
        name: without_nulls(member) if isinstance(member, Mapping) else member
        for name, member in value.items()
        if member is not None
    }


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return one patch that has the effect of two in a row: objects by key, everything else replaced by the second."""
    merged = dict(under)
    for name, member in over.items():
        below = merged.get(name)
        merged[name] = merge(below, member) if isinstance(below, Mapping) and isinstance(member, Mapping) else member
    return merged


def patch_over_order(
    external_id: str, order_id: int, over: Mapping[str, Any]
) -> Flow[tuple[SalesOrder, EnrichmentPatch]]:
    """Read an order and return it with its patch.

    :param external_id: key of the record.
    :param order_id: the order.
    :param over: a checked patch under the names of the API, merged over that of the order.
    """
    order = yield from tfso.get_sales_order(order_id)
    lines = yield from tfso.list_lines(order_id)
    patch = merge(patch_from_order(external_id, order, lines), over)
    return order, validate(EnrichmentPatch, patch, "patch")


def patch_from_order(external_id: str, order: SalesOrder, lines: Sequence[SalesOrderLine]) -> dict[str, Any]:
    """Return the patch that tells Hypatos what 24SevenOffice holds.

    Names, addresses and e-mail stay out. Amounts are those of 24SevenOffice; per line it shows none but the unit price.

    :param external_id: key of the record.
    :param order: the order, invoiced or not.
    :param lines: all its lines, for a merge patch replaces the list as a whole.
    """
    customer_id = order.customer.id if order.customer else None
    code = order.currency.code if order.currency else None
    patch = {
        "externalId": external_id,
        "salesOrderNumber": str(order.id),
        "customerOrderNumber": None if Marker.in_text(order.reference_number) else order.reference_number,
        "externalCustomerId": None if customer_id is None else str(customer_id),
        "issuedDate": order.date,
        "requestedDeliveryDate": order.delivery_date,
        "isCanceled": order.is_inactive,
        "currency": code if code in CURRENCIES else None,
        "totalNetAmount": order.net_amount,
        "totalTaxAmount": order.tax_amount,
        "totalGrossAmount": order.gross_amount,
        "paymentTerms": _payment_terms(order),
        "customMetadata": {"tfso": _state(order)},
        "salesOrderLines": [_line(line) for line in sorted(lines, key=lambda line: line.id)],
    }
    return {name: value for name, value in patch.items() if value is not None}


def _state(order: SalesOrder) -> dict[str, str]:
    invoice = order.invoice
    members = {
        "salesOrderId": order.id,
        "status": order.status,
        "invoiceNumber": order.invoice_number,
        "invoiceDate": invoice.date if invoice else None,
        "dueDate": invoice.due_date if invoice else None,
        "remittanceReference": invoice.remittance_reference if invoice else None,
        "transactionId": order.transaction_id,
    }
    return {name: str(value) for name, value in members.items() if value is not None}


def _payment_terms(order: SalesOrder) -> dict[str, Any] | None:
    terms = order.invoice.payment_terms if order.invoice else None
    if not terms or "type" not in terms:
        return None
    return {"paymentTermKey": f"{terms['type']}:{terms.get('value', '')}"}


def _line(line: SalesOrderLine) -> dict[str, Any]:
    product_id = line.product.id if line.product else None
    tax_number = line.tax.number if line.tax else None
    tax_rate = line.tax.rate if line.tax else None
    members = {
        "orderLineNumber": str(line.id),
        "externalProductId": None if product_id is None else str(product_id),
        "itemText": line.description,
        "type": line.type,
        "quantity": line.quantity,
        "unitPrice": line.price,
        "taxCode": _tax_code(tax_number, tax_rate),
    }
    return {name: value for name, value in members.items() if value is not None}


def _tax_code(number: object, rate: object) -> dict[str, str] | None:
    members = {}
    if number is not None:
        members["code"] = str(number)
    if rate is not None:
        members["description"] = f"{rate} %"
    return members or None

"""What is read from 24SevenOffice: only an id is needed, whatever else is missing, new or malformed is lived with.

The answers are those of https://rest-api.developer.24sevenoffice.com/doc/v1; each class names the operation.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from tfso_hypatos.models.base import Amount, LooseDay, Maybe, Moment, Read, Street, Text, Whole
from tfso_hypatos.models.tfso import Status


def _without_null(value: object) -> object:
    return [line for line in value if line is not None] if isinstance(value, list) else value


LooseStreet = Annotated[Street, BeforeValidator(_without_null)]
"""A street, also as a list of lines."""


class Reference(Read):
    """Another record, by id and perhaps name (API: GET /salesorders/{id})."""

    id: Maybe[Whole] = None
    name: Maybe[Text] = None


class CustomerRead(Read):
    """The customer or the receiver of the goods as the order holds them (API: GET /salesorders/{id})."""

    id: Maybe[Whole] = None
    name: Maybe[Text] = None
    organization_number: Maybe[Text] = None
    invoice_email_addresses: Maybe[list[str]] = None
    gln: Maybe[Text] = None
    street: Maybe[LooseStreet] = None
    postal_code: Maybe[Text] = None
    postal_area: Maybe[Text] = None
    city: Maybe[Text] = None
    country_subdivision: Maybe[Text] = None
    country_code: Maybe[Text] = None


class Transaction(Read):
    """The posting of an invoice in the ledger (API: GET /salesorders/{id})."""

    id: Maybe[Text] = None


class InvoiceRead(Read):
    """The invoice part of an order; drafts have one too (API: GET /salesorders/{id})."""

    number: Maybe[Whole] = None
    date: Maybe[LooseDay] = None
    due_date: Maybe[LooseDay] = None
    distribution_method: Maybe[str] = None
    payment_terms: Maybe[dict[str, Any]] = None
    remittance_reference: Maybe[Text] = None
    transaction: Maybe[Transaction] = None


class CurrencyRead(Read):
    """The currency of an order (API: GET /salesorders/{id})."""

    code: Maybe[str] = None
    rate: Maybe[Amount] = None


class AccrualRead(Read):
    """Revenue spread over months (API: GET /salesorders/{id})."""

    start_date: Maybe[LooseDay] = None
    length: Maybe[Whole] = None


class DimensionRead(Read):
    """A project, a department or another dimension (API: GET /salesorders/{id})."""

    dimension_type: Maybe[Whole] = None
    value: Maybe[Text] = None
    name: Maybe[Text] = None


class SalesOrder(Read):
    """An order as the server holds it (API: GET /salesorders/{id}; a list leaves ``dimensions`` out)."""

    id: Whole
    customer: Maybe[CustomerRead] = None
    delivery_customer: Maybe[CustomerRead] = None
    status: Maybe[str] = None
    date: Maybe[LooseDay] = None
    delivery_date: Maybe[LooseDay] = None
    internal_memo: Maybe[Text] = None
    memo: Maybe[Text] = None
    reference_number: Maybe[Text] = None
    invoice: Maybe[InvoiceRead] = None
    currency: Maybe[CurrencyRead] = None
    sales_type: Maybe[Reference] = None
    payment_method: Maybe[Reference] = None
    your_reference: Maybe[Reference] = None
    our_reference: Maybe[Reference] = None
    dimensions: Maybe[list[DimensionRead]] = None
    accrual: Maybe[AccrualRead] = None
    created_at: Maybe[Moment] = None
    modified_at: Maybe[Moment] = None
    net_amount: Maybe[Amount] = None
    tax_amount: Maybe[Amount] = None
    gross_amount: Maybe[Amount] = None

    @property
    def is_invoiced(self) -> bool:
        """Whether the order is an invoice; it may not be posted yet."""
        return self.status == Status.INVOICE

    @property
    def is_inactive(self) -> bool:
        """Whether the order was set aside, so that it will never be invoiced."""
        return self.status == Status.INACTIVE

    @property
    def invoice_number(self) -> int | None:
        """The number of the invoice, or None as long as there is none (0 is none)."""
        return (self.invoice.number or None) if self.invoice else None

    @property
    def transaction_id(self) -> str | None:
        """The id of the posting, or None as long as there is none (an all-zero GUID is none)."""
        transaction = self.invoice.transaction if self.invoice else None
        text = (transaction.id or "").strip() if transaction else ""
        return text if text.strip("0-{}") else None


class ProductRead(Read):
    """The product of a line (API: GET /salesorders/{id}/lines)."""

    id: Maybe[Whole] = None
    number: Maybe[Text] = None


class TaxRead(Read):
    """The VAT of a line (API: GET /salesorders/{id}/lines)."""

    id: Maybe[Whole] = None
    number: Maybe[Whole] = None
    rate: Maybe[Amount] = None


class AccountRead(Read):
    """The ledger account of a line (API: GET /salesorders/{id}/lines)."""

    id: Maybe[Whole] = None
    number: Maybe[Whole] = None
    name: Maybe[Text] = None


class SalesOrderLine(Read):
    """A line as the server holds it (API: GET /salesorders/{id}/lines)."""

    id: Whole
    type: Maybe[str] = None
    product: Maybe[ProductRead] = None
    description: Maybe[Text] = None
    quantity: Maybe[Amount] = None
    price: Maybe[Amount] = None
    cost_price: Maybe[Amount] = None
    discount_rate: Maybe[Amount] = None
    tax: Maybe[TaxRead] = None
    account: Maybe[AccountRead] = None
    is_hidden: Maybe[bool] = None
    dimensions: Maybe[list[DimensionRead]] = None
    accrual: Maybe[AccrualRead] = None

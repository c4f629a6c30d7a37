"""What is sent to 24SevenOffice: sales orders, their lines and their change.

Fields, limits and words are those of https://rest-api.developer.24sevenoffice.com/doc/v1; each class names the
operation whose page it rests on.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tfso_hypatos.models.base import Amount, Day, Given, Sent, Street, Text, Whole

INT32 = 2**31 - 1
"""The largest number of the fields that the API declares as int32."""

PRICE_DECIMALS = 4
"""Decimals of a cost price."""


def _to_email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise PydanticCustomError("email", "an e-mail address is needed")
    return value


def _to_price(value: Decimal) -> Decimal:
    _, digits, exponent = value.as_tuple()
    # Decimal's own remainder raises on a number of more than 28 digits.
    if isinstance(exponent, int) and exponent < -PRICE_DECIMALS and any(digits[exponent + PRICE_DECIMALS :]):
        raise PydanticCustomError("decimals", "at most {decimals} decimals", {"decimals": PRICE_DECIMALS})
    return value


Int32 = Annotated[Whole, Field(ge=-INT32 - 1, le=INT32)]
"""A whole number of the width that the API declares."""

Email = Annotated[str, AfterValidator(_to_email)]
"""An e-mail address, checked only so far that no other text is taken for one."""

Percent = Annotated[Amount, Field(ge=0, le=100)]
"""Percent; 25 means 25 %."""

CostPrice = Annotated[Amount, Field(le=Decimal("999999999999.9999")), AfterValidator(_to_price)]
"""A cost price, in steps of 0.0001."""


Distribution = Literal[
    "",
    "manualdistribution",
    "efakturadistribution",
    "ehfdistribution",
    "postaldistribution",
    "printdistribution",
    "emaildistribution",
]
"""How an invoice is sent; "" leaves the choice to the rules of the organization."""


class Status(StrEnum):
    """The states an order may be sent to (API: PATCH /salesorders/{id})."""

    DRAFT = "Draft"
    WEB = "Web"
    PROPOSAL = "Proposal"
    CONFIRMED = "Confirmed"
    INVOICE = "Invoice"
    ADVANCE_INVOICE = "AdvanceInvoice"
    INACTIVE = "Inactive"


class CustomerChange(Sent):
    """A change of the customer of an order (API: PATCH /salesorders/{id})."""

    id: Given[Whole] = Field(default=None, description="id in the CRM")
    name: Given[Annotated[Text, Field(max_length=200)]] = None
    organization_number: Given[Annotated[Text, Field(max_length=20)]] = None
    invoice_email_addresses: Given[list[Email]] = Field(default=None, description="where an e-mailed invoice goes")
    gln: Given[Annotated[Text, Field(min_length=13, max_length=13)]] = None
    street: Given[Annotated[Street, Field(max_length=250)]] = None
    postal_code: Given[Annotated[Text, Field(max_length=50)]] = None
    postal_area: Given[Annotated[Text, Field(max_length=50)]] = None
    city: Given[Annotated[Text, Field(max_length=50)]] = None
    country_subdivision: Given[Annotated[Text, Field(max_length=50)]] = None
    country_code: Given[Annotated[Text, Field(max_length=2)]] = None


class Customer(CustomerChange):
    """The customer of a new order, a copy that does not follow the CRM (API: POST /salesorders)."""

    id: Whole = Field(description="id in the CRM")
    name: Annotated[Text, Field(max_length=200)]


class DeliveryCustomer(Sent):
    """Where the goods go; the limits are not those of the customer (API: POST /salesorders)."""

    id: Given[Whole] = None
    name: Given[Annotated[Text, Field(max_length=250)]] = None
    street: Given[Annotated[Street, Field(max_length=250)]] = None
    postal_code: Given[Annotated[Text, Field(max_length=16)]] = None
    postal_area: Given[Annotated[Text, Field(max_length=200)]] = None
    city: Given[Annotated[Text, Field(max_length=50)]] = None
    country_subdivision: Given[Annotated[Text, Field(max_length=100)]] = None
    country_code: Given[Annotated[Text, Field(max_length=2)]] = None


class DaysTerms(Sent):
    """Payment due so many days after the invoice date, or after the end of its month (API: POST /salesorders)."""

    type: Literal["NumberOfDays", "OutMonthPlusDays"]
    value: Annotated[Whole, Field(ge=0)] = Field(description="days")


class DateTerms(Sent):
    """Payment due on a date; only in organizations on the new invoicing module (API: POST /salesorders)."""

    type: Literal["FixedDate"]
    value: Day


def _to_terms(value: Any) -> object:
    # Choosing here keeps the name of the choice out of the place in an error: "paymentTerms.value".
    match value:
        case DaysTerms() | DateTerms():
            return value
        case {"type": "NumberOfDays" | "OutMonthPlusDays"}:
            return DaysTerms.model_validate(dict(value))
        case {"type": "FixedDate"}:
            return DateTerms.model_validate(dict(value))
    raise PydanticCustomError("terms", "type must be NumberOfDays, OutMonthPlusDays or FixedDate")


PaymentTerms = Annotated[DaysTerms | DateTerms, BeforeValidator(_to_terms)]
"""When an invoice is due; ``type`` says which kind ``value`` is."""


class InvoiceDetails(Sent):
    """How an order is to be invoiced; number and transaction are the system's (API: PATCH /salesorders/{id})."""

    date: Given[Day] = None
    due_date: Given[Day] = None
    distribution_method: Given[Distribution] = None
    payment_terms: Given[PaymentTerms] = None
    remittance_reference: Given[Text] = Field(default=None, description="payment reference (KID, OCR)")


class Accrual(Sent):
    """Revenue spread over months; an empty one clears it (API: POST /salesorders)."""

    start_date: Given[Day] = None
    length: Given[Annotated[Whole, Field(ge=1)]] = Field(default=None, description="months")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if len(self.model_fields_set) == 1:
            raise PydanticCustomError("accrual", "startDate and length belong together; an empty object clears both")
        return self


class Currency(Sent):
    """The currency of an order (API: POST /salesorders)."""

    code: Given[Annotated[str, Field(pattern=r"^[A-Z]{3}$")]] = Field(default=None, description="ISO 4217")
    rate: Given[Annotated[Amount, Field(ge=Decimal("1e-10"), le=10**9)]] = Field(
        default=None,
        description="1 when left out; whether per unit of the order's or the books' currency is not stated",
    )


class Dimension(Sent):
    """A project, a department or a dimension of the organization's own (API: POST /salesorders)."""

    dimension_type: Whole = Field(description="1 project, 2 department, above 100 the organization's own")
    value: Text
    name: Text


class YourReference(Sent):
    """The customer's contact (API: POST /salesorders)."""

    id: Given[Whole] = None
    name: Given[Text] = None


class OurReference(Sent):
    """One's own contact (API: POST /salesorders)."""

    id: Given[Whole] = Field(default=None, description="id of a person of the organization")


class SalesType(Sent):
    """The kind of sale (API: POST /salesorders)."""

    id: Given[Whole] = Field(default=None, description="negative: defined by 24SevenOffice")


class PaymentMethod(Sent):
    """How the order was paid: setting one marks the invoice as paid (API: POST /salesorders)."""

    id: Whole | None = Field(description="null clears it")


class Product(Sent):
    """The product of a line (API: POST /salesorders/{id}/lines)."""

    id: Given[Whole] = None
    number: Given[Annotated[Text, Field(max_length=100)]] = Field(default=None, description="ignored by the API")


class Tax(Sent):
    """The VAT of a line (API: POST /salesorders/{id}/lines)."""

    id: Given[Whole] = Field(default=None, description="not the number that accountants quote")
    number: Given[Int32] = None
    rate: Given[Percent] = None


class Account(Sent):
    """The ledger account of a line (API: POST /salesorders/{id}/lines)."""

    id: Given[Whole] = None
    number: Given[Int32] = None
    name: Given[Annotated[Text, Field(max_length=75)]] = None


class Line(Sent):
    """One line of an order; the API marks nothing as required (API: POST /salesorders/{id}/lines)."""

    type: Given[Literal["product", "text"]] = None
    product: Given[Product] = None
    description: Given[Annotated[Text, Field(min_length=1, max_length=300)]] = None
    quantity: Given[Amount] = None
    price: Given[Amount] = Field(default=None, description="of one unit; the API does not say if VAT is included")
    cost_price: CostPrice | None = None
    discount_rate: Given[Percent] = None
    tax: Given[Tax] = None
    account: Given[Account] = None
    is_hidden: Given[bool] = Field(default=None, description="deprecated; only in the old invoicing module")
    dimensions: Given[list[Dimension]] = None
    accrual: Given[Accrual] = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("empty", "a line needs at least one field")
        return self


class _OrderFields(Sent):
    """What a new order and a change have in common."""

    status: Given[Status] = None
    delivery_customer: Given[DeliveryCustomer] = None
    invoice: Given[InvoiceDetails] = None
    date: Given[Day] = None
    delivery_date: Given[Day] = None
    internal_memo: Given[Annotated[Text, Field(max_length=300)]] = Field(default=None, description="not on the invoice")
    memo: Given[Text] = Field(default=None, description="on the invoice")
    reference_number: Given[Annotated[Text, Field(max_length=50)]] = Field(
        default=None, description="the buyer's order number, on the invoice"
    )
    your_reference: Given[YourReference] = None
    our_reference: Given[OurReference] = None
    sales_type: Given[SalesType] = None
    payment_method: Given[PaymentMethod] = None
    currency: Given[Currency] = None
    accrual: Given[Accrual] = None
    dimensions: Given[list[Dimension]] = None


class SalesOrderPatch(_OrderFields):
    """A change of an order; status "Invoice" invoices it (API: PATCH /salesorders/{id})."""

    customer: Given[CustomerChange] = None


class SalesOrderCreate(_OrderFields):
    """A new order without its lines, which follow one by one (API: POST /salesorders)."""

    customer: Customer

    @field_validator("status", mode="after")
    @classmethod
    def _has_no_lines_yet(cls, status: Any) -> Any:
        if status is Status.INVOICE:
            raise PydanticCustomError("status", "an order is invoiced after it has lines")
        return status

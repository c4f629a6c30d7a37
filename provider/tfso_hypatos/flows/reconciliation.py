"""What a reconciliation reads of an order in both systems, reduced to ids, states and amounts.

Names, addresses, e-mail and texts are left behind here, so that nothing after this can show them.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from tfso_hypatos.clients import hypatos, tfso
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso_lists import SalesOrderFilter
from tfso_hypatos.exceptions import NotFound
from tfso_hypatos.flows.amounts import line_amount, total
from tfso_hypatos.flows.by_hand import without_copied_marker
from tfso_hypatos.flows.digests import digest
from tfso_hypatos.flows.intent import Marker, marker_of
from tfso_hypatos.models.base import plain_number
from tfso_hypatos.models.hypatos import EnrichmentRecord
from tfso_hypatos.models.tfso import Status
from tfso_hypatos.models.tfso_read import SalesOrder

MARGIN = datetime.timedelta(days=1)
"""Asked for beyond both ends of a period: whether the API includes its bounds is not documented."""

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""A date before or after is none: systems write the first or the last day that they know for one they do not know."""

_CONTENT = 16
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Period:
    """Which orders are looked at.

    :param date_from: first order date.
    :param date_to: last order date.
    :param statuses: the statuses, or none for all.
    """

    date_from: datetime.date
    date_to: datetime.date
    statuses: frozenset[str] = frozenset()

    def filters(self) -> SalesOrderFilter:
        """Return what the server is asked for: never less than the period."""
        # The API takes one status, and does not offer Inactive.
        (status,) = self.statuses if len(self.statuses) == 1 else (None,)
        return SalesOrderFilter(
            date_from=self.date_from - MARGIN,
            date_to=self.date_to + MARGIN,
            status=None if status == Status.INACTIVE else status,
        )

    def holds(self, order: SalesOrder) -> bool:
        """Say whether an order belongs to it, for a server ignores a filter that it does not know."""
        if self.statuses and order.status not in self.statuses:
            return False
        # The server has counted one whose date cannot be read to the period; nothing is lost silently.
        day = _known(order.date)
        return day is None or self.date_from <= day <= self.date_to


DayT = TypeVar("DayT", datetime.date, datetime.datetime)


def _known(day: DayT | None) -> DayT | None:
    return day if day is not None and FIRST_YEAR <= day.year <= LAST_YEAR else None


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """An order of 24SevenOffice without anything personal.

    :param key: short hash of organization and order key in its marker, or None without a marker.
    :param content: fingerprint in its marker.
    :param asked_to_invoice: whether its marker says that 24SevenOffice was asked to invoice it.
    :param reference_number: reference number, unless it carries the marker.
    """

    order_id: int
    status: str | None
    date: datetime.date | None
    created_at: datetime.datetime | None
    modified_at: datetime.datetime | None
    customer_id: int | None
    payment_method_id: int | None
    currency: str | None
    rate: Decimal | None
    net: Decimal | None
    tax: Decimal | None
    gross: Decimal | None
    invoice_number: int | None
    invoice_date: datetime.date | None
    transaction_id: str | None
    key: str | None
    content: str | None
    asked_to_invoice: bool
    reference_number: str | None

    @property
    def is_invoiced(self) -> bool:
        """Whether the order is an invoice; it may not be posted yet."""
        return self.status == Status.INVOICE

    @property
    def is_inactive(self) -> bool:
        """Whether the order was set aside."""
        return self.status == Status.INACTIVE


def facts_of(order: SalesOrder, organization: str) -> OrderFacts:
    """Return an order without anything personal.

    :param order: the order.
    :param organization: organization id.
    """
    order = without_copied_marker(organization, order)
    marker = marker_of(order)[1]
    return OrderFacts(
        order_id=order.id,
        status=order.status,
        date=_known(order.date),
        created_at=_known(order.created_at),
        modified_at=_known(order.modified_at),
        customer_id=order.customer.id if order.customer else None,
        payment_method_id=order.payment_method.id if order.payment_method else None,
        currency=order.currency.code if order.currency else None,
        rate=order.currency.rate if order.currency else None,
        net=order.net_amount,
        tax=order.tax_amount,
        gross=order.gross_amount,
        invoice_number=order.invoice_number,
        invoice_date=_known(order.invoice.date) if order.invoice else None,
        transaction_id=order.transaction_id,
        key=marker.key if marker else None,
        content=marker.content if marker else None,
        asked_to_invoice=marker.invoicing if marker else False,
        reference_number=None if Marker.in_text(order.reference_number) else order.reference_number,
    )


def same_id(text: str) -> str:
    """Return the id of a transaction as it can be compared: a GUID may come with braces, and in capitals."""
    return text.strip("{}").lower()


@dataclass(frozen=True, slots=True)
class LineFacts:
    """The lines of an order.

    :param count: how many.
    :param amount: their exact sum, not rounded; None if it follows from what the server fills in.
    :param content: short hash of quantities, prices and discounts, whatever the order of the lines; None likewise.
    """

    count: int
    amount: Decimal | None
    content: str | None


def read_lines(order_id: int) -> Flow[LineFacts]:
    """Read the lines of an order; one that is gone has none."""
    try:
        lines = yield from tfso.list_lines(order_id)
    except NotFound:
        lines = []
    return facts_of_lines([(line.quantity, line.price, line.discount_rate) for line in lines])


_Numbers = tuple[Decimal | None, Decimal | None, Decimal | None]


def facts_of_lines(lines: Sequence[_Numbers]) -> LineFacts:
    """Return lines without anything personal.

    :param lines: quantity, price and discount of each; None for what was left out.
    """
    # What an answer leaves out is zero.
    whole = [(quantity or _ZERO, price or _ZERO, discount or _ZERO) for quantity, price, discount in lines]
    texts = sorted(" ".join(map(plain_number, numbers)) for numbers in whole)
    return LineFacts(len(lines), total(line_amount(*numbers) for numbers in whole), digest(_CONTENT, *texts))


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """A record of Hypatos without anything personal.

    :param order_id: the order of 24SevenOffice that it was enriched from, as text; None if it does not say.
    :param lines: how many lines it has, or None if it says nothing of them.
    """

    order_id: str | None
    transaction_id: str | None
    invoice_number: str | None
    currency: str | None
    net: Decimal | None
    tax: Decimal | None
    gross: Decimal | None
    lines: int | None


def read_record(external_id: str) -> Flow[RecordFacts | None]:
    """Read a record of Hypatos, or return None if there is none.

    :param external_id: key of the record.
    """
    try:
        record = yield from hypatos.see_sales_order(external_id)
    except NotFound:
        return None
    return record_facts(record)


def record_facts(record: EnrichmentRecord) -> RecordFacts:
    """Return a record without anything personal."""
    given = (record.custom_metadata or {}).get("tfso")
    state: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    texts = {name: None if value is None else str(value) for name, value in state.items()}
    return RecordFacts(
        order_id=texts.get("salesOrderId"),
        transaction_id=texts.get("transactionId"),
        invoice_number=texts.get("invoiceNumber"),
        currency=record.currency,
        net=record.total_net_amount,
        tax=record.total_tax_amount,
        gross=record.total_gross_amount,
        lines=None if record.sales_order_lines is None else len(record.sales_order_lines),
    )

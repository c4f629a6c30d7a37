"""What is the matter with an order: pure functions of what was read in both systems."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from tfso_hypatos.flows.amounts import is_same, is_total_of, unit_of
from tfso_hypatos.flows.expected import Expected
from tfso_hypatos.flows.reconciliation import LineFacts, OrderFacts, RecordFacts, same_id
from tfso_hypatos.models.tfso import Status
from tfso_hypatos.reports.classes import OrderClass


class Finding(NamedTuple):
    """One thing that is the matter with an order.

    :param kind: its class.
    :param detail: the ids and amounts behind it, in a sentence without anything personal.
    """

    kind: OrderClass
    detail: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as late.

    :param as_of: now, by the server's clock.
    :param not_invoiced_after_days: an order may be so old and not invoiced.
    :param not_posted_after_days: an invoice may be so old and not posted.
    :param grace: an order that changed since may be in work.
    """

    as_of: datetime.datetime
    not_invoiced_after_days: int = 7
    not_posted_after_days: int = 1
    grace: datetime.timedelta = datetime.timedelta(hours=1)

    def is_in_work(self, order: OrderFacts) -> bool:
        """Say whether a task or a person may be at work on an order."""
        return order.modified_at is not None and self.as_of - order.modified_at < self.grace

    def age(self, order: OrderFacts) -> int | None:
        """Return how many days old an order is, by its date or its creation, whichever is later; None if unknown."""
        created = order.created_at.date() if order.created_at else None
        days = [day for day in (order.date, created) if day is not None]
        return (self.as_of.date() - max(days)).days if days else None


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that was read about one order.

    :param order: the order.
    :param twins: the other active orders with the same key.
    :param expected: what the source says, or None if it was not given.
    :param lines: its lines, or None if they were not read.
    :param record: its record in Hypatos, or None if there is none or it was not asked for.
    :param record_asked: whether Hypatos was asked.
    :param ledger: the transactions that the ledger has under its invoice number, or None if it was not read.
    """

    order: OrderFacts
    twins: tuple[OrderFacts, ...] = ()
    expected: Expected | None = None
    lines: LineFacts | None = None
    record: RecordFacts | None = None
    record_asked: bool = False
    ledger: frozenset[str] | None = None

    @property
    def is_stray(self) -> bool:
        """Whether the order has our marker and no lines, and is not on its way to an invoice."""
        order = self.order
        billed = order.is_invoiced or order.asked_to_invoice
        return order.key is not None and not billed and self.lines is not None and self.lines.count == 0


def classify(case: Case, rules: Rules) -> tuple[Finding, ...]:
    """Return what is the matter with an order, the most urgent first; nothing if it is in order."""
    if case.order.is_inactive:
        # Set aside, by a person or by a withdrawal: it will never be billed, and another one has to be.
        return (_set_aside(case),) if case.expected is not None and not case.twins else ()
    found = [*_twins(case, rules), *_content(case, rules), *_progress(case, rules), *_enrichment(case), *_marker(case)]
    urgency = list(OrderClass)
    return tuple(sorted(found, key=lambda finding: urgency.index(finding.kind)))


def _set_aside(case: Case) -> Finding:
    detail = f"its order {case.order.order_id} is inactive, and no active order has its marker"
    return Finding(OrderClass.NOT_FOUND, detail)


def _ids(orders: tuple[OrderFacts, ...]) -> str:
    return ", ".join(str(order.order_id) for order in orders)


def _twins(case: Case, rules: Rules) -> Iterator[Finding]:
    order, twins = case.order, case.twins
    if not twins:
        return
    invoiced = tuple(twin for twin in twins if twin.is_invoiced)
    if order.is_invoiced and invoiced:
        numbers = ", ".join(str(each.invoice_number) for each in (order, *invoiced))
        yield Finding(OrderClass.TWO_INVOICES, f"also invoiced: order {_ids(invoiced)}; invoices {numbers}")
    elif not rules.is_in_work(order) and not any(rules.is_in_work(twin) for twin in twins):
        yield Finding(OrderClass.TWO_ORDERS, f"the same marker is on order {_ids(twins)}")
    others = tuple(twin for twin in twins if twin.content != order.content)
    if others:
        yield Finding(OrderClass.CONTENT_DRIFT, f"another content was asked for in order {_ids(others)}")


def _content(case: Case, rules: Rules) -> Iterator[Finding]:
    # Lines of an order in work come one by one.
    if case.is_stray or rules.is_in_work(case.order):
        return
    found = [*_against_source(case), *_against_lines(case)]
    if found:
        yield Finding(OrderClass.CONTENT_DRIFT, "; ".join(found))


def _against_source(case: Case) -> Iterator[str]:
    order, expected, lines = case.order, case.expected, case.lines
    if expected is None:
        return
    if expected.content is not None and order.content != expected.content:
        yield "the fingerprint in the marker is not that of the source"
    yield from _against_payer(order, expected)
    if expected.lines is None:
        if expected.net is not None and order.net is not None and not is_same(order.net, expected.net, order.currency):
            yield f"net amount {order.net}, in the source {expected.net}"
        return
    if lines is not None and lines.count != expected.lines.count:
        yield f"{_lines(lines.count)}, in the source {expected.lines.count}"
    elif lines is not None and None not in (lines.content, expected.lines.content):
        if lines.content != expected.lines.content:
            yield "quantities, prices or discounts are not those of the source"
    elif expected.lines.amount is not None and not _totals_fit(order, expected.lines.amount, expected.lines.count):
        yield f"net amount {order.net}, the lines of the source come to {_plain(expected.lines.amount, order)}"


def _against_payer(order: OrderFacts, expected: Expected) -> Iterator[str]:
    # What the order does not show, or the source does not say, is not compared.
    if None not in (order.customer_id, expected.customer_id) and order.customer_id != expected.customer_id:
        yield f"customer {order.customer_id}, in the source {expected.customer_id}"
    if order.currency and expected.currency and order.currency.upper() != expected.currency.upper():
        yield f"currency {order.currency}, in the source {expected.currency}"
    ours, theirs = order.payment_method_id, expected.payment_method_id
    if None not in (ours, theirs) and ours != theirs:
        yield f"payment method {ours}, in the source {theirs}"


def _against_lines(case: Case) -> Iterator[str]:
    order, lines = case.order, case.lines
    if lines is not None and lines.amount is not None and not _totals_fit(order, lines.amount, lines.count):
        yield f"net amount {order.net}, its {_lines(lines.count)} come to {_plain(lines.amount, order)}"


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _plain(amount: Decimal, order: OrderFacts) -> str:
    unit = unit_of(order.currency)
    # An amount of more digits than can be rounded is shown as it is.
    return str(amount.quantize(unit)) if amount.adjusted() < 20 else str(amount)


def _totals_fit(order: OrderFacts, exact: Decimal, lines: int) -> bool:
    # In another currency it is not documented which one the totals are in.
    if order.rate not in (None, 1):
        return True
    # Nor whether prices include VAT: then the lines come to the gross amount.
    totals = [amount for amount in (order.net, order.gross) if amount is not None]
    return not totals or any(is_total_of(amount, exact, lines, order.currency) for amount in totals)


def _progress(case: Case, rules: Rules) -> Iterator[Finding]:
    order = case.order
    if order.is_invoiced:
        yield from _posting(case, rules)
    elif order.asked_to_invoice:
        if not rules.is_in_work(order):
            yield Finding(OrderClass.INVOICING_UNCONFIRMED, f"status {order.status}, and the marker ends in !")
    elif order.invoice_number is not None and order.status != Status.ADVANCE_INVOICE:
        if not rules.is_in_work(order):
            detail = f"status {order.status}, and it has invoice number {order.invoice_number}"
            yield Finding(OrderClass.INVOICING_UNCONFIRMED, detail)
    elif case.is_stray:
        if not rules.is_in_work(order):
            twins = f"the same marker is on order {_ids(case.twins)}" if case.twins else "no other order has its marker"
            yield Finding(OrderClass.STRAY_WITHOUT_LINES, twins)
    else:
        age = rules.age(order)
        is_late = not rules.is_in_work(order) if age is None else age > rules.not_invoiced_after_days
        if is_late:
            days = "of unknown date" if age is None else f"{age} days old"
            whose = "; a person's, not confirmed: do not bill it unasked" if _is_unconfirmed(order) else ""
            yield Finding(OrderClass.NOT_INVOICED, f"{days}, status {order.status}{whose}")


def _is_unconfirmed(order: OrderFacts) -> bool:
    """Say whether an order is a person's that nobody has confirmed: a draft or a proposal is no sale yet."""
    return order.key is None and order.status != Status.CONFIRMED


def _posting(case: Case, rules: Rules) -> Iterator[Finding]:
    order, ledger = case.order, case.ledger
    if order.transaction_id is None:
        issued = order.invoice_date or order.date
        age = (rules.as_of.date() - issued).days if issued else None
        if not ledger and (age is None or age >= rules.not_posted_after_days):
            days = "of unknown date" if age is None else f"{age} days old"
            yield Finding(OrderClass.NOT_POSTED, f"invoice {order.invoice_number}, {days}")
    elif ledger is not None and same_id(order.transaction_id) not in {same_id(each) for each in ledger}:
        shown = f"the ledger has {', '.join(sorted(ledger))}" if ledger else "the ledger has none"
        yield Finding(
            OrderClass.LEDGER_DIFFERS, f"transaction {order.transaction_id} of invoice {order.invoice_number}; {shown}"
        )


def is_posted(case: Case) -> bool:
    """Say whether the invoice of an order is in the ledger, by the order or by the ledger itself."""
    return case.order.is_invoiced and bool(case.order.transaction_id or case.ledger)


def _enrichment(case: Case) -> Iterator[Finding]:
    order, record = case.order, case.record
    if not case.record_asked or not is_posted(case):
        return
    if record is None:
        yield Finding(OrderClass.NOT_ENRICHED, "Hypatos has no record")
        return
    if record.order_id is not None and record.order_id != str(order.order_id):
        yield Finding(OrderClass.ENRICHMENT_DIFFERS, f"the record names order {record.order_id}")
        return
    if record.transaction_id is None:
        yield Finding(OrderClass.NOT_ENRICHED, "the record does not name the transaction")
    found = list(enrichment_differences(order, record, case.lines))
    if found:
        yield Finding(OrderClass.ENRICHMENT_DIFFERS, "; ".join(found))


def enrichment_differences(order: OrderFacts, record: RecordFacts, lines: LineFacts | None) -> Iterator[str]:
    """Return in what a record differs from its order; what the record does not say is not compared."""
    amounts = (("net", order.net, record.net), ("tax", order.tax, record.tax), ("gross", order.gross, record.gross))
    for name, ours, theirs in amounts:
        if ours is not None and theirs is not None and not is_same(ours, theirs, order.currency):
            yield f"{name} amount {theirs} in Hypatos, {ours} in 24SevenOffice"
    if record.currency and order.currency and record.currency != order.currency:
        yield f"currency {record.currency} in Hypatos, {order.currency} in 24SevenOffice"
    if record.invoice_number and order.invoice_number and record.invoice_number != str(order.invoice_number):
        yield f"invoice {record.invoice_number} in Hypatos, {order.invoice_number} in 24SevenOffice"
    if record.transaction_id and order.transaction_id and record.transaction_id != order.transaction_id:
        yield f"transaction {record.transaction_id} in Hypatos, {order.transaction_id} in 24SevenOffice"
    if lines is not None and record.lines is not None and record.lines != lines.count:
        yield f"{_lines(record.lines)} in Hypatos, {lines.count} in 24SevenOffice"


def _marker(case: Case) -> Iterator[Finding]:
    if case.order.key is None:
        yield Finding(OrderClass.MARKER_MISSING, f"status {case.order.status}")

"""A bill as Markdown, for the person who is to approve it: nothing that stands in an order is taken for markup."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.flows.approval import Bill
from tfso_hypatos.models.base import plain_number, validate
from tfso_hypatos.models.tfso import DateTerms, DaysTerms, InvoiceDetails
from tfso_hypatos.models.tfso_read import InvoiceRead, SalesOrder, SalesOrderLine

MOST_LINES = 100
"""Lines that are shown; the body of a request has to fit into a column of Airflow's database."""

MOST_CHARACTERS = 300
"""Characters of a text that are shown: as many as a description may have."""

NOT_SHOWN = "not shown by 24SevenOffice"


def markdown(bill: Bill, order_key: str | None, details: InvoiceDetails | None) -> str:
    """Return a bill as Markdown.

    :param bill: the order and its lines.
    :param order_key: the caller's name for the business order, or None.
    :param details: how it is to be invoiced, as far as the caller says; else the order decides.
    """
    order = bill.order
    parts = [
        f"**Customer:** {_customer(order)}",
        f"**Sales order:** {order.id}" + (f" ({quoted(order_key)})" if order_key else ""),
        "\n".join(_lines(bill.lines)),
        "\n".join(_totals(order)),
        f"**Due:** {due(order.invoice, details)}",
        "After an approval the invoice is issued, which cannot be undone.",
    ]
    return "\n\n".join(parts)


def subject(order: SalesOrder) -> str:
    """Return the headline of the request; plain text, without names."""
    return f"Invoice sales order {order.id}: {_total(order.gross_amount)} {_currency(order)}?"


def quoted(text: str | None) -> str:
    """Return a text of somebody else as a code span, in which nothing is markup, a link or a new line."""
    visible = " ".join((text or "").split())
    # Invisible characters could turn the reading direction of an amount; a bar would end the cell of a table.
    visible = "".join(sign for sign in visible if unicodedata.category(sign) not in ("Cc", "Cf", "Co", "Cs", "Cn"))
    visible = visible.replace("`", "'").replace("|", "¦").strip()
    if len(visible) > MOST_CHARACTERS:
        visible = visible[:MOST_CHARACTERS] + "…"
    return f"`{visible}`" if visible else "–"


def due(invoice: InvoiceRead | None, details: InvoiceDetails | None) -> str:
    """Return when the invoice is due, as far as it can be told before it is issued.

    :param invoice: the invoice part of the order.
    :param details: how it is to be invoiced; what it says is sent with the invoice and replaces what the order says.
    """
    details = details or InvoiceDetails()
    if details.due_date is not None:
        return details.due_date.isoformat()
    terms, date = details.payment_terms, details.date or (invoice.date if invoice else None)
    if terms is None:
        if invoice and invoice.due_date and details.date is None:
            return invoice.due_date.isoformat()
        terms = _terms_of(invoice)
    match terms:
        case DateTerms():
            return terms.value.isoformat()
        case DaysTerms(type="NumberOfDays"):
            return _after(date, terms.value)
        case DaysTerms():
            return f"{_days(terms.value)} after the end of the month of the invoice date"
    return "as 24SevenOffice decides"


def _terms_of(invoice: InvoiceRead | None) -> DaysTerms | DateTerms | None:
    if invoice is None or not invoice.payment_terms:
        return None
    try:
        return validate(InvoiceDetails, {"paymentTerms": invoice.payment_terms}, "invoice").payment_terms
    except InvalidInput:
        # Terms of a kind that is not known yet: they are shown by nobody but 24SevenOffice.
        return None


def _after(date: datetime.date | None, days: int) -> str:
    text = f"{_days(days)} after the invoice date"
    if date is None:
        return text
    try:
        return f"{(date + datetime.timedelta(days=days)).isoformat()} ({text}, {date.isoformat()})"
    except OverflowError:
        return text


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _customer(order: SalesOrder) -> str:
    customer = order.customer
    if customer is None:
        return NOT_SHOWN
    number = "" if customer.id is None else f" (customer {customer.id})"
    return f"{quoted(customer.name)}{number}"


def _lines(lines: Iterable[SalesOrderLine]) -> list[str]:
    everything = list(lines)
    rows = ["| Line | Quantity × price | Discount | VAT |", "| :-- | --: | --: | --: |"]
    rows += [_row(line) for line in everything[:MOST_LINES]]
    left = len(everything) - MOST_LINES
    if left > 0:
        rows += ["", f"**And {left} more lines, which are in the total.** See the order in 24SevenOffice."]
    return rows


def _row(line: SalesOrderLine) -> str:
    amounts = ""
    if line.quantity is not None or line.price is not None:
        amounts = f"{plain_number(line.quantity or 0)} × {_money(line.price or Decimal(0))}"
    rate = line.tax.rate if line.tax else None
    name = line.description or (f"Product {line.product.id}" if line.product and line.product.id else None)
    return f"| {quoted(name)} | {amounts} | {_percent(line.discount_rate or None)} | {_percent(rate)} |"


def _totals(order: SalesOrder) -> list[str]:
    currency = _currency(order)
    amounts = (("Net", order.net_amount), ("VAT", order.tax_amount), ("**Total**", order.gross_amount))
    rows = [f"| {name} | {_total(amount)} {currency} |" for name, amount in amounts]
    return ["| Amount | |", "| :-- | --: |", *rows]


def _currency(order: SalesOrder) -> str:
    code = (order.currency.code if order.currency else None) or ""
    return code if code.isascii() and code.isalpha() and len(code) == 3 else "(currency not shown)"


def _percent(rate: Decimal | None) -> str:
    return "" if rate is None else f"{plain_number(rate)} %"


def _total(value: Decimal | None) -> str:
    return NOT_SHOWN if value is None else _money(value)


def _money(value: Decimal) -> str:
    """Return an amount with two decimals, or with all that it has: never rounded."""
    text = plain_number(value)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<2}"

"""Sums, VAT, due dates and payment references, as the books compute them."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, NamedTuple

# VAT number: rate. Ids differ from numbers on purpose: clients must not mix them up.
_RATES = {0: Decimal(0), 3: Decimal(25), 5: Decimal(0), 31: Decimal(15), 33: Decimal(12)}
_ID_OFFSET = 100
_ORDINARY = 3
_CENT = Decimal("0.01")
_HUNDRED = Decimal(100)
_EXACT = Context(prec=200, rounding=ROUND_HALF_UP)
_DEFAULT_DAYS = 14
_MOST_DAYS = 36_500


class Totals(NamedTuple):
    """Net, tax and gross amount."""

    net: Decimal
    tax: Decimal
    gross: Decimal


def tax_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete tax of a line: what was given, the rest filled in.

    :param given: the ``tax`` of the line, or an empty mapping.
    """
    tax = dict(given)
    number = tax.get("number")
    if number is None and "id" in tax:
        number = tax["id"] - _ID_OFFSET
    if number is None:
        number = _ORDINARY
    if number in _RATES:
        tax.setdefault("id", number + _ID_OFFSET)
        tax.setdefault("number", number)
    tax.setdefault("rate", _RATES.get(number, _RATES[_ORDINARY]))
    return tax


def line_totals(line: Mapping[str, Any]) -> Totals:
    """Return the amounts of one line, rounded half up to two places.

    :param line: the line; its price is without VAT.
    """
    quantity, price = _exact(line.get("quantity", 1)), _exact(line.get("price", 0))
    share = _EXACT.subtract(_HUNDRED, _exact(line.get("discountRate", 0)))
    net = _rounded(_EXACT.divide(_EXACT.multiply(_EXACT.multiply(quantity, price), share), _HUNDRED))
    rate = _exact(line.get("tax", {}).get("rate", _RATES[_ORDINARY]))
    tax = _rounded(_EXACT.divide(_EXACT.multiply(net, rate), _HUNDRED))
    return Totals(net, tax, _EXACT.add(net, tax))


def totals(lines: Iterable[Mapping[str, Any]]) -> Totals:
    """Return the sums over lines.

    :param lines: the lines of an order.
    """
    net = tax = Decimal("0.00")
    for line in lines:
        amounts = line_totals(line)
        net, tax = _EXACT.add(net, amounts.net), _EXACT.add(tax, amounts.tax)
    return Totals(net, tax, _EXACT.add(net, tax))


def payment_reference(customer: int, invoice: int) -> str:
    """Return a payment reference (KID) whose last digit is its mod-10 check digit.

    :param customer: customer id.
    :param invoice: invoice number.
    """
    digits = f"{abs(customer) % 1_000_000:06d}{invoice:07d}"
    return digits + str(check_digit(digits))


def check_digit(digits: str) -> int:
    """Return the mod-10 (Luhn) check digit.

    :param digits: the digits before it.
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return -total % 10


def due_date(date: datetime.date, terms: Mapping[str, Any] | None) -> datetime.date:
    """Return the day an invoice is due.

    :param date: invoice date.
    :param terms: ``paymentTerms`` of the order.
    """
    kind, value = ("NumberOfDays", _DEFAULT_DAYS) if terms is None else (terms["type"], terms["value"])
    if kind == "FixedDate":
        return datetime.date.fromisoformat(str(value))
    start = date.replace(day=calendar.monthrange(date.year, date.month)[1]) if kind == "OutMonthPlusDays" else date
    try:
        return start + datetime.timedelta(days=min(int(value), _MOST_DAYS))
    except OverflowError:
        return datetime.date.max


def _exact(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, context=_EXACT)

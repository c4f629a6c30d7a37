"""Amounts that two systems hold: when they are the same, and by how much rounding alone may set them apart.

Whoever shows an amount has rounded it to the smallest unit of the currency, and a total may be the sum of lines that
were rounded each, or the rounded sum. Rounding to the nearest moves a number by half a unit at most. So two shown
amounts of one thing are the same up to half a unit, and the total of *n* lines is up to *n* + 1 half units away from
the exact sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext

_WITHOUT_DECIMALS = frozenset(
    {
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
        "XOF", "XPF",
    }
)  # fmt: skip
"""Currencies whose smallest unit is one (ISO 4217; MGA by usage)."""

_EXACT = Context(prec=400)
_HUNDRED = Decimal(100)


def unit_of(currency: str | None) -> Decimal:
    """Return the unit that amounts of a currency are rounded to; 0.01 unless it has no decimals."""
    return Decimal(1) if currency in _WITHOUT_DECIMALS else Decimal("0.01")


def is_same(one: Decimal, other: Decimal, currency: str | None) -> bool:
    """Say whether two amounts of one thing are the same up to half a unit: 100, 100.00, and a double's 99.9999999."""
    with localcontext(_EXACT):
        return abs(one - other) * 2 <= unit_of(currency)


def rounding_of(lines: int, currency: str | None) -> Decimal:
    """Return how far a total may be from the exact sum of its lines: half a unit for each line and for itself."""
    return unit_of(currency) * (lines + 1) / 2


def is_total_of(total: Decimal, exact: Decimal, lines: int, currency: str | None) -> bool:
    """Say whether a total is that of its lines, up to rounding.

    :param total: as it is shown.
    :param exact: the exact sum of the lines.
    :param lines: how many lines.
    :param currency: code of the currency.
    """
    with localcontext(_EXACT):
        return abs(total - exact) <= rounding_of(lines, currency)


def line_amount(quantity: Decimal, price: Decimal, discount_rate: Decimal) -> Decimal:
    """Return the exact amount of a line, not rounded.

    :param quantity: units.
    :param price: of one unit.
    :param discount_rate: per cent.
    """
    with localcontext(_EXACT):
        return quantity * price * (_HUNDRED - discount_rate) / _HUNDRED


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum of amounts."""
    with localcontext(_EXACT):
        return sum(amounts, Decimal(0))

"""The business orders of the trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LINES: Sequence[Mapping[str, Any]] = (
    {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
    {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
    {"type": "text", "description": "Frakt", "quantity": "1", "price": "150.50"},
)


@dataclass(frozen=True)
class BusinessOrder:
    """What must become one sales order and one invoice.

    :param key: its order key. It is the order's memo, too: the books are read by that, and not by the marker.
    :param customer: its customer.
    :param lines: its lines.
    """

    key: str
    customer: tuple[int, str]
    lines: tuple[Mapping[str, Any], ...]

    @property
    def order(self) -> dict[str, Any]:
        """Its header fields."""
        number, name = self.customer
        customer = {"id": number, "name": name}
        return {"customer": customer, "date": "2026-11-20", "currency": {"code": "NOK"}, "memo": self.key}

    @property
    def item(self) -> dict[str, Any]:
        """It as an item of a batch."""
        return {"order_key": self.key, "order": self.order, "lines": [dict(line) for line in self.lines]}

    def surplus(self, lines: Sequence[Mapping[str, Any]]) -> int:
        """Return how many of these lines are none of its own, or there once too often."""
        return (_contents(lines) - _contents(self.lines)).total()

    def missing(self, lines: Sequence[Mapping[str, Any]]) -> int:
        """Return how many of its lines are not among these."""
        return (_contents(self.lines) - _contents(lines)).total()


def _contents(lines: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, Decimal, Decimal]]:
    return Counter((line["description"], Decimal(str(line["quantity"])), Decimal(str(line["price"]))) for line in lines)


ONE = BusinessOrder("web-10045", (42, "Bjørn Ås AS"), tuple(LINES))
SEVERAL = (
    ONE,
    # What tells it from the first one is its key only: same customer, lines alike.
    BusinessOrder("web-10046", ONE.customer, tuple(LINES[:2])),
    BusinessOrder("web-10047", (43, "Åse Sørby"), tuple(LINES[2:])),
)

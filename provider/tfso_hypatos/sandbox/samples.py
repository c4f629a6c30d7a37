"""Orders that people have made: something to bill, and to reconcile, before any task has run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tfso_hypatos.sandbox.state import Books

_VAT = {"tax": {"number": 3}}

_ORDERS: tuple[tuple[dict[str, Any], list[dict[str, Any]]], ...] = (
    (
        {"status": "Confirmed", "customer": {"id": 51, "name": "Fjordkafeen AS"}},
        [
            {"description": "Kaffe, hele bønner, 1 kg", "quantity": 12, "price": 189, **_VAT},
            {"description": "Frakt", "quantity": 1, "price": Decimal("149.5"), **_VAT},
        ],
    ),
    (
        {"status": "Confirmed", "customer": {"id": 52, "name": "Åkre Elektro AS"}, "referenceNumber": "PO-2231"},
        [{"description": "Servicebesøk", "quantity": Decimal("2.5"), "price": 890, **_VAT}],
    ),
    (
        {
            "status": "Confirmed",
            "customer": {"id": 53, "name": "Müller & Söhne GmbH"},
            "currency": {"code": "EUR", "rate": Decimal("11.5")},
        },
        [{"description": "Consulting", "quantity": 4, "price": 120}],
    ),
    (
        {"status": "Draft", "customer": {"id": 51, "name": "Fjordkafeen AS"}},
        [{"description": "Kaffemaskin, leie", "quantity": 1, "price": 450, **_VAT}],
    ),
    (
        {"status": "Invoice", "customer": {"id": 52, "name": "Åkre Elektro AS"}},
        [{"description": "Reservedeler", "quantity": 3, "price": Decimal("99.99"), **_VAT}],
    ),
)


def enter(books: Books) -> None:
    """Enter three confirmed orders, a draft, and one that is invoiced and posted.

    :param books: of one organization.
    """
    for header, lines in _ORDERS:
        # What is invoiced was open before.
        order = books.create({**header, "status": "Confirmed"})
        for line in lines:
            books.add_line(order, line)
        if header["status"] == "Invoice":
            books.invoice(order, posted_after=0)
        else:
            books.change(order, {"status": header["status"]})

"""The neighbours of sales orders: fixed lists, the organization, and the ledger lines of invoices."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tfso_hypatos.sandbox.state import Books
from tfso_hypatos.sandbox.views import Views

SALES_TYPES: list[dict[str, Any]] = [
    {"id": -100, "name": "Sale", "account": {"id": 30}},
    {"id": 10, "name": "Webshop", "account": {"id": 30}},
]
PAYMENT_METHODS: list[dict[str, Any]] = [
    {"id": 1, "name": "Card", "account": {"id": 15}},
    {"id": 2, "name": "Vipps", "account": {"id": 16}},
]
COMPANIES: dict[str, Any] = {
    "data": [
        {"id": "63cac12c37bb02accb396cae", "name": "Sandbox", "active": True, "createdAt": "2025-01-01T00:00:00Z"}
    ],
    "limit": 50,
    "offset": 0,
    "totalCount": 1,
}
_PAGE = 50


def organization(number: str) -> dict[str, Any]:
    """Return the organization behind a token.

    :param number: its id.
    """
    shown = int(number) if number.isdigit() else number
    return {"id": shown, "name": f"Sandbox {number}", "status": "Active", "settings": {"currencyCode": "NOK"}}


def transaction_lines(
    books: Books, views: Views, now: datetime.datetime, values: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Return one receivable line for each posted invoice that fits the filters, and the queries of other pages.

    :param books: the books.
    :param views: says what is posted.
    :param now: time of the answer.
    :param values: the query parameters.
    """
    found = []
    for invoice in books.invoices:
        order = books.orders[invoice.order_id]
        customer = int(invoice.customer["id"])
        fits = (
            values["dateFrom"] <= invoice.date.isoformat() < values["dateTo"],
            values.get("invoiceNumber", str(invoice.number)) == str(invoice.number),
            values.get("customerId", customer) == customer,
            views.is_posted(order, invoice, now),
        )
        if all(fits):
            found.append(
                {
                    "id": invoice.number * 10,
                    "transaction": {"id": invoice.transaction_id, "number": invoice.number},
                    "account": {"id": 15, "number": 1500},
                    "date": invoice.date.isoformat(),
                    "amount": invoice.amounts.gross,
                    "customer": {"id": customer},
                    "invoice": {
                        "number": str(invoice.number),
                        "dueDate": invoice.due_date.isoformat(),
                        "remittanceReference": invoice.reference,
                    },
                }
            )
    limit, page = values.get("limit", _PAGE), values.get("page", 1)
    end = page * limit
    pages = [("first", 1), ("previous", page - 1), ("next", page + 1 if end < len(found) else 0)]
    queries = [(name, urlencode({**values, "limit": limit, "page": number})) for name, number in pages if number]
    return found[end - limit : end], queries

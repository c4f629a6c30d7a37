"""What somebody would write without this provider: the same order by the fewest requests, and no protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests

from tfso_hypatos.sandbox.settings import CLIENT_ID, CLIENT_SECRET, ORGANIZATION

LINE = {"description": "Rørdeler, kobber 15 mm", "quantity": 3, "price": 99.99, "tax": {"number": 3}}


def order(customer: int) -> dict[str, Any]:
    """Return an order of a customer."""
    return {
        "customer": {"id": customer, "name": "Bjørn Ås Rørleggerservice AS"},
        "date": "2026-01-31",
        "currency": {"code": "NOK"},
        "yourReference": {"name": "Åse Sørby"},
    }


def lines(count: int) -> list[dict[str, Any]]:
    """Return the lines of an order."""
    return [{**LINE, "description": f"{LINE['description']}, {number}"} for number in range(count)]


def bearer(url: str) -> dict[str, str]:
    """Fetch a token and return the header that carries it."""
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    form |= {"login_organization": ORGANIZATION, "audience": "https://api.24sevenoffice.com"}
    answer = requests.post(f"{url}/tfso/oauth/token", data=form, timeout=30)
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def order_to_invoice(
    send: Callable[[str, str, Mapping[str, Any]], Any], head: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
) -> int:
    """Create an order, add its lines, invoice it, and return its id.

    :param send: sends method, path below the API root, and body; returns the decoded answer.
    """
    order_id = int(send("POST", "/salesorders", head)["id"])
    for line in items:
        send("POST", f"/salesorders/{order_id}/lines", line)
    send("PATCH", f"/salesorders/{order_id}", {"status": "Invoice"})
    return order_id

"""Lists of orders: filters, pages, and the opaque tokens between them."""

from __future__ import annotations

import base64
import binascii
import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from tfso_hypatos.sandbox import jsontext
from tfso_hypatos.sandbox.settings import Settings
from tfso_hypatos.sandbox.state import Books, Order

TOKEN = "continuationToken"  # noqa: S105 - the name of a query parameter


class StaleTokenError(Exception):
    """A continuationToken is not ours, or no longer valid."""


class Listing:
    """One page of orders.

    :param settings: the sandbox's settings.
    :param values: the query parameters, of the types the contract gives them.
    :raises StaleTokenError: the continuationToken cannot be used.
    """

    def __init__(self, settings: Settings, values: Mapping[str, Any]) -> None:
        self._settings = settings
        self._after: int | None = None
        filters = {name: value for name, value in values.items() if name not in settings.ignore_filters}
        if TOKEN in filters:
            filters = self._opened(filters[TOKEN]) | {name: filters[name] for name in ("limit",) if name in filters}
        self._limit = min(int(filters.pop("limit", settings.page_default)), settings.page_maximum)
        self._filters = filters

    def page(self, books: Books, now: datetime.datetime, lag: float) -> tuple[list[Order], str | None]:
        """Return the orders of this page and the query of the next one, or None.

        :param books: the books.
        :param now: time of the answer.
        :param lag: orders younger than this many seconds are not shown.
        """
        found: list[Order] = []
        youngest = now - datetime.timedelta(seconds=lag)
        changed_lately = self._changed_lately(now)
        for order in self._in_order(books):
            is_listed = order.listed_from <= now and (not lag or order.created <= youngest)
            is_listed = is_listed and not changed_lately(order)
            if not is_listed or not all(_TESTS[name](order, value) for name, value in self._filters.items()):
                continue
            if len(found) == self._limit:
                return found, self._next(found[-1])
            found.append(order)
        return found, None

    def first(self) -> str:
        """Return the query of the first page."""
        return urlencode({**self._filters, "limit": self._limit})

    def _changed_lately(self, now: datetime.datetime) -> Callable[[Order], bool]:
        """Return the test for orders whose change an index of changes does not know yet."""
        lag = self._settings.change_lag if "modifiedFrom" in self._filters else 0
        latest = now - datetime.timedelta(seconds=lag)
        return lambda order: bool(lag) and order.modified > latest

    def _in_order(self, books: Books) -> Iterator[Order]:
        backwards, after = self._settings.newest_first, self._after
        for number in sorted(books.orders, reverse=backwards):
            if after is None or (number < after if backwards else number > after):
                yield books.orders[number]

    def _next(self, last: Order) -> str:
        content = {"filters": self._filters, "limit": self._limit, "after": last.id, "made": int(time.time() * 1000)}
        token = base64.urlsafe_b64encode(jsontext.write(content)).decode().rstrip("=")
        return urlencode({"limit": self._limit, TOKEN: token})

    def _opened(self, token: str) -> dict[str, Any]:
        try:
            content = jsontext.read(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            self._after, made = int(content["after"]), content["made"] / 1000
            filters = {**dict(content["filters"]), "limit": int(content["limit"])}
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise StaleTokenError from error
        lifetime = self._settings.page_token_lifetime
        if lifetime is not None and time.time() > made + lifetime:
            raise StaleTokenError
        return filters


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def _has_invoice(order: Order, number: str) -> bool:
    return any(str(invoice.number) == number for invoice in order.invoices)


_TESTS: Mapping[str, Callable[[Order, Any], bool]] = {
    "date": lambda order, day: bool(order.header["date"] == day),
    "dateFrom": lambda order, day: bool(order.header["date"] >= day),
    "dateTo": lambda order, day: bool(order.header["date"] <= day),
    "status": lambda order, status: order.status == status,
    "customerId": lambda order, number: str(order.header["customer"]["id"]) == number,
    "invoiceNumber": _has_invoice,
    "referenceNumber": lambda order, text: bool(order.header.get("referenceNumber") == text),
    "createdFrom": lambda order, moment: order.created >= _moment(moment),
    "createdTo": lambda order, moment: order.created <= _moment(moment),
    "modifiedFrom": lambda order, moment: order.modified >= _moment(moment),
    "modifiedTo": lambda order, moment: order.modified <= _moment(moment),
}

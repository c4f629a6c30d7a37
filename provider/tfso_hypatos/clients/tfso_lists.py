"""The list of sales orders: which ones, page after page.

Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (``GET /salesorders``).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from requests.utils import parse_header_links

from tfso_hypatos.clients.messages import Flow, Request, Response, ask
from tfso_hypatos.clients.tfso import Sight, as_of, read_each, server_time
from tfso_hypatos.exceptions import BadRequest, UnexpectedResponse
from tfso_hypatos.models.tfso_read import SalesOrder

PAGE_SIZE = 100
"""Orders asked for at once; the maximum is not documented, other lists of the API allow 100."""

MOST_RESTARTS = 2
"""How often a list is begun anew because the link to its next page was refused."""

MOST_IDLE_PAGES = 10
"""Pages in a row without a new order, after which the list is taken for one without an end."""


@dataclass(frozen=True, kw_only=True)
class SalesOrderFilter:
    """Which orders to list; None leaves a filter out.

    A server older than a filter ignores it, so a caller that depends on one filters again.

    :param date: order date.
    :param date_from: earliest order date.
    :param date_to: latest order date.
    :param status: one status; ``Inactive`` is not offered by the API.
    :param customer_id: customer.
    :param invoice_number: invoice number.
    :param reference_number: reference number (API 0.60.1 and later).
    :param created_from: created at or after; with a time zone.
    :param created_to: created before or at; with a time zone.
    :param modified_from: changed at or after; with a time zone.
    :param modified_to: changed before or at; with a time zone.
    """

    date: datetime.date | None = None
    date_from: datetime.date | None = None
    date_to: datetime.date | None = None
    status: str | None = None
    customer_id: int | None = None
    invoice_number: int | None = None
    reference_number: str | None = None
    created_from: datetime.datetime | None = None
    created_to: datetime.datetime | None = None
    modified_from: datetime.datetime | None = None
    modified_to: datetime.datetime | None = None

    def query(self) -> dict[str, str]:
        """Return the filters as query parameters."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {_camel(name): _text(value) for name, value in given.items() if value is not None}


class Page(NamedTuple):
    """One page of orders.

    :param orders: the orders.
    :param next_link: the link to the next page, or None after the last one.
    :param as_of: the server's clock when the page was asked for, at the latest; None if it did not say.
    """

    orders: tuple[Sight, ...]
    next_link: str | None
    as_of: datetime.datetime | None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _text(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def list_page(filters: SalesOrderFilter, *, limit: int = PAGE_SIZE, link: str | None = None) -> Flow[Page]:
    """Read one page of orders.

    :param filters: which orders.
    :param limit: orders a page.
    :param link: the link of the page before, or None for the first page.
    """
    doing = "list sales orders"
    if link is None:
        return (yield from _first_page(filters, limit, doing))
    if link.startswith("?"):
        request = Request("GET", f"/salesorders{link}", doing)
    else:
        request = Request("GET", link, doing, is_link=True)
    return _page((yield from ask(request)), doing)


def _first_page(filters: SalesOrderFilter, limit: int, doing: str) -> Flow[Page]:
    query = filters.query()
    try:
        response = yield from ask(Request("GET", "/salesorders", doing, query={"limit": str(limit), **query}))
    except BadRequest as refusal:
        # No maximum is documented: a server that has a lower one knows its own size of a page.
        if "limit" not in str(refusal).lower():
            raise
        response = yield from ask(Request("GET", "/salesorders", doing, query=query))
    return _page(response, doing)


def _page(response: Response, doing: str) -> Page:
    said = server_time(response.headers)
    orders = read_each(SalesOrder, response.value, doing)
    sights = tuple(Sight(order, response.sent_at, response.answered_at, said) for order in orders)
    return Page(sights, next_link(response.headers), as_of(response))


def list_sales_orders(filters: SalesOrderFilter, *, limit: int = PAGE_SIZE) -> Flow[list[SalesOrder]]:
    """Read every page of orders.

    :param filters: which orders.
    :param limit: orders a page.
    """
    sights = yield from see_sales_orders(filters, limit=limit)
    return [sight.order for sight in sights]


def see_sales_orders(filters: SalesOrderFilter, *, limit: int = PAGE_SIZE) -> Flow[list[Sight]]:
    """Read every page of orders, and say as of when each was seen.

    :param filters: which orders.
    :param limit: orders a page.
    :raises UnexpectedResponse: if the pages lead in a circle.
    :raises BadRequest: if a page is refused again and again.
    """
    found: dict[int, Sight] = {}

    def note(page: Page) -> bool:
        found.update((sight.order.id, sight) for sight in page.orders)
        return True

    yield from walk_sales_orders(filters, note, limit=limit)
    return list(found.values())


def walk_sales_orders(
    filters: SalesOrderFilter, visit: Callable[[Page], bool], *, limit: int = PAGE_SIZE
) -> Flow[bool]:
    """Read page after page as long as somebody wants more; return whether the end was reached.

    Pages that were visited come again if the link to the next one was refused.

    :param filters: which orders.
    :param visit: given every page as it comes; returns whether to go on.
    :param limit: orders a page.
    :raises UnexpectedResponse: if the pages lead in a circle.
    :raises BadRequest: if a page is refused again and again.
    """
    found: set[int] = set()
    followed: set[str] = set()
    link: str | None = None
    idle = restarts = 0
    while True:
        try:
            page = yield from list_page(filters, limit=limit, link=link)
        except BadRequest:
            # A link does not live for ever; what was read before it died is read again.
            if link is None or restarts == MOST_RESTARTS:
                raise
            link, restarts = None, restarts + 1
            followed.clear()
            found.clear()
            continue
        idle = 0 if any(sight.order.id not in found for sight in page.orders) else idle + 1
        found.update(sight.order.id for sight in page.orders)
        link = page.next_link
        if not visit(page):
            return False
        if link is None:
            return True
        if link in followed or idle > MOST_IDLE_PAGES:
            raise UnexpectedResponse("the pages of 24SevenOffice's list of sales orders lead in a circle")
        followed.add(link)


def next_link(headers: Mapping[str, str]) -> str | None:
    """Return the link to the next page, or None if the answer gives none."""
    links: Iterable[Mapping[str, str]] = parse_header_links(headers.get("link", ""))
    return next((link["url"] for link in links if link.get("rel") == "next" and link.get("url")), None)

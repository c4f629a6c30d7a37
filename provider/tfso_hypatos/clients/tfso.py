"""Every call of 24SevenOffice's sales-order API, once: what to send, how to read the answer.

Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (operations below ``/salesorders``).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from requests.utils import parse_header_links

from tfso_hypatos.clients.failures import http_date
from tfso_hypatos.clients.messages import Flow, Request, Response, ask
from tfso_hypatos.exceptions import BadRequest, UnexpectedResponse
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso import Line, SalesOrderCreate, SalesOrderPatch
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

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


class Sight(NamedTuple):
    """An order as it was seen.

    :param order: the order.
    :param seen_at: moment (:func:`clock.now`) that it is not older than.
    :param answered_at: moment (:func:`clock.now`) at which the answer was read.
    :param server_time: the server's clock, or None if it did not say.
    """

    order: SalesOrder
    seen_at: float
    answered_at: float
    server_time: datetime.datetime | None


class Page(NamedTuple):
    """One page of orders, and the link to the next one."""

    orders: tuple[Sight, ...]
    next_link: str | None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _text(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def create_sales_order(order: SalesOrderCreate, not_after: float | None = None) -> Flow[SalesOrder]:
    """Create an order without lines; never repeated after an unclear answer.

    :param order: the order.
    :param not_after: moment (:func:`clock.now`) after which it is not sent.
    """
    doing = "create the sales order"
    request = Request(
        "POST", "/salesorders", doing, body=order.to_wire(), repeatable=False, changes=True, not_after=not_after
    )
    response = yield from ask(request)
    return read(SalesOrder, response.value, doing)


def get_sales_order(order_id: int) -> Flow[SalesOrder]:
    """Read one order."""
    sight = yield from see_sales_order(order_id)
    return sight.order


def see_sales_order(order_id: int) -> Flow[Sight]:
    """Read one order, and say as of when."""
    doing = f"read sales order {order_id}"
    response = yield from ask(Request("GET", _path(order_id), doing))
    order = read(SalesOrder, response.value, doing)
    if order.id != order_id:
        raise UnexpectedResponse(f"24SevenOffice answered sales order {order.id} to the request to {doing}")
    return Sight(order, response.sent_at, response.answered_at, _server_time(response.headers))


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
    server_time = _server_time(response.headers)
    orders = _each(SalesOrder, response.value, doing)
    sights = tuple(Sight(order, response.sent_at, response.answered_at, server_time) for order in orders)
    return Page(sights, _next_link(response.headers))


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
            continue
        idle = 0 if any(sight.order.id not in found for sight in page.orders) else idle + 1
        found.update((sight.order.id, sight) for sight in page.orders)
        link = page.next_link
        if link is None:
            return list(found.values())
        if link in followed or idle > MOST_IDLE_PAGES:
            raise UnexpectedResponse("the pages of 24SevenOffice's list of sales orders lead in a circle")
        followed.add(link)


def update_sales_order(
    order_id: int,
    change: SalesOrderPatch | Mapping[str, Any],
    *,
    doing: str | None = None,
    repeatable: bool = True,
    not_after: float | None = None,
) -> Flow[SalesOrder]:
    """Change an order; only the given fields.

    :param order_id: the order.
    :param change: the fields, under the API's names if a mapping.
    :param doing: what this is in a person's words.
    :param repeatable: whether it may be sent again after an unclear answer.
    :param not_after: moment (:func:`clock.now`) after which it is not sent.
    """
    doing = doing or f"change sales order {order_id}"
    body = change.to_wire() if isinstance(change, SalesOrderPatch) else dict(change)
    # Turning an order into an invoice may do it twice, whatever the caller says of the rest.
    repeatable = repeatable and body.get("status") not in ("Invoice", "AdvanceInvoice")
    response = yield from ask(_patch(order_id, body, doing, repeatable=repeatable, not_after=not_after))
    return read(SalesOrder, response.value, doing)


class Accepted(NamedTuple):
    """An order that 24SevenOffice accepted to invoice.

    :param order: as the answer shows it; status and number may follow later.
    :param trace_id: the vendor's name for the request, or None.
    """

    order: SalesOrder
    trace_id: str | None


def invoice_sales_order(order_id: int, change: Mapping[str, Any], not_after: float) -> Flow[Accepted]:
    """Turn an order into an invoice; never repeated after an unclear answer.

    :param order_id: the order.
    :param change: the fields, under the API's names.
    :param not_after: moment (:func:`clock.now`) after which it is not sent.
    """
    doing = f"invoice sales order {order_id}"
    response = yield from ask(_patch(order_id, change, doing, repeatable=False, not_after=not_after))
    return Accepted(read(SalesOrder, response.value, doing), response.headers.get("x-trace-id"))


def _patch(order_id: int, body: Mapping[str, Any], doing: str, *, repeatable: bool, not_after: float | None) -> Request:
    return Request(
        "PATCH", _path(order_id), doing, body=dict(body), repeatable=repeatable, changes=True, not_after=not_after
    )


def delete_sales_order(order_id: int, *, repeatable: bool = True, not_after: float | None = None) -> Flow[None]:
    """Delete an order that is not invoiced.

    :param order_id: the order.
    :param repeatable: whether it may be sent again after an unclear answer.
    :param not_after: moment (:func:`clock.now`) after which it is not sent.
    """
    doing = f"delete sales order {order_id}"
    request = Request("DELETE", _path(order_id), doing, repeatable=repeatable, changes=True, not_after=not_after)
    yield from ask(request)


def list_lines(order_id: int) -> Flow[list[SalesOrderLine]]:
    """Read every line of an order."""
    doing = f"read the lines of sales order {order_id}"
    response = yield from ask(Request("GET", f"{_path(order_id)}/lines", doing))
    return _each(SalesOrderLine, response.value, doing)


def add_line(order_id: int, line: Line, not_after: float | None = None) -> Flow[SalesOrderLine]:
    """Add one line; never repeated after an unclear answer.

    :param order_id: the order.
    :param line: the line.
    :param not_after: moment (:func:`clock.now`) after which it is not sent.
    """
    doing = f"add a line to sales order {order_id}"
    body = line.to_wire()
    request = Request(
        "POST", f"{_path(order_id)}/lines", doing, body=body, repeatable=False, changes=True, not_after=not_after
    )
    response = yield from ask(request)
    return read(SalesOrderLine, response.value, doing)


def get_line(order_id: int, line_id: int) -> Flow[SalesOrderLine]:
    """Read one line."""
    doing = f"read line {line_id} of sales order {order_id}"
    response = yield from ask(Request("GET", f"{_path(order_id)}/lines/{line_id}", doing))
    return read(SalesOrderLine, response.value, doing)


def update_line(order_id: int, line_id: int, line: Line) -> Flow[SalesOrderLine]:
    """Change one line; only the given fields."""
    doing = f"change line {line_id} of sales order {order_id}"
    request = Request("PATCH", f"{_path(order_id)}/lines/{line_id}", doing, body=line.to_wire(), changes=True)
    response = yield from ask(request)
    return read(SalesOrderLine, response.value, doing)


def delete_line(order_id: int, line_id: int, not_after: float | None = None) -> Flow[None]:
    """Delete one line of an order that is not invoiced.

    :param order_id: the order.
    :param line_id: the line.
    :param not_after: moment (:func:`clock.now`) after which it is not sent.
    """
    doing = f"delete line {line_id} of sales order {order_id}"
    request = Request("DELETE", f"{_path(order_id)}/lines/{line_id}", doing, changes=True, not_after=not_after)
    yield from ask(request)


def _path(order_id: int) -> str:
    return f"/salesorders/{order_id}"


def _each(model: type[Any], value: Any, doing: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnexpectedResponse(f"24SevenOffice answered no list to the request to {doing}")
    return [read(model, item, doing) for item in value]


def _next_link(headers: Mapping[str, str]) -> str | None:
    links: Iterable[Mapping[str, str]] = parse_header_links(headers.get("link", ""))
    return next((link["url"] for link in links if link.get("rel") == "next" and link.get("url")), None)


def _server_time(headers: Mapping[str, str]) -> datetime.datetime | None:
    return http_date(headers.get("date", ""))

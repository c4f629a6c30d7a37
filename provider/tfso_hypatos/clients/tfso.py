"""Every call of 24SevenOffice's sales-order API, once: what to send, how to read the answer.

Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (operations below ``/salesorders``).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, NamedTuple

from tfso_hypatos.clients.failures import http_date
from tfso_hypatos.clients.messages import Flow, Request, Response, ask
from tfso_hypatos.exceptions import NotFound, PermissionDenied, UnexpectedResponse
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso import Line, SalesOrderCreate, SalesOrderPatch
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine


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

    @property
    def as_of(self) -> datetime.datetime | None:
        """The server's clock when the order was asked for, at the latest; None if it did not say."""
        return _as_of(self.server_time, self.answered_at - self.seen_at)


def create_sales_order(order: SalesOrderCreate, not_after: float | None = None) -> Flow[SalesOrder]:
    """Create an order without lines; never repeated after an unclear answer.

    :param order: the order.
    :param not_after: moment (:func:`clock.now`) after which it is not sent.
    """
    sight = yield from create_and_see_sales_order(order, not_after)
    return sight.order


def create_and_see_sales_order(order: SalesOrderCreate, not_after: float | None = None) -> Flow[Sight]:
    """Do what :func:`create_sales_order` does, and say as of when the answer shows the order."""
    doing = "create the sales order"
    request = Request(
        "POST", "/salesorders", doing, body=order.to_wire(), repeatable=False, changes=True, not_after=not_after
    )
    return _sight((yield from ask(request)), doing)


def get_sales_order(order_id: int) -> Flow[SalesOrder]:
    """Read one order."""
    sight = yield from see_sales_order(order_id)
    return sight.order


def see_sales_order(order_id: int) -> Flow[Sight]:
    """Read one order, and say as of when."""
    doing = f"read sales order {order_id}"
    sight = _sight((yield from ask(Request("GET", _path(order_id), doing))), doing)
    if sight.order.id != order_id:
        raise UnexpectedResponse(f"24SevenOffice answered sales order {sight.order.id} to the request to {doing}")
    return sight


def _sight(response: Response, doing: str) -> Sight:
    order = read(SalesOrder, response.value, doing)
    return Sight(order, response.sent_at, response.answered_at, server_time(response.headers))


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
    return read_each(SalesOrderLine, response.value, doing)


def count_attachments(order_id: int) -> Flow[int | None]:
    """Return how many files are attached to an order, or None if that may not be read or the server does not know.

    :param order_id: the order; the scope ``api.invoicing.salesorder.attachment:read`` is needed.
    """
    doing = f"list the attachments of sales order {order_id}"
    try:
        response = yield from ask(Request("GET", f"{_path(order_id)}/attachments", doing))
    except (PermissionDenied, NotFound):
        return None
    return len(response.value) if isinstance(response.value, list) else None


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


def read_each(model: type[Any], value: Any, doing: str) -> list[Any]:
    """Return what an answer lists, each item read as a model."""
    if not isinstance(value, list):
        raise UnexpectedResponse(f"24SevenOffice answered no list to the request to {doing}")
    return [read(model, item, doing) for item in value]


def as_of(response: Response) -> datetime.datetime | None:
    """Return the server's clock when an answer was asked for, at the latest, or None if it did not say."""
    return _as_of(server_time(response.headers), response.answered_at - response.sent_at)


def _as_of(said: datetime.datetime | None, took: float) -> datetime.datetime | None:
    # The server looks at its clock when it writes the answer; what the answer shows may be as old as the question.
    return None if said is None else said - datetime.timedelta(seconds=max(0.0, took))


def server_time(headers: Mapping[str, str]) -> datetime.datetime | None:
    """Return the server's clock as its answer shows it, or None if it does not."""
    return http_date(headers.get("date", ""))

"""24SevenOffice as a simulation needs it: orders, lines, invoices and a clock, behind requests and answers."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from email.utils import format_datetime
from typing import Any, NamedTuple

EPOCH = datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC)
"""The moment at which simulated time begins."""

DEFAULTS: Mapping[str, Any] = {"status": "Draft", "currency": {"code": "NOK"}, "paymentMethod": {"id": 1}}
"""What an order has that is created without it."""

_PATH = re.compile(r"/salesorders(?:/(\d+)(/lines(?:/(\d+))?)?)?")


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the documentation leaves open about the server.

    :param list_lag: seconds by which a list may lag behind, both in orders and in what it shows of them.
    :param page: orders a page at most.
    :param filters: whether the list filters by customer and creation.
    :param dates: whether answers carry the Date header.
    :param stamps: whether orders show createdAt and modifiedAt.
    :param deletes: whether orders can be deleted; otherwise only set inactive.
    :param withdraws: whether orders can be set inactive.
    :param guards: whether an invoiced order is refused to be deleted or to get another status.
    :param backdates: whether createdAt is when a request arrived instead of when it took effect.
    :param queue: seconds after an accepted invoicing during which the order shows neither status nor number of it.
    """

    list_lag: float = 0.0
    page: int = 100
    filters: bool = True
    dates: bool = True
    stamps: bool = True
    deletes: bool = True
    withdraws: bool = True
    guards: bool = True
    backdates: bool = False
    queue: float = 0.0


@dataclass(frozen=True)
class Order:
    """An order; replaced, never changed, so that a list can show an older state.

    :param queued: the status that it shows until a moment, although it is billed already.
    """

    id: int
    fields: Mapping[str, Any]
    created: float
    modified: float
    lines: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    number: int | None = None
    queued: tuple[str, float] | None = None

    def is_queued(self, now: float) -> bool:
        """Say whether the order does not show yet that it is billed."""
        return self.queued is not None and now < self.queued[1]

    @property
    def status(self) -> str:
        return str(self.fields["status"])

    @property
    def sells(self) -> list[str]:
        """What the lines sell, sorted."""
        return sorted(f"{line['quantity']} {line['description']} at {line['price']}" for _, line in self.lines)

    @property
    def net(self) -> Decimal:
        return sum((Decimal(line["quantity"]) * Decimal(line["price"]) for _, line in self.lines), Decimal(0))


class Invoice(NamedTuple):
    """One invoice that was booked.

    :param order_id: the order.
    :param sells: what it bills.
    :param at: moment at which it was booked.
    :param sent: moment at which that was asked for.
    """

    order_id: int
    sells: list[str]
    at: float
    sent: float


class Answer(NamedTuple):
    """What the server answers."""

    status: int
    value: Any
    headers: dict[str, str]


class Refused(Exception):
    """The server refuses a request."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _moment(seconds: float) -> str:
    return (EPOCH + datetime.timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Server:
    """The books, changed only by requests.

    :param history: every state of the orders, with the moment at which it began.
    """

    traits: Traits = field(default_factory=Traits)
    orders: dict[int, Order] = field(default_factory=dict)
    invoices: list[Invoice] = field(default_factory=list)
    history: list[tuple[float, dict[int, Order]]] = field(default_factory=list)
    _next: int = 1

    def handle(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        now: float,
        arrived: float | None = None,
        lag: float = 0.0,
    ) -> Answer:
        """Carry a request out at a moment, and answer it."""
        headers = {"date": format_datetime(EPOCH + datetime.timedelta(seconds=int(now)), usegmt=True)}
        if not self.traits.dates:
            headers = {}
        try:
            status, value, more = self._route(method, path, query, body, now, now if arrived is None else arrived, lag)
        except Refused as refusal:
            return Answer(refusal.status, {"error": {"name": str(refusal)}}, headers)
        return Answer(status, value, {**headers, **more})

    def _route(
        self, method: str, path: str, query: Mapping[str, str], body: Any, now: float, arrived: float, lag: float
    ) -> tuple[int, Any, dict[str, str]]:
        address, _, rest = path.partition("?")
        match = _PATH.fullmatch(address)
        if match is None:
            raise Refused(404, "NoSuchPath")
        order_id, lines, line_id = match[1], match[2], match[3]
        if order_id is None:
            if method == "GET":
                asked = dict(pair.split("=", 1) for pair in rest.split("&")) if rest else dict(query)
                return self._list(asked, now, lag)
            return 201, self._create(body, now, arrived), {}
        order = self.orders.get(int(order_id))
        if order is None:
            raise Refused(404, "NotFound")
        if lines is None:
            return self._one(method, order, body, now, arrived)
        return self._lines(method, order, line_id, body, now)

    def _list(self, query: Mapping[str, str], now: float, lag: float) -> tuple[int, Any, dict[str, str]]:
        shown = self.orders
        if lag > 0:
            shown = next((then for at, then in reversed(self.history) if at <= now - lag), {})
        found = [order for _, order in sorted(shown.items())]
        if self.traits.filters and "customerId" in query:
            found = [order for order in found if str(order.fields["customer"]["id"]) == query["customerId"]]
        if self.traits.filters and "createdFrom" in query:
            found = [order for order in found if _moment(order.created) >= query["createdFrom"]]
        start, size = int(query.get("offset", "0")), min(int(query["limit"]), self.traits.page)
        headers = {}
        if start + size < len(found):
            later = "&".join(f"{name}={value}" for name, value in {**query, "offset": str(start + size)}.items())
            headers = {"link": f'</salesorders?{later}>; rel="next"'}
        return 200, [self.show(order, now - lag) for order in found[start : start + size]], headers

    def _create(self, body: Mapping[str, Any], now: float, arrived: float) -> Any:
        order_id = self._next
        self._next += 1
        created = arrived if self.traits.backdates else now
        return self._keep(Order(order_id, {**DEFAULTS, **body}, created, now), now)

    def _one(self, method: str, order: Order, body: Any, now: float, arrived: float) -> tuple[int, Any, dict[str, str]]:
        if method == "GET":
            return 200, self.show(order, now), {}
        if method == "DELETE":
            if not self.traits.deletes:
                raise Refused(403, "NotAllowed")
            if order.number is not None and self.traits.guards:
                raise Refused(409, "Invoiced")
            self.orders = {key: value for key, value in self.orders.items() if key != order.id}
            self.history.append((now, self.orders))
            return 204, None, {}
        if body.get("status") == "Invoice":
            return 200, self._invoice(order, body, now, arrived), {}
        if order.number is not None and not order.is_queued(now) and self.traits.guards:
            raise Refused(409, "Invoiced")
        if body.get("status") == "Inactive" and not self.traits.withdraws:
            raise Refused(403, "NotAllowed")
        return 200, self._keep(replace(order, fields={**order.fields, **body}, modified=now), now), {}

    def _invoice(self, order: Order, body: Mapping[str, Any], now: float, sent: float) -> Any:
        # The documentation does not say what a second PATCH to Invoice does; this is the dangerous reading.
        if not order.lines:
            raise Refused(400, "NoLines")
        self.invoices.append(Invoice(order.id, order.sells, now, sent))
        number = 1000 + len(self.invoices)
        queued = (order.queued[0] if order.is_queued(now) and order.queued else order.status, now + self.traits.queue)
        fields = {**order.fields, **body}
        return self._keep(replace(order, fields=fields, modified=now, number=number, queued=queued), now)

    def _lines(
        self, method: str, order: Order, line_id: str | None, body: Any, now: float
    ) -> tuple[int, Any, dict[str, str]]:
        if method == "GET":
            return 200, [{"id": key, **line} for key, line in order.lines], {}
        if order.number is not None and not order.is_queued(now):
            raise Refused(409, "Invoiced")
        if method == "POST":
            new, self._next = self._next, self._next + 1
            self._keep_lines(order, (*order.lines, (new, body)), now)
            return 201, {"id": new, **body}, {}
        there = dict(order.lines)
        changed = there.pop(int(line_id or 0), None)
        if changed is None:
            raise Refused(404, "NotFound")
        if method == "PATCH":
            there = {**dict(order.lines), int(line_id or 0): {**changed, **body}}
        self._keep_lines(order, tuple(there.items()), now)
        return (204, None, {}) if method == "DELETE" else (200, {"id": int(line_id or 0), **changed, **body}, {})

    def _keep_lines(self, order: Order, lines: tuple[tuple[int, Mapping[str, Any]], ...], now: float) -> None:
        self._keep(replace(order, lines=lines, modified=now), now)
        # Here too the dangerous reading: what waits in the invoice queue bills the lines that it has at its end.
        sells = self.orders[order.id].sells
        self.invoices = [bill._replace(sells=sells) if bill.order_id == order.id else bill for bill in self.invoices]

    def _keep(self, order: Order, now: float) -> Any:
        self.orders = {**self.orders, order.id: order}
        self.history.append((now, self.orders))
        return self.show(order, now)

    def show(self, order: Order, now: float = math.inf) -> dict[str, Any]:
        """Return an order as an answer shows it at a moment."""
        hidden = order.is_queued(now)
        shown: dict[str, Any] = {
            "id": order.id,
            **order.fields,
            "netAmount": order.net,
            "taxAmount": order.net * Decimal("0.25"),
            "grossAmount": order.net * Decimal("1.25"),
        }
        if hidden and order.queued:
            shown["status"] = order.queued[0]
        if self.traits.stamps:
            shown |= {"createdAt": _moment(order.created), "modifiedAt": _moment(order.modified)}
        if order.number is not None and not hidden:
            shown["invoice"] = {**order.fields.get("invoice", {}), "number": order.number}
        return shown

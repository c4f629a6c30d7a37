"""The books of 24SevenOffice: orders, lines and invoices. No HTTP, no rules about who may do what."""

from __future__ import annotations

import copy
import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from tfso_hypatos.sandbox import money
from tfso_hypatos.sandbox.settings import Settings

_OSLO = ZoneInfo("Europe/Oslo")
_SPACE = uuid.UUID("6f1d6ac8-5a0b-4b0e-9d0b-2f8e8f6f3a11")
_FIRST_ORDER, _FIRST_LINE, _FIRST_INVOICE = 1001, 5001, 10001
# Replaced whole: half of the old account with half of the new one would name neither.
_WHOLE = frozenset({"accrual", "tax", "account", "product", "paymentTerms"})


class Clock:
    """The server's clock.

    :param settings: may set it forward or back.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def now(self) -> datetime.datetime:
        """Return the time in UTC, in whole milliseconds, as the API shows it."""
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=float(self._settings.clock_offset))
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def today(self) -> datetime.date:
        """Return the business date in Norway."""
        return self.now().astimezone(_OSLO).date()


@dataclass(slots=True)
class Invoice:
    """An invoice that was issued; it stays in the books whatever happens to its order."""

    number: int
    order_id: int
    issued: datetime.datetime
    date: datetime.date
    due_date: datetime.date
    reference: str
    transaction_id: str
    posted_at: datetime.datetime
    customer: dict[str, Any]
    lines: list[dict[str, Any]]
    amounts: money.Totals


@dataclass(slots=True)
class Order:
    """A sales order with everything that belongs to it.

    :param id: order id.
    :param header: what callers may set, in the names of the API.
    :param created: when it was created.
    :param modified: when it, a line or an attachment last changed.
    :param listed_from: lists do not show it before.
    :param lines: by line id.
    :param attachments: their metadata.
    :param invoices: every invoice issued for it; more than one is a fault of somebody.
    :param reads: how often it was read since it was invoiced.
    :param is_posted: whether the ledger transaction of its invoice has been noted.
    """

    id: int
    header: dict[str, Any]
    created: datetime.datetime
    modified: datetime.datetime
    listed_from: datetime.datetime
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    reads: int = 0
    is_posted: bool = False

    @property
    def status(self) -> str:
        """The status of the order."""
        return str(self.header["status"])


class Books:
    """What one organization has in 24SevenOffice.

    :param organization: its id.
    :param clock: the server's clock.
    """

    def __init__(self, organization: str, clock: Clock) -> None:
        self.organization = organization
        self.orders: dict[int, Order] = {}
        self.deleted: list[Order] = []
        self.invoices: list[Invoice] = []
        self.revision = 0
        self._clock = clock
        self._orders_made = 0
        self._lines_made = 0
        self._files_made = 0

    def create(self, header: Mapping[str, Any], hidden_for: float = 0) -> Order:
        """Enter an order and return it.

        :param header: what the caller gave.
        :param hidden_for: seconds before lists show it.
        """
        now = self._clock.now()
        filled = {"status": "Draft", "date": self._clock.today().isoformat(), "currency": {"code": "NOK", "rate": 1}}
        listed_from = now + datetime.timedelta(seconds=hidden_for)
        order = Order(
            _FIRST_ORDER + self._orders_made, {**filled, **copy.deepcopy(dict(header))}, now, now, listed_from
        )
        self._orders_made += 1
        self.orders[order.id] = order
        self.revision += 1
        return order

    def change(self, order: Order, changes: Mapping[str, Any]) -> None:
        """Change the header of an order; objects are merged, all else is replaced.

        :param order: the order.
        :param changes: members to set.
        """
        order.header = merged(order.header, changes)
        self._touch(order)

    def delete(self, order: Order) -> None:
        """Take an order out of the books.

        :param order: the order.
        """
        self.deleted.append(self.orders.pop(order.id))
        self.revision += 1

    def add_line(self, order: Order, given: Mapping[str, Any]) -> int:
        """Add a line and return its id.

        :param order: the order.
        :param given: the line as the caller sent it; what is missing is filled in.
        """
        self._lines_made += 1
        number = _FIRST_LINE + self._lines_made - 1
        order.lines[number] = _complete(number, copy.deepcopy(dict(given)))
        self._touch(order)
        return number

    def change_line(self, order: Order, number: int, changes: Mapping[str, Any]) -> None:
        """Change one line.

        :param order: the order.
        :param number: line id.
        :param changes: members to set.
        """
        order.lines[number] = _complete(number, merged(order.lines[number], changes))
        self._touch(order)

    def remove_line(self, order: Order, number: int) -> None:
        """Remove one line.

        :param order: the order.
        :param number: line id.
        """
        del order.lines[number]
        self._touch(order)

    def attach(self, order: Order, name: str, media_type: str, size: int) -> dict[str, Any]:
        """Note a file with an order and return its metadata; the bytes are not kept.

        :param order: the order.
        :param name: file name.
        :param media_type: media type.
        :param size: number of bytes.
        """
        self._files_made += 1
        self._touch(order)
        metadata = {
            "fileId": str(uuid.uuid5(_SPACE, f"file/{self.organization}/{self._files_made}")),
            "orderId": order.id,
            "fileName": name,
            "mediaType": media_type,
            "size": size,
            "timestamp": order.modified,
            "tags": [],
        }
        order.attachments.append(metadata)
        return metadata

    def invoice(self, order: Order, posted_after: float) -> Invoice:
        """Issue an invoice for an order as it stands, even if there is one already.

        :param order: the order.
        :param posted_after: seconds until the ledger transaction shows.
        """
        wanted = order.header.get("invoice", {})
        date = datetime.date.fromisoformat(wanted["date"]) if "date" in wanted else self._clock.today()
        due = wanted.get("dueDate")
        number = _FIRST_INVOICE + len(self.invoices)
        customer = copy.deepcopy(order.header["customer"])
        lines = copy.deepcopy(list(order.lines.values()))
        self._touch(order)
        invoice = Invoice(
            number=number,
            order_id=order.id,
            issued=order.modified,
            date=date,
            due_date=datetime.date.fromisoformat(due) if due else money.due_date(date, wanted.get("paymentTerms")),
            reference=money.payment_reference(int(customer["id"]), number),
            transaction_id=str(uuid.uuid5(_SPACE, f"transaction/{self.organization}/{number}")),
            posted_at=order.modified + datetime.timedelta(seconds=posted_after),
            customer=customer,
            lines=lines,
            amounts=money.totals(lines),
        )
        order.header["status"] = "Invoice"
        order.invoices.append(invoice)
        order.reads = 0
        order.is_posted = False
        self.invoices.append(invoice)
        return invoice

    def _touch(self, order: Order) -> None:
        order.modified = self._clock.now()
        self.revision += 1


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the old members with the changes merged in.

    :param old: what stands in the books.
    :param changes: what to set.
    """
    result = dict(old)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict) and name not in _WHOLE:
            result[name] = merged(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def _complete(number: int, line: dict[str, Any]) -> dict[str, Any]:
    line = {**line, "id": number}
    line.setdefault("type", "product")
    product = line.get("product", {})
    if "id" in product:
        line["product"] = {"id": product["id"], "number": str(product["id"])}
        line.setdefault("description", f"Product {product['id']}")
    line["tax"] = money.tax_of(line.get("tax", {}))
    line["account"] = {"id": 30, "number": 3000, "name": "Sales revenue", **line.get("account", {})}
    return line

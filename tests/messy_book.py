"""Books in which everything is the matter that a reconciliation can find, each with one order at least."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.conftest import ORGANIZATION

from tfso_hypatos.flows.enrich import patch_from_order
from tfso_hypatos.flows.intent import Holder, Marker, fingerprint, key_of
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import Line, SalesOrderCreate
from tfso_hypatos.sandbox.server import Sandbox

DAY = 86_400
NAME = "Ærlig Øl & Åkre AS"
ORDER = {"customer": {"id": 42, "name": NAME}, "date": "2025-11-20", "currency": {"code": "NOK"}}
LINES = [
    {"description": "Rørdeler", "quantity": 3, "price": "99.99", "tax": {"number": 3}},
    {"description": "Frakt", "quantity": "2.5", "price": "33.333", "tax": {"number": 3}},
]
OTHER_LINES = [{"description": "Rørdeler", "quantity": 3, "price": "89.99", "tax": {"number": 3}}, LINES[1]]


@dataclass
class Book:
    """Fills the sandbox; every order that it makes is known by a name."""

    sandbox: Sandbox
    ids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tfso, self.hypatos = TfsoHook(), HypatosHook()

    def make(self, name: str, key: str | None, lines: Any = LINES, *, sent: bool = False, **header: Any) -> int:
        """Make an order that carries the marker of a key, and return its id."""
        order = {**ORDER, **header}
        if key is not None:
            content = fingerprint(
                validate(SalesOrderCreate, order, "order"), [validate(Line, each, "line") for each in LINES]
            )
            holder = Holder.of("orders", f"run-{name}", "create", -1, 1)
            marker = Marker(key_of(ORGANIZATION, key), content, holder, sent)
            order = {**order, "internalMemo": marker.put_into(header.get("internalMemo"))}
        made = self.tfso.create_sales_order(order)
        for line in lines:
            self.tfso.add_line(made.id, line)
        self.ids[name] = made.id
        return made.id

    def bill(self, name: str, posted_after: float = 0) -> None:
        """Invoice an order."""
        self.sandbox.configure(transaction_delay=posted_after)
        self.tfso.update_sales_order(self.ids[name], {"status": "Invoice"})
        self.sandbox.configure(transaction_delay=0)

    def enrich(self, name: str, external_id: str, **over: Any) -> None:
        """Write an order into Hypatos."""
        order, lines = self.tfso.get_sales_order(self.ids[name]), self.tfso.list_lines(self.ids[name])
        self.hypatos.insert_sales_order({**patch_from_order(external_id, order, lines), **over})

    def posted(self, name: str, key: str | None, lines: Any = LINES) -> None:
        """Make an order that is invoiced and posted."""
        self.make(name, key, lines)
        self.bill(name)

    def reverse(self, name: str) -> None:
        """Take the invoice of an order out of the ledger."""
        books = self.sandbox._service.tfso.books[ORGANIZATION]
        books.invoices = [each for each in books.invoices if each.order_id != self.ids[name]]

    def later(self, days: float) -> None:
        """Set the server's clock forward."""
        self.sandbox.configure(clock_offset=days * DAY)


def fill(book: Book) -> None:
    """Make a book in which every class has an order."""
    book.posted("fine", "web-1")
    book.enrich("fine", "web-1")
    book.make("late", "web-2")
    book.make("unposted", "web-3")
    book.bill("unposted", posted_after=100 * DAY)
    book.posted("unenriched", "web-4")
    book.make("filled", "web-5")
    book.make("stray", "web-5", lines=[])
    book.posted("billed", "web-6")
    book.posted("billed again", "web-6")
    for name in ("billed", "billed again"):
        book.enrich(name, f"web-{book.ids[name]}")
    book.make("edited", "web-7", lines=OTHER_LINES)
    book.make("by hand", None)
    book.make("sent", "web-9", sent=True)
    book.posted("other amount", "web-10")
    book.enrich("other amount", "web-10", totalGrossAmount="400.00")
    book.posted("reversed", "web-12")
    book.enrich("reversed", "web-12")
    book.reverse("reversed")
    book.make("inactive", "web-13")
    book.tfso.update_sales_order(book.ids["inactive"], {"status": "Inactive"})
    book.later(days=10)


def expected() -> list[dict[str, Any]]:
    """Return the business orders as the source knows them."""
    keys = [f"web-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)]
    return [{"order_key": key, "order": ORDER, "lines": LINES} for key in keys]

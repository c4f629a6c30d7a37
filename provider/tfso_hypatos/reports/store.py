"""Orders of any number on the disk of the worker: memory does not grow with them."""

from __future__ import annotations

import dataclasses
import datetime
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, TypeVar

from tfso_hypatos.clients.messages import decode, encode
from tfso_hypatos.flows.expected import Expected
from tfso_hypatos.flows.reconciliation import LineFacts, OrderFacts, same_id
from tfso_hypatos.reports.rows import Row

CHUNK = 200
"""Orders that are in memory at once."""

_TABLES = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, key TEXT, active INTEGER, invoiced_on TEXT, facts TEXT NOT NULL);
CREATE INDEX orders_by_key ON orders (key);
CREATE TABLE expected (key TEXT PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE ledger (
    invoice TEXT, transaction_id TEXT, customer INTEGER, PRIMARY KEY (invoice, transaction_id, customer)
) WITHOUT ROWID;
CREATE TABLE external_ids (external_id TEXT PRIMARY KEY, orders INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (id INTEGER PRIMARY KEY, facts TEXT NOT NULL);
CREATE TABLE classes (class TEXT, row INTEGER, PRIMARY KEY (class, row)) WITHOUT ROWID;
"""

_NOBODY = -(2**62)
"""A customer that nobody has: a column of a primary key is never empty."""

FactsT = TypeVar("FactsT", OrderFacts, Expected)


class Store:
    """What was read, in a file that ends with the task; it holds ids, states, dates and amounts.

    :param path: the file, not there yet.
    """

    def __init__(self, path: Path) -> None:
        # One thread at a time uses it: the one that runs the task's event loop, then the one that writes the report.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # What a crash leaves behind is of no use to anybody.
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;" + _TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add_orders(self, orders: Iterable[OrderFacts]) -> None:
        """Keep orders; one that comes again replaces what it was."""
        rows = (
            (order.order_id, order.key, not order.is_inactive, _invoiced_on(order), _text(order)) for order in orders
        )
        self._database.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)", rows)

    def add_expected(self, expected: Expected) -> bool:
        """Keep a business order of the source; return whether it is the first of its key."""
        change = self._database.execute("INSERT OR IGNORE INTO expected VALUES (?, ?)", (expected.key, _text(expected)))
        return change.rowcount == 1

    def add_postings(self, postings: Iterable[tuple[str, str, int | None]]) -> None:
        """Keep invoice numbers, and the transactions and the customers that the ledger has under them."""
        rows = ((number, posting, _NOBODY if customer is None else customer) for number, posting, customer in postings)
        self._database.executemany("INSERT OR IGNORE INTO ledger VALUES (?, ?, ?)", rows)

    def invoice_days(self) -> tuple[datetime.date, datetime.date] | None:
        """Return the first and the last day on which an order was invoiced, or None if none was."""
        first, last = self._database.execute("SELECT min(invoiced_on), max(invoiced_on) FROM orders").fetchone()
        return None if first is None else (datetime.date.fromisoformat(first), datetime.date.fromisoformat(last))

    def chunks(self) -> Iterator[list[OrderFacts]]:
        """Return the orders by their ids, so many at a time."""
        after = -1
        while True:
            query = "SELECT id, facts FROM orders WHERE id > ? ORDER BY id LIMIT ?"
            found = self._database.execute(query, (after, CHUNK)).fetchall()
            if not found:
                return
            after = found[-1][0]
            yield [_facts(OrderFacts, text) for _, text in found]

    def twins(self, order: OrderFacts) -> tuple[OrderFacts, ...]:
        """Return the other active orders that carry the same key."""
        query = "SELECT facts FROM orders WHERE key = ? AND id <> ? ORDER BY id"
        found = self._database.execute(query, (order.key, order.order_id)).fetchall()
        twins = (_facts(OrderFacts, text) for (text,) in found)
        return tuple(twin for twin in twins if not twin.is_inactive)

    def expected_for(self, order: OrderFacts) -> Expected | None:
        """Return what the source says of an order."""
        found = self._database.execute("SELECT facts FROM expected WHERE key = ?", (order.key,)).fetchone()
        return _facts(Expected, found[0]) if found else None

    def not_found(self) -> Iterator[Expected]:
        """Return the business orders of the source that no order was found for."""
        query = "SELECT facts FROM expected WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.key = expected.key)"
        for (text,) in self._database.execute(query):
            yield _facts(Expected, text)

    def lacks_orders(self) -> bool:
        """Say whether a business order of the source has no active order."""
        active = "SELECT 1 FROM orders WHERE orders.key = expected.key AND active"
        query = f"SELECT 1 FROM expected WHERE NOT EXISTS ({active}) LIMIT 1"  # noqa: S608 - of constants
        return self._database.execute(query).fetchone() is not None

    def add_external_id(self, external_id: str) -> None:
        """Note that an order claims a record of Hypatos."""
        change = "INSERT INTO external_ids VALUES (?, 1) ON CONFLICT DO UPDATE SET orders = orders + 1"
        self._database.execute(change, (external_id,))

    def is_shared(self, external_id: str) -> bool:
        """Say whether several orders claim the same record of Hypatos."""
        query = "SELECT 1 FROM external_ids WHERE external_id = ? AND orders > 1"
        return self._database.execute(query, (external_id,)).fetchone() is not None

    def postings(self, order: OrderFacts) -> frozenset[str]:
        """Return the transactions that the ledger has under the invoice number of an order, for its customer.

        Suppliers number their invoices, too: one of the same number is no posting of ours. The transaction that the
        order names is, whoever it is for.
        """
        query = "SELECT transaction_id, customer FROM ledger WHERE invoice = ?"
        found = self._database.execute(query, (str(order.invoice_number),)).fetchall()
        own = order.transaction_id and same_id(order.transaction_id)
        return frozenset(
            each for each, customer in found if customer == order.customer_id or (own and same_id(each) == own)
        )

    def add_row(self, row: Row) -> None:
        """Keep what the report says of an order."""
        made = self._database.execute("INSERT INTO rows (facts) VALUES (?)", (_text(row),))
        marks = ((kind, made.lastrowid) for kind in row.classes)
        self._database.executemany("INSERT INTO classes VALUES (?, ?)", marks)

    def rows(self) -> Iterator[Row]:
        """Return what the report says, order by order."""
        for (text,) in self._database.execute("SELECT facts FROM rows ORDER BY id"):
            yield _row(text)

    def rows_of(self, kind: str, most: int) -> Iterator[Row]:
        """Return what the report says of the first orders of a class.

        :param kind: the class.
        :param most: how many at most.
        """
        query = "SELECT facts FROM rows JOIN classes ON id = row WHERE class = ? ORDER BY id LIMIT ?"
        for (text,) in self._database.execute(query, (kind, most)):
            yield _row(text)

    def repaired(self) -> Iterator[Row]:
        """Return what the report says of the orders that were or would be repaired."""
        return (row for row in self.rows() if row.repair is not None)


def _invoiced_on(order: OrderFacts) -> str | None:
    day = (order.invoice_date or order.date) if order.is_invoiced else None
    return None if day is None else day.isoformat()


def _text(value: Any) -> str:
    members = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    shown: dict[str, Any] = {name: str(each) if isinstance(each, Decimal) else each for name, each in members.items()}
    lines = shown.get("lines")
    if isinstance(lines, LineFacts):
        shown["lines"] = [lines.count, None if lines.amount is None else str(lines.amount), lines.content]
    return encode(shown).decode()


_AMOUNTS = ("rate", "net", "tax", "gross")
_DAYS = ("date", "invoice_date")
_MOMENTS = ("created_at", "modified_at")


def _facts(kind: type[FactsT], text: str) -> FactsT:
    members = decode(text)
    for names, read in (
        (_AMOUNTS, Decimal),
        (_DAYS, datetime.date.fromisoformat),
        (_MOMENTS, datetime.datetime.fromisoformat),
    ):
        for name in names:
            if members.get(name) is not None:
                members[name] = read(members[name])
    if members.get("lines") is not None:
        count, amount, content = members["lines"]
        members["lines"] = LineFacts(count, None if amount is None else Decimal(amount), content)
    return kind(**members)


def _row(text: str) -> Row:
    members = decode(text)
    findings: Sequence[tuple[str, str]] = [(kind, detail) for kind, detail in members["findings"]]
    return Row(members["fields"], findings, members["url"], members["repair"])

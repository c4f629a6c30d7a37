"""The invoices of a book, and what the ledger has of them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from tests.conftest import ORGANIZATION, Log
from tests.messy_book import DAY, Book
from tests.operators.reconciling.conftest import Reconciler

from tfso_hypatos.sandbox import lookups
from tfso_hypatos.sandbox.server import Sandbox


def test_a_ledger_that_may_not_be_read_is_said_and_no_error(
    book: Book, reconcile: Reconciler, sandbox: Sandbox
) -> None:
    book.make("unposted", "web-3")
    book.bill("unposted", posted_after=100 * DAY)
    book.posted("reversed", "web-12")
    book.reverse("reversed")
    book.later(days=10)
    assert reconcile(external_id_format="{order_key}").of(book.ids["reversed"])["classes"] == ["ledger_differs"]
    sandbox.configure(missing_scopes=["api.accounting.transaction:read"])
    report = reconcile.with_source(expected=["web-3", "web-12"])
    note = "The ledger was not compared: the scope api.accounting.transaction:read is not granted."
    assert note in report.result["notes"]
    assert note in report.html
    assert "ledger_differs" not in report.counts
    assert report.of(book.ids["unposted"])["classes"] == ["not_posted"]


@pytest.mark.parametrize(
    ("line", "classes"),
    [
        ({"transaction": {"id": "voucher"}, "customer": {"id": 9000}}, ["not_posted"]),
        ({"transaction": {"id": "voucher"}}, ["not_posted"]),
        ({"transaction": {"id": "ours"}, "customer": {"id": 42}}, ["in_order"]),
    ],
)
def test_the_invoice_of_a_supplier_is_no_posting_of_ours(
    book: Book, reconcile: Reconciler, log: Log, monkeypatch: pytest.MonkeyPatch, line: Any, classes: list[str]
) -> None:
    book.make("unposted", "web-3")
    book.bill("unposted", posted_after=100 * DAY)
    book.later(days=10)
    number = str(log.order["invoice"]["number"])
    monkeypatch.setattr(
        lookups, "transaction_lines", lambda *_: ([{"id": "1", "invoice": {"number": number}, **line}], [])
    )
    report = reconcile()
    assert report.of(book.ids["unposted"])["classes"] == classes
    assert report.result["totals"]["NOK"]["posted"] == ("0" if classes == ["not_posted"] else "479.12")


def test_the_transaction_that_the_order_names_counts_whoever_it_is_for(
    book: Book, reconcile: Reconciler, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.posted("posted", "web-1")
    invoice = log.order["invoice"]
    line = {"id": "1", "invoice": {"number": str(invoice["number"])}, "transaction": invoice["transaction"]}
    monkeypatch.setattr(lookups, "transaction_lines", lambda *_: ([line], []))
    assert reconcile().of(book.ids["posted"])["classes"] == ["in_order"]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1990-02-03", "2150-01-01"])
def test_a_day_that_cannot_be_is_unknown_and_the_ledger_is_not_read_for_it(
    book: Book, reconcile: Reconciler, sandbox: Sandbox, day: str
) -> None:
    book.posted("fine", "web-1")
    book.posted("odd", "web-2")
    order = sandbox._service.tfso.books[ORGANIZATION].orders[book.ids["odd"]]
    order.header["invoice"] = {**order.header.get("invoice", {}), "date": day}
    invoice = next(each for each in sandbox._service.tfso.books[ORGANIZATION].invoices if each.order_id == order.id)
    invoice.date = datetime.date.fromisoformat(day)
    seen = len(sandbox.requests())
    report = reconcile()
    asked = [each for each in sandbox.requests()[seen:] if "transactionlines" in each["path"]]
    (query,) = [each["query"] for each in asked]
    assert query["dateFrom"] >= "2025-10-25"
    assert query["dateTo"] <= "2027-12-31"
    assert report.counts == {"in_order": 2}
    (note,) = [each for each in report.result["notes"] if "not compared with the ledger" in each]
    assert note.endswith(": 1.")

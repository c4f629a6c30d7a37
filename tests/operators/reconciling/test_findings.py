"""A messy book, reconciled at the wire."""

from __future__ import annotations

import pytest
from tests.conftest import ORGANIZATION, Log
from tests.messy_book import Book
from tests.operators.conftest import Run
from tests.operators.reconciling.conftest import REPAIRABLE, Reconciler

from tfso_hypatos.exceptions import AuthenticationFailed, Stopped
from tfso_hypatos.flows.by_hand import marker_by_hand
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.sandbox.server import Sandbox


def test_every_class_is_found(messy: Book, reconcile: Reconciler) -> None:
    report = reconcile.with_source()
    ids = messy.ids
    assert report.of(ids["fine"])["classes"] == ["in_order"]
    assert report.of(ids["late"])["classes"] == ["not_invoiced"]
    assert report.of(ids["unposted"])["classes"] == ["not_posted"]
    assert report.of(ids["unenriched"])["classes"] == ["not_enriched"]
    assert report.of(ids["filled"])["classes"] == ["two_orders", "not_invoiced"]
    assert report.of(ids["stray"])["classes"] == ["two_orders", "stray_without_lines"]
    assert report.of(ids["billed"])["classes"] == ["two_invoices", "not_enriched"]
    assert report.of(ids["billed again"])["classes"] == ["two_invoices", "not_enriched"]
    assert report.of(ids["edited"])["classes"] == ["content_drift", "not_invoiced"]
    assert report.of(ids["by hand"])["classes"] == ["not_invoiced", "marker_missing"]
    assert report.of(ids["sent"])["classes"] == ["invoicing_unconfirmed"]
    assert report.of(ids["other amount"])["classes"] == ["enrichment_differs"]
    assert report.of(ids["reversed"])["classes"] == ["ledger_differs"]
    assert report.of(ids["inactive"])["classes"] == ["not_found"]
    assert report.of(None)["order_key"] == "web-11"
    assert report.of(None)["classes"] == ["not_found"]
    assert set(report.counts) == {kind.value for kind in OrderClass}
    assert report.result["orders"] == len(ids)
    assert report.result["inactive"] == 1


def test_a_stray_in_work_is_none(book: Book, reconcile: Reconciler) -> None:
    book.make("filled", "web-1")
    book.make("new", "web-1", lines=[])
    assert reconcile().counts == {"in_order": 2}
    book.later(days=0.001)
    assert reconcile().counts == {"in_order": 2}
    assert reconcile(grace_minutes="0").counts == {"two_orders": 2, "stray_without_lines": 1}


def test_hypatos_that_may_not_be_asked_is_said_and_no_error(
    book: Book, reconcile: Reconciler, sandbox: Sandbox
) -> None:
    book.posted("unenriched", "web-4")
    book.later(days=10)
    sandbox.configure(missing_scopes=["enrichment.write"])
    report = reconcile.with_source()
    assert any("enrichment.write is not granted" in note for note in report.result["notes"])
    assert not {"not_enriched", "enrichment_differs"} & set(report.counts)


def test_every_page_is_read_and_the_filters_are_repeated(book: Book, reconcile: Reconciler, sandbox: Sandbox) -> None:
    for number in range(6):
        book.make(f"in {number}", f"web-{number}", date=f"2025-11-0{number + 1}")
    book.make("before", "web-8", date="2025-10-31")
    book.make("after", "web-9", date="2025-12-01")
    book.posted("billed", "web-10")
    sandbox.configure(page_maximum=2, ignore_filters=["dateFrom", "dateTo", "status"])
    assert reconcile().result["orders"] == 7
    assert reconcile(statuses="Invoice").result["orders"] == 1
    assert reconcile(statuses=["Draft", "Confirmed"]).result["orders"] == 6
    assert reconcile(date_from="2025-11-02", date_to="2025-11-03").result["orders"] == 2


def test_orders_without_a_marker_can_be_left_out(book: Book, reconcile: Reconciler) -> None:
    book.make("ours", "web-1")
    book.make("by hand", None)
    result = reconcile(unmarked="ignore").result
    assert (result["orders"], result["ignored"]) == (1, 1)


def test_a_copy_of_an_order_by_hand_is_an_order_of_its_own(book: Book, reconcile: Reconciler, log: Log) -> None:
    own = book.make("by hand", None)
    memo = str(marker_by_hand(ORGANIZATION, own, Holder("abcdef", "ghijkl")))
    book.tfso.update_sales_order(own, {"internalMemo": memo})
    book.bill("by hand")
    copy = book.make("copy", None, internalMemo=memo)
    book.later(days=10)
    report = reconcile()
    assert report.of(own)["classes"] == ["in_order"]
    assert report.of(copy)["classes"] == ["not_invoiced", "marker_missing"]


def test_a_killed_task_looks_at_no_further_order(book: Book, reconcile: Reconciler, run: Run, log: Log) -> None:
    book.make("ours", "web-1")
    task = reconcile.task(repair="apply", repair_classes=REPAIRABLE)
    task.on_kill()
    before = len(log.sent())
    with pytest.raises(Stopped):
        run.execute(task)
    assert len(log.sent()) <= before + 1


def test_a_service_that_fails_ends_the_run_with_its_error(
    book: Book, reconcile: Reconciler, run: Run, log: Log, sandbox: Sandbox
) -> None:
    for number in range(6):
        book.make(f"order {number}", f"web-{number}")
    seen = len(log.sent("GET", "/lines"))
    sandbox.add_fault(api="tfso", method="GET", path="/lines$", action="unauthorized", times=3)
    with pytest.raises(AuthenticationFailed):
        run.execute(reconcile.task(concurrency=1))
    assert len(log.sent("GET", "/lines")) == seen + 3

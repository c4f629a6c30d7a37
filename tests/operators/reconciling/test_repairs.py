"""What a reconciliation puts right, and what it leaves to people."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from pathlib import Path

import pytest
from tests.conftest import Log
from tests.messy_book import Book
from tests.operators.conftest import Run
from tests.operators.reconciling.conftest import REPAIRABLE, Reconciler, Report

from tfso_hypatos.exceptions import AuthenticationFailed, BatchFailed
from tfso_hypatos.sandbox.server import Sandbox


def test_without_a_repair_nothing_is_changed(messy: Book, reconcile: Reconciler, log: Log, sandbox: Sandbox) -> None:
    before, seen = sandbox.state(), len(sandbox.requests())
    reconcile.with_source(check_lines="all")
    requests = sandbox.requests()[seen:]
    assert [each for each in requests if each["committed"]] == []
    assert {each["method"] for each in requests if each["api"] == "tfso" and "token" not in each["path"]} == {"GET"}
    after = sandbox.state()
    assert (after["organizations"], after["enrichment_writes"]) == (
        before["organizations"],
        before["enrichment_writes"],
    )


def test_a_preview_lists_what_apply_does_and_changes_nothing(
    messy: Book, reconcile: Reconciler, log: Log, sandbox: Sandbox
) -> None:
    before, seen = sandbox.state(), len(sandbox.requests())
    preview = reconcile.with_source(repair="preview", repair_classes=REPAIRABLE)
    requests = sandbox.requests()[seen:]
    assert [each for each in requests if each["committed"]] == []
    sets = [
        each["body"]
        for each in requests
        if each["method"] == "PATCH" and list(json.loads(each["body"])) != ["externalId"]
    ]
    assert sets == []
    assert sandbox.state()["organizations"] == before["organizations"]
    assert sandbox.state()["enrichment"] == before["enrichment"]

    done = reconcile.with_source(repair="apply", repair_classes=REPAIRABLE)

    planned = {each["sales_order_id"]: each["repair"] for each in preview.orders if each["repair"]}
    applied = {each["sales_order_id"]: each["repair"] for each in done.orders if each["repair"]}
    assert {name: text.replace("planned:", "done:") for name, text in planned.items()} == applied
    assert preview.result["repair"] == {"mode": "preview", "planned": 3, "done": 0, "left": 2, "failed": 0}
    assert done.result["repair"] == {"mode": "apply", "planned": 0, "done": 3, "left": 2, "failed": 0}
    assert "Repairs that would be made" in preview.html


def test_apply_repairs_what_is_allowed_and_nothing_else(
    messy: Book, reconcile: Reconciler, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    invoices, orders = log.invoices, {each["id"]: each for each in log.orders}
    with caplog.at_level(logging.INFO):
        reconcile.with_source(repair="apply", repair_classes="not_enriched, enrichment_differs, stray_without_lines")
    ids = messy.ids
    after = {each["id"]: each for each in log.orders}
    assert log.invoices == invoices
    assert log.books["deleted_orders"] == []
    changed = [number for number in orders if after[number] != orders[number]]
    assert changed == [ids["stray"]]
    assert after[ids["stray"]]["status"] == "Inactive"
    assert log.records["web-4"]["customMetadata"]["tfso"]["salesOrderId"] == str(ids["unenriched"])
    assert log.records["web-10"]["totalGrossAmount"] == Decimal("479.12")
    assert "web-6" not in log.records
    said = [record.message for record in caplog.records if record.message.startswith("Repair of")]
    (withdrawn,) = [text for text in said if f"sales order {ids['stray']} inactive" in text]
    assert "was: status Draft, no lines, internalMemo af:" in withdrawn
    assert any("was: net 383.30, tax 95.82, gross 400.00, invoice 10006" in text for text in said)

    again = reconcile.with_source(repair="apply", repair_classes=REPAIRABLE)

    assert again.result["repair"] == {"mode": "apply", "planned": 0, "done": 0, "left": 2, "failed": 0}
    assert again.of(ids["stray"])["classes"] == again.of(ids["unenriched"])["classes"] == ["in_order"]


def test_only_the_named_class_is_repaired(messy: Book, reconcile: Reconciler) -> None:
    for kind in REPAIRABLE:
        report = reconcile.with_source(repair="preview", repair_classes=[kind])
        repaired = [each["classes"] for each in report.orders if each["repair"]]
        assert repaired
        assert all(kind in classes for classes in repaired)


def test_a_stray_that_may_be_a_persons_work_is_left_alone(book: Book, reconcile: Reconciler, log: Log) -> None:
    book.make("filled", "web-1")
    book.make("noted", "web-1", lines=[], memo="Ring before delivery")
    book.make("confirmed", "web-1", lines=[], status="Confirmed")
    book.make("alone", "web-2", lines=[])
    book.later(days=1)
    before = log.orders
    report = reconcile(repair="apply", repair_classes=["stray_without_lines"])
    ids = book.ids
    assert "differs from sales order 1001 in internalMemo, memo" in report.of(ids["noted"])["repair"]
    assert "differs from sales order 1001 in status" in report.of(ids["confirmed"])["repair"]
    assert "no other active order with the same marker has lines" in report.of(ids["alone"])["repair"]
    assert log.orders == before


def test_a_repair_that_fails_fails_the_task_after_the_report_is_written(
    book: Book, reconcile: Reconciler, tmp_path: Path, sandbox: Sandbox
) -> None:
    book.posted("unenriched", "web-4")
    book.later(days=10)
    sandbox.add_fault(api="hypatos", method="POST", path="/enrichment/sales-orders", action="unauthorized", times=3)
    with pytest.raises(BatchFailed, match=r"repairs failed: 1; the report is written") as raised:
        reconcile.with_source(repair="apply", repair_classes=["not_enriched"], concurrency=1)
    assert raised.value.failures[0].order == f"sales order {book.ids['unenriched']}"
    report = json.loads((tmp_path / "report" / "reconciliation.json").read_text())
    assert report["summary"]["repair"]["failed"] == 1


def test_what_a_try_repaired_stays_on_record_when_it_is_tried_again(
    book: Book, reconcile: Reconciler, run: Run, tmp_path: Path, sandbox: Sandbox
) -> None:
    book.make("filled", "web-5")
    book.make("stray", "web-5", lines=[])
    book.posted("unenriched", "web-9")
    book.later(days=10)
    ours = {"repair": "apply", "repair_classes": REPAIRABLE, "external_ids": {str(book.ids["unenriched"]): "web-9"}}
    sandbox.add_fault(api="hypatos", method="POST", path="/enrichment/sales-orders", action="unauthorized", times=3)
    with pytest.raises(BatchFailed):
        run.execute(reconcile.task(**ours))

    second = Report(tmp_path / "report", run.execute(reconcile.task(**ours), try_number=2))

    assert second.of(book.ids["stray"])["repair"] is None
    first, again = sorted((tmp_path / "report").glob("repairs-try-*.json"))
    assert again.name.startswith("repairs-try-002-")
    kept = {each["sales_order_id"]: each["repair"] for each in json.loads(first.read_text())["orders"]}
    assert kept[str(book.ids["stray"])].startswith("done: ")
    assert kept[str(book.ids["unenriched"])].startswith("failed: ")
    assert any(first.name in note for note in second.result["notes"])
    assert second.result["paths"]["repairs"].endswith(again.name)


@pytest.mark.parametrize("repair", ["apply", "preview"])
def test_a_run_under_apply_that_is_cut_off_leaves_a_report(
    book: Book, reconcile: Reconciler, run: Run, tmp_path: Path, sandbox: Sandbox, repair: str
) -> None:
    book.make("filled", "web-5")
    book.make("stray", "web-5", lines=[])
    book.make("last", "web-6")
    book.later(days=10)
    path = f"/salesorders/{book.ids['last']}/lines$"
    sandbox.add_fault(api="tfso", method="GET", path=path, action="unauthorized", times=3)
    with pytest.raises(AuthenticationFailed):
        run.execute(reconcile.task(repair=repair, repair_classes=REPAIRABLE, concurrency=1))
    file = tmp_path / "report" / "reconciliation.json"
    assert file.exists() == (repair == "apply")
    if repair == "apply":
        report = json.loads(file.read_text())
        assert report["summary"]["notes"][0].startswith("The run was cut off (AuthenticationFailed)")
        found = {each["sales_order_id"]: each["repair"] for each in report["orders"]}
        assert found[str(book.ids["stray"])].startswith("done: ")
        assert str(book.ids["last"]) not in found

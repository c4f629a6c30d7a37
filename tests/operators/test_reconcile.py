"""A messy book, reconciled at the wire."""

from __future__ import annotations

import csv
import datetime
import json
import logging
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ORGANIZATION, Connections, Log
from tests.messy_book import DAY, LINES, NAME, ORDER, Book, expected, fill
from tests.operators.conftest import Run

from tfso_hypatos.exceptions import AuthenticationFailed, BatchFailed, ConfigurationError, InvalidInput, Stopped
from tfso_hypatos.flows.by_hand import marker_by_hand
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.operators.reconciliation import ReconcileSalesOrdersOperator
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator
from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.sandbox import lookups
from tfso_hypatos.sandbox.server import Sandbox

REPAIRABLE = ["not_enriched", "enrichment_differs", "stray_without_lines"]


@pytest.fixture
def book(sandbox: Sandbox, connections: Connections) -> Book:
    return Book(sandbox)


@pytest.fixture
def messy(book: Book) -> Book:
    fill(book)
    return book


class Report:
    """What a run returned and wrote."""

    def __init__(self, folder: Path, result: dict[str, Any]) -> None:
        self.result = result
        self.html = (folder / "reconciliation.html").read_text(encoding="utf-8")
        self.text = (folder / "reconciliation.csv").read_bytes().decode("utf-8-sig")
        self.whole = json.loads((folder / "reconciliation.json").read_text(encoding="utf-8"))
        self.orders: list[dict[str, Any]] = self.whole["orders"]
        self.rows = list(csv.DictReader(self.text.splitlines()))

    def of(self, order_id: int | None) -> dict[str, Any]:
        (found,) = [each for each in self.orders if each["sales_order_id"] == (str(order_id) if order_id else None)]
        return found

    @property
    def counts(self) -> dict[str, int]:
        return {name: count for name, count in self.result["counts"].items() if count}


class Reconciler:
    """Runs the operator with the arguments that a test does not care about."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run, self._folder = run, folder

    def task(self, **arguments: Any) -> ReconcileSalesOrdersOperator:
        given = {"date_from": "2025-11-01", "date_to": "2025-11-30", "report_path": self._folder.as_uri(), **arguments}
        return ReconcileSalesOrdersOperator(task_id="reconcile", **given)

    def __call__(self, **arguments: Any) -> Report:
        return Report(self._folder, self._run.execute(self.task(**arguments)))

    def with_source(self, **arguments: Any) -> Report:
        return self(**{"expected": expected(), "external_id": "{order_key}", **arguments})


@pytest.fixture
def reconcile(run: Run, tmp_path: Path) -> Reconciler:
    return Reconciler(run, tmp_path / "report")


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


def test_the_totals_are_those_of_the_books(messy: Book, reconcile: Reconciler, log: Log) -> None:
    totals = reconcile.with_source().result["totals"]
    active = [each for each in log.orders if each["status"] != "Inactive"]
    billed = [each for each in active if each["status"] == "Invoice"]
    posted = [each for each in billed if "transaction" in each["invoice"]]

    def gross(orders: list[dict[str, Any]]) -> str:
        return str(sum((Decimal(each["grossAmount"]) for each in orders), Decimal(0)))

    of_enriched = [each for each in posted if each["id"] in (messy.ids["fine"], messy.ids["reversed"])]
    assert totals == {
        "NOK": {
            "orders": len(active),
            "ordered": gross(active),
            "invoiced": gross(billed),
            "posted": gross(posted),
            "enriched": gross(of_enriched),
        }
    }


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


def test_a_stray_in_work_is_none(book: Book, reconcile: Reconciler) -> None:
    book.make("filled", "web-1")
    book.make("new", "web-1", lines=[])
    assert reconcile().counts == {"in_order": 2}
    book.later(days=0.001)
    assert reconcile().counts == {"in_order": 2}
    assert reconcile(grace_minutes="0").counts == {"two_orders": 2, "stray_without_lines": 1}


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
    ours = {"repair": "apply", "repair_classes": REPAIRABLE, "external_id": {str(book.ids["unenriched"]): "web-9"}}
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


def test_a_ledger_that_may_not_be_read_is_said_and_no_error(
    book: Book, reconcile: Reconciler, sandbox: Sandbox
) -> None:
    book.make("unposted", "web-3")
    book.bill("unposted", posted_after=100 * DAY)
    book.posted("reversed", "web-12")
    book.reverse("reversed")
    book.later(days=10)
    assert reconcile(external_id="{order_key}").of(book.ids["reversed"])["classes"] == ["ledger_differs"]
    sandbox.configure(missing_scopes=["api.accounting.transaction:read"])
    report = reconcile.with_source(expected=["web-3", "web-12"])
    note = "The ledger was not compared: the scope api.accounting.transaction:read is not granted."
    assert note in report.result["notes"]
    assert note in report.html
    assert "ledger_differs" not in report.counts
    assert report.of(book.ids["unposted"])["classes"] == ["not_posted"]


def test_hypatos_that_may_not_be_asked_is_said_and_no_error(
    book: Book, reconcile: Reconciler, sandbox: Sandbox
) -> None:
    book.posted("unenriched", "web-4")
    book.later(days=10)
    sandbox.configure(missing_scopes=["enrichment.write"])
    report = reconcile.with_source()
    assert any("enrichment.write is not granted" in note for note in report.result["notes"])
    assert not {"not_enriched", "enrichment_differs"} & set(report.counts)


def test_without_an_external_id_hypatos_is_not_asked(
    book: Book, reconcile: Reconciler, sandbox: Sandbox, connections: Connections
) -> None:
    book.posted("unenriched", "web-4")
    connections.hypatos(login=None)
    seen = len(sandbox.requests())
    report = reconcile(expected=expected())
    assert {each["api"] for each in sandbox.requests()[seen:]} == {"tfso"}
    assert report.result["notes"] == ["Hypatos was not compared: no external_id was given."]


@pytest.mark.parametrize(
    ("external_id", "of_two"),
    [
        ("web-{sales_order_id}", "web-1002"),
        ("web-{reference_number}", None),
        ({"1001": "web-1001"}, None),
        ('{"1001": "web-1001", "1002": "B 7"}', None),
        ("web-{customer_id}-{invoice_number}", "web-42-10002"),
    ],
)
def test_the_external_id_is_made_of_the_order_or_looked_up(
    book: Book, reconcile: Reconciler, external_id: Any, of_two: str | None
) -> None:
    book.make("one", None, referenceNumber="1001")
    book.bill("one")
    for key in ("web-1001", "web-42-10001"):
        book.enrich("one", key)
    book.posted("two", None)
    report = reconcile(external_id=external_id)
    assert report.of(book.ids["one"])["classes"] == ["marker_missing"]
    two = report.of(book.ids["two"])
    assert two["external_id"] == of_two
    assert two["classes"] == (["not_enriched"] if of_two else []) + ["marker_missing"]
    unknown = "Posted orders not compared with Hypatos, for their external id is not known: 1."
    assert report.result["notes"] == ([] if of_two else [unknown])


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


def test_a_sale_that_lost_its_marker_is_shown_and_can_get_it_back(
    book: Book, reconcile: Reconciler, run: Run, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    source: dict[str, Any] = {"order_key": "web-1", "order": ORDER, "lines": LINES}
    created = run.execute(CreateSalesOrderOperator(task_id="create", **source))
    ours = created["sales_order_id"]
    marker: str = log.order["internalMemo"]
    assert f"Marker of sales order {ours}: {marker}" in capsys.readouterr().out
    book.tfso.update_sales_order(ours, {"internalMemo": ""})
    book.make("by hand", None)

    report = reconcile(expected=[source], unmarked="ignore")

    assert report.result["ignored"] == 0
    assert "marker_missing" in report.of(ours)["classes"]
    assert any("may be a sale that was not found" in note for note in report.result["notes"])
    missing = report.of(None)
    assert missing["classes"] == ["not_found"]
    (put_back,) = re.findall(r"af:\S+", missing["details"])
    assert put_back.rpartition("/")[0] == marker.rpartition("/")[0]

    book.tfso.update_sales_order(ours, {"internalMemo": put_back})

    assert reconcile(expected=[source], unmarked="ignore").counts == {"in_order": 1}
    found = Run("run-2").execute(CreateSalesOrderOperator(task_id="create", **source))
    assert (found["sales_order_id"], found["created"]) == (ours, False)


def test_a_sale_whose_only_order_is_inactive_is_not_found(book: Book, reconcile: Reconciler) -> None:
    book.make("off", "web-1")
    book.tfso.update_sales_order(book.ids["off"], {"status": "Inactive"})
    book.make("by hand", None)
    report = reconcile(expected=["web-1"], unmarked="ignore")
    assert report.of(book.ids["off"])["classes"] == ["not_found"]
    assert f"its order {book.ids['off']} is inactive" in report.of(book.ids["off"])["details"]
    assert report.result["ignored"] == 0
    book.make("anew", "web-1")
    assert reconcile(expected=["web-1"], unmarked="ignore").counts == {"in_order": 2}


def test_who_pays_and_how_is_held_against_the_source(book: Book, reconcile: Reconciler, run: Run) -> None:
    order: dict[str, Any] = {**ORDER, "paymentMethod": {"id": 1}}
    whole: dict[str, Any] = {"order_key": "web-1", "order": order, "lines": LINES}
    created = run.execute(CreateSalesOrderOperator(task_id="create", **whole))
    ours = created["sales_order_id"]
    book.later(days=1)
    for source in (created, whole):
        assert reconcile(expected=[source]).counts == {"in_order": 1}
    changes = {"customer": {"id": 777, "name": NAME}, "currency": {"code": "EUR"}, "paymentMethod": {"id": 2}}
    book.tfso.update_sales_order(ours, changes)
    book.tfso.update_sales_order(ours, {"status": "Invoice"})
    book.later(days=2)
    for source in (created, whole, {"order_key": "web-1", "order": order}):
        found = reconcile(expected=[source]).of(ours)
        assert found["classes"] == ["content_drift"]
        assert "customer 777, in the source 42" in found["details"]
        assert "currency EUR, in the source NOK" in found["details"]
        assert "payment method 2, in the source 1" in found["details"]


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


def test_a_file_of_one_list_is_refused_and_not_shown(
    book: Book, reconcile: Reconciler, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "orders.json"
    path.write_text(json.dumps([{"order_key": "web-1", "order": ORDER}], ensure_ascii=False))
    with pytest.raises(InvalidInput) as raised:
        run.execute(reconcile.task(expected_path=path.as_uri()))
    assert "one item in each line" in str(raised.value)
    assert NAME not in str(raised.value)


def test_a_source_of_keys_alone_and_a_file_will_do(book: Book, reconcile: Reconciler, tmp_path: Path) -> None:
    book.make("ours", "web-1")
    path = tmp_path / "source.jsonl"
    path.write_text('{"order_key": "web-1", "net_amount": "383.30"}\n"web-2"\n')
    repeated = reconcile(expected=["web-1", "web-1"]).result["notes"]
    assert "Items of the source left out, for they repeat the order key of another one: 1." in repeated
    assert reconcile(expected=["web-1", "web-2"]).counts == {"not_found": 1, "in_order": 1}
    assert reconcile(expected_path=path.as_uri()).counts == {"not_found": 1, "in_order": 1}
    path.write_text('{"order_key": "web-1", "net_amount": "383.31"}\n')
    book.later(days=1)
    report = reconcile(expected_path=path.as_uri())
    assert report.of(book.ids["ours"])["details"] == "net amount 383.30, in the source 383.31"


def test_nothing_personal_is_in_report_result_or_log(
    messy: Book, reconcile: Reconciler, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        report = reconcile.with_source(repair="apply", repair_classes=REPAIRABLE)
    for text in (report.html, report.text, json.dumps(report.whole), json.dumps(report.result), caplog.text):
        assert NAME not in text
        assert NAME.split()[0] not in text
        assert "Rørdeler" not in text


def test_orders_are_linked_where_the_connection_knows_their_address(
    book: Book, reconcile: Reconciler, connections: Connections
) -> None:
    book.make("ours", None)
    connections.tfso(extra={"order_url_template": "https://erp.example/{organization_id}/{order_id}?a=1&b=2"})
    report = reconcile()
    assert report.rows[0]["link"] == "https://erp.example/100000000000001/1001?a=1&b=2"
    assert 'href="https://erp.example/100000000000001/1001?a=1&amp;b=2"' in report.html
    connections.tfso(extra={"order_url_template": "javascript:alert({order_id})"})
    assert "javascript:" not in reconcile().html


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"date_from": "20251101"}, "date_from"),
        ({"date_from": "2025-13-01"}, "date_from"),
        ({"date_from": "0001-01-01"}, "date_from"),
        ({"date_to": "9999-12-31"}, "date_to"),
        ({"date_to": "2025-10-31"}, "date_to"),
        ({"statuses": "Invoiced"}, "statuses"),
        ({"report_path": ""}, "report_path"),
        ({"external_id": "web"}, "external_id"),
        ({"external_id": "{name}"}, "external_id"),
        ({"external_id": "web-{order_id}"}, "external_id"),
        ({"external_id": "{sales_order_id}-{name}"}, "external_id"),
        ({"external_id": "{sales_order_id}-{ name }"}, "external_id"),
        ({"unmarked": "hide"}, "unmarked"),
        ({"not_invoiced_after_days": "-1"}, "not_invoiced_after_days"),
        ({"not_posted_after_days": True}, "not_posted_after_days"),
        ({"check_lines": "some"}, "check_lines"),
        ({"repair": "yes"}, "repair"),
        ({"repair": "apply"}, "repair_classes"),
        ({"repair": "apply", "repair_classes": ["not_invoiced"]}, "repair_classes"),
        ({"repair": "apply", "repair_classes": ["two_orders"]}, "repair_classes"),
        ({"concurrency": 0}, "concurrency"),
        ({"expected": [{"order_key": ""}]}, "item 1: order_key"),
        ({"expected": [{"order_key": "A", "lines": [{"price": "x"}]}]}, "item 1: lines[0].price"),
        ({"expected": ["{"]}, "item 1: text"),
        ({"expected": ['[{"order_key": "A"}]']}, "item 1: text"),
        ({"expected": ["[not JSON"]}, "item 1: text"),
        ({"expected": [[{"order_key": "A"}]]}, "item 1: text"),
        ({"expected": [{"order_key": "{A}"}]}, "item 1: order_key"),
        ({"expected": ["A\x07B"]}, "item 1: order_key"),
        ({"expected": ["A" * 201]}, "item 1: order_key"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(
    book: Book, reconcile: Reconciler, run: Run, log: Log, arguments: Any, place: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        run.execute(reconcile.task(**arguments))
    assert [problem.place for problem in raised.value.problems] == [place]
    assert log.sent() == []


def test_two_sources_are_one_too_many(book: Book, reconcile: Reconciler, run: Run) -> None:
    with pytest.raises(ConfigurationError, match="and not both"):
        run.execute(reconcile.task(expected=["A"], expected_path="file:///tmp/x.jsonl"))


def test_what_a_template_renders_is_taken(book: Book, reconcile: Reconciler) -> None:
    book.posted("ours", "web-1")
    report = reconcile(
        expected='["web-1"]',
        statuses='["Invoice"]',
        not_invoiced_after_days="7",
        concurrency=1,
        repair_classes="",
        external_id="",
        expected_path="",
    )
    assert report.counts == {"in_order": 1}


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

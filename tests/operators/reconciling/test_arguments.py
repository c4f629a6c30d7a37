"""What a reconciliation is told to do."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Connections, Log
from tests.messy_book import Book, expected
from tests.operators.conftest import Run
from tests.operators.reconciling.conftest import Reconciler

from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.sandbox.server import Sandbox


@pytest.mark.parametrize(
    ("arguments", "of_two"),
    [
        ({"external_id_format": "web-{sales_order_id}"}, "web-1002"),
        ({"external_id_format": "web-{reference_number}"}, None),
        ({"external_ids": {"1001": "web-1001"}}, None),
        ({"external_ids": {1001: "web-1001"}, "external_id_format": "B-{sales_order_id}"}, "B-1002"),
        ({"external_ids": '{"1001": "web-1001", "1002": "B 7"}'}, None),
        ({"external_id_format": "web-{customer_id}-{invoice_number}"}, "web-42-10002"),
    ],
)
def test_the_external_id_is_made_of_the_order_or_looked_up(
    book: Book, reconcile: Reconciler, arguments: dict[str, Any], of_two: str | None
) -> None:
    book.make("one", None, referenceNumber="1001")
    book.bill("one")
    for key in ("web-1001", "web-42-10001"):
        book.enrich("one", key)
    book.posted("two", None)
    report = reconcile(**arguments)
    assert report.of(book.ids["one"])["classes"] == ["marker_missing"]
    two = report.of(book.ids["two"])
    assert two["external_id"] == of_two
    assert two["classes"] == (["not_enriched"] if of_two else []) + ["marker_missing"]
    unknown = "Posted orders not compared with Hypatos, for their external id is not known: 1."
    assert report.result["notes"] == ([] if of_two else [unknown])


def test_without_an_external_id_hypatos_is_not_asked(
    book: Book, reconcile: Reconciler, sandbox: Sandbox, connections: Connections
) -> None:
    book.posted("unenriched", "web-4")
    connections.hypatos(login=None)
    seen = len(sandbox.requests())
    report = reconcile(expected=expected())
    assert {each["api"] for each in sandbox.requests()[seen:]} == {"tfso"}
    assert report.result["notes"] == [
        "Hypatos was not compared: neither external_id_format nor external_ids was given."
    ]


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
        ({"report_url": "s3://bucket/november"}, "report_url"),
        ({"report_url": "javascript:alert(1)"}, "report_url"),
        ({"report_url": "https://reports.example/a b"}, "report_url"),
        ({"report_url": "https://reports.example/november?sig=abc"}, "report_url"),
        ({"report_url": "https://reports.example/november?"}, "report_url"),
        ({"report_url": "https://reports.example/#november"}, "report_url"),
        ({"report_url": "https://me:geheim@reports.example/november"}, "report_url"),
        ({"report_url": "https://me@reports.example/november"}, "report_url"),
        ({"report_url": "https://@reports.example/november"}, "report_url"),
        ({"external_id_format": "web"}, "external_id_format"),
        ({"external_id_format": "{name}"}, "external_id_format"),
        ({"external_id_format": "web-{order_id}"}, "external_id_format"),
        ({"external_id_format": "{sales_order_id}-{name}"}, "external_id_format"),
        ({"external_id_format": "{sales_order_id}-{ name }"}, "external_id_format"),
        ({"external_id_format": '{"1001": "web-1001"}'}, "external_id_format"),
        ({"external_id_format": {"1001": "web-1001"}}, "external_id_format"),
        ({"external_ids": "web-{sales_order_id}"}, "external_ids"),
        ({"external_ids": ["web-1001"]}, "external_ids"),
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
    assert "geheim" not in str(raised.value)
    assert log.sent() == []


def test_what_a_template_renders_is_taken(book: Book, reconcile: Reconciler) -> None:
    book.posted("ours", "web-1")
    report = reconcile(
        expected='["web-1"]',
        statuses='["Invoice"]',
        not_invoiced_after_days="7",
        concurrency=1,
        repair_classes="",
        external_id_format="",
        external_ids="",
        expected_path="",
    )
    assert report.counts == {"in_order": 1}

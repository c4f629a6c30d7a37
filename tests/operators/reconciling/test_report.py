"""What a report shows, and what it must not."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import Any

import pytest
from tests.conftest import Connections, Log
from tests.messy_book import NAME, Book
from tests.operators.conftest import Run
from tests.operators.reconciling.conftest import REPAIRABLE, Reconciler

from tfso_hypatos.exceptions import AuthenticationFailed, BatchFailed
from tfso_hypatos.links.sales_order import REPORT_URL
from tfso_hypatos.sandbox.server import Sandbox


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
    connections.tfso(extra={"order_url_template": "https://erp.example/{organization_id}/{sales_order_id}?a=1&b=2"})
    report = reconcile()
    assert report.rows[0]["link"] == "https://erp.example/100000000000001/1001?a=1&b=2"
    assert 'href="https://erp.example/100000000000001/1001?a=1&amp;b=2"' in report.html
    connections.tfso(extra={"order_url_template": "javascript:alert({sales_order_id})"})
    assert "javascript:" not in reconcile().html


@pytest.mark.parametrize("address", ["https://reports.example/november", "https://reports.example/november/"])
def test_the_task_links_to_the_report_where_people_can_open_it(
    book: Book, reconcile: Reconciler, run: Run, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    paths = reconcile(report_url=address).result["paths"]
    assert paths["url"] == run.xcom[REPORT_URL] == "https://reports.example/november/reconciliation.html"
    assert f"The report is {paths['url']}" in capsys.readouterr().out


@pytest.mark.parametrize("address", [None, ""])
def test_a_report_in_a_file_has_no_link(
    book: Book, reconcile: Reconciler, run: Run, capsys: pytest.CaptureFixture[str], address: str | None
) -> None:
    paths = reconcile(report_url=address).result["paths"]
    assert paths.keys() == {"html", "csv", "json"}
    assert f"The report is {paths['html']}" in capsys.readouterr().out
    assert run.xcom == {}


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_task_that_failed_links_to_what_it_reported(
    book: Book, reconcile: Reconciler, run: Run, sandbox: Sandbox, cut_off: bool
) -> None:
    book.posted("unenriched", "web-4")
    book.make("open", "web-5")
    book.later(days=10)
    lines, record = f"/salesorders/{book.ids['open']}/lines$", "/enrichment/sales-orders"
    failing = {"method": "GET", "path": lines} if cut_off else {"method": "POST", "path": record}
    sandbox.add_fault(**failing, action="unauthorized", times=3)
    task = {"repair": "apply", "repair_classes": REPAIRABLE, "report_url": "https://reports.example", "concurrency": 1}
    with pytest.raises(AuthenticationFailed if cut_off else BatchFailed):
        reconcile.with_source(**task)
    assert run.xcom[REPORT_URL] == "https://reports.example/reconciliation.html"

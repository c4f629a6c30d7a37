"""What a report shows, and what it must not."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from typing import Any

import pytest
from tests.conftest import Connections, Log
from tests.messy_book import NAME, Book
from tests.operators.reconciling.conftest import REPAIRABLE, Reconciler


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
    connections.tfso(extra={"order_url_template": "https://erp.example/{organization_id}/{order_id}?a=1&b=2"})
    report = reconcile()
    assert report.rows[0]["link"] == "https://erp.example/100000000000001/1001?a=1&b=2"
    assert 'href="https://erp.example/100000000000001/1001?a=1&amp;b=2"' in report.html
    connections.tfso(extra={"order_url_template": "javascript:alert({order_id})"})
    assert "javascript:" not in reconcile().html

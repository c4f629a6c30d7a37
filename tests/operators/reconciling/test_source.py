"""What the source knows, held against the book."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Log
from tests.messy_book import LINES, NAME, ORDER, Book
from tests.operators.conftest import Run
from tests.operators.reconciling.conftest import Reconciler

from tfso_hypatos.exceptions import ConfigurationError, InvalidInput
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator


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


def test_two_sources_are_one_too_many(book: Book, reconcile: Reconciler, run: Run) -> None:
    with pytest.raises(ConfigurationError, match="and not both"):
        run.execute(reconcile.task(expected=["A"], expected_path="file:///tmp/x.jsonl"))

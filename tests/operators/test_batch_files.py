"""Batches that are read from files and leave their results in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operators.batch_files import item, lines_in, reading, written

from tfso_hypatos.exceptions import BatchFailed
from tfso_hypatos.operators.sales_order import EnrichSalesOrdersOperator, InvoiceSalesOrdersOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run


@pytest.mark.usefixtures("connections")
def test_a_file_becomes_invoices_by_way_of_folders(run: Run, log: Log, tmp_path: Path) -> None:
    path = written(tmp_path / "orders.jsonl", item(1), "", item(2), item(3))
    created = run.execute(reading(path, tmp_path / "created"))
    summary = {"total": 3, "done": 3, "failed": 0, "skipped": 0}
    assert created == {**summary, "results_path": (tmp_path / "created").as_uri()}
    invoice = InvoiceSalesOrdersOperator(
        task_id="invoice", orders=created, results_path=(tmp_path / "invoiced").as_uri()
    )
    assert run.execute(invoice).items() >= summary.items()
    enrich = EnrichSalesOrdersOperator(
        task_id="enrich", path=str(tmp_path / "invoiced"), results_path=str(tmp_path / "enriched"), on_missing="insert"
    )
    assert run.execute(enrich).items() >= summary.items()
    assert len(log.invoices) == len(log.records) == 3
    assert {each["order_key"] for each in lines_in(tmp_path / "invoiced")} == {"web-1", "web-2", "web-3"}
    assert not list(tmp_path.glob("*/.*"))


@pytest.mark.usefixtures("connections")
def test_a_file_without_results_path_returns_every_result(run: Run, log: Log, tmp_path: Path) -> None:
    results = run.execute(reading(written(tmp_path / "orders.jsonl", item(2), item(1), item(2))))
    assert [each["order_key"] for each in results] == ["web-2", "web-1", "web-2"]
    assert len(log.orders) == 2


@pytest.mark.usefixtures("connections")
def test_an_empty_file_leaves_a_folder_for_the_next_task(run: Run, log: Log, tmp_path: Path) -> None:
    created = run.execute(reading(written(tmp_path / "orders.jsonl"), tmp_path / "created"))
    assert created["total"] == 0
    assert run.execute(InvoiceSalesOrdersOperator(task_id="invoice", orders=created)) == []
    assert log.sandbox.requests() == []


@pytest.mark.usefixtures("connections")
def test_a_retry_does_only_what_is_not_done(
    run: Run, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.PART_SIZE", 2)
    log.sandbox.configure(known_customers=[42])
    path = written(tmp_path / "orders.jsonl", *(item(number, 43 if number == 3 else 42) for number in range(1, 7)))
    operator = reading(path, tmp_path / "created")
    with pytest.raises(BatchFailed, match="1 of 6 orders failed; 5 are done"):
        run.execute(operator)
    assert len(lines_in(tmp_path / "created")) == 5
    log.sandbox.configure(known_customers=None)
    before = len(log.changes), len(log.sent("GET"))
    assert run.execute(operator, try_number=2) == {
        "total": 6,
        "done": 1,
        "failed": 0,
        "skipped": 5,
        "results_path": (tmp_path / "created").as_uri(),
    }
    assert len(log.changes) - before[0] == 2
    # List, settle, list again, create, list, line, lines, order: those of one order, and looks that a busy machine made
    # too old. Five more orders would be looked at with three requests each.
    assert len(log.sent("GET")) - before[1] < 15
    assert sorted(each["order_key"] for each in lines_in(tmp_path / "created")) == [f"web-{n}" for n in range(1, 7)]


@pytest.mark.usefixtures("connections")
def test_a_retry_without_results_adopts_what_is_there(run: Run, log: Log, tmp_path: Path) -> None:
    log.sandbox.configure(known_customers=[42])
    operator = reading(written(tmp_path / "orders.jsonl", item(1), item(2, 43)))
    with pytest.raises(BatchFailed):
        run.execute(operator)
    log.sandbox.configure(known_customers=None)
    results = run.execute(operator, try_number=2)
    assert [each["created"] for each in results] == [False, True]
    assert len(log.orders) == 2


@pytest.mark.usefixtures("connections")
def test_an_order_with_other_content_is_not_taken_for_done(run: Run, tmp_path: Path) -> None:
    run.execute(reading(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created"))
    changed = item(1)
    changed["lines"][0]["price"] = 9
    with pytest.raises(BatchFailed, match="OrderDrift"):
        run.execute(reading(written(tmp_path / "orders.jsonl", changed), tmp_path / "created"), try_number=2)

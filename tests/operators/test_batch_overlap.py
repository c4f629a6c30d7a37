"""Two tries of a batch that overlapped, and both left results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from tests.operators.batch_files import item, lines_in, reading, written

from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.operators.batch.items import Job, check
from tfso_hypatos.operators.batch.sources import ListSource
from tfso_hypatos.operators.sales_order import InvoiceSalesOrdersOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run


def overlapping_tries(run: Run, folder: Path, orders: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leave results of two tries of the create task, of which the second read the folder too early."""
    first, second = folder.with_name("first"), folder
    one = run.execute(reading(orders, first))
    two = run.execute(reading(orders, second), try_number=2)
    assert one["done"] == two["done"]
    results = lines_in(first)[0], lines_in(second)[0]
    assert "holder" in results[0]
    assert "holder" not in results[1]
    for part in first.glob("*.jsonl"):
        part.rename(second / part.name)
    return results


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("later", ["first", "second"])
def test_results_of_tries_that_overlapped_are_invoiced_once_under_nobodys_holder(
    run: Run, log: Log, tmp_path: Path, later: str
) -> None:
    folder = tmp_path / "created"
    overlapping_tries(run, folder, written(tmp_path / "orders.jsonl", item(1), item(2)))
    if later == "first":
        (part,) = folder.glob("*-001-*")
        part.rename(folder / part.name.replace("-001-", "-003-"))
    with DAG("orders", schedule=None):
        invoice = InvoiceSalesOrdersOperator(task_id="invoice", path=str(folder), results_path=str(tmp_path / "done"))
    log.sandbox.configure(reinvoice="invoice_again")
    assert run.execute(invoice).items() >= {"total": 4, "done": 2, "failed": 0, "skipped": 2}.items()
    assert len(log.invoices) == 2
    # Each is taken over first: the try that wrote the holder may be alive.
    assert len(log.sent("PATCH")) == 4


@pytest.mark.usefixtures("connections")
def test_results_of_one_order_that_ask_for_different_invoices_are_refused(run: Run, log: Log, tmp_path: Path) -> None:
    one, two = overlapping_tries(run, tmp_path / "created", written(tmp_path / "orders.jsonl", item(1)))
    path = written(tmp_path / "mine.jsonl", one, {**two, "due_date": "2026-12-24"})
    with pytest.raises(InvalidInput, match="names the same order as item 1, with other content"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=path))
    assert log.invoices == []


def test_of_the_results_of_one_order_the_one_without_a_holder_counts_or_else_the_last() -> None:
    def repeats(*results: str) -> Any:
        def job(result: str) -> Job:
            async def work() -> dict[str, Any]:
                return {}

            return Job("k", "k", result, {}, work, origin="same", held=result.startswith("held"))

        return check(ListSource(results), job).repeats

    assert repeats("held 1", "free", "held 2", "held 1") == {0: 1, 2: 1, 3: 1}
    assert repeats("free", "held 1") == {1: 0}
    assert repeats("held 1", "held 2", "held 3") == {0: 2, 1: 2}
    assert repeats("held 1", "held 1", "free", "free") == {0: 2, 1: 2, 3: 2}

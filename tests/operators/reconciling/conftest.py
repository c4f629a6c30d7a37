"""A book, and how a test reconciles it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Connections
from tests.messy_book import Book, expected, fill
from tests.operators.conftest import Run

from tfso_hypatos.operators.reconciliation import ReconcileSalesOrdersOperator
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
        return self(**{"expected": expected(), "external_id_format": "{order_key}", **arguments})


@pytest.fixture
def reconcile(run: Run, tmp_path: Path) -> Reconciler:
    return Reconciler(run, tmp_path / "report")

"""Batches that read files and leave their results in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.operators import batches

from tfso_hypatos.operators.sales_order import CreateSalesOrdersOperator


def item(number: int, customer: int = 42) -> dict[str, Any]:
    """Return an item of a create task, with one line."""
    whole = batches.item(number, customer)
    return {**whole, "lines": whole["lines"][:1]}


def written(path: Path, *items: Any) -> str:
    """Write items into a file, one a line, and return its URL."""
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in items))
    return path.as_uri()


def lines_in(folder: Path) -> list[dict[str, Any]]:
    """Return the results in a folder."""
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def reading(path: str, results: Path | None = None, **arguments: Any) -> CreateSalesOrdersOperator:
    """Return a task that creates the orders of a file."""
    where = None if results is None else results.as_uri()
    return CreateSalesOrdersOperator(task_id="create", path=path, results_path=where, **arguments)

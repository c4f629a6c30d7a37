"""Runs one large batch and prints the most memory its process ever had.

python tests/benchmarks/memory.py COUNT file|list     COUNT records in Hypatos are patched: from files to files,
or from a list in memory to a list in memory; prints JSON: MiB before, MiB at most, seconds
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from airflow.sdk import DAG
from tests.benchmarks.processes import quiet
from tests.operators.conftest import Run

from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.operators.sales_orders import EnrichSalesOrdersOperator


def item(number: int) -> dict[str, Any]:
    """Return what one record is patched with."""
    return {"external_id": f"web-{number}", "patch": {"headerText": f"Order {number}", "currency": "NOK"}}


def mebibytes(name: str) -> float:
    """Return a size of this process: VmRSS is the present one, VmHWM the largest."""
    # Not getrusage: what it says of a new process begins with the size of the one that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) / 1024


def run(count: int, kind: str) -> tuple[float, float, float]:
    """Run a batch; return MiB before, MiB at most, and seconds."""
    with TemporaryDirectory() as folder, quiet(), DAG("orders", schedule=None):
        arguments: dict[str, Any] = {}
        if kind == "file":
            path = Path(folder) / "orders.jsonl"
            with path.open("w") as file:
                file.writelines(json.dumps(item(number)) + "\n" for number in range(count))
            arguments = {"path": str(path), "results_path": f"{folder}/results"}
        with HypatosHook() as hook:
            hook.transport.token()
        before, began = mebibytes("VmRSS"), time.perf_counter()
        if kind == "list":
            arguments = {"orders": [item(number) for number in range(count)]}
        operator = EnrichSalesOrdersOperator(task_id="enrich", concurrency=16, **arguments)
        result = Run().execute(operator)
        seconds, most = time.perf_counter() - began, mebibytes("VmHWM")
        done = result["done"] if kind == "file" else len(result)
        if done != count:
            raise RuntimeError(f"{done} of {count} done")
    return before, most, seconds


if __name__ == "__main__":
    result = run(int(sys.argv[1]), sys.argv[2])
    sys.stdout.write(f"\n{json.dumps(result)}\n")

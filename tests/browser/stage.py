"""A real Airflow without connections, and a sandbox: what the browser is let loose on."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfso_hypatos.sandbox.server import Sandbox

ROOT = Path(__file__).parents[2]

TRANSACTION_DELAY = 2.0
_PATIENCE = 300.0


def tools(name: str) -> Any:
    """Return a module of ``.make``, which is no package."""
    sys.path.insert(0, str(ROOT / ".make"))
    return importlib.import_module(name)


@dataclass(frozen=True)
class Stage:
    """What runs.

    :param airflow: the Airflow, an object of ``.make/environment.py``.
    :param sandbox: the sandbox.
    :param folder: a folder for files of tests, removed in the end.
    """

    airflow: Any
    sandbox: Sandbox
    folder: Path

    def order(self, order_id: int) -> dict[str, Any]:
        """Return an order of the sandbox's books."""
        (found,) = [order for order in self.books["orders"] if order["id"] == order_id]
        return dict(found)

    @property
    def books(self) -> dict[str, Any]:
        """The books of the one organization."""
        (books,) = self.sandbox.state()["organizations"].values()
        return dict(books)

    def returned(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task of a run has returned."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.airflow.ask("GET", f"{path}?deserialize=true")["value"]

    def why(self, dag_id: str, run_id: str) -> str:
        """Return the states of the tasks of a run, and what those that failed have logged."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        states = {task["task_id"]: task["state"] for task in self.airflow.ask("GET", path)["task_instances"]}
        return f"{states}\n{self.airflow.reasons(run_id, dag_id)}"


@contextmanager
def running(sandbox_port: int = 0) -> Iterator[Stage]:
    """Start both, wait until every example DAG is there, and stop both in the end.

    :param sandbox_port: port of the sandbox; 0 picks a free one.
    """
    environment = tools("environment")
    home = Path(tempfile.mkdtemp(prefix="airflow-browser-"))
    try:
        with Sandbox(port=sandbox_port, transaction_delay=TRANSACTION_DELAY) as sandbox:
            airflow = environment.Airflow(home, environment.free_port())
            try:
                with airflow.running():
                    tools("airflow_ui").make_pool(airflow)
                    _await_dags(airflow)
                    (home / "files").mkdir()
                    yield Stage(airflow, sandbox, home / "files")
            except environment.Failure as failure:
                raise RuntimeError(f"{failure}\n{airflow.last_lines()}") from failure
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _await_dags(airflow: Any) -> None:
    wanted = len(list((ROOT / "dags").glob("*.py")))
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with suppress(Exception):
            if airflow.ask("GET", "/api/v2/dags")["total_entries"] >= wanted:
                return
        time.sleep(1)
    raise RuntimeError(f"Airflow did not find the example DAGs within {_PATIENCE:.0f} seconds")

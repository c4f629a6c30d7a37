"""Kills the triggerer of a real Airflow while an order waits in it, starts another one, and judges the books.

python tests/kills/triggerer.py
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # its types are a package of their own

from tfso_hypatos.sandbox.server import Sandbox

POSTED_AFTER = 25.0
"""Seconds from invoicing to the ledger transaction: the triggerer is killed long before."""

PATIENCE = 240.0


def _await(what: str, condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    raise TimeoutError(f"waited {PATIENCE:.0f} s in vain: {what}")


def _triggerers(root: psutil.Process) -> list[psutil.Process]:
    """Return the triggerer among what a process has started, and all that it has started itself."""
    found = []
    for process in root.children(recursive=True):
        with suppress(psutil.Error):
            if any("triggerer" in part for part in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return list(dict.fromkeys(found))


def _tools() -> Any:
    """Return what starts a whole Airflow for the demo; it is no package."""
    sys.path.insert(0, str(Path(__file__).parents[2] / ".make"))
    return importlib.import_module("environment")


def _play(home: Path) -> int:
    tools = _tools()
    runs = f"/api/v2/dags/{tools.DAG_ID}/dagRuns"
    with Sandbox(reinvoice="invoice_again", transaction_delay=POSTED_AFTER) as sandbox:
        airflow = tools.Airflow(home, tools.free_port(), tools.quick_to_settle(sandbox.connections()))
        # Airflow hands the waits of a triggerer that is silent for this long to another one.
        airflow._environment["AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD"] = "6"
        airflow._environment["AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC"] = "2"
        with airflow.running():
            run_id = airflow.ask("POST", runs, {"logical_date": None})["dag_run_id"]
            wait = f"{runs}/{run_id}/taskInstances/wait"
            # Once a trigger has a triggerer, it is at work there.
            _await(
                "the sensor in the triggerer",
                lambda: (airflow.ask("GET", wait).get("triggerer_job") or {}).get("id"),
            )
            victims = _triggerers(psutil.Process(airflow._process.pid))
            for process in victims:
                process.kill()
            psutil.wait_procs(victims, 10)
            print(f"killed the triggerer (processes {[process.pid for process in victims]}) during the wait")
            time.sleep(3)
            assert victims, "there was no triggerer"
            assert airflow.ask("GET", wait)["state"] == "deferred"
            with (home / "triggerer.log").open("wb") as log:
                other = subprocess.Popen(
                    [sys.executable, "-m", "airflow", "triggerer"],
                    cwd=home,
                    env=airflow._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
                try:
                    state = _await(
                        "the end of the run",
                        lambda: {"success": "success", "failed": "failed"}.get(
                            airflow.ask("GET", f"{runs}/{run_id}")["state"]
                        ),
                    )
                    print(f"another triggerer was started; the run ended with: {state}")
                finally:
                    family = [psutil.Process(other.pid), *psutil.Process(other.pid).children(recursive=True)]
                    other.terminate()
                    _, alive = psutil.wait_procs(family, 15)
                    for process in alive:
                        process.kill()
                    other.wait()
            if state != "success":
                print(airflow.reasons(run_id))
        books = sandbox.state()
    (organization,) = books["organizations"].values()
    orders, invoices = organization["orders"], organization["invoices"]
    lines = [len(order["lines"]) for order in orders]
    print(f"{len(orders)} order with {lines} lines, {len(invoices)} invoice, {len(books['enrichment'])} record")
    good = state == "success" and lines == [3] and len(invoices) == 1 and len(books["enrichment"]) == 1
    return 0 if good else 1


def main() -> int:
    """Run it once; return 1 if the wait did not end well."""
    _tools().interrupt_on_termination()
    home = Path(tempfile.mkdtemp(prefix="airflow-kills-"))
    try:
        status = _play(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())

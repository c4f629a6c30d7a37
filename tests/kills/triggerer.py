"""Kills the triggerer of a real Airflow while an order waits in it, starts another one, and judges the books.

python tests/kills/triggerer.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.whole_airflow import airflow_beside, another_triggerer, kill_triggerer, tools, wait_for

from tfso_hypatos.sandbox.server import Sandbox

POSTED_AFTER = 25.0
"""Seconds from invoicing to the ledger transaction: the triggerer is killed long before."""


def _play(home: Path) -> int:
    runs = f"/api/v2/dags/{tools().DAG_ID}/dagRuns"
    with Sandbox(reinvoice="invoice_again", transaction_delay=POSTED_AFTER) as sandbox:
        airflow = airflow_beside(sandbox, home)
        with airflow.running():
            run_id = airflow.ask("POST", runs, {"logical_date": None})["dag_run_id"]
            wait = f"{runs}/{run_id}/taskInstances/wait"
            # Once a trigger has a triggerer, it is at work there.
            wait_for(
                "the sensor in the triggerer",
                lambda: (airflow.ask("GET", wait).get("triggerer_job") or {}).get("id"),
            )
            kill_triggerer(airflow)
            time.sleep(3)
            assert airflow.ask("GET", wait)["state"] == "deferred"
            with another_triggerer(airflow, home):
                state = wait_for(
                    "the end of the run",
                    lambda: {"success": "success", "failed": "failed"}.get(
                        airflow.ask("GET", f"{runs}/{run_id}")["state"]
                    ),
                )
                print(f"another triggerer was started; the run ended with: {state}")
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
    tools().interrupt_on_termination()
    home = Path(tempfile.mkdtemp(prefix="airflow-kills-"))
    try:
        status = _play(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())

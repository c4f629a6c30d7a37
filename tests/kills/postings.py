"""Runs a real Airflow whose triggerer watches for posted invoices, kills it, and judges what became of the events.

python tests/kills/postings.py
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.whole_airflow import airflow_beside, another_triggerer, kill_triggerer, tools, wait_for

from tfso_hypatos.sandbox.server import Sandbox
from tfso_hypatos.sandbox.settings import CLIENT_ID, CLIENT_SECRET, ORGANIZATION

DAG_ID = "on_invoice_posted"
BURST = 12


class Office:
    """A person in 24SevenOffice who invoices."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._url = sandbox.tfso_url
        form = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "audience": "https://api.24sevenoffice.com",
            "login_organization": ORGANIZATION,
        }
        self._token = ""
        self._token = self._ask("POST", sandbox.tfso_token_url, form)["access_token"]

    def invoice(self) -> int:
        """Create an order, invoice it, and return its id."""
        header = {"customer": {"id": 42, "name": "Bjørn Ås AS"}}
        order_id = int(self._ask("POST", f"{self._url}/salesorders", header)["id"])
        line = {"description": "Kaffe", "quantity": 1, "price": 8}
        self._ask("POST", f"{self._url}/salesorders/{order_id}/lines", line)
        self._ask("PATCH", f"{self._url}/salesorders/{order_id}", {"status": "Invoice"})
        return order_id

    def _ask(self, method: str, url: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        content = json.dumps(body).encode()
        request = urllib.request.Request(url, content, headers, method=method)  # noqa: S310 - loopback
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return json.loads(answer.read())


def _records(sandbox: Sandbox) -> set[int]:
    return {int(key.rpartition("-")[2]) for key in sandbox.state()["enrichment"]}


def _reported(airflow: Any) -> Counter[int]:
    events = airflow.ask("GET", "/api/v2/assets/events?limit=100")["asset_events"]
    return Counter(each["extra"]["payload"]["sales_order_id"] for each in events if each["extra"].get("from_trigger"))


def _play(home: Path) -> int:
    with Sandbox(transaction_delay=1.0) as sandbox:
        airflow = airflow_beside(sandbox, home)
        folder = home / "dags"
        shutil.copytree(tools().ROOT / "dags", folder)
        dag = folder / "on_invoice_posted.py"
        dag.write_text(dag.read_text().replace("only_marked=False", "only_marked=False, poll_interval=5"))
        airflow._environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
        with airflow.running():
            airflow.ask("PATCH", f"/api/v2/dags/{DAG_ID}", {"is_paused": False})
            wait_for(
                "the first look", lambda: any(each["path"].endswith("/salesorders") for each in sandbox.requests())
            )
            office = Office(sandbox)
            orders = [office.invoice()]
            wait_for("the run for one invoice", lambda: _records(sandbox) == set(orders))
            orders += [office.invoice() for _ in range(BURST)]
            wait_for("the runs for a burst", lambda: _records(sandbox) == set(orders))
            print(f"{len(orders)} invoices, {len(_records(sandbox))} records")
            # By then the last ones are kept as reported.
            time.sleep(12)
            kill_triggerer(airflow)
            orders += [office.invoice() for _ in range(2)]
            time.sleep(3)
            with another_triggerer(airflow, home):
                wait_for("what was posted without a triggerer", lambda: _records(sandbox) == set(orders))
                time.sleep(12)
            reported = _reported(airflow)
            runs = airflow.ask("GET", f"/api/v2/dags/{DAG_ID}/dagRuns")["dag_runs"]
    states = Counter(run["state"] for run in runs)
    twice = [order_id for order_id, count in reported.items() if count > 1]
    print(f"{len(orders)} invoices, {len(reported)} of them reported, {len(twice)} twice; runs: {dict(states)}")
    return 0 if set(reported) == set(orders) and not twice and states.keys() <= {"success", "running", "queued"} else 1


def main() -> int:
    """Run it once; return 1 if an event was lost or came twice."""
    tools().interrupt_on_termination()
    home = Path(tempfile.mkdtemp(prefix="airflow-postings-"))
    try:
        status = _play(home)
        print("good" if status == 0 else "bad")
    except BaseException:
        print((home / "airflow.log").read_text("utf-8", "replace")[-6000:])
        raise
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""``make demo``: one order on its way through both systems, in a real Airflow, with answers lost on the way."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from books import problems, table
from environment import DAG_ID, Airflow, Failure, free_port, interrupt_on_termination, quick_to_settle

from tfso_hypatos.sandbox.server import Sandbox

_TRANSACTION_DELAY = 3
_RUN_TIMEOUT = 300.0
# 24SevenOffice does what it was asked, and the answer is lost: whoever asks again, does it twice.
_FAULTS: tuple[dict[str, Any], ...] = (
    {"action": "drop_after", "api": "tfso", "method": "POST", "path": "^/salesorders$"},
    {"action": "drop_after", "api": "tfso", "method": "POST", "path": "/lines$"},
    {"action": "status_after", "api": "tfso", "method": "PATCH", "body": '"Invoice"', "status": 503},
)


def main() -> int:
    """Run the demo and return the exit status."""
    interrupt_on_termination()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]  # both are text files
    home = Path(tempfile.mkdtemp(prefix="airflow-demo-"))
    try:
        status = _run(home)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        status = 130
    if status != 1:
        shutil.rmtree(home, ignore_errors=True)
    return status


def _run(home: Path) -> int:
    with ExitStack() as running:
        print("1/4  Starting the sandbox: 24SevenOffice and Hypatos on this machine ...")
        sandbox = running.enter_context(Sandbox(transaction_delay=_TRANSACTION_DELAY))
        airflow = Airflow(home, free_port(), quick_to_settle(sandbox.connections()))
        try:
            print("2/4  Starting Airflow: database, scheduler, triggerer (half a minute) ...")
            running.enter_context(airflow.running())
            asked = airflow.ask("GET", f"/api/v2/dags/{DAG_ID}/details")["params"]["lines"]["value"]
            for fault in _FAULTS:
                sandbox.add_fault(**fault)
            print(
                f"3/4  Sending an order through {DAG_ID}, while 24SevenOffice loses {len(_FAULTS)} of its answers ..."
            )
            _order(airflow)
            print("4/4  Sending the same order a second time ...")
            _order(airflow)
        except Failure as failure:
            print(f"\n{airflow.last_lines()}\n\nFAILED: {failure}\n\nThe log: {airflow.log}", file=sys.stderr)
            return 1
        print("     Stopping Airflow ...")
    return _verdict(sandbox, asked)


def _order(airflow: Airflow) -> None:
    """Trigger the DAG as the user interface does, with the form as it stands, and wait until it is through."""
    started = time.monotonic()
    runs = f"/api/v2/dags/{DAG_ID}/dagRuns"
    run_id = airflow.ask("POST", runs, {"logical_date": None})["dag_run_id"]
    seen: dict[str, str] = {}
    while time.monotonic() - started < _RUN_TIMEOUT:
        state = airflow.ask("GET", f"{runs}/{run_id}")["state"]
        for task in airflow.ask("GET", f"{runs}/{run_id}/taskInstances")["task_instances"]:
            name, now = task["task_id"], task["state"]
            if now in {"deferred", "success", "failed", "up_for_retry"} and seen.get(name) != now:
                seen[name] = now
                print(f"       {time.monotonic() - started:5.1f} s   {name:<8} {_WORDS[now]}")
        if state in {"success", "failed"}:
            if state == "failed":
                raise Failure(f"The run {run_id} failed\n{airflow.reasons(run_id)}")
            return
        time.sleep(0.25)
    raise Failure(f"The run {run_id} was not through after {_RUN_TIMEOUT:.0f} seconds")


_WORDS = {"deferred": "waits in the triggerer", "success": "done", "failed": "failed", "up_for_retry": "will try again"}


def _verdict(sandbox: Sandbox, asked: list[dict[str, Any]]) -> int:
    """Show the books and say whether they are as they must be."""
    books = sandbox.state()
    print(table(books))
    found = problems(books, asked)
    lost = sum(1 for request in sandbox.requests() if request["fault"])
    if lost != len(_FAULTS):
        found.append(f"{lost} answers were lost, not {len(_FAULTS)}")
    if found:
        print("\nFAILED: " + "; ".join(found), file=sys.stderr)
        return 1
    print(f"""
OK: the order was sent twice and {len(_FAULTS)} answers were lost; there is one sales order with each line once,
one posted invoice, and one Hypatos record.

Next: make airflow, then open http://127.0.0.1:8080/dags/{DAG_ID} and press Trigger.""")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Imports: what Airflow's DAG processor pays for a DAG file with our operators, in processor time."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.benchmarks.tables import Row, Scale
from tests.benchmarks.timing import Times, milliseconds

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "dags" / "order_to_invoice.py"
FRESH = Path(__file__).with_name("fresh.py")
ROUNDS = {Scale.TINY: 1, Scale.QUICK: 3, Scale.FULL: 40}
IMPORTS, COLD, WARM = "Import of operators and sensors", "DAG file, for the first time", "DAG file, again"
PEERS = ("HTTP", "dbt Cloud")
ROWS = tuple(f"{what}, over {peer}" for what in (IMPORTS, COLD, WARM) for peer in PEERS)
GOALS = {IMPORTS: 0.05, COLD: 0.1, WARM: 0.002}

OURS = (
    "import tfso_hypatos.operators.sales_order, tfso_hypatos.operators.sales_orders, "
    "tfso_hypatos.sensors.invoice_transaction; "
    "from tfso_hypatos.operators.sales_order import *; "
    "from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor"
)
OTHERS = {
    "HTTP": "import airflow.providers.http.operators.http, airflow.providers.http.sensors.http",
    "dbt Cloud": "import airflow.providers.dbt.cloud.operators.dbt, airflow.providers.dbt.cloud.sensors.dbt",
}
FORM = "from airflow.sdk import Param\n" + EXAMPLE.read_text().split("# [START params]")[1].split("# [END params]")[0]
"""The form of our example DAG, for the peers' DAGs, too: Airflow copies it for every class of every task."""

DAGS = {
    "HTTP": """
from airflow.sdk import DAG
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
with DAG("with_http", schedule=None, params=FORM):
    create = HttpOperator(task_id="create", endpoint="/orders", data="{{ params.order | tojson }}")
    invoice = HttpOperator(task_id="invoice", method="PATCH", endpoint="/orders/{{ ti.xcom_pull('create') }}")
    wait = HttpSensor(task_id="wait", endpoint="/orders/{{ ti.xcom_pull('create') }}", response_check=bool)
    create >> invoice >> wait >> HttpOperator(task_id="enrich", method="PATCH", endpoint="/records")
""",
    "dbt Cloud": """
from airflow.sdk import DAG
from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor
with DAG("with_dbt", schedule=None, params=FORM):
    create = DbtCloudRunJobOperator(task_id="create", job_id=1)
    invoice = DbtCloudRunJobOperator(task_id="invoice", job_id=2)
    wait = DbtCloudJobRunSensor(task_id="wait", run_id=invoice.output, deferrable=True)
    create >> invoice >> wait >> DbtCloudRunJobOperator(task_id="enrich", job_id=3)
""",
}


class Measured(NamedTuple):
    """What one statement took.

    :param first: in a process that has only Airflow's SDK.
    :param again: once more in the same process.
    """

    first: Times
    again: Times


def parse(path: Path) -> str:
    """Return a statement that loads a DAG file as Airflow does."""
    load = f"loader = importlib.machinery.SourceFileLoader('a_dag', {str(path)!r}); "
    spec = "spec = importlib.util.spec_from_loader('a_dag', loader); module = importlib.util.module_from_spec(spec); "
    return f"import importlib.machinery, importlib.util; {load}{spec}loader.exec_module(module)"


def take_times(statements: dict[str, str], rounds: int) -> dict[str, Measured]:
    """Run statements in fresh processes, in turn."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, str(FRESH), str(rounds), *statements.values()], capture_output=True, text=True, check=True
    )
    times = json.loads(done.stdout.splitlines()[-1])
    return {
        name: Measured(Times([first for first, _ in each]), Times([again for _, again in each]))
        for name, each in zip(statements, times, strict=True)
    }


def row(what: str, peer: str, ours: Times, theirs: Times | None) -> Row:
    """Return one line; without a ratio if the peer is not installed."""
    goal = GOALS[what]
    name, held = f"{what}, over {peer}", ours.best < goal
    goal_text = f"ours < {milliseconds(goal)}"
    if theirs is None:
        return Row(name, milliseconds(ours.best), "not installed", None, goal_text, held)
    ratio = ours.best / theirs.best
    return Row(name, milliseconds(ours.best), f"{peer} {milliseconds(theirs.best)}", ratio, goal_text, held)


def measure(scale: Scale) -> list[Row]:
    """Measure, and return the lines of the table."""
    installed = [peer for peer in PEERS if peer != "dbt Cloud" or _is_installed("airflow.providers.dbt.cloud")]
    with TemporaryDirectory() as folder:
        statements = {f"import {peer}": OTHERS[peer] for peer in installed}
        for peer in installed:
            path = Path(folder) / f"{peer.replace(' ', '_')}.py"
            path.write_text(FORM + DAGS[peer])
            statements[f"parse {peer}"] = parse(path)
        ours = {"import": OURS, "parse": parse(EXAMPLE)}
        times = take_times({**ours, **statements}, ROUNDS[scale])
    rows = []
    for peer in PEERS:
        imported, parsed = times.get(f"import {peer}"), times.get(f"parse {peer}")
        rows.append(row(IMPORTS, peer, times["import"].first, imported.first if imported else None))
        rows.append(row(COLD, peer, times["parse"].first, parsed.first if parsed else None))
        rows.append(row(WARM, peer, times["parse"].again, parsed.again if parsed else None))
    return sorted(rows, key=lambda each: ROWS.index(each.name))


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False

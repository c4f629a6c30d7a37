"""What the DAG processor imports for every file must be light: judged by what is imported, not by the clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = (
    "requests",
    "aiohttp",
    "simplejson",
    "tenacity",
    "airflow.providers.http",
    "tfso_hypatos.hooks",
    "tfso_hypatos.clients",
    "tfso_hypatos.flows",
    "tfso_hypatos.models",
    "tfso_hypatos.reports",
    "tfso_hypatos.sandbox",
    "tfso_hypatos.triggers",
)
BASE = "import airflow.sdk, airflow.sdk.configuration, sys; from airflow.sdk import BaseOperator, BaseSensorOperator; "


def modules_after(statement: str) -> set[str]:
    """Return the modules that a fresh Python has loaded after a statement, beside those it had after ``BASE``."""
    code = f"{BASE}before = set(sys.modules); {statement}; import json; "
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    environment = {**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:tfso_hypatos"}
    done = subprocess.run(  # noqa: S603 - our own Python and our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Return what operators and sensors load on top of Airflow's SDK."""
    return modules_after(
        "import tfso_hypatos.operators.sales_order, tfso_hypatos.sensors.invoice_transaction; "
        "import tfso_hypatos.operators.sales_order_list, tfso_hypatos.operators.failed_orders; "
        "import tfso_hypatos.operators.approval, tfso_hypatos.operators.withdrawal; "
        "from tfso_hypatos.operators.sales_order import *"
    )


@pytest.mark.parametrize("name", HEAVY)
def test_operators_and_sensors_load_nothing_heavy(loaded: set[str], name: str) -> None:
    assert [module for module in loaded if module == name or module.startswith(f"{name}.")] == []


def test_operators_and_sensors_were_loaded(loaded: set[str]) -> None:
    assert "tfso_hypatos.operators.sales_order" in loaded
    assert "tfso_hypatos.sensors.invoice_transaction" in loaded


def test_making_a_dag_loads_nothing_heavy_either() -> None:
    loaded = modules_after(
        "from airflow.sdk import DAG; "
        "from tfso_hypatos.operators.sales_order import *; "
        "from tfso_hypatos.operators.approval import ApproveSalesOrderOperator; "
        "from tfso_hypatos.operators.withdrawal import WithdrawSalesOrderOperator; "
        "from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor; "
        "dag = DAG('orders', schedule=None); "
        "create = CreateSalesOrderOperator(task_id='c', order={}, lines=[], dag=dag); "
        "approve = ApproveSalesOrderOperator(task_id='a', sales_order_id=create.output, if_rejected='t', dag=dag); "
        "WithdrawSalesOrderOperator(task_id='t', sales_order_id=approve.output, dag=dag); "
        "invoice = InvoiceSalesOrderOperator(task_id='i', sales_order_id=approve.output, dag=dag); "
        "wait = InvoiceTransactionSensor(task_id='w', sales_order_id=invoice.output, dag=dag); "
        "EnrichSalesOrderOperator(task_id='e', external_id='K', sales_order_id=wait.output, dag=dag); "
        "many = CreateSalesOrdersOperator(task_id='cs', path='file:///x.jsonl', dag=dag); "
        "InvoiceSalesOrdersOperator(task_id='is', orders=many.output, dag=dag); "
        "EnrichSalesOrdersOperator(task_id='es', orders=[], dag=dag); "
        "from tfso_hypatos.operators.reconciliation import ReconcileSalesOrdersOperator; "
        "ReconcileSalesOrdersOperator(task_id='r', date_from='', date_to='', report_path='', dag=dag)"
    )
    ours = {name for name in loaded if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)}
    assert ours == set()


def test_what_a_dag_with_events_imports_loads_nothing_heavy() -> None:
    loaded = modules_after(
        "from airflow.sdk import Asset, AssetWatcher; "
        "from tfso_hypatos.assets import orders_of_events; "
        "from tfso_hypatos.notifications.order_needs_person import OrderNeedsPersonNotifier; "
        "from tfso_hypatos.triggers.sales_order_invoiced import SalesOrderInvoicedTrigger; "
        "watcher = AssetWatcher(name='tfso', trigger=SalesOrderInvoicedTrigger()); "
        "Asset(name='posted', watchers=[watcher]); OrderNeedsPersonNotifier()"
    )
    light = {"tfso_hypatos.triggers", "tfso_hypatos.triggers.sales_order_invoiced"}
    ours = {name for name in loaded - light if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)}
    assert ours == set()


def test_the_provider_info_loads_nothing_at_all() -> None:
    code = (
        "import sys; before = set(sys.modules); import tfso_hypatos.get_provider_info as i; i.get_provider_info(); "
        "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(  # noqa: S603 - our own Python and our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "airflow" not in loaded
    assert loaded & {"requests", "pydantic", "aiohttp"} == set()

"""Tests of a DAG, as a project that uses this provider writes them."""

from __future__ import annotations

# [START imports]
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator
from tfso_hypatos.sandbox.server import Sandbox
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

DAGS = Path(__file__).parents[2] / "dags"
# [END imports]

# Airflow's in-process API is built on the test client of Starlette, which wants another HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


# [START books]
def books(sandbox: Sandbox) -> dict[str, Any]:
    """Return what 24SevenOffice holds: ``orders``, ``deleted_orders`` and ``invoices``."""
    (organization,) = sandbox.state()["organizations"].values()
    return dict(organization)
    # [END books]


# [START dag]
@pytest.mark.usefixtures("database")
def test_the_dag_bills_the_order_once(sandbox: Sandbox) -> None:
    dag = DagBag(str(DAGS / "minimal_order.py")).dags["minimal_order"]

    first = dag.test(run_conf={"order_key": "test-1"})
    second = dag.test(run_conf={"order_key": "test-1"})

    assert (first.state, second.state) == ("success", "success")
    (invoice,) = books(sandbox)["invoices"]
    assert str(invoice["gross_amount"]) == "249.98"
    # [END dag]


# [START task]
def create(**changes: Any) -> CreateSalesOrderOperator:
    """Return the task that creates the order; a task needs no DAG and no database to be run."""
    arguments: dict[str, Any] = {
        "order_key": "test-1",
        "order": {"customer": {"id": 42, "name": "Bjørn Ås Rørleggerservice AS"}},
        "lines": [{"description": "Rørdeler", "quantity": 2, "price": "99.99"}],
    }
    return CreateSalesOrderOperator(task_id="create", **(arguments | changes))


def test_other_content_under_the_same_key_is_refused(sandbox: Sandbox) -> None:
    create().execute({})

    with pytest.raises(OrderDrift):
        create(lines=[{"description": "Rørdeler", "quantity": 3, "price": "99.99"}]).execute({})

    (order,) = books(sandbox)["orders"]
    assert [line["quantity"] for line in order["lines"]] == [2]
    # [END task]


# [START fault]
def test_a_lost_answer_makes_no_second_order(sandbox: Sandbox) -> None:
    # The order is created, and the connection breaks before the answer.
    sandbox.add_fault(action="drop_after", api="tfso", method="POST", path="/salesorders$")

    result = create().execute({})

    (order,) = books(sandbox)["orders"]
    assert result["sales_order_id"] == order["id"]
    assert len(order["lines"]) == 1
    # [END fault]


# [START clock]
def test_the_sensor_waits_until_the_invoice_is_posted(sandbox: Sandbox) -> None:
    sandbox.configure(transaction_delay=3600)
    created = create().execute({})
    invoiced = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created).execute({})
    wait = InvoiceTransactionSensor(task_id="wait", sales_order_id=invoiced)

    assert wait.poke({}) is False
    sandbox.configure(clock_offset=3600)  # an hour passes
    assert wait.poke({})
    # [END clock]


# [START settings]
def test_what_an_organization_may_refuse(sandbox: Sandbox) -> None:
    sandbox.configure(department_required=True)
    created = create().execute({})

    with pytest.raises(Exception, match="DepartmentMissing"):
        InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created).execute({})
    # [END settings]

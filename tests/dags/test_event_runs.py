"""The runs that Airflow's scheduler makes of asset events: which events each is given, and what becomes of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import select
from tests.dags.scheduling import begin_anew, clear, run, schedule, tell

from tfso_hypatos.sandbox.server import Sandbox

# Airflow's in-process API is built on the test client of Starlette, which wants another HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")

POSTED = "tfso_posted_invoices"


@pytest.fixture(autouse=True)
def dags(dags_folder: Path, sandbox: Sandbox, connections: object) -> dict[str, DAG]:
    begin_anew(str(dags_folder))
    return DagBag(str(dags_folder)).dags


def posted(order_id: int) -> dict[str, Any]:
    return {"from_trigger": True, "payload": {"sales_order_id": order_id, "order_key_hash": "abcdefghijklmnop"}}


def given(run_id: str) -> list[int]:
    """Return the orders of the events that Airflow gave to a run."""
    with create_session() as session:
        events = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one().consumed_asset_events
        return sorted(event.extra["payload"]["sales_order_id"] for event in events)


@pytest.fixture
def handled(dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs what the scheduler made, and returns the orders that its task has taken."""
    taken: list[int] = []
    dag = dags["on_invoice_posted"]
    task: Any = dag.get_task("orders")
    function = task.python_callable
    orders_of_events = function.__globals__["orders_of_events"]

    def noting(*arguments: Any) -> Any:
        orders = orders_of_events(*arguments)
        taken[:] = sorted(order["sales_order_id"] for order in orders)
        return orders

    monkeypatch.setitem(function.__globals__, "orders_of_events", noting)

    def of(run_id: str) -> list[int]:
        taken.clear()
        assert str(run(dag, run_id).state) == "success"
        return list(taken)

    return of


def test_what_comes_before_a_run_is_made_is_not_given_to_it_and_yet_handled(handled: Any) -> None:
    for order_id in (1, 2, 3):
        tell(POSTED, posted(order_id))
    (first,) = schedule("on_invoice_posted")
    assert given(first) == [1]
    assert handled(first) == [1, 2, 3]


def test_an_old_run_that_is_cleared_leaves_to_later_runs_what_was_given_to_them(handled: Any) -> None:
    tell(POSTED, posted(1))
    tell(POSTED, posted(2))
    (first,) = schedule("on_invoice_posted")
    assert handled(first) == [1, 2]
    for order_id in (3, 4):
        tell(POSTED, posted(order_id))
        (later,) = schedule("on_invoice_posted")
        assert handled(later) == given(later)
    clear(first)
    assert handled(first) == [1]


def test_it_takes_what_no_run_was_given_rather_than_leave_it_to_nobody(handled: Any) -> None:
    """The scheduler makes no further run for it, until the next event comes."""
    tell(POSTED, posted(1))
    (first,) = schedule("on_invoice_posted")
    for order_id in (2, 3):
        tell(POSTED, posted(order_id))
    (second,) = schedule("on_invoice_posted")
    assert given(second) == [2]
    assert handled(second) == [2, 3]
    assert handled(first) == [1, 3]


def test_what_a_task_announces_starts_the_dag_that_is_scheduled_on_the_alias(
    dags: dict[str, DAG], sandbox: Sandbox
) -> None:
    assert schedule("after_invoicing") == []
    assert str(dags["order_announced"].test().state) == "success"
    (order,) = sandbox.state()["organizations"]["100000000000001"]["orders"]
    (started,) = schedule("after_invoicing")
    done = run(dags["after_invoicing"], started)
    assert str(done.run_type) == "asset_triggered"
    assert done.get_task_instance("invoiced").xcom_pull(task_ids="invoiced") == [order["id"]]

"""The example DAGs that start by events, and those that only read, run for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent, AssetModel
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import delete, select
from tests.dags import scheduling
from tests.dags.scheduling import begin_anew, schedule, tell

from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.sandbox.server import Sandbox

DAGS = Path(__file__).resolve().parents[2] / "dags"

pytestmark = [
    pytest.mark.usefixtures("dags_folder"),
    # Airflow's in-process API is built on the test client of Starlette, which wants another HTTP library.
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]


def load(dag_id: str) -> DAG:
    dag = DagBag(str(DAGS)).dags[dag_id]
    for task in dag.tasks:
        task.retries = 0
    return dag


def invoice(count: int) -> list[int]:
    """Create orders and invoice them."""
    order_ids = []
    with TfsoHook() as hook:
        for number in range(count):
            order = hook.create_sales_order({"customer": {"id": 42, "name": "Bjørn Ås AS"}, "date": "2026-11-20"})
            hook.add_line(order.id, {"description": "Kaffe", "quantity": number + 1, "price": "99.99"})
            hook.update_sales_order(order.id, {"status": "Invoice"})
            order_ids.append(order.id)
    return order_ids


def event(order_id: int) -> dict[str, Any]:
    return {"from_trigger": True, "payload": {"sales_order_id": order_id, "invoice_number": 1, "transaction_id": "x"}}


@pytest.fixture
def nothing(dags_folder: Path) -> None:
    """Begin without events and runs."""
    begin_anew(str(dags_folder))


def start(*events: dict[str, Any]) -> None:
    """Let the DAG run that the scheduler makes of events of posted invoices."""
    for each in events:
        tell("tfso_posted_invoices", each)
    (made,) = schedule("on_invoice_posted")
    assert str(scheduling.run(load("on_invoice_posted"), made).state) == "success"


def run(dag: DAG, **conf: Any) -> Any:
    done = dag.test(run_conf=conf)
    assert str(done.state) == "success"
    return done


def test_each_posted_invoice_of_a_run_is_handled_once(sandbox: Sandbox, connections: object, nothing: None) -> None:
    first, second, third = invoice(3)
    start(event(first), event(second), event(first), event(third), event(second))
    records = sandbox.state()["enrichment"]
    assert sorted(records) == [f"sales-order-{order_id}" for order_id in (first, second, third)]
    assert all("transactionId" in record["customMetadata"]["tfso"] for record in records.values())


def test_an_order_that_a_dag_has_billed_gets_no_second_record(
    sandbox: Sandbox, connections: object, nothing: None
) -> None:
    """Its own DAG writes its record, by the order key."""
    theirs, ours = invoice(2)
    marked = event(ours)
    marked["payload"]["order_key_hash"] = "abcdefghijklmnop"
    start(event(theirs), marked)
    assert list(sandbox.state()["enrichment"]) == [f"sales-order-{theirs}"]


def test_the_example_watches_for_all_invoices() -> None:
    condition: Any = load("on_invoice_posted").timetable.asset_condition
    (asset,) = condition.objects
    (watcher,) = asset.watchers
    assert watcher.trigger.serialize()[1]["only_marked"] is False


def test_an_event_that_comes_twice_changes_nothing(sandbox: Sandbox, connections: object, nothing: None) -> None:
    (order_id,) = invoice(1)
    start(event(order_id))
    before = sandbox.state()["enrichment"]
    start(event(order_id))
    assert sandbox.state()["enrichment"] == before


def test_a_run_by_hand_does_nothing(sandbox: Sandbox, connections: object) -> None:
    with create_session() as session:
        session.execute(delete(AssetEvent))
    run(load("on_invoice_posted"))
    assert sandbox.state()["enrichment"] == {}


def test_what_a_task_announces_starts_the_dag_that_waits_for_it(sandbox: Sandbox, connections: object) -> None:
    with create_session() as session:
        session.execute(delete(AssetEvent))
    run(load("order_announced"))
    (order,) = sandbox.state()["organizations"]["100000000000001"]["orders"]
    with create_session() as session:
        found = session.execute(select(AssetModel.uri, AssetEvent.extra).join(AssetEvent.asset)).all()
        assert [alias.name for alias in session.scalars(select(AssetEvent)).one().source_aliases] == [
            "tfso_invoiced_sales_orders"
        ]
    ((uri, extra),) = found
    assert uri == f"tfso://100000000000001/salesorders/{order['id']}"
    assert extra["sales_order_id"] == order["id"]
    done = run(load("after_invoicing"))
    # Started by hand, it finds nothing that came after its start.
    assert result(done, "invoiced") == []


def result(done: Any, task_id: str) -> Any:
    return done.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def test_the_lookups_add_up(sandbox: Sandbox, connections: object) -> None:
    order_ids = invoice(2)
    done = run(load("taskflow_lookups"), day="2026-11-20")
    orders = result(done, "orders_of")
    assert [order["sales_order_id"] for order in orders] == order_ids
    assert all(order.keys() == {"sales_order_id", "status", "net_amount"} for order in orders)
    # Airflow's own reading of a stored text may make a number of it.
    assert str(result(done, "invoiced_total")) == "299.97"
    assert result(done, "check_totals") == []


def test_the_lookups_read_only(sandbox: Sandbox, connections: object) -> None:
    invoice(1)
    before = len([each for each in sandbox.requests() if each["method"] != "GET"])
    run(load("taskflow_lookups"), day="2026-11-20")
    changes = [each for each in sandbox.requests() if each["method"] != "GET"][before:]
    assert all(each["path"].endswith("/token") for each in changes)

"""The example DAGs that start by events, and those that only read, run for real."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models import dagrun
from airflow.models.asset import AssetEvent, AssetModel
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import delete, select

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
def triggering(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets the next run of a DAG be one that asset events have started."""
    made = dagrun.get_or_create_dagrun

    def prepare(name: str, consumed: Sequence[dict[str, Any]], left: Sequence[dict[str, Any]] = ()) -> None:
        def create(*, session: Any, **more: Any) -> Any:
            run = made(session=session, **more)
            asset = session.scalar(select(AssetModel).where(AssetModel.name == name))
            session.execute(delete(AssetEvent).where(AssetEvent.asset_id == asset.id))
            before = run.run_after - datetime.timedelta(seconds=1)
            events = [AssetEvent(asset_id=asset.id, extra=each, timestamp=before) for each in consumed]
            # What came between the first event and the run is in no run's events.
            after = run.run_after + datetime.timedelta(seconds=1)
            session.add_all([AssetEvent(asset_id=asset.id, extra=each, timestamp=after) for each in left])
            session.add_all(events)
            run.consumed_asset_events.extend(events)
            session.commit()
            return run

        monkeypatch.setattr(dagrun, "get_or_create_dagrun", create)

    return prepare


def run(dag: DAG, **conf: Any) -> Any:
    done = dag.test(run_conf=conf)
    assert str(done.state) == "success"
    return done


def test_each_posted_invoice_of_a_run_is_handled_once(sandbox: Sandbox, connections: object, triggering: Any) -> None:
    first, second, third = invoice(3)
    triggering("tfso_posted_invoices", [event(first), event(second), event(first)], left=[event(third), event(second)])
    run(load("on_invoice_posted"))
    records = sandbox.state()["enrichment"]
    assert sorted(records) == [f"sales-order-{order_id}" for order_id in (first, second, third)]
    assert all("transactionId" in record["customMetadata"]["tfso"] for record in records.values())


def test_an_order_that_a_dag_has_billed_gets_no_second_record(
    sandbox: Sandbox, connections: object, triggering: Any
) -> None:
    """Its own DAG writes its record, by the order key."""
    theirs, ours = invoice(2)
    marked = event(ours)
    marked["payload"]["order_key_hash"] = "abcdefghijklmnop"
    triggering("tfso_posted_invoices", [event(theirs), marked])
    run(load("on_invoice_posted"))
    assert list(sandbox.state()["enrichment"]) == [f"sales-order-{theirs}"]


def test_the_example_watches_for_all_invoices() -> None:
    condition: Any = load("on_invoice_posted").timetable.asset_condition
    (asset,) = condition.objects
    (watcher,) = asset.watchers
    assert watcher.trigger.serialize()[1]["only_marked"] is False


def test_an_event_that_comes_twice_changes_nothing(sandbox: Sandbox, connections: object, triggering: Any) -> None:
    (order_id,) = invoice(1)
    dag = load("on_invoice_posted")
    triggering("tfso_posted_invoices", [event(order_id)])
    run(dag)
    before = sandbox.state()["enrichment"]
    run(dag)
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

"""The DAG that bills what people have confirmed, run for real and judged by the books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Context
from airflow.sdk.definitions.mappedoperator import MappedOperator

from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order_list import ListSalesOrdersOperator
from tfso_hypatos.sandbox.server import Sandbox
from tfso_hypatos.sandbox.settings import ORGANIZATION

DAGS = Path(__file__).resolve().parents[2] / "dags"
SWITCH = "AIRFLOW_VAR_TFSO_STOP_INVOICING"

pytestmark = [
    pytest.mark.usefixtures("dags_folder"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]


@pytest.fixture
def dag() -> DAG:
    """Return the DAG, impatient: it fails at once and looks often."""
    dag = DagBag(str(DAGS)).dags["invoice_confirmed_orders"]
    for task in dag.tasks:
        task.retries = 0
    wait = dag.get_task("wait")
    assert isinstance(wait, MappedOperator)
    wait.partial_kwargs["poke_interval"] = 0.2
    return dag


def made(customer: int, date: str = "2026-11-20", status: str = "Confirmed", price: object = 100) -> int:
    """Make an order as a person does in 24SevenOffice, and return its id."""
    with TfsoHook() as hook:
        order = hook.create_sales_order(
            {"customer": {"id": customer, "name": "Åse Sørby"}, "date": date, "currency": {"code": "NOK"}}
        )
        hook.add_line(order.id, {"description": "Kaffe", "quantity": 1, "price": price})
        hook.update_sales_order(order.id, {"status": status, "internalMemo": "Ring først"})
    return order.id


def run(dag: DAG, **conf: Any) -> tuple[str, dict[str, Any]]:
    """Run the DAG and return its state and those of its task instances."""
    ended = dag.test(run_conf=conf)
    instances = ended.get_task_instances()
    states = {
        each.task_id if each.map_index < 0 else f"{each.task_id} {each.rendered_map_index}": str(each.state)
        for each in instances
    }
    return str(ended.state), states


def books(sandbox: Sandbox) -> tuple[list[int], dict[str, Any]]:
    """Return the ids of the orders that were billed, once for each invoice, and the records in Hypatos."""
    state = sandbox.state()
    invoices = state["organizations"][ORGANIZATION]["invoices"]
    return sorted(invoice["order_id"] for invoice in invoices), state["enrichment"]


def test_a_dry_run_is_the_default_and_changes_nothing(
    dag: DAG, posting: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = made(7), made(8, price="50.40")
    made(9, status="Draft")
    before = len(posting.requests())

    state, tasks = run(dag)

    assert state == "success"
    expected = {"list": "success", "invoice": "success", "check": "success", "wait": "skipped", "enrich": "skipped"}
    assert tasks == expected
    sent = {(each["method"], each["path"]) for each in posting.requests()[before:]}
    assert {(method, path) for method, path in sent if method != "GET"} <= {("POST", "/oauth/token")}
    assert books(posting) == ([], {})
    log = capsys.readouterr().out
    assert "2 of 2 orders would be invoiced" in log
    assert f"{first}         7  125.00       NOK  2026-11-20      1" in log
    assert f"{second}         8   63.00       NOK  2026-11-20      1" in log
    assert "Sum in NOK: 188.00" in log


def test_what_is_confirmed_is_billed_once_and_nothing_else(dag: DAG, posting: Sandbox) -> None:
    confirmed = [made(7), made(8)]
    made(9, status="Draft")

    state, tasks = run(dag, preview=False)

    assert state == "success"
    assert {f"wait {order_id}" for order_id in confirmed} <= tasks.keys()
    billed, records = books(posting)
    assert billed == confirmed
    assert sorted(records) == [f"sales-order-{order_id}" for order_id in confirmed]
    assert all("transactionId" in record["customMetadata"]["tfso"] for record in records.values())
    orders = posting.state()["organizations"][ORGANIZATION]["orders"]
    assert {order["invoice"]["paymentTerms"]["value"] for order in orders if order["id"] in confirmed} == {14}

    state, tasks = run(dag, preview=False)

    assert (state, tasks["wait"]) == ("success", "skipped")
    assert books(posting)[0] == confirmed


def test_the_filters_of_the_form_choose(dag: DAG, posting: Sandbox) -> None:
    made(7, "2026-11-19")
    wanted = made(7, "2026-11-20")
    made(8, "2026-11-20")
    made(7, "2026-11-21")

    assert run(dag, preview=False, customer_id=7, date_from="2026-11-20", date_to="2026-11-20")[0] == "success"

    assert books(posting)[0] == [wanted]


def test_the_stop_switch_keeps_it_from_billing(
    dag: DAG, posting: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    confirmed = [made(7), made(8)]
    monkeypatch.setenv(SWITCH, "true")

    state, tasks = run(dag, preview=False)

    assert (state, tasks["invoice"]) == ("failed", "failed")
    assert "0 orders are invoiced, 2 are not, or it is not known (0 failed)" in capsys.readouterr().out
    assert books(posting) == ([], {})

    monkeypatch.setenv(SWITCH, "false")

    assert run(dag, preview=False)[0] == "success"
    assert books(posting)[0] == confirmed


def test_one_order_that_is_refused_holds_up_no_other_and_is_not_passed_over(
    dag: DAG, posting: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edited, *others = [made(7), made(8), made(9)]
    listing = ListSalesOrdersOperator.execute

    def list_then_edit(self: ListSalesOrdersOperator, context: Context) -> Any:
        rows = listing(self, context)
        with TfsoHook() as hook:
            hook.add_line(edited, {"description": "Te", "quantity": 1, "price": 1})
        return rows

    with monkeypatch.context() as somebody:
        somebody.setattr(ListSalesOrdersOperator, "execute", list_then_edit)
        state, tasks = run(dag, preview=False)

    assert (state, tasks["check"]) == ("failed", "failed")
    assert {name: tasks[name] for name in ("invoice", "enrich")} == {"invoice": "success", "enrich": "success"}
    assert {name for name in tasks if name.startswith("wait")} == {f"wait {order_id}" for order_id in others}
    assert f"1 order of the task invoice failed, and the tasks after it go on without it: {edited} (OrderDrift)" in (
        capsys.readouterr().out
    )
    billed, records = books(posting)
    assert billed == others
    assert sorted(records) == [f"sales-order-{order_id}" for order_id in others]

    state, tasks = run(dag, preview=False)

    assert (state, tasks["check"]) == ("success", "success")
    assert books(posting)[0] == [edited, *others]


def test_if_every_order_is_refused_the_run_fails(dag: DAG, posting: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = made(7)
    listing = ListSalesOrdersOperator.execute

    def list_then_edit(self: ListSalesOrdersOperator, context: Context) -> Any:
        rows = listing(self, context)
        with TfsoHook() as hook:
            hook.update_sales_order(edited, {"status": "Draft"})
        return rows

    monkeypatch.setattr(ListSalesOrdersOperator, "execute", list_then_edit)
    state, tasks = run(dag, preview=False)

    assert (state, tasks["invoice"], tasks["check"]) == ("failed", "failed", "upstream_failed")
    assert books(posting) == ([], {})


def test_it_does_not_run_by_itself_nor_twice_at_once(dag: DAG) -> None:
    assert type(dag.timetable).__name__ == "NullTimetable"
    assert dag.max_active_runs == 1
    assert dag.params.validate()["preview"] is True
    assert dag.get_task("invoice").pool == "tfso_invoicing"

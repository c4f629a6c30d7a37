"""The example DAG with an approval, run for real; an answer goes the way that it takes through the API server."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions import dag as dag_module
from airflow.sdk.exceptions import ParamValidationError
from airflow.utils.session import create_session
from sqlalchemy import select

from tfso_hypatos.operators.approval import ApproveSalesOrderOperator
from tfso_hypatos.sandbox.server import Sandbox
from tfso_hypatos.sandbox.settings import ORGANIZATION
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

DAGS = Path(__file__).resolve().parents[2] / "dags"
DAG_ID = "order_to_invoice_approval"

runs_a_dag = [
    pytest.mark.usefixtures("dags_folder"),
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]


def _dag() -> DAG:
    """Return the example, impatient: it fails at once and looks often."""
    dag = DagBag(str(DAGS / f"{DAG_ID}.py")).dags[DAG_ID]
    for task in dag.tasks:
        task.retries = 0
        if isinstance(task, InvoiceTransactionSensor):
            task.poke_interval = 0.2
    return dag


class Person:
    """Looks at the request as soon as a run waits for somebody, and does what a test says.

    A run that waits sleeps between two looks at its tasks: instead of sleeping it lets the person act.
    """

    pause = staticmethod(time.sleep)

    def __init__(self) -> None:
        self.acts: list[Callable[[Any, Any], None]] = []
        self.saw: list[Any] = []

    def sleep(self, seconds: float) -> None:
        """Act in the place of a pause of a run; everybody else sleeps."""
        if sys._getframe(1).f_code.co_filename != dag_module.__file__:
            self.pause(seconds)
            return
        from airflow.models.hitl import HITLDetail
        from airflow.models.taskinstance import TaskInstance

        with create_session() as session:
            waiting = session.scalars(
                select(TaskInstance).where(TaskInstance.dag_id == DAG_ID, TaskInstance.state == "awaiting_input")
            ).all()
            if not waiting:
                # The run has nothing to do for a moment, whatever for.
                self.pause(0.05)
                return
            (instance,) = waiting
            request = session.scalars(select(HITLDetail).where(HITLDetail.ti_id == instance.id)).one()
            self.saw.append(SimpleNamespace(subject=request.subject, body=request.body, users=request.assigned_users))
            self.acts.pop(0)(session, instance)

    def answers(self, option: str) -> None:
        """Answer the next request, through the function of Airflow's REST API."""

        def answer(session: Any, instance: Any) -> None:
            from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
            from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail

            update_hitl_detail(
                DAG_ID,
                instance.run_id,
                instance.task_id,
                UpdateHITLDetailPayload(chosen_options=[option], params_input={}),
                SimpleNamespace(get_id=lambda: "kari", get_name=lambda: "Kari Nordmann"),  # type: ignore[arg-type]
                session,
            )

        self.acts.append(answer)

    def says_nothing(self) -> None:
        """Let the time for an answer pass, and the scheduler look after it."""

        def expire(session: Any, instance: Any) -> None:
            from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

            instance.trigger_timeout = instance.trigger_timeout - timedelta(days=4)
            session.flush()
            scheduler = SimpleNamespace(log=instance.log)
            SchedulerJobRunner.check_awaiting_input_timeouts(scheduler, session=session)  # type: ignore[arg-type]

        self.acts.append(expire)

    def does(self, act: Callable[[Any, Any], None]) -> None:
        """Do something else when the next request is there."""
        self.acts.append(act)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """Return somebody who answers requests."""
    person = Person()
    monkeypatch.setattr(time, "sleep", person.sleep)
    yield person
    assert person.acts == [], "nobody was asked"


def _run(conf: dict[str, Any] | None = None) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Run the DAG and return its state, those of its tasks, and what they returned."""
    from airflow.models.xcom import XComModel

    run = _dag().test(run_conf={"order_key": "web-30001", **(conf or {})})
    with create_session() as session:
        states = {each.task_id: str(each.state) for each in run.get_task_instances(session=session)}
        found = session.scalars(select(XComModel).where(XComModel.run_id == run.run_id)).all()
        results = {each.task_id: XComModel.deserialize_value(each) for each in found if each.key == "return_value"}
    return str(run.state), states, results


def _orders(sandbox: Sandbox) -> list[Any]:
    orders: list[Any] = sandbox.state()["organizations"][ORGANIZATION]["orders"]
    return orders


def _invoices(sandbox: Sandbox) -> list[Any]:
    invoices: list[Any] = sandbox.state()["organizations"][ORGANIZATION]["invoices"]
    return invoices


APPROVED = dict.fromkeys(("create", "approve", "invoice", "wait", "enrich"), "success") | {"withdraw": "skipped"}
REJECTED = dict.fromkeys(("create", "approve", "withdraw"), "success") | dict.fromkeys(
    ("invoice", "wait", "enrich"), "skipped"
)


class TestRuns:
    pytestmark = runs_a_dag

    def test_what_is_approved_is_invoiced(self, posting: Sandbox, person: Person) -> None:
        person.answers("Approve")
        state, states, results = _run()

        assert (state, states) == ("success", APPROVED)
        (invoice,) = _invoices(posting)
        assert invoice["gross_amount"] == Decimal("3749.63")
        (request,) = person.saw
        assert "| **Total** | 3749.63 NOK |" in request.body
        assert "`Bjørn Ås Rørleggerservice AS` (customer 42)" in request.body
        assert "14 days after the invoice date" in request.body
        assert (results["approve"]["approved_by"], results["approve"]["decision"]) == ("kari", "approved")
        assert "Bjørn" not in str(results)
        assert results["invoice"]["invoice_number"] == invoice["number"]

    @pytest.mark.parametrize(("choice", "outcome"), [("withdraw", "deleted"), ("draft", "draft")])
    def test_what_is_rejected_is_taken_back(self, posting: Sandbox, person: Person, choice: str, outcome: str) -> None:
        person.answers("Reject")
        state, states, results = _run({"if_rejected": choice})

        assert (state, states) == ("success", REJECTED)
        assert results["withdraw"]["outcome"] == outcome
        assert [order["status"] for order in _orders(posting)] == ([] if choice == "withdraw" else ["Draft"])
        assert _invoices(posting) == []

    def test_no_answer_in_time_is_a_rejection(self, posting: Sandbox, person: Person) -> None:
        person.says_nothing()
        state, states, results = _run()

        assert (state, states) == ("success", REJECTED)
        assert results["approve"]["decision"] == "timed out"
        assert _orders(posting) == _invoices(posting) == []

    def test_a_small_order_is_invoiced_without_asking(self, posting: Sandbox, person: Person) -> None:
        state, states, results = _run({"approve_below": 3749.64})

        assert (state, states) == ("success", APPROVED)
        assert results["approve"]["decision"] == "below threshold"
        assert person.saw == []
        assert len(_invoices(posting)) == 1

    def test_sending_it_again_after_the_invoice_asks_nobody(self, posting: Sandbox, person: Person) -> None:
        person.answers("Approve")
        first = _run()
        state, states, results = _run()

        assert (state, states) == ("success", APPROVED)
        assert results["approve"]["decision"] == "invoiced already"
        assert results["invoice"] == {**first[2]["invoice"], "invoiced": False} | {
            "transaction_id": results["invoice"]["transaction_id"]
        }
        assert len(_invoices(posting)) == 1

    def test_nobody_who_bills_confirmed_orders_takes_one_that_waits(self, posting: Sandbox, person: Person) -> None:
        waited: list[str] = []

        def look_and_clear(session: Any, instance: Any) -> None:
            from airflow.models.taskinstance import clear_task_instances

            waited.extend(order["status"] for order in _orders(posting))
            clear_task_instances([instance], session)

        person.does(look_and_clear)
        person.answers("Reject")
        _run({"if_rejected": "draft"})

        assert waited == ["Web"]
        assert [order["status"] for order in _orders(posting)] == ["Draft"]

    def test_no_approvers_in_the_form_means_everybody(self, posting: Sandbox, person: Person) -> None:
        person.answers("Approve")

        state, states, _ = _run({"approvers": None})

        assert (state, states) == ("success", APPROVED)
        assert not person.saw[0].users

    def test_a_cleared_task_asks_again_and_never_with_an_outdated_bill(self, posting: Sandbox, person: Person) -> None:
        from airflow.models.taskinstance import clear_task_instances

        def clear(session: Any, instance: Any) -> None:
            clear_task_instances([instance], session)

        def rename_and_clear(session: Any, instance: Any) -> None:
            from tfso_hypatos.hooks.tfso import TfsoHook

            with TfsoHook() as hook:
                (order,) = _orders(posting)
                hook.update_sales_order(order["id"], {"customer": {"id": 42, "name": "Another"}})
            clear_task_instances([instance], session)

        person.does(clear)
        person.does(rename_and_clear)
        state, states, _ = _run()

        assert state == "failed"
        assert (states["approve"], states["invoice"]) == ("failed", "upstream_failed")
        assert [request.body for request in person.saw] == [person.saw[0].body] * 2
        assert _invoices(posting) == []


def test_the_form_can_be_sent_as_it_stands() -> None:
    dag = _dag()
    values = dag.params.validate()
    assert all(dag.params.get_param(name).schema.get("title") for name in values)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("if_rejected", "burn"), ("approve_below", -1), ("approvers", [""]), ("lines", []), ("payment_days", 91)],
)
def test_the_form_refuses_what_makes_no_sense(name: str, wrong: object) -> None:
    with pytest.raises(ParamValidationError):
        _dag().params.get_param(name).resolve(wrong)


def test_the_graph_shows_both_branches() -> None:
    dag = _dag()
    approve = dag.get_task("approve")
    assert isinstance(approve, ApproveSalesOrderOperator)
    assert dag.get_task("create").downstream_task_ids == {"approve"}
    assert approve.downstream_task_ids == {"invoice", "withdraw"}
    assert approve.response_timeout == timedelta(days=3)

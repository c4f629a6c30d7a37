"""Asking a person before an order is invoiced."""

from __future__ import annotations

import datetime
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import DownstreamTasksSkipped
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

from tfso_hypatos.exceptions import ApprovalOutdated, EventError, InvalidInput, OrderDrift
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.approval import ApproveSalesOrderOperator
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")

AT = datetime.datetime(2026, 11, 21, 9, 30, tzinfo=datetime.UTC)
KARI = {"id": "kari", "name": "Kari Nordmann"}
ID = "01939d2b-0000-7000-8000-000000000001"


@dataclass
class Airflow:
    """The API server, as a task that asks people sees it: the first request of a task instance stays."""

    requests: list[Any] = field(default_factory=list)

    def send(self, msg: Any) -> Any:
        """Take a request and answer the one that people are shown; masking a secret is answered by nothing."""
        if not isinstance(msg, CreateHITLDetailPayload):
            return None
        self.requests.append(msg)
        return self.requests[0]

    @property
    def shown(self) -> Any:
        """The request that people are shown."""
        return self.requests[0]


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """Return the API server that requests for a response go to."""
    airflow = Airflow()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", airflow, raising=False)
    return airflow


@pytest.fixture
def created(run: Run, order: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of the task that created an order."""
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="web-10045")
    result: dict[str, Any] = run.execute(operator)
    return result


def approving(sales_order_id: Any, **arguments: Any) -> ApproveSalesOrderOperator:
    return ApproveSalesOrderOperator(task_id="approve", sales_order_id=sales_order_id, **arguments)


def context_of(run: Run, operator: BaseOperator) -> Any:
    context = run.context(operator)
    context["ti"].id = ID
    return {**context, "task_instance": context["ti"]}


def ask(run: Run, operator: ApproveSalesOrderOperator) -> dict[str, Any]:
    """Run a task until it waits, and return what it hands to itself."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - it depends on the version of Airflow
        operator.execute(context_of(run, operator))
    waiting: Any = caught.value
    if getattr(waiting, "method_name", None) != "execute_complete":
        raise waiting
    # It travels as JSON, through the database.
    kwargs: dict[str, Any] = json.loads(json.dumps(waiting.kwargs))
    return kwargs


def response(*chosen: str, user: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "chosen_options": list(chosen),
        "params_input": {},
        "responded_at": AT,
        "responded_by_user": user,
        "timedout": user is None,
        **more,
    }


def answer(run: Run, operator: ApproveSalesOrderOperator, event: dict[str, Any]) -> dict[str, Any]:
    kwargs = ask(run, operator)
    # It goes on in another process.
    again = approving(operator.sales_order_id, if_rejected=operator.if_rejected)
    return again.execute_complete(context_of(run, again), event, **kwargs)


def test_the_bill_is_shown_as_markdown(run: Run, airflow: Airflow, created: dict[str, Any]) -> None:
    terms = {"type": "NumberOfDays", "value": 14}
    ask(run, approving(created, invoice_date="2026-11-20", payment_terms=terms))
    assert airflow.shown.subject == f"Invoice sales order {created['sales_order_id']}: 688.09 NOK?"
    assert airflow.shown.body == "\n".join(
        (
            "**Customer:** `Bjørn Ås AS` (customer 42)",
            "",
            f"**Sales order:** {created['sales_order_id']} (`web-10045`)",
            "",
            "| Line | Quantity × price | Discount | VAT |",
            "| :-- | --: | --: | --: |",
            "| `Rørdeler` | 2 × 99.99 |  | 25 % |",
            "| `Rørdeler` | 2 × 99.99 |  | 25 % |",
            "| `Frakt` | 1 × 150.50 |  | 25 % |",
            "",
            "| Amount | |",
            "| :-- | --: |",
            "| Net | 550.46 NOK |",
            "| VAT | 137.63 NOK |",
            "| **Total** | 688.09 NOK |",
            "",
            "**Due:** 2026-12-04 (14 days after the invoice date, 2026-11-20)",
            "",
            "After an approval the invoice is issued, which cannot be undone.",
        )
    )
    assert airflow.shown.options == ["Approve", "Reject"]
    assert airflow.shown.defaults == ["Reject"]


def test_it_only_reads(run: Run, log: Log, airflow: Airflow, created: dict[str, Any]) -> None:
    changes = len(log.changes)
    answer(run, approving(created), response("Approve", user=KARI))
    assert len(log.changes) == changes


def test_an_approval_is_what_the_invoice_task_takes(
    run: Run, log: Log, airflow: Airflow, created: dict[str, Any]
) -> None:
    result = answer(run, approving(created), response("Approve", user=KARI))
    assert json.loads(json.dumps(result)) == result
    kept = {name: value for name, value in created.items() if name != "created"}
    said = {"decision": "approved", "approved_by": "kari", "responded_at": "2026-11-21T09:30:00+00:00"}
    assert result == {**kept, "approved": True, **said}
    assert run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result))["invoiced"] is True
    assert len(log.invoices) == 1


def test_an_approved_batch_is_taken_too(run: Run, log: Log, airflow: Airflow, created: dict[str, Any]) -> None:
    result = answer(run, approving(created), response("Approve", user=KARI))
    (invoiced,) = run.execute(InvoiceSalesOrdersOperator(task_id="invoice", orders=[result]))
    assert invoiced["invoiced"] is True


@pytest.mark.parametrize(("user", "decision"), [(KARI, "rejected"), (None, "timed out")])
def test_a_rejection_is_no_failure_and_the_invoice_task_refuses_it(
    run: Run, log: Log, airflow: Airflow, created: dict[str, Any], user: Any, decision: str
) -> None:
    result = answer(run, approving(created), response("Reject", user=user))
    assert (result["approved"], result["decision"], result["approved_by"]) == (False, decision, None)
    with pytest.raises(InvalidInput, match="was not approved"):
        run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result))
    assert log.invoices == []


@pytest.mark.parametrize("form", ["id", "result"])
def test_an_edit_after_the_approval_is_not_invoiced(
    run: Run, log: Log, airflow: Airflow, created: dict[str, Any], form: str
) -> None:
    given = created if form == "result" else created["sales_order_id"]
    result = answer(run, approving(given), response("Approve", user=KARI))
    with TfsoHook() as hook:
        # The same total, other goods.
        hook.update_line(created["sales_order_id"], created["line_ids"][0], {"description": "Gull"})
    with pytest.raises(OrderDrift, match="was edited"):
        run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result))
    assert log.invoices == []


def test_what_is_no_longer_what_was_created_is_not_asked_about(
    run: Run, airflow: Airflow, created: dict[str, Any]
) -> None:
    with TfsoHook() as hook:
        hook.update_line(created["sales_order_id"], created["line_ids"][0], {"price": 1})
    with pytest.raises(OrderDrift, match=r"gross amount: it was created with 688\.09"):
        ask(run, approving(created))
    assert airflow.requests == []


@pytest.mark.parametrize(("order_id", "said"), [(4711, "is not there"), (None, "a sales order id is needed")])
def test_without_an_order_nobody_is_asked(run: Run, airflow: Airflow, order_id: Any, said: str) -> None:
    with pytest.raises((OrderDrift, InvalidInput), match=said):
        ask(run, approving(order_id))
    assert airflow.requests == []


def test_an_order_that_is_invoiced_is_not_asked_about(
    run: Run, log: Log, airflow: Airflow, created: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    invoiced = run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created))
    operator = approving(created)
    result = operator.execute(context_of(run, operator))
    assert (result["approved"], result["decision"], result["approved_by"]) == (True, "invoiced already", None)
    assert f"is invoiced already, as number {invoiced['invoice_number']}" in capsys.readouterr().out
    assert airflow.requests == []
    assert run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result))["invoiced"] is False
    assert len(log.invoices) == 1


@pytest.mark.parametrize(
    ("arguments", "asks"),
    [
        ({"approve_below": "688.10"}, False),
        ({"approve_below": "688.09"}, True),
        ({"approve_below": 1000, "approve_below_currency": "NOK"}, False),
        ({"approve_below": 1000, "approve_below_currency": "EUR"}, True),
        ({"approve_below": ""}, True),
        ({"approve_below": 0}, True),
    ],
)
def test_a_small_order_approves_itself(
    run: Run, airflow: Airflow, created: dict[str, Any], arguments: dict[str, Any], asks: bool
) -> None:
    operator = approving(created, **arguments)
    if asks:
        ask(run, operator)
        return
    result = operator.execute(context_of(run, operator))
    assert (result["approved"], result["decision"]) == (True, "below threshold")
    assert (result["approved_by"], result["responded_at"]) == (None, None)
    assert airflow.requests == []


def test_a_credit_never_approves_itself(run: Run, airflow: Airflow) -> None:
    with TfsoHook() as hook:
        order_id = hook.create_sales_order({"customer": {"id": 42, "name": "K"}}).id
        hook.add_line(order_id, {"description": "Kreditt", "quantity": -1000, "price": 80})
    ask(run, approving(order_id, approve_below=1000))
    assert "| Net | -80000.00 " in airflow.shown.body


@pytest.mark.parametrize("wrong", ["a lot", "NaN", 0.1 + 0.2])
def test_a_threshold_that_is_no_amount_is_refused(run: Run, created: dict[str, Any], wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="approve_below"):
        ask(run, approving(created, approve_below=wrong))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, []),
        ("", []),
        (["kari"], [("kari", "kari")]),
        ('["kari", "ola"]', [("kari", "kari"), ("ola", "ola")]),
        (KARI, [("kari", "Kari Nordmann")]),
        ([{"id": 7, "name": "Ola"}], [("7", "Ola")]),
    ],
)
def test_only_the_assigned_users_are_asked(
    run: Run, airflow: Airflow, created: dict[str, Any], given: Any, shown: Any
) -> None:
    ask(run, approving(created, assigned_users=given))
    assert [(user.id, user.name) for user in airflow.shown.assigned_users] == shown


@pytest.mark.parametrize("wrong", [7, [None], [{"name": "Kari"}], "kari", [[]]])
def test_users_that_are_none_are_refused(run: Run, airflow: Airflow, created: dict[str, Any], wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="assigned_users"):
        ask(run, approving(created, assigned_users=wrong))
    assert airflow.requests == []


def test_a_request_is_asked_again_as_it_was(run: Run, airflow: Airflow, created: dict[str, Any]) -> None:
    for _ in range(2):
        ask(run, approving(created))
    assert len({request.body for request in airflow.requests}) == 1


@pytest.mark.parametrize("change", ["bill", "users"])
def test_a_request_that_airflow_would_show_as_it_was_before_is_refused(
    run: Run, airflow: Airflow, created: dict[str, Any], change: str
) -> None:
    ask(run, approving(created, assigned_users=["kari"]))
    if change == "bill":
        with TfsoHook() as hook:
            hook.update_sales_order(created["sales_order_id"], {"customer": {"id": 42, "name": "Another"}})
    users = ["ola"] if change == "users" else ["kari"]
    with pytest.raises(ApprovalOutdated, match="Trigger the DAG anew") as caught:
        ask(run, approving(created, assigned_users=users))
    assert caught.value.permanent


@pytest.mark.parametrize(
    "event",
    [
        response("Approve"),
        response("Approve", "Reject", user=KARI),
        response(user=KARI),
    ],
)
def test_a_response_that_is_none_approves_nothing(
    run: Run, airflow: Airflow, created: dict[str, Any], event: dict[str, Any]
) -> None:
    with pytest.raises(EventError):
        answer(run, approving(created), event)


def test_without_what_was_approved_nothing_is(run: Run, created: dict[str, Any]) -> None:
    operator = approving(created)
    with pytest.raises(EventError, match="got lost"):
        operator.execute_complete(context_of(run, operator), response("Approve", user=KARI))


def test_names_go_into_the_request_only(
    run: Run,
    airflow: Airflow,
    created: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    operator = approving(created)
    with caplog.at_level(logging.DEBUG):
        kwargs = ask(run, operator)
        result = answer(run, approving(created), response("Approve", user=KARI))
    assert "Bjørn" in airflow.shown.body
    everything = json.dumps([kwargs, result, run.xcom, operator.hitl_summary], ensure_ascii=False, default=str)
    assert "Bjørn" not in everything
    assert "Kari" not in json.dumps([kwargs, result, run.xcom])
    logged = caplog.text + capsys.readouterr().out
    assert "approved" in logged
    assert "Bjørn" not in logged
    assert "Kari" not in logged
    assert "Bjørn" not in airflow.shown.subject


def wired(created: Any, **arguments: Any) -> ApproveSalesOrderOperator:
    """Return the task of a DAG in which three tasks follow it, and a fourth one both ways."""
    with DAG("orders", schedule=None):
        approve = approving(created, **arguments)
        invoice, withdraw, tell = (ApproveSalesOrderOperator(task_id=n, sales_order_id=1) for n in ("i", "w", "t"))
        approve >> [invoice, withdraw, tell]
        [invoice, withdraw] >> tell
    return approve


@pytest.mark.parametrize(
    ("if_rejected", "chosen", "skipped"),
    [
        ("w", "Approve", ["w"]),
        (["w"], "Reject", ["i"]),
        ((), "Approve", []),
        ((), "Reject", ["i", "t", "w"]),
    ],
)
def test_each_decision_has_its_branch(
    run: Run, airflow: Airflow, created: dict[str, Any], if_rejected: Any, chosen: str, skipped: list[str]
) -> None:
    kwargs = ask(run, wired(created, if_rejected=if_rejected))
    operator = wired(created, if_rejected=if_rejected)
    context = context_of(run, operator)
    event = response(chosen, user=KARI)
    if not skipped:
        assert operator.execute_complete(context, event, **kwargs)["approved"] is True
        return
    with pytest.raises(DownstreamTasksSkipped) as caught:
        operator.execute_complete(context, event, **kwargs)
    assert sorted(caught.value.tasks) == skipped
    # Airflow stores no result of a task that ends so.
    assert run.xcom["return_value"]["approved"] is (chosen == "Approve")


def test_a_branch_that_is_not_there_is_refused_before_anybody_is_asked(
    run: Run, airflow: Airflow, created: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput, match="if_rejected: no task directly downstream is called withdarw"):
        ask(run, wired(created, if_rejected="withdarw"))
    assert airflow.requests == []


def test_the_next_approval_asks_too_and_takes_no_rejected_order(
    run: Run, airflow: Airflow, created: dict[str, Any]
) -> None:
    first = answer(run, approving(created), response("Approve", user=KARI))
    second = answer(run, approving(first), response("Reject", user=KARI))
    assert second["holder"] == created["holder"]
    with pytest.raises(InvalidInput, match="was not approved"):
        ask(run, approving(second))

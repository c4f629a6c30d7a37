"""Who is told about a failed order, when, and what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)
from tests.notifications.failures import LOG_URL, failed, invoicing

from tfso_hypatos.exceptions import (
    BatchFailed,
    InvoicingUnconfirmed,
    OrderBusy,
    OrderDrift,
    OrdersLeftOut,
    OutcomeUncertain,
    ServerError,
    StopSwitchUnreadable,
    TransactionNeverPosted,
)
from tfso_hypatos.links.sales_order import ORDER_URL, stored_addresses
from tfso_hypatos.notifications.order_needs_person import OrderNeedsPersonNotifier
from tfso_hypatos.operators.failed_orders import CheckFailedOrdersOperator
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor


class Recorder(BaseNotifier):
    """Another notifier, with templates as that of an e-mail has."""

    template_fields = ("subject", "body")

    def __init__(self, sent: list[tuple[str, str]]) -> None:
        super().__init__()
        self.sent = sent
        self.subject = "{{ order_problem.title }}"
        self.body = "{{ order_problem.text }}"

    def notify(self, context: Any) -> None:
        self.sent.append((self.subject, self.body))


@pytest.mark.parametrize(
    "error", [OrdersLeftOut("2 orders failed"), BatchFailed("2 of 3 failed", [], {}, permanent=True)]
)
def test_the_title_of_several_orders_is_not_that_of_one(error: Exception) -> None:
    sent: list[tuple[str, str]] = []
    OrderNeedsPersonNotifier(deliver=Recorder(sent))(
        failed(error, CheckFailedOrdersOperator(task_id="check", failed_orders={}))
    )
    assert sent[0][0] == f"Orders need a person: {type(error).__name__}"


@pytest.mark.parametrize("error", [OrderDrift("differs"), InvoicingUnconfirmed("x"), OutcomeUncertain("x")])
def test_the_message_says_which_order_what_and_what_next(error: Exception) -> None:
    sent: list[tuple[str, str]] = []
    task = invoicing()
    stored_addresses(task)[ORDER_URL] = "https://x.example/1001"
    OrderNeedsPersonNotifier(deliver=Recorder(sent))(failed(error, task))
    ((subject, body),) = sent
    assert subject == f"Order 'web-10045' (sales order 1001) needs a person: {type(error).__name__}"
    for part in (
        "What happened: ",
        f"Error: {error}",
        "What is certain: ",
        "What to do next: ",
        "Task: orders/run-1/invoice",
        f"Log: {LOG_URL}",
        "Order: https://x.example/1001",
    ):
        assert part in body


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ServerError("503", status=503), "when the service is well again"),
        (OrderBusy("another run"), "when the service is well again"),
        (StopSwitchUnreadable("no API server"), "read the Variable"),
        (AirflowTaskTimeout("60 s"), "give the task more time"),
        (AirflowSensorTimeout("a day"), "it waits again"),
        (TaskDeferralTimeout("a day"), "it waits again"),
        (KeyError("Bjørn"), "Read the error in the task's log"),
    ],
)
def test_whatever_ended_a_task_for_good_is_a_message(error: BaseException, advice: str) -> None:
    sent: list[Any] = []
    OrderNeedsPersonNotifier(deliver=sent.append)(failed(error))
    (problem,) = (each["order_problem"] for each in sent)
    assert problem["kind"] == type(error).__name__
    assert advice in problem["next"]
    assert "Bjørn" not in str(problem)


def test_an_error_that_passes_is_a_message_only_when_no_try_is_left() -> None:
    """Where Airflow tells no state, the tries say so."""
    sent: list[Any] = []
    notifier = OrderNeedsPersonNotifier(deliver=sent.append)
    for error in (ServerError("503", status=503), KeyError("x")):
        for state, try_number in (("up_for_retry", 3), ("running", 1), ("", 3)):
            context = failed(error, state=state)
            context["ti"].try_number, context["ti"].max_tries = try_number, 3
            notifier(context)
    assert sent == []
    for error in (ServerError("503", status=503), KeyError("x")):
        context = failed(error, state="")
        context["ti"].try_number, context["ti"].max_tries = 4, 3
        notifier(context)
    assert len(sent) == 2


@pytest.mark.parametrize("error", [KeyError("x"), AirflowTaskTimeout("60 s"), None])
def test_the_task_of_somebody_else_is_no_message(error: BaseException | None) -> None:
    sent: list[Any] = []
    OrderNeedsPersonNotifier(deliver=sent.append)(failed(error, BaseOperator(task_id="theirs")))
    assert sent == []


@pytest.mark.parametrize(
    "task",
    [
        InvoiceTransactionSensor(task_id="w", sales_order_id="7"),
        InvoiceSalesOrderOperator.partial(task_id="m").expand(sales_order_id=[1, 2]),
    ],
)
def test_the_sensor_and_a_mapped_task_whose_process_died_are_ours(task: Any) -> None:
    sent: list[Any] = []
    OrderNeedsPersonNotifier(deliver=sent.append)(failed(None, task))
    assert len(sent) == 1


def test_a_try_that_is_followed_by_another_one_is_no_message() -> None:
    sent: list[Any] = []
    notifier = OrderNeedsPersonNotifier(deliver=sent.append)
    for state in ("up_for_retry", "up_for_retry", "failed"):
        notifier(failed(OutcomeUncertain("x"), state=state))
    assert len(sent) == 1


def test_an_error_that_airflow_was_told_in_its_own_words_is_recognized() -> None:
    sent: list[Any] = []
    error = AirflowFailException("differs")
    error.__cause__ = OrderDrift("differs")
    OrderNeedsPersonNotifier(deliver=sent.append)(failed(error))
    assert sent[0]["order_problem"]["kind"] == "OrderDrift"


def test_a_task_whose_process_died_is_a_message() -> None:
    """The DAG processor calls for it, and knows of no exception."""
    sent: list[Any] = []
    context = failed(None)
    del context["exception"]
    OrderNeedsPersonNotifier(deliver=sent.append)(context)
    assert sent[0]["order_problem"]["kind"] == "Killed"
    assert "clear the task" in sent[0]["order_problem"]["text"]


@pytest.mark.parametrize("context", [{}, {"dag": None, "reason": "task_failure"}])
def test_the_callback_of_a_whole_dag_is_no_message(context: dict[str, Any]) -> None:
    sent: list[Any] = []
    OrderNeedsPersonNotifier(deliver=sent.append)(context)
    assert sent == []


@pytest.mark.parametrize(
    ("task", "order"),
    [
        (lambda: CreateSalesOrderOperator(task_id="c", order={}, lines=[], order_key="web-7"), "Order 'web-7'"),
        (lambda: CreateSalesOrderOperator(task_id="c", order={}, lines=[], order_key="{{ x }}"), "An order"),
        (lambda: InvoiceTransactionSensor(task_id="w", sales_order_id="7"), "Sales order 7"),
        (lambda: invoicing(sales_order_id='{"sales_order_id": 7}'), "An order"),
    ],
)
def test_the_order_is_named_by_what_the_task_was_given(task: Callable[[], Any], order: str) -> None:
    sent: list[Any] = []
    OrderNeedsPersonNotifier(deliver=sent.append)(failed(TransactionNeverPosted("x"), task()))
    assert sent[0]["order_problem"]["title"].startswith(order)


def test_nobody_is_named() -> None:
    sent: list[Any] = []
    order = {"customer": {"id": 42, "name": "Bjørn Ås AS", "street": "Storgata 1"}}
    task = CreateSalesOrderOperator(task_id="c", order=order, lines=[], order_key="web-7")
    OrderNeedsPersonNotifier(deliver=sent.append)(failed(OrderDrift("differs"), task))
    assert not any(name in str(sent[0]["order_problem"]) for name in ("Bjørn", "Storgata", "42"))


def test_a_dag_takes_it_as_a_callback() -> None:
    notifier = OrderNeedsPersonNotifier()
    with DAG("orders", default_args={"on_failure_callback": notifier}):
        task = invoicing()
    assert list(task.on_failure_callback) == [notifier]

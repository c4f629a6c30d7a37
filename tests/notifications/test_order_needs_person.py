"""Who is told about a failed order, when, and what."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException

from tfso_hypatos.exceptions import (
    InvoicingUnconfirmed,
    OrderDrift,
    OutcomeUncertain,
    ServerError,
    TransactionNeverPosted,
)
from tfso_hypatos.links.sales_order import ORDER_URL, stored_addresses
from tfso_hypatos.notifications.order_needs_person import OrderNeedsPersonNotifier
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

LOG_URL = "http://airflow.example/dags/orders/runs/run-1/tasks/invoice?try_number=2"


def invoicing(**arguments: Any) -> InvoiceSalesOrderOperator:
    given = {"sales_order_id": {"sales_order_id": 1001, "order_key": "web-10045"}, **arguments}
    return InvoiceSalesOrderOperator(task_id="invoice", **given)


def failed(error: Any, task: Any = None, state: str = "failed", **more: Any) -> Any:
    instance = SimpleNamespace(dag_id="orders", run_id="run-1", task_id="invoice", state=state, log_url=LOG_URL)
    return {"ti": instance, "task": task or invoicing(), "exception": error, **more}


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


@pytest.mark.parametrize("error", [ServerError("503", status=503), ValueError("of somebody else")])
def test_what_passes_by_itself_or_is_not_ours_is_no_message(error: Exception) -> None:
    sent: list[Any] = []
    OrderNeedsPersonNotifier(deliver=sent.append)(failed(error))
    assert sent == []


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


def test_without_a_receiver_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        OrderNeedsPersonNotifier()(failed(OrderDrift("differs")))
    assert "Order 'web-10045' (sales order 1001) needs a person: OrderDrift" in caplog.text


def test_a_receiver_that_fails_does_not_keep_the_others_from_it() -> None:
    sent: list[Any] = []

    def broken(_: Any) -> None:
        raise ConnectionError("no mail server")

    OrderNeedsPersonNotifier(deliver=[broken, sent.append])(failed(OrderDrift("differs")))
    assert len(sent) == 1


def test_a_notifier_is_used_for_one_order_after_the_other() -> None:
    sent: list[tuple[str, str]] = []
    notifier = OrderNeedsPersonNotifier(deliver=[Recorder(sent)])
    for order_id in (1, 2):
        notifier(failed(OrderDrift("differs"), invoicing(sales_order_id=order_id)))
    assert [subject for subject, _ in sent] == [
        "Sales order 1 needs a person: OrderDrift",
        "Sales order 2 needs a person: OrderDrift",
    ]


def test_the_smtp_notifier_takes_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    seen: list[tuple[Any, Any]] = []
    monkeypatch.setattr(SmtpNotifier, "notify", lambda self, _: seen.append((self.subject, self.html_content)))
    mail = SmtpNotifier(
        to="orders@example.com",
        subject="{{ order_problem.title }}",
        html_content="<pre>{{ order_problem.text | e }}</pre>",
    )
    OrderNeedsPersonNotifier(deliver=mail)(failed(OrderDrift("a < b")))
    assert seen[0][0].startswith("Order 'web-10045'")
    assert "Error: a &lt; b" in seen[0][1]


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


async def test_it_can_be_awaited() -> None:
    sent: list[Any] = []
    await OrderNeedsPersonNotifier(deliver=sent.append, context=failed(OrderDrift("differs")))
    assert len(sent) == 1


def test_a_dag_takes_it_as_a_callback() -> None:
    notifier = OrderNeedsPersonNotifier()
    with DAG("orders", default_args={"on_failure_callback": notifier}):
        task = invoicing()
    assert list(task.on_failure_callback) == [notifier]

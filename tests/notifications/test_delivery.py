"""How a message about an order is handed on, and what becomes of it when nobody takes it."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowTaskTimeout
from tests.notifications.failures import failed, invoicing

from tfso_hypatos.exceptions import InvalidInput, OrderDrift
from tfso_hypatos.notifications.order_needs_person import OrderNeedsPersonNotifier

TEXT = ("needs a person: OrderDrift", "What is certain: ", "What to do next: ", "Task: orders/run-1/invoice")


class Synchronous(BaseNotifier):
    """A notifier of others that can only be called."""

    template_fields = ("subject",)

    def __init__(self, sent: list[str]) -> None:
        super().__init__()
        self.sent = sent
        self.subject = "{{ order_problem.title }}"

    def notify(self, context: Any) -> None:
        self.sent.append(f"{self.subject} on {threading.current_thread().name}")


class Asynchronous(BaseNotifier):
    """A notifier of others that can only be awaited."""

    template_fields = ("subject",)

    def __init__(self, sent: list[str]) -> None:
        super().__init__()
        self.sent = sent
        self.subject = "{{ order_problem.title }}"

    async def async_notify(self, context: Any) -> None:
        await asyncio.sleep(0)
        self.sent.append(f"{self.subject} on {threading.current_thread().name}")


class Both(Synchronous):
    """A notifier of others that can be called and awaited, and says which it was."""

    def notify(self, context: Any) -> None:
        self.sent.append("called")

    async def async_notify(self, context: Any) -> None:
        self.sent.append("awaited")


class Sending:
    """Receivers of every kind, which note the title and the thread that they were run in."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def plain(self, context: Any) -> None:
        self.sent.append(f"{context['order_problem']['title']} on {threading.current_thread().name}")

    async def coroutine(self, context: Any) -> None:
        await asyncio.sleep(0)
        self.plain(context)

    def returning(self, context: Any) -> Awaitable[None]:
        return self.coroutine(context)

    async def partial(self, channel: str, context: Any) -> None:
        await self.coroutine(context)

    async def __call__(self, context: Any) -> None:
        await self.coroutine(context)


KINDS: dict[str, Callable[[Sending], Any]] = {
    "a function": lambda each: each.plain,
    "a coroutine function": lambda each: each.coroutine,
    "a function that returns an awaitable": lambda each: each.returning,
    "a partial coroutine function": lambda each: functools.partial(each.partial, "orders"),
    "an object whose call is a coroutine": lambda each: each,
    "a notifier": lambda each: Synchronous(each.sent),
    "a notifier that can only be awaited": lambda each: Asynchronous(each.sent),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[[Sending], Any]:
    return KINDS[request.param]


def test_each_kind_of_receiver_has_sent_it_when_the_callback_returns(kind: Callable[[Sending], Any]) -> None:
    sending = Sending()
    OrderNeedsPersonNotifier(deliver=kind(sending))(failed(OrderDrift("differs")))
    (sent,) = sending.sent
    assert sent.startswith("Order 'web-10045' (sales order 1001) needs a person: OrderDrift on ")


async def test_each_kind_of_receiver_has_sent_it_when_it_was_awaited(kind: Callable[[Sending], Any]) -> None:
    sending = Sending()
    await OrderNeedsPersonNotifier(deliver=kind(sending), context=failed(OrderDrift("differs")))
    (sent,) = sending.sent
    assert "needs a person: OrderDrift" in sent


async def test_a_receiver_may_be_asynchronous_where_an_event_loop_runs_the_callback(
    kind: Callable[[Sending], Any],
) -> None:
    sending = Sending()
    OrderNeedsPersonNotifier(deliver=kind(sending))(failed(OrderDrift("differs")))
    assert len(sending.sent) == 1


async def test_only_what_is_synchronous_is_awaited_in_another_thread() -> None:
    here = threading.current_thread().name
    for name, kind in KINDS.items():
        sending = Sending()
        await OrderNeedsPersonNotifier(deliver=kind(sending), context=failed(OrderDrift("differs")))
        is_here = sending.sent[0].endswith(f" on {here}")
        assert is_here == (name not in {"a function", "a notifier"}), name


async def test_a_notifier_that_can_be_both_is_used_as_this_one_is() -> None:
    sent: list[str] = []
    await OrderNeedsPersonNotifier(deliver=Both(sent), context=failed(OrderDrift("differs")))
    await asyncio.to_thread(OrderNeedsPersonNotifier(deliver=Both(sent)), failed(OrderDrift("differs")))
    assert sent == ["awaited", "called"]


@pytest.mark.parametrize("kind_of_notifier", [Synchronous, Asynchronous])
def test_a_notifier_is_used_for_one_order_after_the_other(kind_of_notifier: type[Any]) -> None:
    sent: list[str] = []
    notifier = OrderNeedsPersonNotifier(deliver=[kind_of_notifier(sent)])
    for order_id in (1, 2):
        notifier(failed(OrderDrift("differs"), invoicing(sales_order_id=order_id)))
    assert [subject.partition(" needs")[0] for subject in sent] == ["Sales order 1", "Sales order 2"]


class Failing:
    """Receivers that fail, each in its own way."""

    def plain(self, context: Any) -> None:
        raise ConnectionError("no mail server")

    async def coroutine(self, context: Any) -> None:
        raise ConnectionError("no mail server")

    async def cancelled(self, context: Any) -> None:
        raise asyncio.CancelledError


FAILING = (Failing().plain, Failing().coroutine)


@pytest.mark.parametrize("failing", [*FAILING, Failing().cancelled])
def test_a_receiver_that_fails_keeps_nobody_from_the_message(failing: Any, caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending()
    OrderNeedsPersonNotifier(deliver=(failing, sending.coroutine))(failed(OrderDrift("differs")))
    assert len(sending.sent) == 1
    assert all(part in caplog.text for part in TEXT)


@pytest.mark.parametrize("failing", [*FAILING, Failing().cancelled])
async def test_nor_where_it_is_awaited(failing: Any, caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending()
    await OrderNeedsPersonNotifier(deliver=(failing, sending.plain), context=failed(OrderDrift("differs")))
    assert len(sending.sent) == 1
    assert all(part in caplog.text for part in TEXT)


def test_what_nobody_takes_is_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    OrderNeedsPersonNotifier(deliver=FAILING)(failed(OrderDrift("differs")))
    assert caplog.text.count("no mail server") >= 2
    assert caplog.text.count("What to do next: ") == 1


@pytest.mark.parametrize("nobody", [None, [], ()])
def test_without_a_receiver_it_is_logged(nobody: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        OrderNeedsPersonNotifier(deliver=nobody)(failed(OrderDrift("differs")))
    assert all(part in caplog.text for part in TEXT)


@pytest.mark.parametrize("end", [SystemExit, AirflowTaskTimeout])
def test_what_ends_the_process_meanwhile_leaves_it_in_the_log(end: Any, caplog: pytest.LogCaptureFixture) -> None:
    def ending(context: Any) -> None:
        raise end

    with pytest.raises(end):
        OrderNeedsPersonNotifier(deliver=ending)(failed(OrderDrift("differs")))
    assert all(part in caplog.text for part in TEXT)


async def test_a_callback_that_is_cancelled_ends() -> None:
    sending, begun = Sending(), asyncio.Event()

    async def hanging(context: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def call() -> None:
        await OrderNeedsPersonNotifier(deliver=(hanging, sending.plain), context=failed(OrderDrift("differs")))

    calling = asyncio.create_task(call())
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert sending.sent == []


def generating(context: Any) -> Any:
    yield context


@pytest.mark.parametrize(
    ("deliver", "place"),
    [
        ("orders@example.com", "deliver"),
        (b"orders@example.com", "deliver"),
        (7, "deliver"),
        ({print}, "deliver"),
        ({"mail": print}, "deliver"),
        ((each for each in (print,)), "deliver"),
        ([print, "orders@example.com"], "deliver[1]"),
        ([None], "deliver[0]"),
        ([[print]], "deliver[0]"),
        (generating, "deliver"),
        (Synchronous, "deliver"),
        ([Asynchronous], "deliver[0]"),
    ],
)
def test_what_can_deliver_nothing_is_refused_when_the_dag_is_read(deliver: Any, place: str) -> None:
    """Found out when an order needs a person, it would be too late."""
    with pytest.raises(InvalidInput) as caught:
        OrderNeedsPersonNotifier(deliver=deliver)
    assert [problem.place for problem in caught.value.problems] == [place]

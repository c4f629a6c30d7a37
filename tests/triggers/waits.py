"""Waits for transactions that look together, as tests begin them, step by step."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import ORGANIZATION

from tfso_hypatos.exceptions import ConfigurationError
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.models.tfso_read import SalesOrder
from tfso_hypatos.triggers import shared_wait
from tfso_hypatos.triggers.poller import Answer, Poller
from tfso_hypatos.triggers.shared_wait import wait_for_transaction
from tfso_hypatos.triggers.turn import Turn

if TYPE_CHECKING:
    from tests.conftest import Log

    from tfso_hypatos.sandbox.server import Sandbox

HOUR = datetime.timedelta(hours=1)
CONNECTION = "tfso_default"


class Books:
    """Orders put straight into the sandbox's books: invoiced an hour ago, and posted when a test says so."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def make(self, count: int, organization: str = ORGANIZATION) -> list[int]:
        def make() -> list[int]:
            books = self.sandbox._service.tfso.books_of(organization)
            orders = [books.create({"customer": {"id": 42, "name": "K"}}) for _ in range(count)]
            for order in orders:
                books.add_line(order, {"description": "Kaffe", "quantity": 1, "price": 8})
                books.invoice(order, 1e6)
                order.created = order.modified = order.modified - HOUR
            return [order.id for order in orders]

        return self.sandbox._ask(make)

    def post(self, ids: Iterable[int], organization: str = ORGANIZATION) -> None:
        def post() -> None:
            service = self.sandbox._service
            for order_id in ids:
                service.tfso.books_of(organization).orders[order_id].invoices[-1].posted_at = service.clock.now()

        self.sandbox._ask(post)

    def set_inactive(self, order_id: int) -> None:
        books = self.sandbox._service.tfso.books_of(ORGANIZATION)
        self.sandbox._ask(lambda: books.change(books.orders[order_id], {"status": "Inactive"}))

    def now(self) -> datetime.datetime:
        return self.sandbox._ask(self.sandbox._service.clock.now)


class Stepped(Turn):
    """Rounds that come when a test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.go: asyncio.Queue[bool] = asyncio.Queue()
        self.over: asyncio.Queue[float] = asyncio.Queue()

    async def comes(self, interval: Callable[[], float]) -> bool:
        return await self.go.get()

    def ends(self, *, early: bool, held: float) -> None:
        self.over.put_nowait(held)


class Lookups:
    """What Airflow says when a connection is looked up, at first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failures: list[Exception] = []
        ask = TfsoHook.aget_connection

        async def look_up(conn_id: str) -> Any:
            self.count += 1
            if self.failures:
                raise self.failures.pop(0)
            return await ask(conn_id)

        monkeypatch.setattr(TfsoHook, "aget_connection", staticmethod(look_up))


def poller(conn_id: str = CONNECTION, organization: str | None = None) -> Poller:
    return shared_wait._POLLERS[asyncio.get_running_loop()][conn_id, organization]


def pollers() -> dict[tuple[str, str | None], Poller]:
    return shared_wait._POLLERS.get(asyncio.get_running_loop(), {})


async def step(conn_id: str = CONNECTION, organization: str | None = None, *, early: bool = False) -> float:
    """Let a round take place, and return for how long the next is held off; the last answer ends the poller, too."""
    each = poller(conn_id, organization)
    assert isinstance(each._turn, Stepped)
    each._turn.go.put_nowait(early)
    over = asyncio.create_task(each._turn.over.get())
    await asyncio.wait_for(asyncio.wait([over, each._task], return_when=asyncio.FIRST_COMPLETED), 60)
    if over.done():
        return over.result()
    await cancel([over])
    return 0.0


async def until(condition: Callable[[], object]) -> None:
    """Look until something is so."""
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never was")


async def a_round(log: Log, *, early: bool = False) -> tuple[int, int]:
    """Let a round take place, and return how many pages it listed and how many orders it read."""
    before = len(log.sent("GET"))
    await step(early=early)
    sent = [each["path"] for each in log.sent("GET")[before:]]
    lists = sent.count("/salesorders")
    # Let those leave who were answered.
    for _ in range(5):
        await asyncio.sleep(0)
    return lists, len(sent) - lists


Wait = asyncio.Task[Answer]


async def waiting(ids: Iterable[int], interval: float = 60.0, **arguments: Any) -> dict[int, Wait]:
    """Begin to wait for orders."""
    conn_id = arguments.pop("conn_id", CONNECTION)
    waits = {each: asyncio.create_task(wait_for_transaction(conn_id, each, interval, **arguments)) for each in ids}
    await asyncio.sleep(0)
    return waits


def done(waits: dict[int, Wait]) -> list[int]:
    return [order_id for order_id, wait in waits.items() if wait.done()]


async def cancel(waits: Iterable[asyncio.Task[Any]]) -> None:
    tasks = list(waits)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def transaction(answer: Answer) -> str | None:
    assert isinstance(answer, SalesOrder), answer
    return answer.transaction_id


async def answers(waits: dict[int, Wait]) -> dict[int, Answer]:
    return dict(zip(waits, await asyncio.wait_for(asyncio.gather(*waits.values()), 60), strict=True))


def is_elsewhere(answer: Answer) -> bool:
    return isinstance(answer, ConfigurationError) and "now points to another organization" in str(answer)


def broken(*_: Any, **__: Any) -> Any:
    """Fail as nobody thought of."""
    raise RuntimeError("hemmelig detail")

"""How a poller begins and ends with the waits for which it looks, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.conftest import OTHER_ORGANIZATION
from tests.triggers.waits import (
    CONNECTION,
    Books,
    a_round,
    answers,
    cancel,
    done,
    poller,
    pollers,
    step,
    transaction,
    until,
    waiting,
)

from tfso_hypatos.flows.watch import Watch
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers import shared_wait
from tfso_hypatos.triggers.poller import Answer, WaitFailed
from tfso_hypatos.triggers.shared_wait import wait_for_transaction

if TYPE_CHECKING:
    from tests.conftest import Connections, Log


pytestmark = pytest.mark.usefixtures("connections", "short_waits", "impatient")


@pytest.mark.parametrize("turns", range(12))
async def test_a_wait_that_comes_while_the_last_one_leaves_is_answered(
    books: Books, log: Log, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aclose = TfsoHook.aclose

    async def slowly(self: TfsoHook) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await aclose(self)

    monkeypatch.setattr(TfsoHook, "aclose", slowly)
    first, second = books.make(2)
    (leaving,) = (await waiting([first], 0.01)).values()
    await until(lambda: bool(log.sent("GET")))
    former = poller()
    leaving.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    books.post([second])
    waits = await waiting([second], 0.01)
    assert transaction((await answers(waits))[second])
    await asyncio.gather(leaving, return_exceptions=True)
    assert former._task.done()
    assert pollers() == {}


async def test_the_last_wait_closes_the_session(books: Books, sessions: list[aiohttp.ClientSession]) -> None:
    ids = books.make(3)
    waits = await waiting(ids, 0.01)
    await until(lambda: bool(sessions))
    await cancel([waits.pop(ids[0])])
    assert not sessions[-1].closed
    books.post(ids)
    await answers(waits)
    assert sessions
    assert all(session.closed for session in sessions)
    assert len(set(map(id, sessions))) == 1


async def test_a_poller_that_never_began_leaves_nothing_behind(books: Books) -> None:
    waits = await waiting([7])
    await cancel(waits.values())
    assert pollers() == {}
    gc.collect()


@pytest.mark.usefixtures("stepped")
async def test_two_connections_do_not_mix(books: Books, connections: Connections, log: Log) -> None:
    connections.tfso("tfso_other", extra={"organization_id": OTHER_ORGANIZATION})
    ids = books.make(10)
    assert books.make(10, OTHER_ORGANIZATION) == ids
    waits = await waiting(ids, seen_at=books.now())
    others = await waiting(ids, seen_at=books.now(), conn_id="tfso_other")
    books.post(ids[:1])
    books.post(ids[1:2], OTHER_ORGANIZATION)
    await a_round(log)
    assert (done(waits), done(others)) == (ids[:1], [])
    await step("tfso_other")
    await asyncio.sleep(0)
    assert (done(waits), done(others)) == (ids[:1], ids[1:2])
    await cancel(waits.values())
    assert set(pollers()) == {("tfso_other", None)}
    await cancel(others.values())


def test_two_loops_one_after_the_other(books: Books) -> None:
    for order_id in books.make(2):
        books.post([order_id])
        answer = asyncio.run(asyncio.wait_for(_alone(order_id), 60))
        assert transaction(answer)
    gc.collect()
    assert [pollers for loop, pollers in shared_wait._POLLERS.items() if pollers] == []


async def _alone(order_id: int) -> Answer:
    return await wait_for_transaction(CONNECTION, order_id, 0.01)


def test_what_a_closed_loop_left_behind_is_thrown_away(books: Books) -> None:
    loop = asyncio.new_event_loop()
    left: Any = {"tfso_default": "a poller that keeps its loop alive"}
    shared_wait._POLLERS[loop] = left
    loop.close()
    (order_id,) = books.make(1)
    books.post([order_id])
    assert transaction(asyncio.run(_alone(order_id)))
    assert loop not in shared_wait._POLLERS


@pytest.mark.parametrize("begun", [False, True])
async def test_a_poller_that_somebody_ends_leaves_nobody_waiting(books: Books, log: Log, begun: bool) -> None:
    waits = await waiting(books.make(2), 0.01)
    if begun:
        await until(lambda: bool(log.sent("GET")))
    poller()._task.cancel()
    assert set((await answers(waits)).values()) == {WaitFailed("CancelledError")}
    assert pollers() == {}


async def test_the_first_task_is_not_the_pollers(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    task: contextvars.ContextVar[str] = contextvars.ContextVar("task")
    seen: list[str | None] = []
    survey = Watch.survey

    def watched(self: Watch, *arguments: Any, **keywords: Any) -> Any:
        seen.append(task.get(None))
        return survey(self, *arguments, **keywords)

    monkeypatch.setattr(Watch, "survey", watched)
    task.set("the first to wait")
    waits = await waiting(books.make(2), 0.01)
    await until(lambda: bool(seen))
    assert set(seen) == {None}
    await cancel(waits.values())


async def test_the_log_is_quiet(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="tfso_hypatos"):
        waits = await waiting(books.make(2), 0.01)

        def said(level: int) -> int:
            name = "tfso_hypatos.triggers.poller"
            return sum(each.levelno == level for each in caplog.records if each.name == name)

        await until(lambda: said(logging.DEBUG) > 3)
    assert said(logging.INFO) == 1
    assert said(logging.WARNING) == 0
    await cancel(waits.values())

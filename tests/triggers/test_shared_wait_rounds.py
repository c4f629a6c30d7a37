"""When the waits on one connection look: together, before the time, and as often as the shortest interval says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.triggers.waits import (
    CONNECTION,
    Books,
    Lookups,
    answers,
    cancel,
    poller,
    pollers,
    transaction,
    until,
    waiting,
)

from tfso_hypatos.triggers import turn
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger
from tfso_hypatos.triggers.turn import Turn

if TYPE_CHECKING:
    from tests.conftest import Connections, Log


pytestmark = pytest.mark.usefixtures("connections", "short_waits", "impatient")


async def test_triggers_that_start_together_make_one_round(
    books: Books, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "GATHERING", 0.3)
    ids = books.make(300)
    seen_at = books.now().isoformat()
    runs = [InvoiceTransactionTrigger(each, CONNECTION, 60.0, seen_at).run() for each in ids]
    tasks = [asyncio.ensure_future(_first(run)) for run in runs]
    books.post(ids[:1])
    event = await asyncio.wait_for(tasks[0], 60)
    assert event.payload["result"]["sales_order_id"] == ids[0]
    assert [each["path"] for each in log.sent("GET")] == ["/salesorders"]
    await cancel(tasks[1:])
    assert pollers() == {}


async def _first(run: Any) -> Any:
    return await anext(run)


async def test_a_new_wait_makes_a_round_before_its_time(
    books: Books, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LONGEST_EARLIEST", 0.05)
    ids = books.make(11)
    waits = await waiting(ids[:10], 3600.0, seen_at=books.now())
    await until(lambda: bool(log.sent("GET")))
    books.post(ids[10:])
    late = await waiting(ids[10:], 3600.0)
    await answers(late)
    assert [each["path"] for each in log.sent("GET")] == ["/salesorders", f"/salesorders/{ids[10]}"]
    await cancel(waits.values())


async def test_waits_that_were_looked_at_a_moment_ago_join_the_next_round(
    books: Books, log: Log, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LONGEST_EARLIEST", 0.01)
    ids = books.make(30)
    waits = await waiting(ids[:10], 3600.0, seen_at=books.now())
    await until(lambda: bool(log.sent("GET")))
    calls: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(Turn, "call", lambda each: calls.append(each))
        for order_id in ids[10:]:
            waits |= await waiting([order_id], 3600.0, seen_at=books.now())
    # None of them asks for a round before its time.
    assert (calls, len(log.sent("GET")), lookups.count) == ([], 1, 1)
    # Whoever asks for a shorter interval than all others gets it.
    quick = await waiting(ids[:1], 0.02, seen_at=books.now())
    books.post(ids[:1] + ids[29:])
    assert transaction((await answers(quick))[ids[0]])
    assert transaction(await asyncio.wait_for(waits[ids[29]], 60))
    await cancel(waits.values())


def reads(log: Log, order_id: int) -> int:
    return len(log.sent("GET", f"/salesorders/{order_id}"))


async def test_waits_that_nobody_knows_of_cost_their_reads_and_no_more(
    books: Books, log: Log, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LONGEST_EARLIEST", 0.01)
    ids = books.make(30)
    waits = await waiting(ids[:10], 3600.0, seen_at=books.now())
    await until(lambda: bool(log.sent("GET")))
    for order_id in ids[10:]:
        waits |= await waiting([order_id], 3600.0)
        await until(partial(reads, log, order_id))
    expected = ["/salesorders", *(f"/salesorders/{each}" for each in ids[10:])]
    assert sorted(each["path"] for each in log.sent("GET")) == sorted(expected)
    assert lookups.count == 1
    await cancel(waits.values())


async def test_the_shortest_interval_of_those_who_wait_counts() -> None:
    waits = {interval: await waiting([7], interval) for interval in (60.0, 5.0, 30.0)}
    assert poller().interval == 5.0
    await cancel(waits[5.0].values())
    assert poller().interval == 30.0
    await cancel(waits[30.0].values())
    assert poller().interval == 60.0
    await cancel(waits[60.0].values())


async def test_rounds_follow_the_interval_of_those_who_are_left(
    books: Books, log: Log, connections: Connections
) -> None:
    connections.tfso("tfso_other")
    ids = books.make(3)
    slow = await waiting(ids[:1], 3600.0)
    quick = await waiting(ids[1:2], 0.02)

    await until(lambda: reads(log, ids[0]) >= 5)
    await cancel(quick.values())
    before = reads(log, ids[0])
    other = await waiting(ids[2:], 0.02, conn_id="tfso_other")
    await until(lambda: reads(log, ids[2]) >= 10)
    # At most the round that was under way.
    assert reads(log, ids[0]) - before <= 1
    await cancel([*slow.values(), *other.values()])


class Clock:
    """A loop whose time passes only while somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_at(self, moment: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.now = max(self.now, moment)
        callback()
        return asyncio.get_running_loop().call_later(0, lambda: None)


def turn_of(clock: Any) -> Turn:
    return Turn(clock)


async def test_an_early_round_does_not_put_off_the_regular_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "GATHERING", 1.0)
    clock = Clock()
    each = turn_of(clock)
    assert (await each.comes(lambda: 60.0), clock.now) == (False, 1001)
    each.ends(early=False, held=0)
    each.call()
    each.call()
    # A tenth of the interval lies between two rounds.
    assert (await each.comes(lambda: 60.0), clock.now) == (True, 1007)
    each.ends(early=True, held=0)
    assert (await each.comes(lambda: 60.0), clock.now) == (False, 1061)


async def test_trouble_holds_off_new_waits_too() -> None:
    clock = Clock()
    each = turn_of(clock)
    await each.comes(lambda: 60.0)
    each.ends(early=False, held=90)
    ended_at = clock.now
    each.call()
    assert not await each.comes(lambda: 60.0)
    assert clock.now == ended_at + 90


async def test_a_shorter_interval_brings_the_regular_round_forward() -> None:
    each = Turn(asyncio.get_running_loop())
    interval = 3600.0
    await each.comes(lambda: interval)
    each.ends(early=False, held=0)
    coming = asyncio.create_task(each.comes(lambda: interval))
    await asyncio.sleep(0)
    interval = 0.01
    each.reckon()
    assert not await asyncio.wait_for(coming, 60)

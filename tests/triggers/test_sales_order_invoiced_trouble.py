"""How the trigger that starts DAGs waits, in good times and in bad ones, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.triggers.postings import invoiced, looks, running, settled, trigger
from tests.triggers.waits import until

from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers import sales_order_invoiced
from tfso_hypatos.triggers.posting_feed import PostingFeed

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections", "short_looks")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long the trigger waits after each round."""
    found: list[float] = []
    looking = PostingFeed.round

    async def watched(feed: PostingFeed) -> Any:
        news = await looking(feed)
        found.append(feed.pause)
        return news

    monkeypatch.setattr(PostingFeed, "round", watched)
    return found


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long the trigger sleeps after each round; what is there has begun."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(sales_order_invoiced, "asyncio", SimpleNamespace(sleep=sleep))
    return found


@pytest.mark.usefixtures("impatient")
async def test_the_wait_that_the_server_asks_for_is_kept(sandbox: Any, log: Log, slept: list[float]) -> None:
    sandbox.add_fault(action="rate_limit", retry_after=30, method="GET", times=10_000)
    async with running(trigger()):
        await until(lambda: slept)
    assert slept == [30.0]
    assert looks(log) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status_before", "status": 503},
        {"action": "unauthorized"},
        {"action": "truncate"},
    ],
    ids=lambda fault: str(fault["action"]),
)
async def test_a_service_in_trouble_is_asked_ever_more_rarely_and_then_goes_on(
    sandbox: Any, log: Log, fault: dict[str, Any], pauses: list[float]
) -> None:
    sandbox.add_fault(**fault, method="GET", times=10_000)
    async with running(trigger(poll_interval=0.02)) as found:
        await until(lambda: len(pauses) >= 4)
        assert pauses[:4] == [0.04, 0.08, 0.16, 0.32]
        sandbox.clear_faults()
        await until(lambda: pauses[-1] == 0.02)
        await invoiced()
        await until(lambda: len(found) == 1)


@pytest.mark.parametrize("broken", ["password", "connection"])
async def test_a_wrong_connection_is_waited_for(
    connections: Connections, log: Log, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if broken == "password":
        connections.tfso(password=None)
    else:
        monkeypatch.delenv("AIRFLOW_CONN_TFSO_DEFAULT")
    async with running(trigger(poll_interval=0.02)) as found:
        await until(lambda: caplog.text.count("looking again") >= 2)
        connections.tfso()
        await settled(log, 1)
        await invoiced()
        await until(lambda: len(found) == 1)


async def test_an_error_nobody_thought_of_does_not_end_it(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adrive = TfsoHook.adrive
    failures = [RuntimeError("bug"), RuntimeError("bug")]

    async def broken(hook: TfsoHook, flow: Any) -> Any:
        if failures:
            raise failures.pop()
        return await adrive(hook, flow)

    monkeypatch.setattr(TfsoHook, "adrive", broken)
    with caplog.at_level(logging.ERROR):
        async with running(trigger()):
            await settled(log, 1)
    assert failures == []


@pytest.mark.parametrize("interval", [0, -1])
async def test_an_interval_of_nothing_is_no_storm(
    log: Log, slept: list[float], monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    monkeypatch.setattr(sales_order_invoiced, "SHORTEST_INTERVAL", 3600.0)
    async with running(trigger(poll_interval=interval)):
        await until(lambda: slept)
    assert slept == [3600.0]
    assert looks(log) == 1


@pytest.mark.parametrize("action", ["hang_before", "slow", None])
async def test_a_cancelled_trigger_leaves_at_once_and_closes_its_session(
    connections: Connections, sandbox: Any, log: Log, action: str | None, sessions: list[aiohttp.ClientSession]
) -> None:
    connections.tfso(extra={"timeout": 60})
    if action is not None:
        sandbox.add_fault(action=action, seconds=30, method="GET", times=2)
    async with asyncio.timeout(20):
        async with running(trigger(poll_interval=3600)):
            await until(lambda: looks(log) > 0)
    assert sessions
    assert all(session.closed for session in sessions)

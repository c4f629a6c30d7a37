"""Waits for the budget at the wire: how they end, and what is told of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import requests
from tests.clients.looks import HOURLY, budget_of, look, looks

from tfso_hypatos.clients import clock, tfso
from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.budget import BURST, Limits
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.clients.transport import Service
from tfso_hypatos.exceptions import NotSent, Stopped
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import SalesOrderCreate
from tfso_hypatos.sandbox.delivery import Exchange

if TYPE_CHECKING:
    from tests.conftest import Driver, Log, Services

ORDER = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")


def test_a_change_that_would_be_too_late_is_not_queued_for(driver: Driver, services: Services, log: Log) -> None:
    service = services.tfso(limits=Limits(per_second=0.01))
    driver.run_all(service, looks(BURST))
    for _ in range(BURST):
        driver.run(service, tfso.create_sales_order(ORDER, not_after=clock.now() + 30))
    not_after = clock.now() + 30
    with pytest.raises(NotSent) as caught:
        driver.run(service, tfso.create_sales_order(ORDER, not_after=not_after))
    (delay,) = caught.value.delays
    assert caught.value.not_after == not_after < delay.until
    assert delay.reason == "requests_per_second of the connection (0.01) allows no more"
    assert not delay.used_up
    assert len(log.orders) == BURST
    assert budget_of(service)._queue == []


def test_what_a_flow_waited_for_before_it_was_held_back_is_told(driver: Driver, services: Services) -> None:
    service = services.tfso(limits=Limits(per_second=4))

    def flow() -> Flow[Any]:
        for _ in range(BURST + 1):
            yield from look()
        yield from tfso.create_sales_order(ORDER, not_after=clock.now() - 1)

    with pytest.raises(NotSent) as caught:
        driver.run(service, flow())
    (delay,) = caught.value.delays
    assert 0.1 < delay.seconds < 5
    assert delay.until <= clock.now()


def test_whoever_outlasts_a_budget_waits_until_it_allows_more(
    driver: Driver, services: Services, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.clients.budget.HOUR", 1.0)
    patience = Patience(attempts=2, budget=0.3, longest_wait=0.01, outlasts=True)
    log.sandbox.add_fault(action="status_before", status=503, path="/salesorders$", skip=3)
    driver.run_all(services.tfso(limits=HOURLY, patience=patience), looks(5))
    # Its wait used up nothing of the patience with which the one that was refused is repeated.
    assert [each["status"] for each in log.sent()] == [200, 200, 200, 503, 200, 200]


def test_a_change_whose_time_is_over_uses_up_nothing(driver: Driver, services: Services) -> None:
    service = services.tfso(limits=HOURLY)
    for _ in range(9):
        with pytest.raises(NotSent):
            driver.run(service, tfso.create_sales_order(ORDER, not_after=clock.now() - 1))
    driver.run_all(service, looks(3))


def test_a_request_waits_behind_others_of_its_process_beyond_its_patience(services: Services, log: Log) -> None:
    service = services.tfso(limits=Limits(per_second=4), patience=Patience(budget=2.5, longest_wait=0.01))
    log.sandbox.add_fault(action="status_before", status=503, skip=12)

    async def crowd() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            transport = AsyncTransport(service, session)

            def long_flow() -> Flow[str]:
                for _ in range(6):
                    yield from look()
                return "done"

            early = [asyncio.ensure_future(transport.drive(long_flow())) for _ in range(2)]
            await asyncio.sleep(0)
            late = asyncio.ensure_future(transport.drive(look()))
            return await asyncio.gather(*early, late)

    *early, late = asyncio.run(crowd())
    assert early == ["done", "done"]
    # It was refused once after it had stood behind the others, and had all its patience still.
    assert late.orders == ()
    assert len(log.sent("GET")) == 14
    assert budget_of(service)._queue == []


def test_a_stop_ends_the_wait_in_the_queue(services: Services, log: Log) -> None:
    service = services.tfso(limits=Limits(per_second=0.01), patience=Patience(budget=1e6))
    with requests.Session() as session:
        transport = SyncTransport(service, session)
        for flow in looks(BURST):
            transport.drive(flow)
        stopper = when_queueing(service, transport.stop)
        with pytest.raises(Stopped, match="stopped while waiting"):
            transport.drive(tfso.create_sales_order(ORDER))
        stopper.join()
    assert log.orders == []
    assert budget_of(service)._queue == []


async def test_a_stop_from_another_thread_ends_the_wait_in_the_queue(services: Services, log: Log) -> None:
    service = services.tfso(limits=Limits(per_second=0.01), patience=Patience(budget=1e6))
    async with aiohttp.ClientSession() as session:
        transport = AsyncTransport(service, session)
        for flow in looks(BURST):
            await transport.drive(flow)
        stopper = when_queueing(service, transport.stop)
        with pytest.raises(Stopped, match="stopped while waiting"):
            await transport.drive(tfso.create_sales_order(ORDER))
        stopper.join()
        with pytest.raises(Stopped):
            await transport.drive(pause(1e6, "for ever"))
    assert log.orders == []
    assert budget_of(service)._queue == []


def when_queueing(service: Service, call: Callable[[], None]) -> threading.Thread:
    """Call a function from another thread as soon as a request stands in the queue."""
    budget = budget_of(service)
    over = threading.Event()

    def watch() -> None:
        while not budget._queue and not over.wait(0.005):
            pass
        call()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


async def test_a_stop_after_the_event_loop_has_ended_disturbs_nobody(services: Services) -> None:
    made: list[AsyncTransport] = []

    async def make() -> None:
        async with aiohttp.ClientSession() as session:
            made.append(AsyncTransport(services.tfso(), session))

    await asyncio.to_thread(lambda: asyncio.run(make()))
    made[0].stop()


async def test_a_cancelled_coroutine_leaves_the_queue(services: Services, log: Log) -> None:
    service = services.tfso(limits=Limits(per_second=0.01), patience=Patience(budget=1e6))
    async with aiohttp.ClientSession() as session:
        transport = AsyncTransport(service, session)
        for flow in looks(BURST):
            await transport.drive(flow)
        waiting = [asyncio.ensure_future(transport.drive(look())) for _ in range(20)]
        while len(budget_of(service)._queue) < 20:  # noqa: ASYNC110 - the budget tells nobody
            await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert all(each.cancelled() for each in waiting)
    assert budget_of(service)._queue == []
    assert len(log.sent()) == BURST


async def test_a_token_is_fetched_before_the_queue_is_joined(
    services: Services, sandbox: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, released = threading.Event(), threading.Event()

    async def hold(*_: Any, **__: Any) -> None:
        asked.set()
        await asyncio.to_thread(released.wait, 60)

    monkeypatch.setattr(Exchange, "wait", hold)
    sandbox.add_fault(action="slow", path="token")
    service = services.tfso(limits=Limits(per_second=20))
    async with aiohttp.ClientSession() as session:
        transport = AsyncTransport(service, session)
        drives = [asyncio.ensure_future(transport.drive(flow)) for flow in looks(BURST + 3)]
        assert await asyncio.to_thread(asked.wait, 60)
        # Those that had been let through meanwhile would come all at once.
        queued = list(budget_of(service)._queue)
        released.set()
        await asyncio.gather(*drives)
    assert queued == []
    assert len(log.sent()) == BURST + 3
    assert len(log.token_requests) == 1


def test_tokens_are_not_counted(driver: Driver, services: Services, log: Log) -> None:
    service = services.tfso(limits=HOURLY)
    driver.run(service, look())
    with requests.Session() as session:
        for _ in range(9):
            SyncTransport(service, session).fetch_token()
    driver.run_all(service, looks(2))
    assert len(log.token_requests) == 10


def test_a_long_wait_is_told_once_and_a_short_one_is_not(
    services: Services, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    passed = 0.0
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + passed)
    service = services.tfso(limits=Limits(per_second=0.1), patience=Patience(budget=1e6))
    with requests.Session() as session:
        transport = SyncTransport(service, session)

        def sleep(seconds: float) -> None:
            nonlocal passed
            passed += seconds

        monkeypatch.setattr(transport, "_sleep", sleep)
        for flow in looks(BURST + 1):
            transport.drive(flow)
        (line,) = [record.getMessage() for record in caplog.records if "requests_per_second" in record.getMessage()]
        assert line.startswith("Waiting ")
        assert line.endswith(" s to list sales orders: requests_per_second of the connection (0.1) allows no more")
        caplog.clear()
        SyncTransport(services.tfso(limits=Limits(per_second=1)), session)
        transport.drive(look())
        assert caplog.records == []

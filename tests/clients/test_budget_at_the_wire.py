"""Transports share the budget of their account."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import requests
from tests.clients.looks import HOURLY, budget_of, look, looks, over
from tests.conftest import OTHER_ORGANIZATION

from tfso_hypatos.clients import hypatos
from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.budget import BURST, Limits
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.exceptions import ApiError, RateLimited

if TYPE_CHECKING:
    from tests.conftest import Driver, Log, Reply, Script, Services


def test_the_transports_of_one_account_share_a_budget(driver: Driver, services: Services, log: Log) -> None:
    service = services.tfso(limits=HOURLY)
    driver.run_all(service, looks(2))
    driver.run(service, look())
    with pytest.raises(RateLimited) as caught:
        driver.run(service, look())
    assert len(log.sent()) == 3
    assert not caught.value.permanent
    assert not caught.value.ambiguous
    assert caught.value.retry_after == pytest.approx(3600, abs=60)
    assert str(caught.value).startswith("The request to list sales orders was not sent to 24SevenOffice: ")
    assert "requests_per_hour of the connection (5) is used up; it has to wait for another 3" in str(caught.value)


def test_both_kinds_of_transport_share_a_budget(services: Services, log: Log) -> None:
    service = services.tfso(limits=HOURLY)

    async def many() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            transport = AsyncTransport(service, session)
            return await asyncio.gather(*(transport.drive(look()) for _ in range(4)), return_exceptions=True)

    with requests.Session() as session:
        SyncTransport(service, session).drive(look())
        outcomes = asyncio.run(many())
        assert [type(each) for each in outcomes].count(RateLimited) == 2
        with pytest.raises(RateLimited):
            SyncTransport(service, session).drive(look())
    assert len(log.sent()) == 3


def test_accounts_do_not_share_a_budget(driver: Driver, services: Services, log: Log) -> None:
    driver.run_all(services.tfso(limits=HOURLY), looks(3))
    driver.run_all(services.tfso(limits=HOURLY, organization=OTHER_ORGANIZATION), looks(3))
    with pytest.raises(ApiError):
        driver.run(services.hypatos(limits=HOURLY), hypatos.delete_sales_order("K"))
    assert len(log.sent()) == 7


def test_threads_and_event_loops_share_a_rate(services: Services, log: Log) -> None:
    service = services.tfso(limits=Limits(per_second=20))

    def in_a_thread() -> None:
        with requests.Session() as session:
            transport = SyncTransport(service, session)
            for flow in looks(4):
                transport.drive(flow)

    async def on_a_loop() -> None:
        async with aiohttp.ClientSession() as session:
            transport = AsyncTransport(service, session)
            await asyncio.gather(*(transport.drive(flow) for flow in looks(8)))

    threads = [threading.Thread(target=in_a_thread) for _ in range(3)]
    threads += [threading.Thread(target=lambda: asyncio.run(on_a_loop())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.sent()) == 28
    assert over(budget_of(service), 20) <= BURST
    assert budget_of(service)._queue == []


def test_a_rate_is_learned_from_refusals(services: Services, sandbox: Any, log: Log) -> None:
    sandbox.configure(tfso_rate=6, tfso_window=0.3)
    service = services.tfso(patience=Patience(attempts=20, budget=30, longest_wait=0.3))

    async def many() -> None:
        async with aiohttp.ClientSession() as session:
            transport = AsyncTransport(service, session)
            await asyncio.gather(*(transport.drive(flow) for flow in looks(24)))

    asyncio.run(many())
    statuses = [each["status"] for each in log.sent()]
    assert statuses.count(200) == 24
    # All that were under way at once are refused at once; from then on hardly any, and not most of them in each window.
    assert statuses[24:].count(429) <= 24


def test_a_quota_that_is_told_is_not_overdrawn(services: Services, sandbox: Any, log: Log) -> None:
    sandbox.configure(hypatos_rate=5, hypatos_window=1)
    service = services.hypatos(patience=Patience(budget=30))

    def delete() -> Flow[Any]:
        return hypatos.delete_sales_order("K")

    async def many() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            transport = AsyncTransport(service, session)
            await asyncio.gather(transport.drive(delete()), return_exceptions=True)
            return await asyncio.gather(*(transport.drive(delete()) for _ in range(12)), return_exceptions=True)

    asyncio.run(many())
    assert len(log.sent()) - [each["status"] for each in log.sent()].count(429) == 13
    assert [each["status"] for each in log.sent()].count(429) <= 4


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_server_asks_of_one_request_holds_for_all(
    driver: Driver, script: Script, reply: type[Reply], status: int
) -> None:
    script.gives(lambda _: reply(status, b"", [("Retry-After", "3600")]))
    service = script.service(patience=Patience(budget=30))
    with pytest.raises(ApiError):
        driver.run(service, look())
    with pytest.raises(RateLimited, match="was not sent to 24SevenOffice: the server asked to wait") as caught:
        driver.run(service, look())
    assert len(script.calls()) == 1
    assert caught.value.retry_after == pytest.approx(600 if status == 429 else 60, abs=10)

from __future__ import annotations

import asyncio
import datetime
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import requests

from tfso_hypatos.clients import clock, hypatos, tfso, tfso_lists
from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.budget import BUDGETS, BURST, Budget, Limits
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.clients.transport import Service
from tfso_hypatos.exceptions import ApiError, NotSent, RateLimited, Stopped, TfsoHypatosError
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import SalesOrderCreate
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Connections, Driver, Log, Reply, Script, Services

ORDER = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
OTHER_ORGANIZATION = "100000000000002"
HOURLY = Limits(per_hour=3 + BURST)
"""Lets through three requests that can wait, and then none for an hour."""


def look() -> Flow[Any]:
    return tfso_lists.list_page(tfso_lists.SalesOrderFilter())


def looks(number: int) -> list[Flow[Any]]:
    return [look() for _ in range(number)]


def budget_of(service: Service) -> Budget:
    return BUDGETS.of(service.base_url, service.credentials, service.limits)


def over(budget: Budget, rate: float) -> float:
    """Return by how many requests any stretch of time exceeded a rate."""
    sent = list(budget._sent)
    stretches = itertools.combinations_with_replacement(range(len(sent)), 2)
    return max(last - first + 1 - rate * (sent[last] - sent[first]) for first, last in stretches) - 1e-6


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


async def test_a_token_is_fetched_before_the_queue_is_joined(services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="slow", path="token", seconds=0.5)
    service = services.tfso(limits=Limits(per_second=5))
    async with aiohttp.ClientSession() as session:
        transport = AsyncTransport(service, session)
        await asyncio.gather(*(transport.drive(flow) for flow in looks(6)))
    came = [datetime.datetime.fromisoformat(each["time"]) for each in log.sent()]
    # Those that had been let through meanwhile would come all at once.
    assert came[-1] - came[0] > datetime.timedelta(seconds=0.3)


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


@dataclass
class Order:
    """A task context as far as the operators look at one."""

    order_key: str
    try_number: int = 1

    def context(self, task_id: str) -> Any:
        order = self

        class Instance:
            dag_id, run_id, map_index, try_number = "orders", f"run-{order.order_key}", -1, order.try_number

            def __init__(self) -> None:
                self.task_id = task_id

            def xcom_push(self, key: str, value: Any) -> None:
                """Keep nothing."""

        return {"ti": Instance()}


@pytest.mark.parametrize(("rate", "settle"), [(8, 0.48), (4, 0.8)])
def test_one_order_is_created_and_invoiced_however_tight_the_budget(
    connections: Connections, order: Any, lines: Any, log: Log, rate: float, settle: float
) -> None:
    """A look is good for a quarter of the settle time: less than the time of one request, in each of these."""
    assert settle / 4 < 1 / rate
    connections.tfso(extra={"requests_per_second": rate, "settle_seconds": settle})
    work = Order("web-1")
    created = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="web-1").execute(
        work.context("create")
    )
    invoicing = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created)
    invoiced = invoicing.execute(work.context("invoice"))
    assert invoiced["invoiced"]
    assert len(log.invoices) == 1
    assert len(log.order["lines"]) == 3
    (budget,) = BUDGETS._budgets.values()
    assert over(budget, rate) <= 2 * BURST


def test_orders_created_at_once_in_one_process_keep_to_the_budget(
    connections: Connections, order: Any, lines: Any, log: Log
) -> None:
    connections.tfso(extra={"requests_per_second": 10, "settle_seconds": 1})
    outcomes: list[Any] = []

    def create(key: str) -> None:
        operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key=key)
        try:
            outcomes.append(operator.execute(Order(key).context("create")))
        except TfsoHypatosError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=create, args=(f"web-{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in outcomes if isinstance(each, Exception)] == []
    assert [len(each["lines"]) for each in log.orders] == [3] * 5
    (budget,) = BUDGETS._budgets.values()
    assert over(budget, 10) <= 2 * BURST

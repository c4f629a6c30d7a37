from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import itertools
import json
import time
import warnings
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import TriggerEvent

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import RateLimited, ServerError
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers import invoice_transaction, opening, turn
from tfso_hypatos.triggers.back_off import back_off
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections")


@pytest.fixture(autouse=True)
def _short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoice_transaction, "SHORTEST_INTERVAL", 0.001)
    monkeypatch.setattr(turn, "GATHERING", 0.001)


@pytest.fixture
def order_id(log: Log) -> int:
    """Return the id of an invoiced order; posted at once unless the sandbox is told otherwise."""
    with TfsoHook() as hook:
        created = hook.create_sales_order({"customer": {"id": 42, "name": "Bjørn Ås AS"}})
        hook.add_line(created.id, {"description": "Kaffe", "quantity": 1, "price": 8})
        hook.update_sales_order(created.id, {"status": "Invoice"})
    return created.id


@pytest.fixture
def waiting_id(order_id: int, sandbox: Any) -> int:
    """Return the id of an invoiced order that is not posted while the test runs."""
    sandbox.configure(transaction_reads=100_000)
    return order_id


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every single request fail at once, so that only the trigger's own waits are seen."""
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))


def trigger(order_id: Any, **arguments: Any) -> InvoiceTransactionTrigger:
    return InvoiceTransactionTrigger(order_id, **{"poke_interval": 0.02, **arguments})


async def events(each: InvoiceTransactionTrigger) -> list[TriggerEvent]:
    return [event async for event in each.run()]


PATIENCE = 60.0
"""Seconds after which a test gives up on what should take a part of one."""

LOOKS = 12_000
"""How often a test looks for what should be seen after some; a minute at least."""


@contextlib.asynccontextmanager
async def running(*triggers: InvoiceTransactionTrigger) -> AsyncIterator[list[TriggerEvent]]:
    """Run triggers meanwhile; the list is of the events that have come so far."""
    found: list[TriggerEvent] = []

    async def collect(each: InvoiceTransactionTrigger) -> None:
        async for event in each.run():
            found.append(event)  # noqa: PERF401 - whoever looks sees what has come so far

    tasks = [asyncio.create_task(collect(each)) for each in triggers]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Look until something is so."""
    for _ in range(LOOKS):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never was")


class Looks:
    """The looks at an order since now, and when they were begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: list[float] = []
        adrive = TfsoHook.adrive

        async def watched(hook: TfsoHook, flow: Any) -> Any:
            if flow.__name__ == "read":
                self.at.append(time.monotonic())
            return await adrive(hook, flow)

        monkeypatch.setattr(TfsoHook, "adrive", watched)

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.at)]

    async def come(self, count: int) -> None:
        await until(lambda: len(self.at) >= count)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Return the looks that a test takes."""
    return Looks(monkeypatch)


def test_the_trigger_survives_the_way_to_the_triggerer() -> None:
    seen_at = "2026-11-20T12:00:00+00:00"
    class_path, kwargs = trigger(7, tfso_conn_id="other", seen_at=seen_at, organization="0815").serialize()
    module, _, name = class_path.rpartition(".")
    assert getattr(import_module(module), name) is InvoiceTransactionTrigger
    assert kwargs == {
        "sales_order_id": 7,
        "tfso_conn_id": "other",
        "poke_interval": 0.02,
        "seen_at": seen_at,
        "organization": "0815",
    }
    assert json.loads(json.dumps(kwargs)) == kwargs
    assert deserialize(serialize(kwargs)) == kwargs
    again = InvoiceTransactionTrigger(**kwargs)
    assert again.serialize() == (class_path, kwargs)


def test_every_argument_is_serialized() -> None:
    parameters = inspect.signature(InvoiceTransactionTrigger.__init__).parameters.values()
    names = {each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD} - {"self"}
    assert trigger(7).serialize()[1].keys() == names


def test_arguments_of_a_later_version_are_accepted() -> None:
    kwargs = {**trigger(7).serialize()[1], "novelty": 1, "timeout": None}
    assert InvoiceTransactionTrigger(**kwargs).sales_order_id == 7


def test_arguments_of_an_earlier_version_are_accepted() -> None:
    made = InvoiceTransactionTrigger(sales_order_id=7, tfso_conn_id="other", poke_interval=0.02)
    assert (made.seen_at, made.organization) == (None, None)


def test_the_constructor_only_assigns() -> None:
    strange = object()
    made = InvoiceTransactionTrigger(strange, strange, strange, strange, strange)  # type: ignore[arg-type]
    assigned = (made.sales_order_id, made.tfso_conn_id, made.poke_interval, made.seen_at, made.organization)
    assert assigned == (strange,) * 5


async def test_a_posted_invoice_is_one_event_with_the_result(order_id: int, log: Log) -> None:
    (event,) = await events(trigger(order_id))
    (invoice,) = log.invoices
    assert event.payload["status"] == "posted"
    assert event.payload["result"]["transaction_id"] == invoice["transaction_id"]
    assert json.loads(json.dumps(event.payload)) == event.payload
    assert "Bjørn" not in json.dumps(event.payload, ensure_ascii=False)


async def test_it_looks_until_the_invoice_is_posted(order_id: int, sandbox: Any, log: Log) -> None:
    sandbox.configure(transaction_reads=3)
    before = len(log.sent("GET"))
    assert len(await events(trigger(order_id))) == 1
    assert len(log.sent("GET")) - before == 4
    assert log.changes == log.changes[:3]


async def test_it_waits_between_two_looks(waiting_id: int, looks: Looks) -> None:
    async with running(trigger(waiting_id, poke_interval=0.1)) as found:
        await looks.come(4)
    assert found == []
    assert min(looks.gaps) >= 0.1


@pytest.mark.parametrize(("status", "said"), [("Inactive", "set inactive"), ("", "deleted")])
async def test_an_order_that_will_never_be_posted_is_an_error(log: Log, status: str, said: str) -> None:
    async with TfsoHook() as hook:
        order = await hook.acreate_sales_order({"customer": {"id": 42, "name": "K"}})
        if status:
            await hook.aupdate_sales_order(order.id, {"status": status})
        else:
            await hook.adelete_sales_order(order.id)
    (event,) = await events(trigger(order.id))
    assert (event.payload["status"], event.payload["kind"]) == ("error", "TransactionNeverPosted")
    assert said in event.payload["message"]


async def test_a_permanent_401_ends_the_wait_without_a_storm(waiting_id: int, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="unauthorized", method="GET", times=10_000)
    before = len(sandbox.requests())
    (event,) = await asyncio.wait_for(events(trigger(waiting_id)), PATIENCE)
    assert (event.payload["status"], event.payload["kind"]) == ("error", "AuthenticationFailed")
    assert len(sandbox.requests()) - before <= 6


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status_before", "status": 503},
        {"action": "status_before", "status": 502, "html": True},
        {"action": "drop_before"},
        {"action": "truncate"},
        {"action": "rate_limit"},
    ],
    ids=lambda fault: f"{fault['action']}{fault.get('status', '')}",
)
async def test_a_service_in_trouble_is_asked_ever_more_rarely(
    waiting_id: int, sandbox: Any, log: Log, looks: Looks, fault: dict[str, Any]
) -> None:
    sandbox.add_fault(**fault, method="GET", times=10_000)
    before = len(log.sent("GET"))
    async with running(trigger(waiting_id, poke_interval=0.03)) as found:
        await looks.come(4)
    assert found == []
    assert all(gap >= least for gap, least in zip(looks.gaps, (0.06, 0.12, 0.24), strict=False)), looks.gaps
    # aiohttp itself repeats a read once when the connection breaks.
    assert len(log.sent("GET")) - before <= len(looks.at) * (2 if fault["action"] == "drop_before" else 1)


async def test_a_service_in_trouble_is_no_storm_with_the_ordinary_patience(
    waiting_id: int, sandbox: Any, log: Log, looks: Looks
) -> None:
    sandbox.add_fault(action="status_before", status=503, method="GET", times=10_000)
    before = len(log.sent("GET"))
    async with running(trigger(waiting_id)) as found:
        await until(lambda: len(log.sent("GET")) - before >= 2)
    assert found == []
    # It is the request that is repeated, and not the look.
    assert len(looks.at) == 1


@pytest.mark.usefixtures("impatient")
async def test_trouble_that_is_over_is_forgotten(order_id: int, sandbox: Any) -> None:
    sandbox.add_fault(action="status_before", status=503, method="GET", times=2)
    (event,) = await asyncio.wait_for(events(trigger(order_id)), PATIENCE)
    assert event.payload["status"] == "posted"


@pytest.mark.usefixtures("impatient")
async def test_the_wait_that_the_server_asks_for_is_kept(waiting_id: int, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="rate_limit", retry_after=30, method="GET", times=10_000)
    before = len(log.sent("GET"))
    async with running(trigger(waiting_id, poke_interval=0.01)):
        await until(lambda: len(log.sent("GET")) > before)
        await asyncio.sleep(0.2)
    assert len(log.sent("GET")) - before == 1


def test_the_longest_back_off_is_ten_minutes() -> None:
    trouble = ServerError("503", status=503)
    assert [back_off(60.0, failures, trouble) for failures in (1, 2, 3, 4, 14)] == [120, 240, 480, 600, 600]
    assert back_off(3600.0, 5, trouble) == 3600
    assert back_off(60.0, 1, RateLimited("429", status=429, retry_after=300)) == 300


@pytest.mark.usefixtures("impatient")
async def test_a_token_url_in_trouble_is_waited_for(connections: Connections, free_port_url: str, looks: Looks) -> None:
    connections.tfso(extra={"token_url": f"{free_port_url}/token"})
    async with running(trigger(7)) as found:
        await looks.come(3)
    assert found == []


async def test_a_wrong_connection_is_one_error_event(connections: Connections) -> None:
    connections.tfso(password=None)
    (event,) = await events(trigger(7))
    assert (event.payload["status"], event.payload["kind"]) == ("error", "ConfigurationError")
    assert "lacks password" in event.payload["message"]


async def test_a_connection_that_is_not_there_is_one_error_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPENING_BACK_OFF", 0.001)
    monkeypatch.setattr(opening, "OPENING_PATIENCE", 0.01)
    (event,) = await events(trigger(7, tfso_conn_id="no_such_connection"))
    assert event.payload["status"] == "error"


async def test_a_failure_nobody_thought_of_is_one_error_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("hemmelig detail")

    monkeypatch.setattr(turn.Turn, "comes", broken)
    (event,) = await asyncio.wait_for(events(trigger(7)), PATIENCE)
    assert event.payload["status"] == "error"
    assert "hemmelig" not in json.dumps(event.payload)


@pytest.mark.parametrize("action", ["hang_before", "hang_after", "slow"])
async def test_the_event_loop_is_never_blocked(
    waiting_id: int, connections: Connections, sandbox: Any, log: Log, action: str
) -> None:
    connections.tfso(extra={"timeout": 60})
    sandbox.add_fault(action=action, seconds=30, method="GET", times=2)
    before = len(log.sent("GET"))
    started = time.monotonic()
    async with running(trigger(waiting_id)) as found:
        # Neither would be seen before the answer is there.
        await until(lambda: len(log.sent("GET")) > before)
        for _ in range(50):
            await asyncio.sleep(0.001)
    assert found == []
    assert time.monotonic() - started < 25


async def test_cancelling_closes_the_session(waiting_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[aiohttp.ClientSession] = []
    atransport = TfsoHook.atransport

    async def watched(self: TfsoHook) -> Any:
        transport = await atransport(self)
        opened.append(transport.session)
        return transport

    monkeypatch.setattr(TfsoHook, "atransport", watched)
    task = asyncio.create_task(events(trigger(waiting_id)))
    await until(lambda: bool(opened))
    assert not opened[0].closed
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(session.closed for session in opened)


async def test_nothing_is_left_open(order_id: int) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        await events(trigger(order_id))
        gc.collect()
    assert [str(each.message) for each in seen if issubclass(each.category, ResourceWarning)] == []


async def test_one_connection_serves_all_looks(waiting_id: int, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    connects: list[Any] = []
    connect = aiohttp.TCPConnector._create_connection

    async def counted(self: aiohttp.TCPConnector, *arguments: Any) -> Any:
        connects.append(arguments)
        return await connect(self, *arguments)

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", counted)
    async with running(trigger(waiting_id)):
        await looks.come(5)
    assert len(connects) == 1


async def test_many_triggers_wait_side_by_side(waiting_id: int, log: Log, looks: Looks) -> None:
    async with running(*(trigger(waiting_id, poke_interval=0.1) for _ in range(20))) as found:
        await looks.come(3)
    assert found == []
    # One order, whoever waits for it.
    assert min(looks.gaps) >= 0.1
    assert len(log.token_requests) == 1


@pytest.mark.parametrize("interval", [0, -1])
async def test_an_interval_of_nothing_is_no_storm(
    waiting_id: int, looks: Looks, monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    monkeypatch.setattr(invoice_transaction, "SHORTEST_INTERVAL", 0.12)
    async with running(trigger(waiting_id, poke_interval=interval)):
        await looks.come(3)
    assert min(looks.gaps) >= 0.12


async def test_the_trigger_only_reads(waiting_id: int, log: Log, looks: Looks) -> None:
    changes = len(log.changes)
    async with running(trigger(waiting_id)):
        await looks.come(3)
    assert len(log.changes) == changes

"""The trigger that starts DAGs, at the wire: what it reports, what it keeps, and how it waits."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
import json
import logging
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseEventTrigger
from tests.conftest import ORGANIZATION

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers import sales_order_invoiced
from tfso_hypatos.triggers.posting_feed import PostingFeed
from tfso_hypatos.triggers.sales_order_invoiced import SalesOrderInvoicedTrigger

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections")

MARKER = "af:abcdefghijklmnop/abcdefghij/abcdefghijkl"


@pytest.fixture(autouse=True)
def _short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sales_order_invoiced, "SHORTEST_INTERVAL", 0.001)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every single request fail at once, so that only the trigger's own waits are seen."""
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))


class Store:
    """What an asset keeps (Airflow 3.3), with the asynchronous methods of a trigger."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.broken = False

    async def aget(self, key: str, default: Any = None) -> Any:
        if self.broken:
            raise RuntimeError("no API server")
        return json.loads(self.kept[key]) if key in self.kept else default

    async def aset(self, key: str, value: Any) -> None:
        if self.broken:
            raise RuntimeError("no API server")
        self.kept[key] = json.dumps(value)

    @property
    def value(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(next(iter(self.kept.values()), "null")) or dict.fromkeys(
            ("watermark", "reported", "unposted")
        )
        return value


@pytest.fixture
def store() -> Store:
    """Return an asset that keeps nothing yet."""
    return Store()


def invoice(memo: str | None = MARKER) -> int:
    """Create an order and invoice it."""
    with TfsoHook() as hook:
        header: dict[str, Any] = {"customer": {"id": 42, "name": "Bjørn Ås AS"}}
        order = hook.create_sales_order(header if memo is None else {**header, "internalMemo": memo})
        hook.add_line(order.id, {"description": "Kaffe", "quantity": 1, "price": 8})
        hook.update_sales_order(order.id, {"status": "Invoice"})
    return order.id


def trigger(store: Any = None, **arguments: Any) -> SalesOrderInvoicedTrigger:
    made = SalesOrderInvoicedTrigger(**{"poll_interval": 0.03, **arguments})
    made.asset_state_store = store
    return made


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never was")


@contextlib.asynccontextmanager
async def running(made: SalesOrderInvoicedTrigger) -> AsyncIterator[list[dict[str, Any]]]:
    """Run a trigger meanwhile; the list is of what it has reported so far."""
    found: list[dict[str, Any]] = []

    async def collect() -> None:
        async for event in made.run():
            found.append(event.payload)  # noqa: PERF401 - whoever looks sees what has come so far

    task = asyncio.create_task(collect())
    try:
        yield found
        assert not task.done(), "it ended by itself"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def looks(log: Log) -> int:
    return len([each for each in log.sent("GET") if each["path"].endswith("/salesorders")])


async def settled(log: Log, rounds: int = 4) -> None:
    """Wait for some more rounds."""
    before = looks(log)
    await until(lambda: looks(log) >= before + rounds)


async def invoiced(memo: str | None = MARKER) -> int:
    return await asyncio.to_thread(invoice, memo)


def test_it_can_watch_for_an_asset() -> None:
    asset = Asset(name="posted", watchers=[AssetWatcher(name="tfso", trigger=SalesOrderInvoicedTrigger())])
    assert isinstance(asset.watchers[0].trigger, BaseEventTrigger)


def test_the_trigger_survives_the_way_to_the_triggerer() -> None:
    made = SalesOrderInvoicedTrigger(
        "other", only_marked=False, poll_interval=7, since="2026-11-20T00:00:00Z", name="b"
    )
    class_path, kwargs = made.serialize()
    module, _, name = class_path.rpartition(".")
    assert getattr(import_module(module), name) is SalesOrderInvoicedTrigger
    assert kwargs == {
        "tfso_conn_id": "other",
        "only_marked": False,
        "poll_interval": 7,
        "since": "2026-11-20T00:00Z",
        "name": "b",
    }
    assert deserialize(serialize(kwargs)) == json.loads(json.dumps(kwargs)) == kwargs
    assert SalesOrderInvoicedTrigger(**kwargs).serialize() == (class_path, kwargs)
    parameters = inspect.signature(SalesOrderInvoicedTrigger.__init__).parameters.values()
    assert kwargs.keys() == {each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD} - {"self"}


def test_two_assets_have_a_trigger_each_if_it_is_named() -> None:
    """Airflow makes one trigger of those with the same hash, and one for two assets keeps nothing."""

    def hash_of(**arguments: Any) -> int:
        return BaseEventTrigger.hash(*SalesOrderInvoicedTrigger(**arguments).serialize())

    assert hash_of(name="billing") == hash_of(name="billing")
    assert len({hash_of(), hash_of(name="billing"), hash_of(name="archive")}) == 3


def test_without_a_name_it_is_the_trigger_that_it_was_before_it_could_have_one() -> None:
    """Airflow would begin another one at the upgrade."""
    assert SalesOrderInvoicedTrigger().serialize()[1].keys() == {
        "tfso_conn_id",
        "only_marked",
        "poll_interval",
        "since",
    }


def test_the_constructor_only_assigns() -> None:
    strange: Any = object()
    made = SalesOrderInvoicedTrigger(strange, strange, strange, strange, strange, novelty=strange)
    given = {made.tfso_conn_id, made.only_marked, made.poll_interval, made.since, made.name, made.unknown["novelty"]}
    assert given == {strange}


@pytest.mark.parametrize(
    ("mistake", "place"),
    [
        ({"only_markt": False}, "only_markt"),
        ({"poll_interval": "60"}, "poll_interval"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"since": "2026-11-20"}, "since"),
        ({"name": 7}, "name"),
        ({"name": ""}, "name"),
        ({"since": datetime.datetime(2026, 11, 20)}, "since"),  # noqa: DTZ001 - that is the mistake
    ],
)
def test_a_mistake_shows_when_airflow_reads_the_dag(mistake: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        SalesOrderInvoicedTrigger(**mistake).serialize()
    assert [problem.place for problem in raised.value.problems] == [place]


def test_times_may_be_objects() -> None:
    begin = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    made = SalesOrderInvoicedTrigger(poll_interval=datetime.timedelta(minutes=1), since=begin)
    assert made.serialize()[1]["poll_interval"] == 60
    assert made.serialize()[1]["since"] == "2026-11-20T00:00:00+00:00"


async def test_each_posted_invoice_is_one_event_of_ids(log: Log) -> None:
    async with running(trigger()) as found:
        await settled(log, 1)
        order_ids = [await invoiced(), await invoiced(memo=None), await invoiced()]
        await until(lambda: len(found) == 2)
        await settled(log)
    assert [event["sales_order_id"] for event in found] == [order_ids[0], order_ids[2]]
    by_order = {each["order_id"]: each for each in log.invoices}
    for event in found:
        issued = by_order[event["sales_order_id"]]
        assert event == {
            "organization_id": ORGANIZATION,
            "sales_order_id": issued["order_id"],
            "invoice_number": issued["number"],
            "transaction_id": issued["transaction_id"],
            "order_key_hash": "abcdefghijklmnop",
        }
        assert json.loads(json.dumps(event)) == event


async def test_it_only_reads(log: Log) -> None:
    await invoiced()
    changes = len(log.changes)
    async with running(trigger()) as found:
        await until(lambda: len(found) == 1)
    assert len(log.changes) == changes


async def test_all_orders_of_the_organization_can_be_watched(log: Log) -> None:
    async with running(trigger(only_marked=False)) as found:
        await settled(log, 1)
        order_id = await invoiced(memo=None)
        await until(lambda: len(found) == 1)
    assert found[0]["sales_order_id"] == order_id
    assert "order_key_hash" not in found[0]


@pytest.mark.parametrize("settings", [{}, {"silent_posting": True}, {"bare_lists": True}], ids=lambda each: str(each))
async def test_a_posting_is_found_however_it_shows(sandbox: Any, log: Log, settings: dict[str, Any]) -> None:
    sandbox.configure(transaction_delay=0.5, **settings)
    async with running(trigger()) as found:
        await settled(log, 1)
        order_id = await invoiced()
        await until(lambda: len(found) == 1)
        await settled(log)
    assert [event["sales_order_id"] for event in found] == [order_id]


async def test_it_begins_now_and_remembers_that(store: Store, log: Log) -> None:
    async with running(trigger(store)) as found:
        await until(lambda: store.value["watermark"] is not None)
    assert found == []


async def test_a_restart_goes_on_where_it_was_and_reports_nothing_twice(store: Store, log: Log) -> None:
    async with running(trigger(store)) as found:
        await settled(log, 1)
        first = await invoiced()
        await until(lambda: len(found) == 1)
        await until(lambda: store.value["reported"] == [first])
    second = await invoiced()
    async with running(trigger(store)) as found:
        await until(lambda: len(found) == 1)
        await settled(log)
    assert [event["sales_order_id"] for event in found] == [second]


async def test_an_order_that_was_seen_unposted_is_found_after_a_restart(store: Store, sandbox: Any, log: Log) -> None:
    sandbox.configure(transaction_reads=100_000, silent_posting=True)
    async with running(trigger(store)) as found:
        await settled(log, 1)
        order_id = await invoiced()
        await until(lambda: store.value["unposted"] == [order_id])
    sandbox.configure(transaction_reads=0)
    async with running(trigger(store)) as found:
        await until(lambda: len(found) == 1)
    assert found[0]["sales_order_id"] == order_id


async def test_what_airflow_may_not_have_stored_yet_comes_again(
    store: Store, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The triggerer dies between an event and the next round: the event is not kept as reported."""
    async with running(trigger(store)):
        await until(lambda: store.value["watermark"] is not None)
    order_id = await invoiced()
    for _ in range(2):
        async with running(trigger(store, poll_interval=3600)) as found:
            await until(lambda: len(found) == 1)
        assert found[0]["sales_order_id"] == order_id
    assert store.value["reported"] == []


async def test_without_a_store_it_begins_anew(log: Log) -> None:
    for _ in range(2):
        async with running(trigger()) as found:
            await settled(log, 1)
            await invoiced()
            await until(lambda: len(found) == len(log.invoices))


async def test_since_reports_what_was_posted_before(store: Store, log: Log) -> None:
    order_id = await invoiced()
    async with running(trigger(store, since="2020-01-01T00:00:00Z")) as found:
        await until(lambda: len(found) == 1)
    assert found[0]["sales_order_id"] == order_id
    async with running(trigger(store, since="2100-01-01T00:00:00Z")) as found:
        await settled(log)
    assert found == []


async def test_a_since_that_is_no_time_begins_now(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    async with running(trigger(since="2026-11-20")):
        await settled(log)
    assert "is no date and time with a time zone" in caplog.text


async def test_another_organization_is_another_memory(store: Store, connections: Connections, log: Log) -> None:
    async with running(trigger(store)):
        await until(lambda: store.value["watermark"] is not None)
        connections.tfso(extra={"organization_id": "100000000000002"})
        await until(lambda: len(store.kept) == 2)
    assert len(store.kept) == 2


async def test_a_store_with_blocking_methods_will_do(log: Log) -> None:
    class Blocking:
        def __init__(self) -> None:
            self.kept: dict[str, Any] = {}

        def get(self, key: str) -> Any:
            return self.kept.get(key)

        def set(self, key: str, value: Any) -> None:
            self.kept[key] = value

    store = Blocking()
    async with running(trigger(store)):
        await until(lambda: bool(store.kept))


async def test_a_store_of_several_assets_is_done_without(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    class Several:
        async def aget(self, key: str) -> Any:
            raise ValueError("Task has 2 concrete inlets and outlets")

    async with running(trigger(Several())):
        await settled(log)
    assert "several assets" in caplog.text
    assert "a name of its own" in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_a_store_that_cannot_be_read_is_waited_for(
    store: Store, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """Without what was kept it would begin now, and lose what was posted meanwhile."""
    store.broken = True
    async with running(trigger(store)) as found:
        await until(lambda: caplog.text.count("looking again") >= 2)
        assert looks(log) == 0
        store.broken = False
        await settled(log, 1)
        await invoiced()
        await until(lambda: len(found) == 1)


async def test_a_store_that_cannot_be_written_is_no_reason_to_stop(
    store: Store, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(trigger(store)) as found:
        await settled(log, 1)
        store.broken = True
        await invoiced()
        await until(lambda: len(found) == 1)
        await settled(log)
    assert "could not be kept" in caplog.text


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


@pytest.mark.usefixtures("impatient")
async def test_the_wait_that_the_server_asks_for_is_kept(sandbox: Any, log: Log, pauses: list[float]) -> None:
    sandbox.add_fault(action="rate_limit", retry_after=30, method="GET", times=10_000)
    async with running(trigger()):
        await until(lambda: bool(pauses))
        await asyncio.sleep(0.1)
    assert pauses == [30.0]
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
async def test_an_interval_of_nothing_is_no_storm(log: Log, monkeypatch: pytest.MonkeyPatch, interval: float) -> None:
    monkeypatch.setattr(sales_order_invoiced, "SHORTEST_INTERVAL", 3600.0)
    async with running(trigger(poll_interval=interval)):
        await until(lambda: looks(log) > 0)
        await asyncio.sleep(0.2)
    assert looks(log) == 1


@pytest.mark.parametrize("action", ["hang_before", "slow", None])
async def test_a_cancelled_trigger_leaves_at_once_and_closes_its_session(
    connections: Connections, sandbox: Any, log: Log, action: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.tfso(extra={"timeout": 60})
    sessions: list[Any] = []
    atransport = TfsoHook.atransport

    async def watched(hook: TfsoHook) -> Any:
        transport = await atransport(hook)
        sessions.append(transport.session)
        return transport

    monkeypatch.setattr(TfsoHook, "atransport", watched)
    if action is not None:
        sandbox.add_fault(action=action, seconds=30, method="GET", times=2)
    async with asyncio.timeout(20):
        async with running(trigger(poll_interval=3600)):
            await until(lambda: looks(log) > 0)
    assert sessions
    assert all(session.closed for session in sessions)

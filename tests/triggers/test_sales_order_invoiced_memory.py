"""What the trigger that starts DAGs keeps in the state of its asset, and where it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.triggers.postings import Store, invoiced, looks, running, settled, trigger
from tests.triggers.waits import until

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections", "short_looks")


@pytest.fixture
def store() -> Store:
    """Return an asset that keeps nothing yet."""
    return Store()


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

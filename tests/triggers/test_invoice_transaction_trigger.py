"""The trigger that waits for one invoice, at the wire: its arguments, its looks and its events."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import time
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from airflow.sdk.serde import deserialize, serialize
from tests.triggers.transactions import Looks, events, running, trigger
from tests.triggers.waits import until

from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers import invoice_transaction
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections", "short_interval")


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


async def test_cancelling_closes_the_session(waiting_id: int, sessions: list[aiohttp.ClientSession]) -> None:
    task = asyncio.create_task(events(trigger(waiting_id)))
    await until(lambda: bool(sessions))
    assert not sessions[0].closed
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(session.closed for session in sessions)


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

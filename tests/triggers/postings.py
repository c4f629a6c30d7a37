"""The trigger for posted invoices as tests run it, and what an asset keeps for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from tests.triggers.waits import until

from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers.sales_order_invoiced import SalesOrderInvoicedTrigger

if TYPE_CHECKING:
    from tests.conftest import Log

MARKER = "af:abcdefghijklmnop/abcdefghij/abcdefghijkl"


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

"""The trigger for one invoice as tests run it, and the looks that it takes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from tests.triggers.waits import until

from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger

PATIENCE = 60.0
"""Seconds after which a test gives up on what should take a part of one."""


def trigger(order_id: Any, **arguments: Any) -> InvoiceTransactionTrigger:
    return InvoiceTransactionTrigger(order_id, **{"poke_interval": 0.02, **arguments})


async def events(each: InvoiceTransactionTrigger) -> list[TriggerEvent]:
    return [event async for event in each.run()]


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

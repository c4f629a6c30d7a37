"""Throughput: orders a second from nothing to invoice and Hypatos; at a budget; processor time, and memory."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from airflow.sdk import DAG
from tests.benchmarks import plain
from tests.benchmarks.mapped import Mapped, processor_seconds
from tests.benchmarks.processes import STUB, connected, connections_to, control, sandbox, served
from tests.benchmarks.tables import Row, Scale, over
from tests.benchmarks.timing import undisturbed
from tests.kills.dags import ORDER
from tests.operators.conftest import Run

from tfso_hypatos.clients.budget import BUDGETS
from tfso_hypatos.operators.sales_orders import (
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrdersOperator,
)

MEMORY = Path(__file__).with_name("memory.py")
CONCURRENCY = 16
BUDGET = 40
"""Requests a second, where there is a budget."""

SIZES = {Scale.TINY: (1, 4, 1), Scale.QUICK: (1, 40, 2), Scale.FULL: (4, 200, 16)}
"""Rounds; orders of a batch, and of mapped tasks."""

RECORDS = (1_000, 10_000, 100_000)
MEMORIES = {Scale.TINY: (), Scale.QUICK: RECORDS[:1], Scale.FULL: RECORDS}
ROWS = (
    "Orders a second: batch, over mapped tasks",
    "Orders a second: batch, over `httpx`",
    f"At a budget of {BUDGET} requests a second",
    "Processor time for 1,000 orders: batch, over mapped tasks",
    "Processor time for 1,000 orders: batch, over `httpx`",
    *(f"Most memory, {count:,} records in one task" for count in RECORDS),
)
NUMBERS = itertools.count(1)


def orders(count: int) -> list[dict[str, Any]]:
    """Return business orders, each of another customer."""
    found = []
    for _ in range(count):
        number = next(NUMBERS)
        head = {**ORDER, "customer": {"id": 1000 + number, "name": "Bjørn Ås AS"}}
        found.append({"order_key": f"batch-{number}", "order": head, "lines": plain.lines(3)})
    return found


def batch(items: list[dict[str, Any]], *, enrich: bool = True) -> None:
    """Let our operators take orders through all steps."""
    run = Run(run_id=f"run-{next(NUMBERS)}")
    with DAG(run.dag_id, schedule=None):
        create = CreateSalesOrdersOperator(task_id="create", orders=items, concurrency=CONCURRENCY)
        created = run.execute(create)
        invoice = InvoiceSalesOrdersOperator(task_id="invoice", orders=created, concurrency=CONCURRENCY)
        run.execute(invoice)
        if enrich:
            patches = [{"external_id": each["order_key"], "patch": {"headerText": "x"}} for each in items]
            run.execute(
                EnrichSalesOrdersOperator(
                    task_id="enrich", orders=patches, on_missing="insert", concurrency=CONCURRENCY
                )
            )


class Httpx:
    """The same requests in the same order by ``httpx``, as many at a time, and nothing that is decided by the answers.

    :param url: address of the sandbox.
    """

    def __init__(self, url: str) -> None:
        self._tfso, self._hypatos = f"{url}/tfso/v1", f"{url}/hypatos/v2"
        self._header = plain.bearer(url)
        form = {"grant_type": "client_credentials"}
        login = connections_to(url)["hypatos_default"]
        token = httpx.post(f"{self._hypatos}/auth/token", data=form, auth=(login["login"], login["password"]))
        self._hypatos_header = {"Authorization": f"Bearer {token.json()['access_token']}"}

    def run(self, items: list[dict[str, Any]]) -> None:
        """Take orders through all steps."""
        asyncio.run(self._run(items))

    async def _run(self, items: list[dict[str, Any]]) -> None:
        waiting = iter(items)
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=CONCURRENCY)) as client:

            async def work() -> None:
                for item in waiting:
                    await self._order(client, item)

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))

    async def _order(self, client: httpx.AsyncClient, item: Mapping[str, Any]) -> None:
        async def send(method: str, path: str, body: Any = None, **more: Any) -> Any:
            answer = await client.request(method, self._tfso + path, json=body, headers=self._header, **more)
            answer.raise_for_status()
            return answer.json()

        query = {"customerId": item["order"]["customer"]["id"], "createdFrom": "2026-01-01T00:00:00Z", "limit": 100}
        await send("GET", "/salesorders", params=query)
        path = f"/salesorders/{(await send('POST', '/salesorders', item['order']))['id']}"
        await send("GET", "/salesorders", params=query)
        for line in item["lines"]:
            await send("POST", f"{path}/lines", line)
        for below in ("/lines", "", "", "/lines"):
            await send("GET", path + below)
        await send("GET", "/salesorders", params=query)
        await send("PATCH", path, {"status": "Invoice"})
        records, record = f"{self._hypatos}/enrichment/sales-orders", {"externalId": item["order_key"]}
        merge = {**self._hypatos_header, "Content-Type": "application/merge-patch+json"}
        await client.patch(f"{records}/{item['order_key']}", content=json.dumps({"headerText": "x"}), headers=merge)
        answer = await client.post(records, json=record, headers=self._hypatos_header)
        answer.raise_for_status()


def took(call: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds that something takes, and those of this process's processor time."""
    with undisturbed():
        began, used = time.perf_counter(), time.process_time()
        call()
        return time.perf_counter() - began, time.process_time() - used


def speed(scale: Scale) -> list[Row]:
    """Compare orders a second, and processor time."""
    rounds, count, few = SIZES[scale]
    ours, theirs, mapped_seconds = [], [], []
    with sandbox() as url:
        with Mapped(url) as mapped:
            mapped.run(1)
            for _ in range(rounds):
                # Empty books for everyone: a list takes the sandbox longer the more orders there are.
                control(url, "POST", "reset")
                ours.append(took(partial(batch, orders(count))))
                control(url, "POST", "reset")
                peer = Httpx(url)
                theirs.append(took(partial(peer.run, orders(count))))
                control(url, "POST", "reset")
                mapped_seconds.append(mapped.run(few) / few)
        control(url, "POST", "reset")
        by_mapped = min(mapped_seconds)
        # Another two processes that import Airflow: too long for a smoke test.
        mapped_used = by_mapped if scale == Scale.TINY else processor_seconds(url, few)
    mine, other = min(each[0] for each in ours) / count, min(each[0] for each in theirs) / count
    mine_used, other_used = min(each[1] for each in ours) / count, min(each[1] for each in theirs) / count
    return [
        _faster(ROWS[0], mine, by_mapped, "mapped tasks", 5),
        _faster(ROWS[1], mine, other, "`httpx`", None),
        over(ROWS[3], _used(mine_used, ""), _used(mapped_used, "mapped tasks ")),
        over(ROWS[4], _used(mine_used, ""), _used(other_used, "`httpx` ")),
    ]


def _faster(name: str, mine: float, peer: float, who: str, least: float | None) -> Row:
    goal = "" if least is None else f"ratio ≥ {least:g}"
    held = None if least is None else peer / mine >= least
    return Row(name, f"{1 / mine:.3g}", f"{who} {1 / peer:.3g}", peer / mine, goal, held)


def _used(seconds: float, who: str) -> tuple[float, str]:
    return seconds, f"{who}{seconds * 1000:.3g} s"


def at_a_budget(scale: Scale) -> Row:
    """Return how much of its budget a batch uses."""
    count = {Scale.TINY: 1, Scale.QUICK: 8, Scale.FULL: 120}[scale]
    with sandbox() as url:
        limited = connections_to(url)["tfso_default"]
        limited["extra"] = {**limited["extra"], "requests_per_second": BUDGET}
        with connected({"tfso_default": limited}):
            seconds, _ = took(lambda: batch(orders(count), enrich=False))
        BUDGETS.clear()
        rate = (control(url, "GET", "requests")["total"] - 1) / seconds
    share = rate / BUDGET
    text = f"{rate:.1f} requests a second"
    return Row(ROWS[2], text, f"the budget {BUDGET}", share, "0.9 ≤ ratio ≤ 1.05", 0.9 <= share <= 1.05)


def memory(scale: Scale) -> list[Row]:
    """Compare the memory of batches of files with that of batches of lists."""
    found = []
    with served(str(STUB)) as server, connected(connections_to(f"http://127.0.0.1:{server.words[0]}")):
        for name, count in zip(ROWS[5:], MEMORIES[scale], strict=False):
            before, most, seconds = _memory(count, "file")
            _, listed, _ = _memory(count, "list")
            text = f"files {most:.0f} MiB ({most - before:.0f} more than before, {seconds:.0f} s)"
            row = Row(name, text, f"a list {listed:.0f} MiB", most / listed, "< 64 MiB more", most - before < 64)
            found.append(row)
    return found


def _memory(count: int, kind: str) -> tuple[float, float, float]:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, str(MEMORY), str(count), kind], capture_output=True, text=True, check=True
    )
    before, most, seconds = json.loads(done.stdout.splitlines()[-1])
    return before, most, seconds


def measure(scale: Scale) -> list[Row]:
    """Measure, and return the lines of the table."""
    rows = [*speed(scale), at_a_budget(scale), *memory(scale)]
    return sorted(rows, key=lambda row: ROWS.index(row.name))

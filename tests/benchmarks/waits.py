"""Waits: what an hour costs in which one event loop, as that of the triggerer, waits for many invoices.

The hour is hurried: every interval of the wait is divided by a factor, and so are the times that rest on a clock (the
overlap of lists, the reads an hour). What the machine has to do is not divided, so it has to do it that much faster
than in earnest, and the lag of the event loop is that of a loop that is as many times as busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from unittest import mock

import aiohttp
from tests.benchmarks import plain
from tests.benchmarks.processes import Server, connected, connections_to, control, served
from tests.benchmarks.tables import Row, Scale

from tfso_hypatos.flows import sweep, watch
from tfso_hypatos.triggers import invoice_transaction, turn
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger

HOUR, INTERVAL, SHARE = 3600.0, 60.0, 0.5
COUNTS = (10, 100, 1_000, 10_000)
WHATS = ("requests", "lag of the event loop", "woken after posting")
ROWS = tuple(f"{count:,} waits: {what}" for count in COUNTS for what in WHATS)
FACTORS = {10: 240.0, 100: 240.0, 1_000: 120.0, 10_000: 45.0}
"""How much faster the hour passes."""

QUICK = {10: 1800.0, 100: 1800.0, 1_000: 1200.0, 10_000: 450.0}
TINY = {10: 2400.0}
FASTEST_PEER = 200.0
"""Requests a second that one event loop and the server can do without being in each other's way."""

PEER_SECONDS = {Scale.TINY: 0.2, Scale.QUICK: 1.0, Scale.FULL: 10.0}
PROBE = 0.005
LATEST = 1.0
"""Seconds after which a wait must be woken, beside the interval: the machine's part, which is not divided."""


@dataclass
class Hour:
    """What an hour came to.

    :param requests: how many in the hour.
    :param lags: by how much each short sleep of a probe was too long, in seconds.
    :param delays: seconds from each posting to its wait's end.
    """

    requests: float = 0.0
    lags: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def lag(self, percent: int) -> float:
        """Return a percentile of the lags."""
        return statistics.quantiles(self.lags, n=100)[percent - 1]

    @property
    def lag_text(self) -> str:
        """The middle lag and the one that only one in a hundred exceeds."""
        return f"p50 {self.lag(50) * 1e3:.1f} ms, p99 {self.lag(99) * 1e3:.1f} ms"


@contextlib.contextmanager
def hurried(factor: float) -> Iterator[None]:
    """Let time pass faster for all waits."""
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (invoice_transaction, "SHORTEST_INTERVAL", 0.0),
            (sweep, "READS_AN_HOUR", sweep.READS_AN_HOUR * factor),
            (watch, "OVERLAP", watch.OVERLAP / factor),
            (turn, "GATHERING", turn.GATHERING / factor),
            (turn, "LONGEST_EARLIEST", turn.LONGEST_EARLIEST / factor),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


async def probe(lags: list[float]) -> None:
    """Sleep shortly, again and again, and note by how much it was too long."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(PROBE)
        lags.append(time.perf_counter() - began - PROBE)


async def hold(waits: Sequence[Callable[[], Awaitable[None]]], seconds: float, lags: list[float]) -> None:
    """Begin all waits one after the other, as the triggerer does, and end them after a while."""
    probing = asyncio.create_task(probe(lags))
    began, tasks = time.perf_counter(), []
    for wait in waits:
        tasks.append(asyncio.ensure_future(wait()))
        await asyncio.sleep(0)
    await asyncio.sleep(seconds - (time.perf_counter() - began))
    for task in [probing, *tasks]:
        task.cancel()
    for outcome in await asyncio.gather(probing, *tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def ours(server: Server, factor: float) -> Hour:
    """Let our triggers wait for an hour."""
    url, seconds, result = server.words[0], HOUR / factor, Hour()
    seen_at = datetime.datetime.now(datetime.UTC).isoformat()
    # The last are posted early enough to be seen within the hour.
    ids, posted_at = json.loads(server.ask(f"{SHARE} {seconds - 2.5 * INTERVAL / factor}"))

    def waiting(order_id: int) -> Callable[[], Awaitable[None]]:
        async def wait() -> None:
            async for event in InvoiceTransactionTrigger(order_id, "tfso_default", INTERVAL / factor, seen_at).run():
                if event.payload["status"] != "posted":
                    raise RuntimeError(event.payload["message"])
                result.delays.append(time.time() - posted_at[str(order_id)])

        return wait

    before = control(url, "GET", "requests")["total"]
    with connected(connections_to(url)), hurried(factor):
        asyncio.run(hold([waiting(order_id) for order_id in ids], seconds, result.lags))
    result.requests = control(url, "GET", "requests")["total"] - before
    if len(result.delays) != len(posted_at):
        raise RuntimeError(f"{len(posted_at) - len(result.delays)} waits were not woken")
    return result


def one_by_one(server: Server, seconds: float, fastest: float) -> Hour:
    """Let a loop for each wait read its order, no faster than the server can answer; return the hour it comes to."""
    url, result = server.words[0], Hour()
    ids, _ = json.loads(server.ask("0 1"))
    factor = min(fastest, FASTEST_PEER * INTERVAL / len(ids))
    interval, header = INTERVAL / factor, plain.bearer(url)

    async def wait_for_all() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=header) as session:

            async def wait(order_id: int, first: float) -> None:
                await asyncio.sleep(first)
                while True:
                    async with session.get(f"{url}/tfso/v1/salesorders/{order_id}") as answer:
                        order = await answer.json()
                    if order["invoice"].get("transaction"):
                        return
                    await asyncio.sleep(interval)

            dice = random.Random(1)
            waits = [lambda each=each: wait(each, dice.uniform(0, interval)) for each in ids]
            await hold(waits, seconds, result.lags)

    before = control(url, "GET", "requests")["total"]
    asyncio.run(wait_for_all())
    made = control(url, "GET", "requests")["total"] - before
    # Half of them are done after half of the hour, on average.
    result.requests = made * HOUR / factor / seconds * (1 - SHARE / 2)
    return result


def most_requests(count: int) -> int:
    """Return how many requests an hour may take: pages of each interval, each change read, and the slow sweep."""
    rounds, changes = HOUR / INTERVAL + 1, SHARE * count
    # A list overlaps with those of the two intervals before.
    pages = 1 + int(3 * changes / rounds / 100)
    return min(7_200, int(rounds * pages + changes + sweep.READS_AN_HOUR))


def rows(count: int, mine: Hour, peer: Hour, factor: float) -> list[Row]:
    """Return the lines for a number of waits."""
    most, names = most_requests(count), [f"{count:,} waits: {what}" for what in WHATS]
    late = max(mine.delays) - INTERVAL / factor
    middle = statistics.median(mine.delays) * factor
    return [
        Row(
            names[0],
            f"{mine.requests:,.0f} an hour",
            f"one GET for each wait {peer.requests:,.0f} an hour",
            mine.requests / peer.requests,
            f"≤ {most:,} an hour",
            mine.requests <= most,
        ),
        Row(
            names[1],
            f"{mine.lag_text} (hour × {factor:g})",
            f"one GET for each wait {peer.lag_text}",
            mine.lag(99) / peer.lag(99),
            "p99 < 100 ms",
            mine.lag(99) < 0.1,
        ),
        Row(
            names[2],
            f"middle {middle:.0f} s, last {INTERVAL:.0f} s {'+' if late > 0 else '-'} {abs(late):.2f} s",
            "",
            None,
            f"{INTERVAL:.0f} s + {LATEST:.0f} s of the machine's",
            late <= LATEST,
        ),
    ]


def measure(scale: Scale) -> list[Row]:
    """Measure, and return the lines of the table."""
    factors = {Scale.TINY: TINY, Scale.QUICK: QUICK, Scale.FULL: FACTORS}[scale]
    found = []
    for count, factor in factors.items():
        with served("tests/benchmarks/posting.py", str(count)) as server:
            mine = ours(server, factor)
            peer = one_by_one(server, PEER_SECONDS[scale], FACTORS[10])
        found += rows(count, mine, peer, factor)
    return found

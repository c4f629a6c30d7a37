"""One call: an order is read, one after the other, on one connection that is kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import requests
from airflow.providers.http.hooks.http import HttpAsyncHook, HttpHook
from tests.benchmarks.processes import STUB, connected, served
from tests.benchmarks.stub import ORDER_ID
from tests.benchmarks.tables import Row, Scale, over
from tests.benchmarks.timing import Times, in_turn, milliseconds

from tfso_hypatos.clients.messages import Flow, Request, ask
from tfso_hypatos.clients.tfso import get_sales_order
from tfso_hypatos.hooks.tfso import TfsoHook

ROWS = (
    "`SyncTransport` over `requests.Session`",
    "… both without `trust_env`",
    "`SyncTransport` over `HttpHook.run`",
    "… with the answer read as a model, over `requests.Session`",
    "`AsyncTransport` over `aiohttp`",
    "`AsyncTransport` over `HttpAsyncHook.run`",
    "… with the answer read as a model, over `aiohttp`",
)
PATH = f"/salesorders/{ORDER_ID}"
BEARER = {"Authorization": f"Bearer {'a' * 800}", "Accept": "application/json"}
SIZES = {Scale.TINY: (1, 4), Scale.QUICK: (20, 20), Scale.FULL: (150, 30)}
"""Rounds, and calls in each: some ten milliseconds in a turn."""


def get_value() -> Flow[Any]:
    """Read an order and leave it as decoded JSON: the same work as the peers'."""
    response = yield from ask(Request("GET", PATH, "read a sales order"))
    return response.value


def repeated(call: Callable[[], Any]) -> Callable[[int], None]:
    """Return what makes a call a number of times."""

    def run(calls: int) -> None:
        for _ in range(calls):
            call()

    return run


def sync_times(url: str, rounds: int, calls: int) -> dict[str, Times]:
    """Time everyone on ``requests``."""
    plain = requests.Session()
    http_hook = HttpHook("GET", "http_default")
    bare = requests.Session()
    bare.trust_env = False
    with plain, bare, TfsoHook() as hook, TfsoHook("tfso_bare") as bare_hook:
        transport, bare_transport = hook.transport, bare_hook.transport
        contestants: dict[str, Callable[[], Any]] = {
            "ours": lambda: transport.drive(get_value()),
            "model": lambda: transport.drive(get_sales_order(ORDER_ID)),
            "peer": lambda: plain.get(url + PATH, headers=BEARER, timeout=(10, 30)).json(),
            "hook": lambda: http_hook.run(PATH, headers=BEARER, extra_options={"timeout": 30}).json(),
            "bare": lambda: bare_transport.drive(get_value()),
            "bare peer": lambda: bare.get(url + PATH, headers=BEARER, timeout=(10, 30)).json(),
        }
        return in_turn({name: repeated(call) for name, call in contestants.items()}, rounds=rounds, calls=calls)


def async_times(url: str, rounds: int, calls: int) -> dict[str, Times]:
    """Time everyone on ``aiohttp``."""
    with asyncio.Runner() as runner:

        def repeated_on_loop(call: Callable[[], Awaitable[Any]]) -> Callable[[int], None]:
            async def several(calls: int) -> None:
                for _ in range(calls):
                    await call()

            return lambda calls: runner.run(several(calls))

        async def opened() -> tuple[aiohttp.ClientSession, TfsoHook]:
            hook = TfsoHook()
            await hook.atransport()
            return aiohttp.ClientSession(), hook

        plain, hook = runner.run(opened())
        transport = runner.run(hook.atransport())
        http_hook = HttpAsyncHook("GET", "http_default")
        timeout = aiohttp.ClientTimeout(total=30, sock_connect=10)

        async def peer() -> Any:
            async with plain.get(url + PATH, headers=BEARER, timeout=timeout) as answer:
                return await answer.json()

        async def of_http_provider() -> Any:
            options = {"timeout": timeout}
            answer = await http_hook.run(plain, PATH, headers=BEARER, extra_options=options)
            return await answer.json()

        contestants: dict[str, Callable[[], Awaitable[Any]]] = {
            "ours": lambda: transport.drive(get_value()),
            "model": lambda: transport.drive(get_sales_order(ORDER_ID)),
            "peer": peer,
            "hook": of_http_provider,
        }
        runs = {name: repeated_on_loop(call) for name, call in contestants.items()}
        try:
            return in_turn(runs, rounds=rounds, calls=calls)
        finally:
            runner.run(plain.close())
            runner.run(hook.aclose())


def rows(times: dict[str, Times], names: Sequence[str], peers: tuple[str, str], most: float) -> list[Row]:
    """Return the lines of one of the two kinds."""
    shown = {name: (each.best, milliseconds(each.best)) for name, each in times.items()}
    plain = (shown["peer"][0], f"`{peers[0]}` {shown['peer'][1]}")
    hook = (shown["hook"][0], f"`{peers[1]}` {shown['hook'][1]}")
    return [
        over(names[0], shown["ours"], plain, most),
        over(names[1], shown["ours"], hook),
        over(names[2], shown["model"], plain),
    ]


def measure(scale: Scale) -> list[Row]:
    """Measure, and return the lines of the table."""
    size = SIZES[scale]
    with served(str(STUB)) as server:
        url = f"http://127.0.0.1:{server.words[0]}"
        extra = {"organization_id": "100000000000001", "token_url": f"{url}/token"}
        ours = {"conn_type": "tfso", "host": url, "login": "client", "password": "secret", "extra": extra}
        connections: dict[str, dict[str, Any]] = {
            "tfso_default": ours,
            "tfso_bare": {**ours, "extra": {**extra, "trust_env": False}},
            "http_default": {"conn_type": "http", "host": url},
        }
        with connected(connections):
            times = sync_times(url, *size)
            first, *others = rows(times, (ROWS[0], *ROWS[2:4]), ("requests", "HttpHook"), 1.15)
            bare, peer = times["bare"].best, times["bare peer"].best
            second = over(ROWS[1], (bare, milliseconds(bare)), (peer, f"`requests` {milliseconds(peer)}"), 1.15)
            return [
                *(first, second, *others),
                *rows(async_times(url, *size), ROWS[4:], ("aiohttp", "HttpAsyncHook"), 1.25),
            ]

"""How an answer reaches the client, and how it does not."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import inspect
import logging
import math
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from tfso_hypatos.sandbox.faults import Fault
from tfso_hypatos.sandbox.messages import Answer, Call
from tfso_hypatos.sandbox.service import Entry, Service

log = logging.getLogger(__name__)

_TICK = 0.02
# Long enough for the kernel to hand over what was sent, before the reset overtakes it.
_BEFORE_RESET = 0.02
_DEFAULT_STATUS = 503


class Later:
    """Work that goes on after the client is gone."""

    def __init__(self) -> None:
        self.is_closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, seconds: float, work: Callable[[], object]) -> None:
        """Do some work after a while.

        :param seconds: when.
        :param work: what; if it returns something to wait for, that is waited for.
        """

        async def wait_and_work() -> None:
            await asyncio.sleep(seconds)
            done = work()
            if inspect.isawaitable(done):
                await done

        task = asyncio.get_running_loop().create_task(wait_and_work())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("What was to be done later failed", exc_info=error)

    async def close(self) -> None:
        """Give up whatever has not been done, and end every wait."""
        self.is_closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class Exchange:
    """One request on its connection.

    :param request: the HTTP request.
    :param entry: its line in the log.
    :param service: carries it out.
    :param later: for work that goes on without the client.
    :param go_away: refuses new connections for a number of seconds.
    """

    request: web.Request
    entry: Entry
    service: Service
    later: Later
    go_away: Callable[[float], Awaitable[None]]

    @property
    def call(self) -> Call:
        """The request, apart from its connection."""
        return self.entry.call

    def commit(self) -> Answer:
        """Carry the request out and return the answer, which is not sent yet."""
        return self.service.answer(self.entry)

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> Answer:
        """Return an error without carrying the request out.

        :param status: HTTP status code.
        :param headers: further headers.
        """
        return self.service.refusal(self.call, status, headers)

    def send(self, answer: Answer) -> web.StreamResponse:
        """Return the HTTP response for an answer.

        :param answer: what to send.
        """
        is_connected = self.request.transport is not None and not self.request.transport.is_closing()
        self.entry.status = answer.status if is_connected else None
        headers = {**self.service.usual_headers(self.call), **answer.headers}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def drop(self) -> web.StreamResponse:
        """Reset the connection; what is returned goes nowhere."""
        transport = self.request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            # Without lingering a close becomes a reset, as when a process dies or a firewall cuts in.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response()

    async def wait(self, seconds: float, *, for_client: bool = True) -> None:
        """Wait, but not when the sandbox stops.

        :param seconds: how long.
        :param for_client: end the wait when the client is gone.
        """
        ends = time.monotonic() + seconds
        while not self.later.is_closing and not (for_client and self.request.transport is None):
            left = ends - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(_TICK, left))


async def deliver(exchange: Exchange) -> web.StreamResponse:
    """Answer a request, or do to it what its fault says.

    :param exchange: the request on its connection.
    """
    fault = exchange.entry.fault
    if fault is None:
        return exchange.send(exchange.commit())
    return await _PLAYS[fault.action](exchange, fault)


async def _drop_before(exchange: Exchange, _fault: Fault) -> web.StreamResponse:
    return exchange.drop()


async def _drop_after(exchange: Exchange, _fault: Fault) -> web.StreamResponse:
    exchange.commit()
    return exchange.drop()


async def _status_before(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    return exchange.send(_failure(exchange, fault))


async def _status_after(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    exchange.commit()
    return exchange.send(_failure(exchange, fault))


async def _hang_before(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    await exchange.wait(fault.seconds)
    return exchange.drop()


async def _hang_after(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    exchange.commit()
    await exchange.wait(fault.seconds)
    return exchange.drop()


async def _commit_late(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    exchange.later.start(fault.seconds, exchange.commit)
    await exchange.wait(fault.hold)
    return exchange.drop() if fault.status is None else exchange.send(_failure(exchange, fault))


async def _reset_body(exchange: Exchange, _fault: Fault) -> web.StreamResponse:
    answer = exchange.commit()
    if not answer.body:
        return exchange.drop()
    exchange.entry.status = answer.status
    headers = {**exchange.service.usual_headers(exchange.call), **answer.headers}
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_length = len(answer.body)
    with contextlib.suppress(ConnectionError):
        await response.prepare(exchange.request)
        await response.write(answer.body[: len(answer.body) // 2])
        await asyncio.sleep(_BEFORE_RESET)
    exchange.drop()
    return response


async def _truncate(exchange: Exchange, _fault: Fault) -> web.StreamResponse:
    answer = exchange.commit()
    return exchange.send(Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers))


async def _unauthorized(exchange: Exchange, _fault: Fault) -> web.StreamResponse:
    exchange.service.tokens.withdraw(exchange.call)
    return exchange.send(exchange.refuse(401))


async def _rate_limit(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    headers = {}
    if fault.retry_after is not None:
        seconds = fault.retry_after
        when = exchange.service.clock.now() + datetime.timedelta(seconds=seconds)
        headers["Retry-After"] = email.utils.format_datetime(when, usegmt=True) if fault.as_date else f"{seconds:g}"
    reset = fault.reset if fault.reset is not None else fault.retry_after
    if exchange.call.api == "hypatos" and reset is not None:
        headers["x-ratelimit-reset"] = str(math.ceil(reset))
    if exchange.call.api == "hypatos":
        headers["x-ratelimit-remaining"] = "0"
    return exchange.send(exchange.refuse(429, headers))


async def _slow(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    # A server does not know that the client has given up, and carries on.
    await exchange.wait(fault.seconds, for_client=False)
    return exchange.send(exchange.commit())


async def _list_lag(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    exchange.call.list_lag = fault.seconds
    return exchange.send(exchange.commit())


async def _restart(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    response = exchange.send(exchange.commit())
    response.force_close()
    await exchange.go_away(fault.seconds)
    return response


def _failure(exchange: Exchange, fault: Fault) -> Answer:
    status = fault.status or _DEFAULT_STATUS
    if not fault.html:
        return exchange.refuse(status)
    page = f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
    return Answer(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


_PLAYS: dict[str, Callable[[Exchange, Fault], Awaitable[web.StreamResponse]]] = {
    "drop_before": _drop_before,
    "drop_after": _drop_after,
    "status_before": _status_before,
    "status_after": _status_after,
    "hang_before": _hang_before,
    "hang_after": _hang_after,
    "commit_late": _commit_late,
    "reset_body": _reset_body,
    "truncate": _truncate,
    "unauthorized": _unauthorized,
    "rate_limit": _rate_limit,
    "slow": _slow,
    "list_lag": _list_lag,
    "restart": _restart,
}

"""Runs flows on ``aiohttp``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
from aiohttp.helpers import get_env_proxy_for_url
from yarl import URL

from tfso_hypatos.clients import clock
from tfso_hypatos.clients import token as tokens
from tfso_hypatos.clients.messages import Flow, Pause, Remember, Request, Response, Step
from tfso_hypatos.clients.repeat import Turn, async_retrying
from tfso_hypatos.clients.socket_errors import aiohttp_error
from tfso_hypatos.clients.token import TOKENS, Token, TokenStore
from tfso_hypatos.clients.transport import FLOWS, PAUSES_BEFORE_A_FRESH_TOKEN, Service, Transport, ignore
from tfso_hypatos.exceptions import AuthenticationFailed, Stopped, TfsoHypatosError

T = TypeVar("T")


class AsyncTransport(Transport):
    """Runs flows on ``aiohttp``; made on the event loop that it runs them on.

    :param service: the API.
    :param session: carries TLS options and keep-alive; closed by whoever opened it.
    :param options: what every request is sent with (``proxy``).
    :param store: where tokens are kept.
    :param trust_env: take a proxy from the environment, looked up once for each host; a session with a ``trust_env``
        of its own does so for every request, in two threads, which takes longer than the request.
    """

    def __init__(
        self,
        service: Service,
        session: aiohttp.ClientSession,
        options: Mapping[str, Any] | None = None,
        store: TokenStore = TOKENS,
        *,
        trust_env: bool = False,
    ) -> None:
        super().__init__(service, store)
        self.session = session
        self._options = dict(options or {})
        self._trust_env = trust_env
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._stopped = False
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._repeat = async_retrying(service.patience, self._sleep, self._log_repeat)

    def stop(self) -> None:
        """Send no further change; any thread may call this."""
        self._stopped = True
        # Once the event loop is closed, nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)

    async def drive(self, flow: Flow[T], remember: Callable[[int], None] = ignore) -> T:
        """Run a flow to its end and return its result.

        :param flow: the flow.
        :param remember: given the id of an order that a retry should know of.
        """
        turn = Turn(next(FLOWS))
        try:
            step = next(flow)
            while True:
                answer, error = await self._attempt(step, remember, turn)
                step = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration as end:
            return cast("T", end.value)
        finally:
            flow.close()

    async def _attempt(
        self, step: Step, remember: Callable[[int], None], turn: Turn
    ) -> tuple[Response | None, TfsoHypatosError | None]:
        try:
            return await self._perform(step, remember, turn), None
        except TfsoHypatosError as error:
            return None, turn.explain(error)

    async def _perform(self, step: Step, remember: Callable[[int], None], turn: Turn) -> Response | None:
        if isinstance(step, Remember):
            remember(step.order_id)
            return None
        if isinstance(step, Pause):
            self._log_pause(step)
            await self._sleep(step.seconds)
            return None
        turn.begin()
        return await self._repeat(self._authorized, step, turn)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
            raise Stopped("stopped while waiting; nothing more was sent")

    async def _authorized(self, request: Request, turn: Turn) -> Response:
        if self.service.is_token_request(request):
            return await self._send(request, None)
        for pause in PAUSES_BEFORE_A_FRESH_TOKEN:
            token = await self._queue(request, turn)
            await self._ask(request)
            try:
                return await self._send(request, token)
            except AuthenticationFailed:
                self._store.drop(self.service.credentials, token)
            await self._sleep(pause)
        token = await self._queue(request, turn)
        await self._ask(request)
        return await self._send(request, token)

    async def _ask(self, request: Request) -> None:
        # Last, for the waits before it may be long, and what is true then counts.
        if request.changes and self.before_change is not None:
            await asyncio.to_thread(self.before_change)

    async def _queue(self, request: Request, turn: Turn) -> Token:
        """Wait until the budget lets the request through, and return the token to send it with."""
        # First, because what is let through should be sent at once, and a token takes time.
        await self.token()
        if not self._is_admitted(request):
            with closing(self._admission(request, turn)) as waits:
                for wait in waits:
                    await self._sleep(wait)
        return await self.token()

    async def token(self) -> Token:
        """Return a token that need not be renewed yet, fetching one if necessary."""
        token = self._store.get(self.service.credentials)
        if token is not None:
            return token
        async with self._store.async_lock(self.service.credentials):
            token = self._store.get(self.service.credentials)
            return token if token is not None else await self.fetch_token()

    async def fetch_token(self) -> Token:
        """Fetch a new token."""
        try:
            return self._keep(await self.drive(tokens.fetch(self.service.credentials)))
        except Stopped:
            raise
        except TfsoHypatosError as error:
            raise self._token_unavailable(error) from error

    async def _send(self, request: Request, token: Token | None) -> Response:
        url = self.service.url(request)
        options = await self._environment(url)
        self._hold_back(request, self._stopped)
        timeout = aiohttp.ClientTimeout(
            total=self.service.timeout,
            # With name and TLS, or only the socket: what must not be late must not wait for a connection either.
            connect=None if request.not_after is None else self._connect_timeout(request),
            sock_connect=self._connect_timeout(request),
            ceil_threshold=math.inf,
        )
        headers = self._headers(request, token)
        authorization = headers.pop("Authorization", None)

        async def authorize(prepared: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            # Last, so that a netrc entry for the host cannot take the place of the bearer.
            prepared.headers.pop("Authorization", None)
            if authorization is not None:
                prepared.headers["Authorization"] = authorization
            return await send(prepared)

        sent_at = clock.now()
        try:
            async with self.session.request(
                request.method,
                url,
                params=dict(request.query) or None,
                headers=headers,
                middlewares=(authorize,),
                data=self._body(request),
                timeout=timeout,
                allow_redirects=False,
                **options,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unsent(request, aiohttp_error(self.service.name, request, url, error)) from None
        return self._answer(request, answer.status, answer.headers, body, sent_at)

    async def _environment(self, url: str) -> Mapping[str, Any]:
        if not self._trust_env or "proxy" in self._options:
            return self._options
        host = urlsplit(url).netloc
        if host not in self._settings:
            self._settings[host] = {**self._options, **await asyncio.to_thread(_proxy_of_environment, url)}
        return self._settings[host]


def _proxy_of_environment(url: str) -> Mapping[str, Any]:
    try:
        proxy, auth = get_env_proxy_for_url(URL(url))
    except (LookupError, ValueError):
        # None, or a URL that is refused when it is sent to.
        return {}
    return {"proxy": proxy, "proxy_auth": auth}

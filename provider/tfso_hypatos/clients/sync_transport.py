"""Runs flows on ``requests``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import requests

from tfso_hypatos.clients import clock
from tfso_hypatos.clients import token as tokens
from tfso_hypatos.clients.connections import checked, guard
from tfso_hypatos.clients.messages import Flow, Pause, Remember, Request, Response, Step
from tfso_hypatos.clients.repeat import Turn, retrying
from tfso_hypatos.clients.socket_errors import requests_error
from tfso_hypatos.clients.token import TOKENS, Token, TokenStore
from tfso_hypatos.clients.transport import FLOWS, PAUSES_BEFORE_A_FRESH_TOKEN, Service, Transport, ignore
from tfso_hypatos.exceptions import AuthenticationFailed, ConfigurationError, Stopped, TfsoHypatosError

T = TypeVar("T")


class SyncTransport(Transport):
    """Runs flows on ``requests``.

    :param service: the API.
    :param session: carries proxies, TLS options and keep-alive.
    :param store: where tokens are kept.
    """

    def __init__(self, service: Service, session: requests.Session, store: TokenStore = TOKENS) -> None:
        super().__init__(service, store)
        self.session = session
        guard(session)
        self._stop = threading.Event()
        self._repeat = retrying(service.patience, self._sleep, self._log_repeat)
        self._settings: dict[str, Mapping[str, Any]] = {}

    def stop(self) -> None:
        """Send no further change: the task was killed."""
        self._stop.set()

    def drive(self, flow: Flow[T], remember: Callable[[int], None] = ignore) -> T:
        """Run a flow to its end and return its result.

        :param flow: the flow.
        :param remember: given the id of an order that a retry should know of.
        """
        turn = Turn(next(FLOWS))
        try:
            step = next(flow)
            while True:
                answer, error = self._attempt(step, remember, turn)
                step = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration as end:
            return cast("T", end.value)
        finally:
            flow.close()

    def _attempt(
        self, step: Step, remember: Callable[[int], None], turn: Turn
    ) -> tuple[Response | None, TfsoHypatosError | None]:
        try:
            return self._perform(step, remember, turn), None
        except TfsoHypatosError as error:
            return None, turn.explain(error)

    def _perform(self, step: Step, remember: Callable[[int], None], turn: Turn) -> Response | None:
        if isinstance(step, Remember):
            remember(step.order_id)
            return None
        if isinstance(step, Pause):
            self._log_pause(step)
            self._sleep(step.seconds)
            return None
        turn.begin()
        return self._repeat(self._authorized, step, turn)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped("stopped while waiting; nothing more was sent")

    def _authorized(self, request: Request, turn: Turn) -> Response:
        if self.service.is_token_request(request):
            return self._send(request, None)
        for pause in PAUSES_BEFORE_A_FRESH_TOKEN:
            token = self._queue(request, turn)
            self._ask(request)
            try:
                return self._send(request, token)
            except AuthenticationFailed:
                self._store.drop(self.service.credentials, token)
            self._sleep(pause)
        token = self._queue(request, turn)
        self._ask(request)
        return self._send(request, token)

    def _ask(self, request: Request) -> None:
        # Last, for the waits before it may be long, and what is true then counts.
        if request.changes and self.before_change is not None:
            self.before_change()

    def _queue(self, request: Request, turn: Turn) -> Token:
        """Wait until the budget lets the request through, and return the token to send it with."""
        # First, because what is let through should be sent at once, and a token takes time.
        self.token()
        if not self._is_admitted(request):
            with closing(self._admission(request, turn)) as waits:
                for wait in waits:
                    self._sleep(wait)
        return self.token()

    def token(self) -> Token:
        """Return a token that need not be renewed yet, fetching one if necessary."""
        token = self._store.get(self.service.credentials)
        if token is not None:
            return token
        with self._store.lock(self.service.credentials):
            token = self._store.get(self.service.credentials)
            return token if token is not None else self.fetch_token()

    def fetch_token(self) -> Token:
        """Fetch a new token."""
        try:
            return self._keep(self.drive(tokens.fetch(self.service.credentials)))
        except Stopped:
            raise
        except TfsoHypatosError as error:
            raise self._token_unavailable(error) from error

    def _send(self, request: Request, token: Token | None) -> Response:
        url = self.service.url(request)
        prepared = self._prepare(request, url, token)

        def hold_back() -> None:
            self._hold_back(request, self._stop.is_set())

        hold_back()
        sent_at = clock.now()
        try:
            with checked(hold_back):
                answer = self.session.send(
                    prepared,
                    timeout=(self._connect_timeout(request), self.service.timeout),
                    allow_redirects=False,
                    **self._environment(url),
                )
        except requests.RequestException as error:
            raise self._unsent(request, requests_error(self.service.name, request, url, error)) from None
        return self._answer(request, answer.status_code, answer.headers, answer.content, sent_at)

    def _prepare(self, request: Request, url: str, token: Token | None) -> requests.PreparedRequest:
        headers = self._headers(request, token)
        try:
            return self.session.prepare_request(
                requests.Request(
                    request.method,
                    url,
                    params=dict(request.query),
                    headers=headers,
                    data=self._body(request),
                    # An explicit callable keeps requests from replacing the bearer by a netrc entry.
                    auth=lambda prepared: prepared,
                )
            )
        except (requests.RequestException, ValueError) as error:
            raise ConfigurationError(f"the request to {request.doing} cannot be built for {url}: {error}") from None

    def _environment(self, url: str) -> Mapping[str, Any]:
        host = urlsplit(url).netloc
        if host not in self._settings:
            # Named, so that what the connection says wins over the environment.
            proxies, verify = dict(self.session.proxies), self.session.verify
            self._settings[host] = self.session.merge_environment_settings(url, proxies, None, verify, None)
        return self._settings[host]

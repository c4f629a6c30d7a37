"""What the two drivers share: everything but the sockets and the waiting."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlencode, urljoin, urlsplit

import tenacity

from tfso_hypatos.clients import clock
from tfso_hypatos.clients.budget import BUDGETS, Limits, Wait
from tfso_hypatos.clients.failures import failure
from tfso_hypatos.clients.messages import FORM, Pause, Request, Response, decode, encode
from tfso_hypatos.clients.repeat import Patience, Turn
from tfso_hypatos.clients.token import TOKENS, Credentials, Token, TokenStore
from tfso_hypatos.exceptions import (
    ConnectionFailed,
    Delay,
    NotSent,
    RateLimited,
    Stopped,
    TfsoHypatosError,
    TokenUnavailable,
    UnexpectedResponse,
)

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection at most; the rest of the time-out is for the answer."""

PAUSES_BEFORE_A_FRESH_TOKEN = (0.0, 0.5)
"""Seconds to wait before a token that was refused is replaced; what is refused then is refused for good.

Twice, and not at once: where only the newest token counts, another process may just have fetched its own.
"""

WORTH_TELLING = 5.0
"""Seconds from which on the log says that a request waits for the budget."""

FLOWS = itertools.count()
"""Numbers the flows of this process, by which they stand in the queue of a budget."""


def ignore(_: object) -> None:
    """Do nothing with what one is told."""


@dataclass(frozen=True)
class Service:
    """One of the two APIs, as one connection reaches it.

    :param name: what a person calls it ("24SevenOffice").
    :param base_url: API URL without a trailing slash.
    :param credentials: what a token is asked for with.
    :param timeout: seconds for one answer.
    :param patience: how long a single request is repeated.
    :param limits: how many requests the account may send.
    :param on_secret: told every token, so that logs can mask it.
    """

    name: str
    base_url: str
    credentials: Credentials
    timeout: float = 30.0
    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    on_secret: Callable[[str], None] = field(default=ignore, compare=False)

    def url(self, request: Request) -> str:
        """Return the whole URL of a request.

        :raises UnexpectedResponse: if a link leads to another host, which must not get the token.
        """
        if self.is_token_request(request):
            return request.path
        if not request.is_link:
            return self.base_url + request.path
        url = urljoin(self.base_url + "/", request.path)
        if _origin(self.base_url) != _origin(url):
            raise UnexpectedResponse(f"{self.name} gave a link to another host; it was not followed")
        return url

    def is_token_request(self, request: Request) -> bool:
        """Say whether a request fetches a token, and so carries none."""
        return request.path == self.credentials.token_url


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port


class Transport:
    """The base of both drivers: holds back, encodes, reads, and keeps the token.

    ``before_change`` is called right before each request that changes something is sent, after all waits; it may raise,
    and it may block.
    """

    def __init__(self, service: Service, store: TokenStore = TOKENS) -> None:
        self.service = service
        self._store = store
        self._budget = BUDGETS.of(service.base_url, service.credentials, service.limits)
        self.before_change: Callable[[], None] | None = None

    def _is_admitted(self, request: Request) -> bool:
        """Say whether the budget lets the request through at once."""
        self._hold_back(request, stopped=False)
        return self._budget.take(clock.now(), patient=request.not_after is None)

    def _admission(self, request: Request, turn: Turn) -> Generator[float, None, None]:
        """Yield the seconds to wait, again and again, until the budget lets the request through.

        :param turn: its flow's place among others.
        """
        began = first_since = clock.now()
        longest: Wait | None = None
        told = False
        patience = self.service.patience
        with self._budget.queueing(turn.flow, patient=request.not_after is None) as place:
            while (wait := self._budget.ask(place, clock.now())) is not None:
                longest = wait if longest is None else max(longest, wait)
                sent_at = clock.now() + wait.seconds
                if request.not_after is not None and sent_at > request.not_after:
                    turn.delayed(Delay(sent_at, sent_at - began, longest.reason, longest.used_up))
                    raise self._too_late(request)
                if is_free := wait.queued or patience.outlasts:
                    first_since = clock.now()
                elif sent_at - first_since > patience.budget:
                    raise self._out_of_budget(request, wait)
                if sent_at - began > WORTH_TELLING and not told:
                    log.info("Waiting %.1f s to %s: %s", wait.seconds, request.doing, wait.reason)
                    told = True
                asked_at = clock.now()
                yield wait.nap
                if is_free:
                    turn.queued += clock.now() - asked_at
        if longest is not None:
            turn.delayed(Delay(clock.now(), clock.now() - began, longest.reason, longest.used_up))

    def _out_of_budget(self, request: Request, wait: Wait) -> RateLimited:
        """Return the error of a request that would wait too long: as if the server had refused it, but unsent."""
        return RateLimited(
            f"The request to {request.doing} was not sent to {self.service.name}: {wait.reason}; it has to wait for "
            f"another {wait.seconds:.0f} s",
            status=429,
            retry_after=wait.seconds,
        )

    def _hold_back(self, request: Request, stopped: bool) -> None:
        """Refuse to send what must no longer be sent."""
        if request.changes and stopped:
            raise Stopped(f"stopped before the request to {request.doing} was sent")
        if request.not_after is not None and clock.now() > request.not_after:
            raise self._too_late(request)

    def _too_late(self, request: Request) -> NotSent:
        error = NotSent(f"the request to {request.doing} was held back: what it rests on has to be read again")
        error.not_after = request.not_after or 0.0
        return error

    def _unsent(self, request: Request, error: TfsoHypatosError) -> TfsoHypatosError:
        """Return the error of a request without an answer; one whose time passed while connecting was held back."""
        if isinstance(error, ConnectionFailed):
            self._hold_back(request, stopped=False)
        return error

    def _connect_timeout(self, request: Request) -> float:
        """Return the seconds in which a connection must stand."""
        longest = min(CONNECT_TIMEOUT, self.service.timeout)
        return longest if request.not_after is None else max(0.001, min(longest, request.not_after - clock.now()))

    def _headers(self, request: Request, token: Token | None) -> dict[str, str]:
        headers = {"Accept": "application/json", **request.headers}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if token is not None:
            headers["Authorization"] = f"Bearer {token.value}"
        return headers

    def _body(self, request: Request) -> bytes | None:
        if request.body is None:
            return None
        if request.content_type == FORM:
            return urlencode(cast("Mapping[str, str]", request.body)).encode()
        return encode(request.body)

    def _answer(
        self, request: Request, status: int, headers: Mapping[str, str], body: bytes, sent_at: float
    ) -> Response:
        """Return the answer, or raise the error that it stands for."""
        lowered: dict[str, str] = {}
        for name, value in headers.items():
            # One header in several lines means the same as one line with commas.
            lowered[name.lower()] = f"{lowered[name.lower()]}, {value}" if name.lower() in lowered else value
        answered_at = clock.now()
        if not self.service.is_token_request(request):
            self._budget.learn(status, lowered, sent_at, answered_at)
        succeeded = 200 <= status < 300
        try:
            decoded = decode(body) if body.strip() else None
        except ValueError:
            if succeeded:
                kind = lowered.get("content-type", "no content type")
                raise UnexpectedResponse(
                    f"{self.service.name} answered the request to {request.doing} with HTTP {status}, but its body "
                    f"({kind}, {len(body)} bytes) cannot be read as JSON"
                ) from None
            decoded = None
        response = Response(status, decoded, lowered, sent_at, answered_at)
        error = failure(self.service.name, request, response)
        if error is not None:
            raise error
        return response

    def _log_repeat(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s; trying again in %.1f s (attempt %d)", error, state.upcoming_sleep, state.attempt_number + 1)

    def _log_pause(self, step: Pause) -> None:
        log.info("Waiting %.1f s: %s", step.seconds, step.reason)

    def _keep(self, token: Token) -> Token:
        self.service.on_secret(token.value)
        self._store.put(self.service.credentials, token)
        return token

    def _token_unavailable(self, error: TfsoHypatosError) -> TfsoHypatosError:
        """Return the error of a token request as one of the request it was for, which was then never sent."""
        if error.permanent:
            return error
        unavailable = TokenUnavailable(f"No access token, so nothing was sent: {error}")
        unavailable.retry_after = error.retry_after
        return unavailable

"""The access token of the client-credentials grant: fetched once, renewed early, kept in memory only."""

from __future__ import annotations

import asyncio
import base64
import threading
import weakref
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from tfso_hypatos.clients import clock
from tfso_hypatos.clients.messages import FORM, Flow, Request, Response, ask
from tfso_hypatos.exceptions import ApiError, AuthenticationFailed, UnexpectedResponse

RENEW_EARLY = 120.0
"""Seconds before its end at which a token is renewed, so that it does not end under way."""

LIFETIME_IF_UNSTATED = 3600.0


@dataclass(frozen=True)
class Credentials:
    """What a token is asked for with.

    :param token_url: where.
    :param client_id: the client.
    :param client_secret: its secret; shown in no ``repr``.
    :param organization: 24SevenOffice's organization id (``login_organization``), or None.
    :param audience: the API the token is for, or None.
    :param basic: send client id and secret as HTTP Basic, else in the form.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    organization: str | None = None
    audience: str | None = None
    basic: bool = False

    @property
    def basic_value(self) -> str:
        """The value of an HTTP Basic header, RFC 6749 section 2.3.1; as secret as the secret."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return base64.b64encode(pair.encode()).decode()

    def request(self) -> Request:
        """Return the request that fetches a token."""
        form = {"grant_type": "client_credentials"}
        headers = {}
        if self.basic:
            headers["Authorization"] = f"Basic {self.basic_value}"
        else:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        if self.audience is not None:
            form["audience"] = self.audience
        if self.organization is not None:
            form["login_organization"] = self.organization
        return Request("POST", self.token_url, "get an access token", headers=headers, body=form, content_type=FORM)


@dataclass(frozen=True)
class Token:
    """An access token.

    :param value: the bearer; shown in no ``repr``.
    :param renew_at: moment (:func:`clock.now`) from which it is renewed.
    """

    value: str = field(repr=False)
    renew_at: float


def fetch(credentials: Credentials) -> Flow[Token]:
    """Fetch a token.

    :raises AuthenticationFailed: if the client, its secret or the organization was refused.
    """
    try:
        response = yield from ask(credentials.request())
    except ApiError as error:
        if 400 <= error.status < 500 and error.status != 429:
            raise _refused(credentials, error) from None
        raise
    return _read(response)


def _refused(credentials: Credentials, error: ApiError) -> AuthenticationFailed:
    checks = "client id and client secret"
    if credentials.organization is not None:
        checks += f", and that organization {credentials.organization} has connected the application"
    return AuthenticationFailed(
        f"{str(error).rstrip('.')}. Check {checks}.", status=error.status, trace_id=error.trace_id
    )


def _read(response: Response) -> Token:
    value = response.value
    if not isinstance(value, dict) or not isinstance(value.get("access_token"), str) or not value["access_token"]:
        raise UnexpectedResponse("the token URL answered without an access_token")
    if str(value.get("token_type", "Bearer")).lower() != "bearer":
        raise UnexpectedResponse("the token URL answered with another type of token than Bearer")
    try:
        lifetime = float(value.get("expires_in", LIFETIME_IF_UNSTATED))
    except (TypeError, ValueError):
        lifetime = LIFETIME_IF_UNSTATED
    # A short-lived token keeps four fifths of its life, or it would be renewed for every request.
    early = min(RENEW_EARLY, lifetime / 5)
    return Token(value["access_token"], response.sent_at + lifetime - early)


class TokenStore:
    """The tokens of this process, one for each set of credentials, with one renewal at a time."""

    def __init__(self) -> None:
        self._tokens: dict[Credentials, Token] = {}
        self._guard = threading.Lock()
        self._locks: dict[Credentials, threading.Lock] = {}
        # An asyncio lock belongs to one event loop, and a process may have had several.
        self._async_locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Credentials, asyncio.Lock]] = (
            weakref.WeakKeyDictionary()
        )

    def get(self, credentials: Credentials) -> Token | None:
        """Return the token if it need not be renewed yet."""
        token = self._tokens.get(credentials)
        return token if token is not None and clock.now() < token.renew_at else None

    def put(self, credentials: Credentials, token: Token) -> None:
        """Keep a fetched token."""
        self._tokens[credentials] = token

    def drop(self, credentials: Credentials, token: Token) -> None:
        """Forget a token that was refused, unless another caller has already renewed it."""
        with self._guard:
            if self._tokens.get(credentials) is token:
                del self._tokens[credentials]

    def lock(self, credentials: Credentials) -> threading.Lock:
        """Return the lock that one renewal by a sync caller holds."""
        with self._guard:
            return self._locks.setdefault(credentials, threading.Lock())

    def async_lock(self, credentials: Credentials) -> asyncio.Lock:
        """Return the lock that one renewal on the running event loop holds."""
        with self._guard:
            locks = self._async_locks.setdefault(asyncio.get_running_loop(), {})
            return locks.setdefault(credentials, asyncio.Lock())


TOKENS = TokenStore()
"""The tokens of this process."""

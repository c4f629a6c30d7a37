"""Access tokens: how each API gives them out, and to whom a bearer belongs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from tfso_hypatos.sandbox import jsontext
from tfso_hypatos.sandbox.messages import JSON, Answer, Call, RefusalError, in_json
from tfso_hypatos.sandbox.settings import Settings

FORM = "application/x-www-form-urlencoded"
AUDIENCE = "https://api.24sevenoffice.com"
_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True, slots=True)
class Token:
    """To whom a bearer belongs, and until when (monotonic seconds)."""

    api: str
    organization: str
    ends: float


class Tokens:
    """Every token given out.

    :param settings: the sandbox's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens: dict[str, Token] = {}
        self._made = 0
        # Tokens of an earlier run must not be valid in this one.
        self._run = secrets.token_hex(8)

    def bearer(self, call: Call) -> Token | None:
        """Return the token of a request, or None when it is missing, unknown, expired or of the other API.

        :param call: the request.
        """
        token = self._tokens.get(_bearer_text(call))
        return token if token and token.api == call.api and time.monotonic() < token.ends else None

    def withdraw(self, call: Call) -> None:
        """Make the token of a request invalid.

        :param call: the request.
        """
        self._tokens.pop(_bearer_text(call), None)

    def withdraw_all(self) -> None:
        """Make every token invalid."""
        self._tokens.clear()

    def for_tfso(self, call: Call) -> Answer:
        """Answer a token request to 24SevenOffice.

        :param call: the request; JSON, form, or form with HTTP Basic.
        """
        fields = _fields(call)
        basic = _basic(call)
        if basic:
            fields = {**fields, "client_id": basic[0], "client_secret": basic[1]}
        if fields.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "grant_type must be client_credentials")
        missing = [
            name for name in ("client_id", "client_secret", "audience", "login_organization") if name not in fields
        ]
        if missing:
            return _oauth_error(400, "invalid_request", f"missing: {', '.join(missing)}")
        organization = fields["login_organization"]
        known = fields["audience"] == AUDIENCE and organization in self._settings.organizations
        if not (known and self._is_client(fields["client_id"], fields["client_secret"])):
            return _oauth_error(403, "access_denied", "Unauthorized")
        return self._issue("tfso", organization)

    def for_hypatos(self, call: Call) -> Answer:
        """Answer a token request to Hypatos: HTTP Basic and a form, nothing else.

        :param call: the request.
        """
        basic = _basic(call)
        if basic is None or not self._is_client(*basic):
            title, detail = (
                "Invalid client credentials",
                "The client id or the secret is wrong, or not sent as HTTP Basic.",
            )
            return in_json(401, {"title": title, "detail": detail, "status": 401})
        if call.content_type != FORM or _fields(call).get("grant_type") != "client_credentials":
            detail = "Send the form field grant_type=client_credentials."
            return in_json(400, {"title": "Invalid token request", "detail": detail, "status": 400})
        return self._issue("hypatos", "")

    def _is_client(self, client_id: str, secret: str) -> bool:
        settings = self._settings
        is_id = hmac.compare_digest(client_id.encode(), settings.client_id.encode())
        return is_id and hmac.compare_digest(secret.encode(), settings.client_secret.encode())

    def _issue(self, api: str, organization: str) -> Answer:
        self._made += 1
        text = hashlib.sha256(f"{api}/{organization}/{self._made}/{self._run}".encode()).hexdigest()
        lifetime = self._settings.token_lifetime
        self._tokens[text] = Token(api, organization, time.monotonic() + lifetime)
        body = {"access_token": text, "token_type": "Bearer", "expires_in": lifetime}
        return in_json(200, body, _NOT_STORED)


def _bearer_text(call: Call) -> str:
    scheme, _, text = call.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _basic(call: Call) -> tuple[str, str] | None:
    scheme, _, text = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    # RFC 6749 2.3.1 form-encodes both halves before they are joined; few clients do, and plain ones survive it.
    return (unquote(name), unquote(secret)) if colon else None


def _fields(call: Call) -> Mapping[str, str]:
    if call.content_type == JSON:
        return _json_fields(call.body)
    if call.content_type == FORM:
        return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    return {}


def _json_fields(body: bytes) -> Mapping[str, str]:
    try:
        value: Any = jsontext.read(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RefusalError(_oauth_error(400, "invalid_request", "the body is not a JSON object"))
    return {name: str(member) for name, member in value.items()}


def _oauth_error(status: int, error: str, description: str) -> Answer:
    return in_json(status, {"error": error, "error_description": description})

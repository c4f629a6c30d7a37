"""An Airflow connection, read and checked: what every field means, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from tfso_hypatos.clients.budget import Limits
from tfso_hypatos.exceptions import ConfigurationError
from tfso_hypatos.words import PLACE, has_only, in_braces, truth_of

FEWEST_PER_SECOND = 0.1
"""Requests a second with which a look that follows changes sent ahead of their time need not wait for a minute."""

FEWEST_PER_HOUR = 10
"""Requests that create an order of one line and invoice it."""


class AirflowConnection(Protocol):
    """What is read from an Airflow connection."""

    host: str | None
    port: int | None
    schema: str | None
    login: str | None
    password: str | None


@dataclass(frozen=True)
class Settings:
    """A connection as a mapping of named, checked values.

    :param conn_id: the connection's id, for errors.
    :param url: API URL without a trailing slash.
    :param client_id: login of the connection.
    :param client_secret: password of the connection; shown in no ``repr``.
    :param extra: the extra fields; shown in no ``repr``.
    """

    conn_id: str
    url: str
    client_id: str
    client_secret: str = field(repr=False)
    extra: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(
        cls, conn_id: str, connection: AirflowConnection, extra: Mapping[str, Any], default_url: str | None = None
    ) -> Settings:
        """Read a connection.

        :param conn_id: the connection's id.
        :param connection: the connection.
        :param extra: its extra fields.
        :param default_url: the API URL if the connection names none.
        :raises ConfigurationError: naming every field that is missing.
        """
        url = _url(connection) or default_url
        missing = [
            name
            for name, value in (
                ("host (API URL)", url),
                ("login (client id)", connection.login),
                ("password (client secret)", connection.password),
            )
            if not value
        ]
        if missing or url is None:
            raise ConfigurationError(f"connection {conn_id!r} lacks {', '.join(missing)}")
        if not is_url(url):
            raise ConfigurationError(f"connection {conn_id!r}: the host is no URL that begins with http:// or https://")
        return cls(conn_id, url.rstrip("/"), connection.login or "", connection.password or "", extra)

    def wrong(self, name: str, rule: str) -> ConfigurationError:
        """Return the error for an extra field that breaks a rule."""
        return ConfigurationError(f"connection {self.conn_id!r}: the extra field {name!r} {rule}")

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return an extra field as text; a number, as a URI makes of a digit string, counts as its digits."""
        value = self.extra.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.wrong(name, "must be text")
        return str(value)

    def required_text(self, name: str) -> str:
        """Return an extra field that must be given."""
        value = self.text(name)
        if value is None:
            raise self.wrong(name, "is required")
        return value

    def number(self, name: str, default: float) -> float:
        """Return an extra field as a number of seconds above zero."""
        number = self._above_zero(name, "seconds")
        return default if number is None else number

    def limits(self) -> Limits:
        """Return how many requests the connection allows."""
        return Limits(
            self._requests("requests_per_second", FEWEST_PER_SECOND),
            self._requests("requests_per_hour", FEWEST_PER_HOUR),
        )

    def _requests(self, name: str, fewest: float) -> float | None:
        number = self._above_zero(name, "requests")
        if number is not None and number < fewest:
            raise self.wrong(name, f"must be {fewest:g} at least, or no order would be finished")
        return number

    def _above_zero(self, name: str, unit: str) -> float | None:
        value = self.extra.get(name)
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if isinstance(value, bool) or not 0 < number < float("inf"):
            raise self.wrong(name, f"must be a number of {unit} above zero")
        return number

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an extra field as yes or no."""
        value = self.extra.get(name)
        if value is None or value == "":
            return default
        truth = truth_of(value)
        if truth is None:
            raise self.wrong(name, "must be true or false")
        return truth

    def choice(self, name: str, choices: Mapping[str, str], default: str) -> str:
        """Return what an extra field chooses."""
        value = str(self.extra.get(name) or default)
        if value not in choices:
            raise self.wrong(name, f"must be one of {', '.join(choices)}")
        return choices[value]

    def check_template(self, name: str, known: Collection[str]) -> None:
        """Check a URL template of the connection, if it has one.

        :param name: the extra field that holds the template.
        :param known: what may stand between braces.
        :raises ConfigurationError: if anything else does; a link would lead to nowhere, and nobody would be told.
        """
        if not has_only(self.text(name, "") or "", known):
            raise self.wrong(name, f"may have only {in_braces(known)} in braces")

    def template(self, name: str, fields: Mapping[str, object]) -> str | None:
        """Return a URL template of the connection with its fields filled in, or None without a template or a field.

        :param name: the extra field that holds the template, such as ``https://example.com/{sales_order_id}``.
        :param fields: what stands for the names between braces.
        """
        template = self.text(name)
        if template is None or any(fields.get(place) is None for place in PLACE.findall(template)):
            return None
        return PLACE.sub(lambda match: quote(str(fields[match[1]]), safe=""), template)


def is_url(text: str) -> bool:
    """Say whether a text is a web address."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text.isprintable() and " " not in text


def _url(connection: AirflowConnection) -> str | None:
    host = connection.host
    if not host:
        return None
    if "://" in host:
        scheme, rest = host.split("://", 1)
    else:
        scheme, rest = connection.schema or "https", host
    if connection.port:
        authority, slash, path = rest.partition("/")
        rest = f"{re.sub(r':[0-9]+$', '', authority)}:{connection.port}{slash}{path}"
    return f"{scheme}://{rest}"

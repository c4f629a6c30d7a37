"""What travels between the HTTP server and the two APIs behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfso_hypatos.sandbox import jsontext

JSON = "application/json"
JSON_ANSWER = "application/json; charset=utf-8"


@dataclass(slots=True)
class Call:
    """One request to one of the two APIs.

    :param api: "tfso" or "hypatos".
    :param method: HTTP method.
    :param path: path below the API root, still percent-encoded.
    :param query: query parameters; of a repeated one the first.
    :param headers: header names in lower case.
    :param body: the body as it came.
    :param root: absolute URL of the API root, as the client sees it.
    :param number: running number of the request.
    :param list_lag: seconds in which lists do not show what was just created.
    :param organization: organization of the token, once it is known.
    """

    api: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    root: str
    number: int
    list_lag: float = 0.0
    organization: str = ""

    @property
    def content_type(self) -> str:
        """The media type of the body without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer.

    :param status: HTTP status code.
    :param body: the body as it is sent.
    :param headers: headers beside those every answer of the API carries.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusalError(Exception):
    """A request ends here, with this answer.

    :param answer: what the client is told.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered with {answer.status}")
        self.answer = answer


def in_json(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON body.

    :param status: HTTP status code.
    :param value: the body.
    :param headers: further headers.
    """
    return Answer(status, jsontext.write(value), {"Content-Type": JSON_ANSWER, **(headers or {})})

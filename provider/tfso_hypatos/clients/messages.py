"""What a flow yields and is sent: requests, pauses and responses, and the JSON inside them."""

from __future__ import annotations

import datetime
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias, TypeVar

import simplejson

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.models.sendable import is_long

MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

LONGEST_NAME = 100
"""Characters of a member's name that an error repeats."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, before it knows of hosts, tokens or sockets.

    :param method: HTTP method.
    :param path: path below the API URL; of a link, the URL as the server gave it.
    :param doing: what this is in a person's words, for errors and logs ("create the sales order").
    :param query: query parameters.
    :param headers: extra headers.
    :param body: what travels, or None.
    :param content_type: media type of the body; says how it is encoded.
    :param repeatable: sending it twice does no harm, so it may be repeated after an ambiguous failure.
    :param changes: it changes something, so the stop flag is looked at before it is sent.
    :param is_link: the path is a link that the server gave, to be followed on the same host only.
    :param not_after: moment (:func:`clock.now`) after which it must no longer be sent, because what it rests on
        (who holds the order) may have changed; None: any time.
    """

    method: str
    path: str
    doing: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    content_type: str = JSON
    repeatable: bool = True
    changes: bool = False
    is_link: bool = False
    not_after: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer.

    :param status: HTTP status code.
    :param value: the decoded JSON body, numbers with a fraction as Decimal; None without a body.
    :param headers: header names in lower case.
    :param sent_at: moment (:func:`clock.now`) at which the request was sent: what the answer shows is not older.
    :param answered_at: moment (:func:`clock.now`) at which the answer was read.
    """

    status: int
    value: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    sent_at: float = 0.0
    answered_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next step.

    :param seconds: how long.
    :param reason: why, in a person's words, for the log.
    """

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep an order's id where a retry finds it; a hint, verified before it is believed.

    :param order_id: the order.
    """

    order_id: int


Step: TypeAlias = Request | Pause | Remember
Flow: TypeAlias = Generator[Step, Response | None, T]
"""A generator that yields steps, is sent the answers, and returns a result. It does no I/O itself."""


def ask(request: Request) -> Flow[Response]:
    """Yield a request and return its answer."""
    answer = yield request
    if answer is None:
        raise TypeError(f"a driver sent nothing in answer to: {request.doing}")
    return answer


def pause(seconds: float, reason: str) -> Flow[None]:
    """Yield a pause.

    :param seconds: how long.
    :param reason: why, in a person's words.
    """
    yield Pause(seconds, reason)


def remember(order_id: int) -> Flow[None]:
    """Yield an order's id to be kept where a retry finds it."""
    yield Remember(order_id)


def encode(value: Any) -> bytes:
    """Return JSON bytes; a Decimal becomes a JSON number with every digit kept, a date its ISO form."""
    text: str = simplejson.dumps(
        value, use_decimal=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_iso
    )
    try:
        return text.encode()
    except UnicodeEncodeError:
        rule = "holds half of a surrogate pair, which is no character and cannot be sent"
        raise InvalidInput([Problem("text", rule)]) from None


class Unreadable(ValueError):
    """A text is not JSON, or is JSON that is not taken; says which."""


def decode(body: bytes | str) -> Any:
    """Return the value of a JSON text; a number with a fraction or an exponent becomes a Decimal.

    :raises Unreadable: if it is none.
    """
    return _decode(_DECODER, body.decode("utf-8") if isinstance(body, bytes) else body)


def decode_input(text: str) -> Any:
    """Return the value of a JSON text that a person may have written: what would be lost silently is refused.

    :raises Unreadable: if it is none, or an object in it has two members of the same name.
    """
    return _decode(_INPUT_DECODER, text)


def _decode(decoder: simplejson.JSONDecoder, text: str) -> Any:
    try:
        return decoder.decode(text)
    except Unreadable:
        raise
    except ValueError:
        raise Unreadable("is not JSON") from None
    except RecursionError:
        raise Unreadable("is nested too deeply") from None


def _iso(value: object) -> str:
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot travel as JSON")


def _refuse_constant(name: str) -> Decimal:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Unreadable("holds a number that is too large or too small") from None


def _short_number(text: str) -> Decimal:
    number = _number(text)
    if is_long(number):
        raise Unreadable("holds a number of too many digits")
    return number


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"has two members of the name {twice[:LONGEST_NAME]!r} in one object")
    return members


# Made once: simplejson.loads() would make another one for every text.
_DECODER = simplejson.JSONDecoder(parse_float=_short_number, parse_constant=_refuse_constant)
_INPUT_DECODER = simplejson.JSONDecoder(
    parse_float=_number, parse_constant=_refuse_constant, object_pairs_hook=_members
)

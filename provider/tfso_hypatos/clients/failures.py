"""An HTTP answer becomes a typed error, or none."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.exceptions import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    Conflict,
    NotFound,
    PermissionDenied,
    Problem,
    RateLimited,
    ServerError,
    TfsoHypatosError,
    UnexpectedResponse,
)

LONGEST_TEXT = 300
"""Characters of a vendor's own text that an error repeats."""

LONGEST_WAIT = 86400.0
"""Seconds that are believed to be meant as a wait."""

EPOCH = 1e9
"""A number of seconds above this is no wait but a point in time."""

_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    408: ServerError,
    409: Conflict,
    425: ServerError,
    429: RateLimited,
}

_ADVICE: Mapping[int, str] = {
    401: "the token was refused, even a fresh one",
    403: "the token lacks the scope for this, or the organization has not approved it",
}


class Details(NamedTuple):
    """What a vendor's error body says, whichever of the two vendors wrote it."""

    texts: Sequence[str] = ()
    problems: Sequence[Problem] = ()
    error_types: Sequence[str] = ()
    tracking_id: str | None = None


def failure(service: str, request: Request, response: Response) -> TfsoHypatosError | None:
    """Return the error that an answer stands for, or None for a success.

    :param service: the vendor's name, for the text.
    :param request: what was asked.
    :param response: what was answered.
    """
    status = response.status
    if 200 <= status < 300:
        return None
    if status < 400:
        return UnexpectedResponse(
            f"{service} answered {request.doing} with HTTP {status}; redirects are not followed, so that the token "
            "reaches no other host. Check the API URL of the connection."
        )
    details = read_details(response.value)
    kind = ServerError if status >= 500 else _BY_STATUS.get(status, BadRequest)
    trace_id = response.headers.get("x-trace-id")
    retry_after = seconds_to_wait(response.headers)
    return kind(
        _sentence(service, request, status, details, trace_id, retry_after),
        status=status,
        problems=details.problems,
        error_types=details.error_types,
        tracking_id=details.tracking_id,
        trace_id=trace_id,
        retry_after=retry_after if status in (429, 503) else None,
    )


def _sentence(
    service: str, request: Request, status: int, details: Details, trace_id: str | None, retry_after: float | None
) -> str:
    said = [*details.error_types, *details.texts, *map(str, details.problems)]
    text = f"{service} refused to {request.doing}: HTTP {status}"
    if status >= 500:
        text = f"{service} failed to {request.doing}: HTTP {status}"
    reason = "; ".join(said) or _ADVICE.get(status, "")
    if status == 429 and retry_after is not None:
        reason = f"too many requests, wait {retry_after:.0f} s"
    if reason:
        text += f": {reason[:LONGEST_TEXT]}"
    ids = [f"{name} {value}" for name, value in (("trackingId", details.tracking_id), ("trace id", trace_id)) if value]
    return f"{text} ({', '.join(ids)})" if ids else text


def read_details(value: Any) -> Details:
    """Return what an error body of either vendor says; tolerates any shape."""
    if not isinstance(value, Mapping):
        return Details()
    error = value.get("error")
    if isinstance(error, Mapping):
        return _tfso_details(error, value)
    if isinstance(error, str):
        return Details(texts=[error, *_texts(value.get("error_description"))])
    detail = value.get("detail")
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        return Details(problems=[_hypatos_problem(item) for item in detail if isinstance(item, Mapping)])
    return Details(texts=[*_texts(value.get("title")), *_texts(detail)])


def _tfso_details(error: Mapping[str, Any], body: Mapping[str, Any]) -> Details:
    payload = error.get("payload")
    payload = payload if isinstance(payload, Mapping) else {}
    rules = [item for item in _items(payload.get("errors")) if isinstance(item, Mapping)]
    fields = [item for item in _items(payload.get("validationErrors")) if isinstance(item, Mapping)]
    texts = [text for item in rules for text in _texts(item.get("message"))] + _texts(error.get("message"))
    name = _texts(error.get("name")) if not rules and not fields else []
    tracking_id = body.get("trackingId")
    return Details(
        texts=name + texts,
        problems=[Problem(str(item.get("path", "?")), str(item.get("keyword", "?"))) for item in fields],
        error_types=[str(item["type"]) for item in rules if "type" in item],
        tracking_id=str(tracking_id) if tracking_id else None,
    )


def _hypatos_problem(item: Mapping[str, Any]) -> Problem:
    place = ".".join(str(step) for step in _items(item.get("loc")))
    return Problem(place or "?", str(item.get("msg") or item.get("type") or "?"))


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) and value else []


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return how long the server asks to wait: ``Retry-After`` (seconds or a date), else ``x-ratelimit-reset``."""
    for name in ("retry-after", "x-ratelimit-reset"):
        text = headers.get(name)
        wait = None if text is None else _wait(text, headers.get("date"))
        if wait is not None:
            return min(max(0.0, wait), LONGEST_WAIT)
    return None


def _wait(text: str, now: str | None) -> float | None:
    try:
        wait = float(text)
    except ValueError:
        return _seconds_until(text, now)
    if not math.isfinite(wait):
        return None
    if wait > EPOCH * 1000:
        wait /= 1000
    # Documented as seconds by one vendor and by the other not at all; elsewhere it is often a point in time.
    return wait - time.time() if wait > EPOCH else wait


def _seconds_until(moment: str, now: str | None) -> float | None:
    until = http_date(moment)
    since = http_date(now) if now else datetime.datetime.now(datetime.UTC)
    return (until - since).total_seconds() if until and since else None


def http_date(text: str) -> datetime.datetime | None:
    """Return the point in time that an HTTP header names, or None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)

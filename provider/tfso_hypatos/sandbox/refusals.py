"""The error bodies of 24SevenOffice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfso_hypatos.sandbox.messages import Answer, Call, RefusalError, in_json
from tfso_hypatos.sandbox.rules import Violation
from tfso_hypatos.sandbox.settings import Settings

_NAMES = {
    401: ("Unauthorized", "The access token is missing, invalid or expired"),
    403: ("Forbidden", "The operation is not allowed"),
    404: ("NotFoundError", "Not found"),
    405: ("MethodNotAllowed", "The method is not allowed here"),
    409: ("ConflictError", "The order does not allow this"),
    413: ("PayloadTooLarge", "The file is too large"),
    415: ("UnsupportedMediaType", "The content type is not supported"),
    429: ("TooManyRequests", "Too many requests"),
    500: ("InternalServerError", "Something went wrong"),
    502: ("BadGateway", "Bad gateway"),
    503: ("ServiceUnavailable", "Service unavailable"),
    504: ("GatewayTimeout", "Gateway timeout"),
}
_BODILESS = frozenset({401, 403, 404, 409})


class Refusals:
    """Makes the errors of 24SevenOffice, to be raised.

    :param settings: the sandbox's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def generic(
        self, call: Call, status: int, message: str = "", headers: Mapping[str, str] | None = None
    ) -> RefusalError:
        """Return an error with name and message.

        :param call: the request.
        :param status: HTTP status code.
        :param message: in words; the usual ones of the status when left out.
        :param headers: further headers.
        """
        if self._settings.empty_error_bodies and status in _BODILESS:
            return RefusalError(Answer(status, headers=headers or {}))
        name, usual = _NAMES.get(status, ("Error", "Something went wrong"))
        return _error(call, status, {"name": name, "message": message or usual}, headers)

    def invalid(self, call: Call, violations: Iterable[Violation]) -> RefusalError:
        """Return the 400 of a request that breaks its schema.

        :param call: the request.
        :param violations: what is wrong.
        """
        found = [{"path": ".".join(map(str, each.path)), "keyword": each.keyword} for each in violations]
        return _error(call, 400, {"name": "ValidationError", "payload": {"validationErrors": found}})

    def business(self, call: Call, kind: str, message: str, arguments: Iterable[str] = ()) -> RefusalError:
        """Return the 400 of a broken business rule.

        :param call: the request.
        :param kind: the type of the error (NoLines).
        :param message: in words.
        :param arguments: what it is about.
        """
        found = {"type": kind, "message": message, "arguments": list(arguments)}
        return _error(call, 400, {"name": "BadRequestError", "payload": {"errors": [found]}})


def tracking_id(call: Call) -> str:
    """Return the id that an error body carries for the vendor's support.

    :param call: the request.
    """
    return f"tracking-{call.number:08d}"


def _error(call: Call, status: int, error: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> RefusalError:
    return RefusalError(in_json(status, {"error": error, "trackingId": tracking_id(call)}, headers))

"""Hypatos: enrichment of sales orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from tfso_hypatos.sandbox import contract, jsontext, lookups
from tfso_hypatos.sandbox.contract import Body, Operation
from tfso_hypatos.sandbox.limits import Limiter
from tfso_hypatos.sandbox.messages import Answer, Call, RefusalError, in_json
from tfso_hypatos.sandbox.records import Record, Records
from tfso_hypatos.sandbox.rules import Violation
from tfso_hypatos.sandbox.settings import Settings
from tfso_hypatos.sandbox.tokens import Tokens

_Values: TypeAlias = Mapping[str, Any]
_TITLES = {
    401: ("Unauthorized", "The bearer token is missing, invalid or expired."),
    403: ("Forbidden", "The token lacks the scope for this operation."),
    404: ("Not found", "There is no such resource."),
    405: ("Method Not Allowed", "The method is not allowed here."),
    500: ("Internal Server Error", "Something went wrong."),
    502: ("Bad Gateway", "Something went wrong."),
    503: ("Service Unavailable", "Something went wrong."),
    504: ("Gateway Timeout", "Something went wrong."),
}
_KINDS = {"required": "missing", "type": "type_error", "additionalProperties": "extra_forbidden"}
_GENEROUS = 100_000


class Hypatos:
    """Answers requests to Hypatos.

    :param settings: the sandbox's settings.
    :param tokens: every token given out.
    """

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self.records = Records()
        self._settings = settings
        self._tokens = tokens
        self._limiter = Limiter()
        self._contract = contract.load("hypatos")
        self._handlers: dict[str, Callable[[Call, Operation, _Values], Answer]] = {
            "insertSalesOrder": self._insert,
            "patchSalesOrder": self._patch,
            "deleteSalesOrder": self._delete,
            "listCompanies": lambda *_: in_json(200, lookups.COMPANIES),
        }

    def answer(self, call: Call) -> Answer:
        """Answer a request.

        :param call: the request.
        :raises RefusalError: the answer is an error.
        """
        if not self._limiter.take(self._settings.hypatos_rate, self._settings.hypatos_window):
            raise RefusalError(Answer(429))
        operation = self._contract.find(call.method, call.path)
        if operation is None:
            raise RefusalError(refusal(405 if self._contract.knows(call.path) else 404))
        if operation.name == "requestAccessToken":
            return self._tokens.for_hypatos(call)
        if self._tokens.bearer(call) is None:
            raise RefusalError(refusal(401))
        if any(scope in self._settings.missing_scopes for scope in operation.scopes):
            raise RefusalError(refusal(403))
        values, _ = operation.read_path(call.path)
        return self._handlers[operation.name](call, operation, values)

    def rate_headers(self) -> dict[str, str]:
        """Return the headers with the state of the quota."""
        limit, window = self._settings.hypatos_rate or _GENEROUS, self._settings.hypatos_window
        return {
            "x-ratelimit-limit": f"{limit}, {limit};w={window:g}",
            "x-ratelimit-remaining": str(self._limiter.remaining(limit)),
            "x-ratelimit-reset": str(self._limiter.reset(window)),
        }

    def _insert(self, call: Call, operation: Operation, _values: _Values) -> Answer:
        body = _body_rules(call, operation)
        status = self._settings.hypatos_insert_error
        record = self.records.put(self._read(call, body, status))
        return in_json(200, {"id": record.id})

    def _patch(self, call: Call, operation: Operation, values: _Values) -> Answer:
        body = _body_rules(call, operation)
        patch = self._read(call, body, 400)
        if patch["externalId"] != values["externalId"]:
            wrong = Violation(("externalId",), "const", "externalId differs from the one in the path")
            raise RefusalError(_invalid(400, [wrong]))
        record = self._record(values)
        if patch.keys() == {"externalId"}:
            # Nothing is set, so nothing is written: by RFC 7396 such a patch is a look at the record.
            return in_json(200, record.value)
        return in_json(200, self.records.put(merge_patch(record.value, patch)).value)

    def _delete(self, _call: Call, _operation: Operation, values: _Values) -> Answer:
        self.records.delete(self._record(values))
        return Answer(204)

    def _record(self, values: _Values) -> Record:
        record = self.records.find(values["externalId"])
        if record is None:
            raise RefusalError(in_json(404, {"type": "about:blank", "title": "Not found", "status": 404}))
        return record

    def _read(self, call: Call, body: Body, status: int) -> dict[str, Any]:
        try:
            value = jsontext.read(call.body)
        except ValueError as error:
            raise RefusalError(_invalid(status, [Violation((), "json_invalid", str(error))])) from error
        check = body.strict if self._settings.hypatos_strict else body.check
        wrong = check(value)
        if wrong:
            raise RefusalError(_invalid(status, wrong))
        read: dict[str, Any] = value
        return read


def merge_patch(target: Any, patch: Any) -> Any:
    """Return the result of a JSON Merge Patch (RFC 7396).

    :param target: what stands.
    :param patch: what to change; null removes, arrays are replaced whole.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def refusal(status: int) -> Answer:
    """Return the answer of Hypatos to a request that fails for a reason outside the books.

    :param status: HTTP status code.
    """
    title, detail = _TITLES.get(status, ("Error", "Something went wrong."))
    return in_json(status, {"title": title, "detail": detail, "status": status})


def _body_rules(call: Call, operation: Operation) -> Body:
    body = operation.bodies.get(call.content_type)
    if body is None:
        message = f"send {' or '.join(operation.bodies)}, not {call.content_type or 'nothing'}"
        entry = {"loc": ["header", "content-type"], "msg": message, "type": "unsupported_media_type"}
        raise RefusalError(in_json(415, {"detail": [entry]}))
    return body


def _invalid(status: int, violations: Iterable[Violation]) -> Answer:
    detail = [
        {"loc": ["body", *each.path], "msg": each.message, "type": _KINDS.get(each.keyword, each.keyword)}
        for each in violations
    ]
    return in_json(status, {"detail": detail})

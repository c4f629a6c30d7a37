"""The control API under ``/__sandbox__/``: not part of either vendor's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfso_hypatos.sandbox import jsontext
from tfso_hypatos.sandbox.messages import Answer, in_json
from tfso_hypatos.sandbox.service import Service


def answer(service: Service, method: str, name: str, body: bytes) -> Answer:
    """Answer a request to the control API.

    :param service: the two APIs.
    :param method: HTTP method.
    :param name: what is asked for (state, requests, reset, settings, faults).
    :param body: the body as it came.
    """
    handler = _HANDLERS.get((method, name))
    if handler is None:
        known = {path for _, path in _HANDLERS}
        return in_json(405 if name in known else 404, {"error": f"there is no {method} {name}"})
    try:
        value = jsontext.read(body) if body else {}
        if not isinstance(value, dict):
            raise ValueError("the body must be a JSON object")  # noqa: TRY301, TRY004 - answered below, like bad JSON
        return in_json(200, handler(service, value))
    except ValueError as error:
        return in_json(400, {"error": str(error)})


def _reset(service: Service, _value: dict[str, Any]) -> Any:
    service.reset()
    return {}


def _configure(service: Service, value: dict[str, Any]) -> Any:
    service.settings.change(value)
    return service.settings.as_dict()


def _clear_faults(service: Service, _value: dict[str, Any]) -> Any:
    service.faults.clear()
    return []


def _expire_tokens(service: Service, _value: dict[str, Any]) -> Any:
    service.tokens.withdraw_all()
    return {}


_HANDLERS: dict[tuple[str, str], Callable[[Service, dict[str, Any]], Any]] = {
    ("GET", "state"): lambda service, _: service.state(),
    ("GET", "requests"): lambda service, _: {"total": service.requests_total, "requests": service.requests()},
    ("POST", "reset"): _reset,
    ("GET", "settings"): lambda service, _: service.settings.as_dict(),
    ("POST", "settings"): _configure,
    ("GET", "faults"): lambda service, _: service.faults.as_list(),
    ("POST", "faults"): lambda service, value: service.faults.add(value).as_dict(),
    ("DELETE", "faults"): _clear_faults,
    ("POST", "expire-tokens"): _expire_tokens,
}

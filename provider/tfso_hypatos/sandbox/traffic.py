"""The parts of the HTML page that are about requests: what was asked, and what is set to go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tfso_hypatos.sandbox.markup import Html, badge, nothing, table, tag
from tfso_hypatos.sandbox.settings import Settings

_Json: TypeAlias = Mapping[str, Any]
SHOWN_REQUESTS = 40
_SHOWN_BODY = 160


def faults(every: Sequence[_Json]) -> Html:
    """Return what is set to go wrong."""
    if not every:
        return nothing("Nothing is set to go wrong.")
    columns = ("#Id", "!Action", "!API", "!Method", "~Path", "Body", "#Skip", "#Hits", "")
    return tag("div", table(columns, (_fault(fault) for fault in every)), kind="card log")


def changed_settings(settings: _Json) -> list[Html]:
    """Return the settings that are not as usual."""
    usual = Settings().as_dict()
    changed = [badge(f"{name} = {value}", "warn") for name, value in settings.items() if value != usual[name]]
    return [tag("h2", "Settings that were changed"), tag("div", *changed, kind="cards")] if changed else []


def _fault(fault: _Json) -> tuple[Any, ...]:
    return (
        fault["id"],
        fault["action"],
        fault["api"] or "both",
        fault["method"] or "any",
        tag("code", fault["path"] or ""),
        tag("code", fault["body"] or ""),
        fault["skip"],
        f"{fault['hits']} of {fault['times']}",
        badge("spent") if fault["spent"] else badge("pending", "warn"),
    )


def request_log(requests: Sequence[_Json]) -> Html:
    """Return the last requests, newest first."""
    if not requests:
        return nothing("No requests yet.")
    columns = ("#No.", "!Time", "!API", "!Method", "~Path", "!Status", "!Fault", "!Books", "Body")
    newest = list(requests)[: -SHOWN_REQUESTS - 1 : -1]
    return tag("div", table(columns, (_request(entry) for entry in newest)), kind="card log")


def _request(entry: _Json) -> tuple[Any, ...]:
    query = "&".join(f"{name}={value}" for name, value in entry["query"].items())
    body = entry["body"]
    return (
        entry["n"],
        entry["time"][11:23],
        entry["api"],
        entry["method"],
        tag("code", entry["path"] + (f"?{query}" if query else "")),
        _answered(entry["status"]),
        badge(entry["fault"], "warn") if entry["fault"] else "",
        badge("changed", "good") if entry["committed"] else "",
        tag("code", body[:_SHOWN_BODY] + ("…" if len(body) > _SHOWN_BODY else "")),
    )


def _answered(status: int | None) -> Html:
    if status is None:
        return badge("no answer", "bad")
    return badge(status, "good" if status < 300 else "warn" if status < 500 else "bad")

"""Faults: which requests they hit, and how often. What they do to the connection is in :mod:`delivery`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfso_hypatos.sandbox.messages import Call

ACTIONS = (
    "drop_before",
    "drop_after",
    "status_before",
    "status_after",
    "hang_before",
    "hang_after",
    "commit_late",
    "reset_body",
    "truncate",
    "unauthorized",
    "rate_limit",
    "slow",
    "list_lag",
    "restart",
)
_STATUSES = (500, 502, 503, 504)


@dataclass(slots=True)
class Fault:
    """Something that goes wrong with certain requests.

    :param action: what happens; one of ``ACTIONS``.
    :param api: "tfso" or "hypatos"; None: both.
    :param method: HTTP method; None: every method.
    :param path: regular expression, searched in the path below the API root; None: every path.
    :param body: regular expression, searched in the body; None: every body.
    :param skip: matching requests to let pass first.
    :param times: matching requests it hits.
    :param seconds: how long it hangs, delays, hides new orders, or refuses connections after its answer; for
        ``commit_late``, when it commits.
    :param hold: for ``commit_late``: seconds the connection is held before it is closed.
    :param status: what a status action answers; for ``commit_late``, answered instead of closing the connection.
    :param html: answer with an HTML page, as a proxy does.
    :param retry_after: seconds for ``Retry-After``; None: no such header.
    :param reset: seconds for ``x-ratelimit-reset``; None: as it stands.
    :param as_date: write ``Retry-After`` as an HTTP date.
    :param id: its running number.
    :param hits: how many requests it has hit.
    """

    action: str
    api: str | None = None
    method: str | None = None
    path: str | None = None
    body: str | None = None
    skip: int = 0
    times: int = 1
    seconds: float = 0.0
    hold: float = 0.0
    status: int | None = None
    html: bool = False
    retry_after: float | None = None
    reset: float | None = None
    as_date: bool = False
    id: int = 0
    hits: int = 0
    _path: re.Pattern[str] | None = field(default=None, init=False, repr=False)
    _body: re.Pattern[str] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"there is no action {self.action!r}; there are {', '.join(ACTIONS)}")
        if self.api not in {None, "tfso", "hypatos"}:
            raise ValueError(f"there is no API {self.api!r}")
        if self.status not in {None, *_STATUSES}:
            raise ValueError(f"status must be one of {', '.join(map(str, _STATUSES))}")
        for name in ("skip", "times", "seconds", "hold"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        try:
            self._path = re.compile(self.path) if self.path is not None else None
            self._body = re.compile(self.body) if self.body is not None else None
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error

    @property
    def is_spent(self) -> bool:
        """Say whether it will hit no more requests."""
        return self.hits >= self.times

    def matches(self, call: Call) -> bool:
        """Say whether a request is one of those it means.

        :param call: the request.
        """
        if self.api not in {None, call.api} or (self.method or call.method).upper() != call.method:
            return False
        if self._path and not self._path.search(call.path):
            return False
        return not self._body or bool(self._body.search(call.body.decode("utf-8", "replace")))

    def as_dict(self) -> dict[str, Any]:
        """Return what it is, as it can be shown."""
        shown = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.init}
        return {**shown, "spent": self.is_spent}


class Faults:
    """Every fault, in the order they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._made = 0

    def add(self, spec: Mapping[str, Any]) -> Fault:
        """Add a fault and return it.

        :param spec: the arguments of :class:`Fault` except ``id`` and ``hits``.
        :raises ValueError: an argument is unknown or wrong.
        """
        known = {each.name for each in dataclasses.fields(Fault) if each.init} - {"id", "hits"}
        unknown = spec.keys() - known
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        try:
            fault = Fault(**_plain_numbers(spec))
        except TypeError as error:
            raise ValueError(f"not a fault: {error}") from error
        self._made += 1
        fault.id = self._made
        self._faults.append(fault)
        return fault

    def take(self, call: Call) -> Fault | None:
        """Return the fault that hits this request, or None.

        :param call: the request.
        """
        for fault in self._faults:
            if fault.is_spent or not fault.matches(call):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.hits += 1
            return fault
        return None

    def clear(self) -> None:
        """Remove every fault."""
        self._faults.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Return every fault as it can be shown; spent ones too."""
        return [fault.as_dict() for fault in self._faults]


def _plain_numbers(spec: Mapping[str, Any]) -> dict[str, Any]:
    # JSON brings fractions as Decimals, which do not mix with the floats of clocks.
    names = {"seconds", "hold", "retry_after", "reset"}
    return {name: float(value) if name in names and value is not None else value for name, value in spec.items()}

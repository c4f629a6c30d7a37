"""Both APIs, their books, faults and request log, without any socket."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import email.utils
import hashlib
import logging
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfso_hypatos.sandbox import hypatos, samples
from tfso_hypatos.sandbox.faults import Fault, Faults
from tfso_hypatos.sandbox.hypatos import Hypatos
from tfso_hypatos.sandbox.messages import Answer, Call, RefusalError
from tfso_hypatos.sandbox.refusals import Refusals
from tfso_hypatos.sandbox.settings import Settings
from tfso_hypatos.sandbox.state import Clock
from tfso_hypatos.sandbox.tfso import Tfso
from tfso_hypatos.sandbox.tokens import Tokens
from tfso_hypatos.sandbox.views import Views

_LOGGED = 5_000
_SECRET = re.compile(r'(client_secret=)[^&]*|("client_secret"\s*:\s*")(?:\\.|[^"\\])*')
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Entry:
    """One line of the request log.

    :param call: the request.
    :param time: when it came.
    :param status: as sent; None when no status line was sent.
    :param fault: the fault that hit it.
    :param committed: whether the books were changed by it.
    :param headers: its headers without secrets.
    :param epoch: how many resets there had been.
    """

    call: Call
    time: datetime.datetime
    status: int | None = None
    fault: Fault | None = None
    committed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0

    def as_dict(self, views: Views) -> dict[str, Any]:
        """Return it as it can be shown.

        :param views: writes the time.
        """
        call = self.call
        return {
            "n": call.number,
            "time": views.time(self.time),
            "api": call.api,
            "method": call.method,
            "path": call.path,
            "query": dict(call.query),
            "status": self.status,
            "fault": self.fault.action if self.fault else None,
            "fault_id": self.fault.id if self.fault else None,
            "committed": self.committed,
            "headers": dict(self.headers),
            "body": _loggable_body(call),
        }


class Service:
    """The two APIs and everything that is known about them.

    Every method is synchronous and is called from one thread, so that each of them is a single step.

    :param settings: how the sandbox behaves; the settings a reset returns to.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._initial = dict(settings)
        self.settings = Settings()
        self.settings.change(self._initial)
        self.tokens = Tokens(self.settings)
        self.clock = Clock(self.settings)
        self.views = Views(self.settings)
        self.requests_total = 0
        self._epoch = 0
        self._empty()

    def _empty(self) -> None:
        self.tfso = Tfso(self.settings, self.tokens, self.clock)
        self.hypatos = Hypatos(self.settings, self.tokens)
        self.faults = Faults()
        self._log: deque[Entry] = deque(maxlen=_LOGGED)
        if self.settings.sample_orders:
            samples.enter(self.tfso.books_of(self.settings.organizations[0]))

    def reset(self) -> None:
        """Empty the books, the faults and the request log, and return to the first settings; tokens stay valid."""
        fresh = Settings()
        fresh.change(self._initial)
        self.settings.change(fresh.as_dict())
        self.requests_total = 0
        self._epoch += 1
        self._empty()

    def enter(self, call: Call) -> Entry:
        """Note a request in the log and return its line.

        :param call: the request.
        """
        self.requests_total += 1
        call.number = self.requests_total
        fault, headers = self.faults.take(call), _loggable(call.headers)
        entry = Entry(call, self.clock.now(), fault=fault, headers=headers, epoch=self._epoch)
        self._log.append(entry)
        return entry

    def answer(self, entry: Entry) -> Answer:
        """Carry out a request and return the answer; note whether it changed the books.

        :param entry: its line in the log.
        """
        if entry.epoch != self._epoch:
            # What was asked before a reset must not appear in the books after it.
            return self.refusal(entry.call, 503)
        before = self._revision()
        api = self.tfso if entry.call.api == "tfso" else self.hypatos
        try:
            answer = api.answer(entry.call)
        except RefusalError as refusal:
            answer = refusal.answer
        except Exception:
            # Whatever is wrong here, the client must see what a vendor's fault looks like.
            logger.exception("%s %s failed in the sandbox itself", entry.call.method, entry.call.path)
            answer = self.refusal(entry.call, 500)
        entry.committed = entry.committed or self._revision() != before
        return answer

    def refusal(self, call: Call, status: int, headers: Mapping[str, str] | None = None) -> Answer:
        """Return an error of the API that a request went to.

        :param call: the request.
        :param status: HTTP status code.
        :param headers: further headers.
        """
        if call.api == "tfso":
            return Refusals(self.settings).generic(call, status, headers=headers).answer
        if status == 429:
            return Answer(429, headers=headers or {})
        return dataclasses.replace(
            hypatos.refusal(status), headers={**hypatos.refusal(status).headers, **(headers or {})}
        )

    def usual_headers(self, call: Call) -> dict[str, str]:
        """Return the headers that every answer of an API carries.

        :param call: the request.
        """
        date = {"Date": email.utils.format_datetime(self.clock.now(), usegmt=True)}
        if call.api == "hypatos":
            return {**date, **self.hypatos.rate_headers()}
        cross_origin = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}
        return {**date, "X-Trace-Id": f"trace-{call.number:08d}", **cross_origin}

    def requests(self) -> list[dict[str, Any]]:
        """Return the request log, oldest first."""
        return [entry.as_dict(self.views) for entry in self._log]

    def state(self) -> dict[str, Any]:
        """Return everything in the books."""
        now = self.clock.now()
        names = [
            *self.settings.organizations,
            *(name for name in self.tfso.books if name not in self.settings.organizations),
        ]
        records = self.hypatos.records.all()
        return {
            "organizations": {name: self.views.books(self.tfso.books_of(name), now) for name in names},
            "enrichment": {record.key: copy.deepcopy(record.value) for record in records if not record.deleted},
            "enrichment_deleted": [record.key for record in records if record.deleted],
            "enrichment_writes": {record.key: record.writes for record in records},
            "faults": self.faults.as_list(),
            "settings": self.settings.as_dict(),
            "requests_total": self.requests_total,
        }

    def _revision(self) -> int:
        return sum(books.revision for books in self.tfso.books.values()) + self.hypatos.records.revision


def _loggable_body(call: Call) -> str:
    # Who changes over to the sandbox may send the secret of the real service for once.
    return _SECRET.sub(r"\1\2***", call.body.decode("utf-8", "replace"))


def _loggable(headers: Mapping[str, str]) -> dict[str, str]:
    shown = dict(headers)
    if "authorization" in shown:
        scheme, _, secret = shown["authorization"].partition(" ")
        shown["authorization"] = f"{scheme} #{hashlib.sha256(secret.encode()).hexdigest()[:8]}"
    return shown

"""A server that lists, lags, ignores and refuses as a test says, and the poller's side of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tfso_hypatos.clients.failures import failure
from tfso_hypatos.clients.messages import Request, Response, Step
from tfso_hypatos.exceptions import (
    TfsoHypatosError,
)
from tfso_hypatos.flows.rounds import Round
from tfso_hypatos.flows.watch import Outcome, Watch

MINUTE = datetime.timedelta(minutes=1)
INVOICE = {
    "number": 7,
    "date": "2026-11-20",
    "dueDate": "2026-12-04",
    "remittanceReference": "0010017",
}
POSTED = {**INVOICE, "transaction": {"id": "7f1c"}}


class Office:
    """A server of its own time, and the poller's side of it: its clock, its requests, what was found."""

    def __init__(self, count: int = 0) -> None:
        self.now = datetime.datetime.now(datetime.UTC).replace(microsecond=123000)
        self.clock = 1000.0
        self.tells_time = True
        self.ignores_filter = False
        self.bare_lists = False
        self.undated = False
        self.lag = datetime.timedelta(0)
        self.page_size = 100
        self.orders: dict[int, dict[str, Any]] = {}
        self.trouble: Callable[[Request], TfsoHypatosError | None] = lambda _: None
        self.lists: list[datetime.datetime] = []
        self.pages = 0
        self.reads: list[int] = []
        self.found: dict[int, Outcome] = {}
        self.watch = Watch(self.deliver)
        self.passes(-60 * 60)
        for order_id in range(1, count + 1):
            self.change(order_id, status="Invoice", invoice=INVOICE)
        self.passes(60 * 60)

    def deliver(self, order_id: int, outcome: Outcome) -> None:
        assert order_id not in self.found, "found twice"
        self.found[order_id] = outcome

    def passes(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds)
        self.clock += seconds

    def change(self, order_id: int, *, silently: bool = False, **fields: Any) -> None:
        order = self.orders.setdefault(order_id, {"id": order_id, "changed": self.now})
        order.update(fields)
        if not silently:
            order["changed"] = self.now

    def post(self, order_id: int, *, silently: bool = False) -> None:
        self.change(order_id, silently=silently, status="Invoice", invoice=POSTED)

    def waits(self, *order_ids: int, seen: bool = True) -> None:
        for order_id in order_ids:
            self.watch.add(order_id, self.now if seen else None, self.clock)

    def round(self, *, early: bool = False, interval: float = 60.0) -> Round:
        """Play a round, and let an interval pass; what it listed and read is counted anew."""
        self.lists, self.reads, self.pages = [], [], 0
        for order_id in self.drive(self.watch.survey(interval, self.clock, early=early)):
            self.drive(self.watch.read(order_id, self.clock))
        done = self.watch.finish()
        self.passes(1.0 if early else interval)
        return done

    def drive(self, flow: Generator[Any, Any, Any]) -> Any:
        try:
            step = next(flow)
            while True:
                error = self.trouble(step)
                response = None
                if error is None:
                    response = self.answer(step)
                    error = failure("24SevenOffice", step, response)
                step = flow.send(response) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value

    def answer(self, request: Step) -> Response:
        assert isinstance(request, Request)
        if request.path.startswith("/salesorders/"):
            order_id = int(request.path.rpartition("/")[2])
            self.reads.append(order_id)
            shown = self.show(order_id) if order_id in self.orders else None
            return self.respond(shown, {}, 200 if shown else 404)
        self.pages += 1
        asked = {**request.query, **dict(parse_qsl(urlsplit(request.path).query))}
        since, skip = datetime.datetime.fromisoformat(asked["modifiedFrom"]), int(asked.get("skip", 0))
        if not skip:
            self.lists.append(since)
        ids = [each for each, order in self.orders.items() if self.is_listed(order, since)]
        link = {}
        if len(ids) > skip + self.page_size:
            link = {"link": f'<?modifiedFrom={asked["modifiedFrom"]}&skip={skip + self.page_size}>; rel="next"'}
        return self.respond([self.show(each, bare=self.bare_lists) for each in ids[skip : skip + self.page_size]], link)

    def is_listed(self, order: dict[str, Any], since: datetime.datetime) -> bool:
        return self.ignores_filter or since <= order["changed"] <= self.now - self.lag

    def show(self, order_id: int, *, bare: bool = False) -> dict[str, Any]:
        order = dict(self.orders[order_id])
        changed = order.pop("changed")
        if not self.undated:
            order["modifiedAt"] = changed.isoformat()
        if bare:
            order["invoice"] = {name: value for name, value in order["invoice"].items() if name != "transaction"}
        return order

    def respond(self, value: Any, headers: dict[str, str], status: int = 200) -> Response:
        date = {"date": self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")} if self.tells_time else {}
        return Response(status, value, {**date, **headers}, self.clock, self.clock)


def only(*paths: str) -> Callable[[Callable[[], TfsoHypatosError]], Callable[[Request], TfsoHypatosError | None]]:
    return lambda made: lambda request: made() if request.path in paths else None


def refusal(status: int, headers: dict[str, str] | None = None) -> Callable[[], TfsoHypatosError]:
    def make() -> TfsoHypatosError:
        error = failure("24SevenOffice", Request("GET", "/", "look"), Response(status, None, headers or {}))
        assert error is not None
        return error

    return make


def rounds(office: Office, count: int) -> Iterator[Round]:
    for _ in range(count):
        yield office.round()

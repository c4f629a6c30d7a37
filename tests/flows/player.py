"""Plays answers to a flow: those of a server model, unless a test says what happens to a request."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

from tests.flows.books import EPOCH, Server, Traits
from tests.flows.runs import LINES, ORDER, ORDER_KEY, ORGANIZATION

from tfso_hypatos.clients.failures import failure
from tfso_hypatos.clients.messages import Pause, Remember, Request, Response, Step, decode, encode
from tfso_hypatos.exceptions import NotSent, TfsoHypatosError
from tfso_hypatos.flows.intent import Holder, Intent, Marker, key_of
from tfso_hypatos.flows.setbacks import Timing

T = TypeVar("T")

ME = Holder.of("orders", "run-1", "create", -1, 1)
RETRY = Holder.of("orders", "run-1", "create", -1, 2)
RIVAL = Holder.of("orders", "run-2", "create", -1, 1)
KEY = key_of(ORGANIZATION, ORDER_KEY)
TIMING = Timing(10.0)

Reaction = Callable[["Player", Request], Response]


def intent(order: Any = ORDER, lines: Any = LINES, holder: Holder = ME, key: str = ORDER_KEY, **more: Any) -> Intent:
    """Return what a task means, unless a test says otherwise."""
    given = {"organization": ORGANIZATION, "created_from": EPOCH - datetime.timedelta(days=90), **more}
    return Intent.build(order_key=key, order=order, lines=lines, holder=holder, **given)


class Player:
    """A driver without a network: every request is carried out at once and answered a tenth of a second later."""

    def __init__(self, traits: Traits | None = None) -> None:
        self.server = Server(traits or Traits())
        self.now = 1000.0
        self.steps: list[str] = []
        self.requests: list[Request] = []
        self.remembered: list[int] = []
        self._reactions: dict[str, list[Reaction]] = {}
        self._later: list[tuple[float, Callable[[], object]]] = []

    def on(self, what: str, *reactions: Reaction) -> None:
        """Say what happens to the first, second, ... request of a kind ("POST /salesorders")."""
        self._reactions.setdefault(what, []).extend(reactions)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Let something happen after a while."""
        self._later.append((self.now + seconds, action))

    def drive(self, flow: Generator[Step, Response | None, T]) -> T:
        """Run a flow to its end."""
        try:
            step = next(flow)
            while True:
                try:
                    answer = self._perform(step)
                except TfsoHypatosError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _perform(self, step: Step) -> Response | None:
        if isinstance(step, Pause):
            self.steps.append(f"pause {step.seconds:g}")
            self.pass_time(step.seconds)
            return None
        if isinstance(step, Remember):
            self.remembered.append(step.order_id)
            return None
        what = f"{step.method} {step.path}"
        self.steps.append(what)
        self.requests.append(step)
        if step.not_after is not None and self.now > step.not_after:
            raise NotSent("held back")
        reactions = self._reactions.get(what)
        return reactions.pop(0)(self, step) if reactions else self.answer(step)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and happen what is due."""
        self.now += seconds
        for due, action in sorted(self._later, key=lambda item: item[0]):
            if due <= self.now:
                self._later.remove((due, action))
                action()

    def carry_out(self, request: Request, sent_at: float | None = None) -> Response:
        """Let a request take effect that was sent now, or at an earlier moment."""
        body = None if request.body is None else decode(encode(request.body))
        answer = self.server.handle(request.method, request.path, request.query, body, self.now, sent_at)
        return Response(answer.status, answer.value, answer.headers, self.now, self.now + 0.1)

    def answer(self, request: Request) -> Response:
        """Carry a request out and answer it, or raise the error that the answer stands for."""
        response = self.carry_out(request)
        self.pass_time(0.1)
        error = failure("24SevenOffice", request, response)
        if error is not None:
            raise error
        return response

    def make_order(
        self,
        holder: Holder | None = RIVAL,
        lines: Sequence[Mapping[str, Any]] = (),
        status: str | None = None,
        memo: str | None = None,
    ) -> int:
        """Put an order of the business order into the books, as another run would; return its id."""
        text = memo if memo is not None else intent(holder=holder or ME).order.internal_memo
        made = self._call("POST", "/salesorders", {**ORDER, "internalMemo": text})
        for line in lines:
            self._call("POST", f"/salesorders/{made['id']}/lines", line)
        if status:
            self._call("PATCH", f"/salesorders/{made['id']}", {"status": status})
        return int(made["id"])

    def change(self, order_id: int, **fields: Any) -> None:
        """Change an order, as a person or another run would."""
        self._call("PATCH", f"/salesorders/{order_id}", fields)

    def add(self, order_id: int, line: Mapping[str, Any]) -> int:
        """Add a line to an order."""
        return int(self._call("POST", f"/salesorders/{order_id}/lines", line)["id"])

    def delete(self, order_id: int) -> None:
        """Delete an order."""
        self._call("DELETE", f"/salesorders/{order_id}", None)

    def hold(self, order_id: int, holder: Holder) -> None:
        """Make somebody the holder of an order."""
        self.change(order_id, internalMemo=intent(holder=holder).order.internal_memo)

    def holder(self, order_id: int) -> Holder | None:
        """Return who holds an order."""
        marker = Marker.in_text(self.server.orders[order_id].fields.get("internalMemo"))
        return marker.holder if marker else None

    def _call(self, method: str, path: str, body: Any) -> Any:
        answer = self.server.handle(method, path, {}, decode(encode(body)), self.now)
        if answer.status >= 300:
            raise ValueError(f"{method} {path}: {answer}")
        return answer.value

    def count(self, what: str) -> int:
        """Return how often a step was taken."""
        return self.steps.count(what)


def lost(error: Exception) -> Reaction:
    """The request never arrives."""

    def react(player: Player, request: Request) -> Response:
        raise error

    return react


def unanswered(error: Exception) -> Reaction:
    """The request takes effect and its answer is lost."""

    def react(player: Player, request: Request) -> Response:
        player.carry_out(request)
        raise error

    return react


def late(seconds: float, error: Exception) -> Reaction:
    """The client gives up, and the request takes effect after a while."""

    def react(player: Player, request: Request) -> Response:
        player.later(seconds, lambda: player.carry_out(request))
        raise error

    return react


def refused(status: int, headers: Mapping[str, str] | None = None) -> Reaction:
    """The server answers an error and does nothing."""

    def react(player: Player, request: Request) -> Response:
        error = failure("24SevenOffice", request, Response(status, None, headers or {}))
        raise error if error is not None else ValueError(status)

    return react


def after(action: Callable[[], object]) -> Reaction:
    """Something happens just before the request takes effect."""

    def react(player: Player, request: Request) -> Response:
        action()
        return player.answer(request)

    return react


def answered(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reaction:
    """The server answers something of its own."""

    def react(player: Player, request: Request) -> Response:
        player.pass_time(0.1)
        return Response(status, value, headers or {}, player.now - 0.1, player.now)

    return react

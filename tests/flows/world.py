"""Simulated time, a network that loses things, and processes that drive the real flows by the drivers' rules."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from tests.flows.books import Server

from tfso_hypatos.clients.failures import failure
from tfso_hypatos.clients.messages import Pause, Remember, Request, Response, Step, decode, encode
from tfso_hypatos.clients.repeat import Patience, may_repeat
from tfso_hypatos.exceptions import (
    ConnectionFailed,
    NoAnswer,
    NotSent,
    TfsoHypatosError,
    TimedOut,
    UnexpectedResponse,
)

SERVICE = "24SevenOffice"
MOST_EVENTS = 20_000
PATIENCE = Patience()


@dataclass(frozen=True, kw_only=True)
class Net:
    """How unkind network and machines are; probabilities are per request or step.

    :param lost: of each: the request is lost, its answer is lost, it takes effect late.
    :param failed: HTTP 503, carried out or not; and of an answer that cannot be read.
    :param refused: no connection, or HTTP 429.
    :param kill: the task dies, or seems to die and works on.
    :param stall: the process stands still for a while before it sends.
    :param outage: a process gets no answer for a while, although what it sends may take effect late.
    :param spares: methods whose requests nothing happens to.
    :param late: seconds from sending to taking effect at most.
    :param timeout: seconds after which a client gives up.
    :param latency: seconds one way, usually.
    """

    lost: float = 0.0
    failed: float = 0.0
    refused: float = 0.0
    kill: float = 0.0
    stall: float = 0.0
    outage: float = 0.0
    spares: frozenset[str] = frozenset()
    late: float = 7.4
    timeout: float = 4.0
    latency: float = 0.2


CALM = Net()


class Killed(Exception):
    """What Airflow sees of a task whose process died."""


@dataclass
class World:
    """The clock, what happens when, and what happened."""

    server: Server
    net: Net
    rng: random.Random
    now: float = 0.0
    log: list[tuple[float, str, Any]] = field(default_factory=list)
    events: int = 0
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), action))

    def note(self, who: str, what: Any) -> None:
        """Keep what happened, to be told if the trial goes wrong."""
        self.log.append((self.now, who, what))

    def run(self) -> bool:
        """Let everything happen; False if it would not end."""
        while self._queue:
            self.events += 1
            if self.events > MOST_EVENTS:
                return False
            self.now, _, action = heapq.heappop(self._queue)
            action()
        return True

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    def effect(self) -> float:
        """Return how long a request takes to take effect if it is late; the limit is where things go wrong."""
        low = 0.0 if self.chance(0.5) else 0.9
        return self.rng.uniform(low, 1.0) * self.net.late


class Process:
    """One try of one task: drives a flow as the transports do.

    :param done: told once what Airflow learns: the result, or the error.
    :param remember: keeps an order's id for the next try.
    """

    def __init__(
        self,
        world: World,
        name: str,
        flow: Generator[Step, Response | None, Any],
        done: Callable[[Any, Exception | None], None],
        remember: Callable[[int], None],
    ) -> None:
        self.world = world
        self.name = name
        self.flow = flow
        self.remember = remember
        self._done = done
        self._reported = False
        self._cut_off_until = 0.0
        world.note(name, "starts")
        self._on(None, None)

    def _report(self, result: Any, error: Exception | None) -> None:
        if not self._reported:
            self._reported = True
            self._done(result, error)

    def _on(self, answer: Response | None, error: TfsoHypatosError | None) -> None:
        try:
            step = self.flow.send(answer) if error is None else self.flow.throw(error)
        except StopIteration as end:
            self.world.note(self.name, ("returns", end.value))
            self._report(end.value, None)
        except TfsoHypatosError as raised:
            self.world.note(self.name, raised)
            self._report(None, raised)
        else:
            self._step(step)

    def _step(self, step: Step) -> None:
        world = self.world
        if world.chance(world.net.kill):
            fate = world.rng.random()
            if fate < 0.4:
                world.note(self.name, "killed, but works on")
                self._report(None, Killed())
            else:
                world.note(self.name, ("killed", step))
                if fate < 0.7 and isinstance(step, Request) and not self._too_old(step):
                    self._let_arrive(step, world.effect())
                self._report(None, Killed())
                return
        if isinstance(step, Remember):
            self.remember(step.order_id)
            self._on(None, None)
        elif isinstance(step, Pause):
            world.note(self.name, step)
            world.after(step.seconds, lambda: self._on(None, None))
        elif world.chance(world.net.stall):
            stall = world.rng.choice((1.0, 5.0, 20.0, 100.0)) * world.rng.random()
            world.note(self.name, f"stalls for {stall:.1f} s")
            world.after(stall, lambda: self._send(step, 1, world.now))
        else:
            self._send(step, 1, world.now)

    def _too_old(self, request: Request) -> bool:
        return request.not_after is not None and self.world.now > request.not_after

    def _let_arrive(self, request: Request, delay: float) -> None:
        """Let a request take effect, whoever may still want to know."""
        world, sent_at = self.world, self.world.now

        def arrive() -> None:
            answer = self._carry_out(request, sent_at)
            world.note(self.name, ("(late)", request, answer.status))

        world.after(delay, arrive)

    def _carry_out(self, request: Request, sent_at: float) -> Response:
        world = self.world
        lag = world.server.traits.list_lag
        body = None if request.body is None else decode(encode(request.body))
        status, value, headers = world.server.handle(
            request.method,
            request.path,
            request.query,
            body,
            world.now,
            arrived=sent_at,
            lag=lag * world.rng.choice((world.rng.random(), 1.0)) if lag else 0.0,
        )
        return Response(status, value, headers, sent_at=sent_at)

    def _send(self, request: Request, attempt: int, started: float) -> None:
        world, net = self.world, self.world.net
        if self._too_old(request):
            world.note(self.name, ("holds back", request))
            self._on(None, NotSent("held back"))
            return None
        if request.method in net.spares:
            return self._answered(request, attempt, started)
        if world.chance(net.outage):
            self._cut_off_until = world.now + world.rng.choice((2.0, 10.0, 40.0))
        fate = world.rng.random()
        if world.now < self._cut_off_until:
            fate *= 3 * net.lost
        give_up = net.timeout if world.chance(0.5) else world.rng.uniform(0, 2 * net.latency)

        def fail(error: TfsoHypatosError, delay: float) -> None:
            world.note(self.name, ("sends", request, f"{type(error).__name__} after {delay:.1f} s"))
            world.after(delay, lambda: self._failed(request, error, attempt, started))

        for share, carried_out, error, late in (
            (net.lost, False, self._silence(give_up), False),
            (net.lost, True, self._silence(give_up), False),
            (net.lost, True, self._silence(give_up), True),
            (net.failed / 3, False, self._error(request, 503), False),
            (net.failed / 3, True, self._error(request, 503), False),
            (net.failed / 3, True, UnexpectedResponse("an answer that cannot be read"), False),
            (net.refused / 2, False, ConnectionFailed("no connection"), False),
            (net.refused / 2, False, self._error(request, 429), False),
        ):
            fate -= share
            if fate < 0:
                if carried_out:
                    self._let_arrive(request, world.effect() if late else world.rng.uniform(0, 2 * net.latency))
                return fail(error, give_up)
        return self._answered(request, attempt, started)

    def _answered(self, request: Request, attempt: int, started: float) -> None:
        world, net, sent_at = self.world, self.world.net, self.world.now
        slow = world.effect() if net.lost and world.chance(0.05) else world.rng.uniform(0, net.latency)

        def arrive() -> None:
            answer = self._carry_out(request, sent_at)
            world.note(self.name, ("sent at", sent_at, request, answer.status))
            world.after(world.rng.uniform(0, net.latency), lambda: read(answer))

        def read(answer: Response) -> None:
            answer = Response(answer.status, answer.value, answer.headers, sent_at, world.now)
            error = failure(SERVICE, request, answer)
            if error is None:
                self._on(answer, None)
            else:
                self._failed(request, error, attempt, started)

        world.after(slow, arrive)

    def _silence(self, give_up: float) -> NoAnswer:
        return TimedOut("no answer in time") if give_up == self.world.net.timeout else NoAnswer("the connection broke")

    def _error(self, request: Request, status: int) -> TfsoHypatosError:
        headers = {"retry-after": "2"} if status == 429 else {}
        error = failure(SERVICE, request, Response(status, None, headers))
        if error is None:
            raise TypeError("no failure")
        return error

    def _failed(self, request: Request, error: TfsoHypatosError, attempt: int, started: float) -> None:
        """Send it again or hand the error to the flow, by the rules that both transports share."""
        world = self.world
        wait = (error.retry_after or 0.0) + world.rng.uniform(0, min(20.0, 0.5 * 2 ** (attempt - 1)))
        out_of_patience = (
            attempt >= PATIENCE.attempts
            or world.now - started + wait >= PATIENCE.budget
            or (request.not_after is not None and world.now + wait >= request.not_after)
        )
        if out_of_patience or not may_repeat(request, error):
            self._on(None, error)
        else:
            world.after(wait, lambda: self._send(request, attempt + 1, started))

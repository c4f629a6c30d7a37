"""May a request be sent again, and when: one decision for both transports."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import tenacity
from tenacity.wait import wait_base

from tfso_hypatos.clients import clock
from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.exceptions import (
    ConnectionFailed,
    Delay,
    NoAnswer,
    NotSent,
    RateLimited,
    ServerError,
    TfsoHypatosError,
)


def may_repeat(request: Request, error: BaseException) -> bool:
    """Say whether a request may be sent again after this error.

    What was certainly not carried out may be. What may have been carried out (time-out, reset, 5xx, unreadable body)
    only if repeating it does no harm: a second POST could make a second order.
    """
    if isinstance(error, ConnectionFailed | RateLimited):
        return True
    if isinstance(error, NoAnswer | ServerError):
        return request.repeatable
    return False


MOST_DELAYS = 20
"""Waits of a flow that are remembered: more than lie between a look and the change that rests on it."""


@dataclass(frozen=True)
class Patience:
    """How long a single request is repeated.

    :param attempts: sends at most, the first included.
    :param budget: seconds from the first send to the last; if the server asks for a longer wait, or the connection's
        requests are used up for longer, the error carries the wait to the task's retry.
    :param longest_wait: seconds between two sends at most, unless the server asks for more.
    :param outlasts: whether a request waits until the budget of requests lets it through, however long that takes;
        else it fails with the wait that is left, for the task's retry.
    """

    attempts: int = 5
    budget: float = 60.0
    longest_wait: float = 20.0
    outlasts: bool = False


@dataclass
class Turn:
    """A flow's place among all that a process sends.

    :param flow: number of the flow; what began earlier goes first.
    :param queued: seconds of its request's waits that count for nobody's patience.
    """

    flow: int
    queued: float = 0.0
    _delays: deque[Delay] = field(default_factory=lambda: deque(maxlen=MOST_DELAYS))

    def begin(self) -> None:
        """Begin with the next request of the flow."""
        self.queued = 0.0

    def delayed(self, delay: Delay) -> None:
        """Note a wait for the budget, or one that would have been too long."""
        self._delays.append(delay)

    def explain(self, error: TfsoHypatosError) -> TfsoHypatosError:
        """Let an error tell what the flow has waited for, if that may be why it came about."""
        if isinstance(error, NotSent):
            error.delays = tuple(self._delays)
        return error


class _Wait(wait_base):
    """Full jitter, growing from a second, and never less than the server asked for."""

    def __init__(self, patience: Patience) -> None:
        self._jitter = tenacity.wait_random_exponential(multiplier=0.5, max=patience.longest_wait)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        return float(asked) + self._jitter(retry_state)


def _request_of(retry_state: tenacity.RetryCallState) -> Request:
    request = retry_state.args[0]
    if not isinstance(request, Request):
        raise TypeError("the repeated function takes the request as its first argument")
    return request


def _turn_of(retry_state: tenacity.RetryCallState) -> Turn:
    turn = retry_state.args[1]
    if not isinstance(turn, Turn):
        raise TypeError("the repeated function takes the request's turn as its second argument")
    return turn


def _should_repeat(retry_state: tenacity.RetryCallState) -> bool:
    error = retry_state.outcome.exception() if retry_state.outcome else None
    return error is not None and may_repeat(_request_of(retry_state), error)


def _stop(patience: Patience) -> Callable[[tenacity.RetryCallState], bool]:
    def out_of_patience(retry_state: tenacity.RetryCallState) -> bool:
        if retry_state.attempt_number >= patience.attempts:
            return True
        since_start = (retry_state.seconds_since_start or 0.0) - _turn_of(retry_state).queued
        if since_start + retry_state.upcoming_sleep >= patience.budget:
            return True
        not_after = _request_of(retry_state).not_after
        return not_after is not None and clock.now() + retry_state.upcoming_sleep >= not_after

    return out_of_patience


def retrying(
    patience: Patience,
    sleep: Callable[[float], None],
    before_sleep: Callable[[tenacity.RetryCallState], None],
) -> tenacity.Retrying:
    """Return the executor of repeats for the sync transport; call it with a function, the request and its turn."""
    return tenacity.Retrying(
        retry=_should_repeat,
        wait=_Wait(patience),
        stop=_stop(patience),
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )


def async_retrying(
    patience: Patience,
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[tenacity.RetryCallState], None],
) -> Callable[[Callable[[Request, Turn], Awaitable[Response]], Request, Turn], Awaitable[Response]]:
    """Return the executor of repeats for the async transport; await it with a coroutine function and the same.

    The decisions are those of the sync transport, asked for only after an error. ``tenacity.AsyncRetrying`` comes to
    the same ones, but inspects each of our functions anew for every request, which takes longer than all else that
    is added to a request.
    """
    decisions = retrying(patience, _never, before_sleep)

    async def repeat(call: Callable[[Request, Turn], Awaitable[Response]], request: Request, turn: Turn) -> Response:
        state = tenacity.RetryCallState(decisions, call, (request, turn), {})
        while True:
            try:
                return await call(request, turn)
            except TfsoHypatosError as error:
                state.set_exception((type(error), error, error.__traceback__))
            decisions.begin()
            # Raises the error if it is not to be repeated.
            seconds = cast("tenacity.DoSleep", decisions.iter(state))
            state.prepare_for_next_attempt()
            await sleep(seconds)

    return repeat


def _never(_: float) -> None:
    raise AssertionError("only the event loop sleeps")

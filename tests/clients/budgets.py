"""Requests that queue for a budget, by a clock of their own."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from tfso_hypatos.clients.budget import Budget, Place, Wait

EARLY = 1000.0
"""When the clock of a test starts."""


class Asking(NamedTuple):
    """A request that wants to be sent."""

    at: float
    flow: int = 0
    patient: bool = True


class Sent(NamedTuple):
    """A request that was sent."""

    at: float
    asking: Asking
    asked: int


def place_in(budget: Budget, flow: int, patient: bool = True) -> Place:
    """Return a place in the queue that is left by being sent only."""
    with budget.queueing(flow, patient=patient) as place:
        return place


def play(budget: Budget, askings: Sequence[Asking]) -> list[Sent]:
    """Let requests queue by a clock of our own until all are sent; each sleeps as long as it is told to."""
    sent: list[Sent] = []
    numbers = itertools.count()
    events = [(EARLY + each.at, next(numbers), each) for each in askings]
    heapq.heapify(events)
    places = {number: place_in(budget, each.flow, each.patient) for _, number, each in sorted(events)}
    asked = dict.fromkeys(places, 0)
    while events:
        now, number, each = heapq.heappop(events)
        asked[number] += 1
        wait = budget.ask(places[number], now)
        if wait is None:
            sent.append(Sent(now - EARLY, each, asked[number]))
        else:
            heapq.heappush(events, (now + wait.nap, number, each))
    return sent


def most_over(moments: Sequence[float], rate: float) -> float:
    """Return by how many requests any stretch of time exceeds a rate."""
    over, highest = 0.0, 0.0
    for before, moment in itertools.pairwise([moments[0], *moments]):
        over = max(over - rate * (moment - before), 0.0) + 1
        highest = max(highest, over)
    return highest


def most_within(moments: Sequence[float], seconds: float) -> int:
    """Return how many moments any stretch of so many seconds holds."""
    return max(sum(first <= other < first + seconds for other in moments) for first in moments)


def asked_now(budget: Budget, now: float, flow: int = 0, *, patient: bool = True) -> Wait | None:
    """Ask once and leave the queue."""
    with budget.queueing(flow, patient=patient) as place:
        return budget.ask(place, EARLY + now)


askings = st.lists(st.builds(Asking, st.floats(0, 60), st.integers(0, 9), st.booleans()), min_size=1, max_size=120)

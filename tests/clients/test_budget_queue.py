"""Who goes first in the queue for the budget of a process."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clients.budgets import EARLY, Asking, asked_now, place_in, play

from tfso_hypatos.clients.budget import BURST, HOUR, LOST, Budget, Limits, Place


@given(st.permutations(range(30)), st.floats(0.1, 30))
@settings(deadline=None)
def test_what_began_first_is_finished_first(flows: list[int], rate: float) -> None:
    sent = play(Budget(Limits(per_second=rate)), [Asking(0, flow) for flow in flows])
    later = [each.asking.flow for each in sent[BURST:]]
    assert later == sorted(later)


def test_an_earlier_flow_goes_before_all_that_wait_already() -> None:
    askings = [Asking(0, 5 + number) for number in range(20)] + [Asking(3.1, 1), Asking(3.2, 1)]
    flows = [each.asking.flow for each in play(Budget(Limits(per_second=1)), askings) if each.at > 3.1]
    assert flows[:2] == [1, 1]


def test_a_change_that_is_soon_too_late_goes_ahead_and_those_after_it_pay() -> None:
    budget = Budget(Limits(per_second=0.5))
    for _ in range(BURST):
        assert asked_now(budget, 0) is None
    look = asked_now(budget, 0)
    assert look is not None
    assert look.seconds == pytest.approx(2)
    for _ in range(BURST):
        assert asked_now(budget, 0, flow=9, patient=False) is None
    late, look = asked_now(budget, 0, patient=False), asked_now(budget, 0)
    assert late is not None
    assert look is not None
    assert late.seconds == pytest.approx(2)
    assert look.seconds == pytest.approx(2 * (1 + BURST))


@dataclass
class Flow:
    """Looks, and changes something as long as the look is fresh; looks again if it came too late."""

    number: int
    changes: int
    in_vain: int = 0
    most_in_vain: int = 0
    fresh_until: float = 0.0
    looked: bool = False
    done_at: float | None = None


def play_flows(budget: Budget, flows: Sequence[Flow], evidence: float, latency: float) -> None:
    """Play flows of looks and changes as the transports do."""
    events = [(EARLY, flow.number, flow) for flow in flows]
    heapq.heapify(events)
    places: dict[int, Place] = {}
    while events:
        now, number, flow = heapq.heappop(events)
        assert now < EARLY + HOUR
        place = places.setdefault(number, place_in(budget, number, not flow.looked))
        wait = budget.ask(place, now)
        if wait is not None and flow.looked and now + wait.seconds > flow.fresh_until:
            with budget._guard:
                budget._remove(places.pop(number))
            flow.looked = False
            flow.in_vain += 1
            flow.most_in_vain = max(flow.most_in_vain, flow.in_vain)
            heapq.heappush(events, (now, number, flow))
        elif wait is not None:
            heapq.heappush(events, (now + wait.nap, number, flow))
        else:
            del places[number]
            if flow.looked:
                flow.changes, flow.in_vain = flow.changes - 1, 0
            else:
                flow.looked, flow.fresh_until = True, now + evidence
            if flow.changes:
                heapq.heappush(events, (now + latency, number, flow))
            else:
                flow.done_at = now


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=25),
    st.floats(0.05, 20),
    st.floats(0.2, 2.5),
    st.floats(0.01, 0.4),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_a_look_is_never_made_in_vain_for_long(
    changes: list[int], rate: float, evidence: float, slow: float, hourly: bool
) -> None:
    flows = [Flow(number, each) for number, each in enumerate(changes)]
    limits = Limits(None, 40) if hourly and sum(changes) < 15 else Limits(max(rate, sum(changes) / 1000))
    play_flows(Budget(limits), flows, evidence, slow * evidence)
    assert all(flow.done_at is not None for flow in flows)
    assert max(flow.most_in_vain for flow in flows) <= 2


def test_changes_find_room_in_an_hour_that_looks_have_used_up() -> None:
    budget = Budget(Limits(per_hour=10))
    sent = play(budget, [Asking(0, flow) for flow in range(8)])
    assert {each.at for each in sent} == {0.0}
    look = asked_now(budget, 600)
    assert look is not None
    assert look.seconds == pytest.approx(HOUR - 600)
    assert look.reason == "requests_per_hour of the connection (10) is used up"
    assert [asked_now(budget, 600, patient=False) for _ in range(BURST)] == [None, None]
    assert asked_now(budget, 600, patient=False) is not None


def test_who_leaves_the_queue_holds_up_nobody() -> None:
    budget = Budget(Limits(per_second=1))
    play(budget, [Asking(0)] * BURST)
    with budget.queueing(2) as last:
        with budget.queueing(1) as first:
            assert budget.ask(first, EARLY) == (
                1.0,
                "requests_per_second of the connection (1) allows no more",
                False,
                False,
            )
            assert budget.ask(last, EARLY) == (
                2.0,
                "requests_per_second of the connection (1) allows no more",
                True,
                False,
            )
        assert budget.ask(last, EARLY + 1) is None
    assert budget._queue == []
    assert budget._asked_at == {}


def test_what_does_not_queue_goes_ahead_of_nobody() -> None:
    budget = Budget(Limits(per_second=1.0))
    assert [budget.take(EARLY) for _ in range(BURST + 1)] == [True] * BURST + [False]
    place = place_in(budget, 1)
    assert budget.ask(place, EARLY) is not None
    assert not budget.take(EARLY + 2)
    assert not budget.take(EARLY + 2, patient=False)
    assert budget.ask(place, EARLY + 2) is None
    assert [budget.take(EARLY + 2), budget.take(EARLY + 2)] == [True, False]


def test_who_hangs_is_passed_by_and_keeps_its_place() -> None:
    budget = Budget(Limits(per_second=0.1))
    play(budget, [Asking(0)] * BURST)
    with budget.queueing(1) as hangs, budget.queueing(2) as lives:
        assert budget.ask(hangs, EARLY) is not None
        assert budget.ask(lives, EARLY + LOST) is not None
        assert budget.ask(lives, EARLY + LOST + 1) is None
        assert budget.ask(hangs, EARLY + LOST + 2) is not None
        assert budget.ask(hangs, EARLY + 2 * LOST) is None

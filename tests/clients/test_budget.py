from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfso_hypatos.clients.budget import BURST, HOUR, LONGEST_NAP, LOST, Budget, Budgets, Limits, Place, Wait
from tfso_hypatos.clients.token import Credentials

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
    return max(sum(first <= other < first + seconds for other in moments) for first in moments)


def asked_now(budget: Budget, now: float, flow: int = 0, *, patient: bool = True) -> Wait | None:
    """Ask once and leave the queue."""
    with budget.queueing(flow, patient=patient) as place:
        return budget.ask(place, EARLY + now)


askings = st.lists(st.builds(Asking, st.floats(0, 60), st.integers(0, 9), st.booleans()), min_size=1, max_size=120)


@given(askings, st.floats(0.05, 50))
@settings(deadline=None)
def test_no_stretch_of_time_exceeds_the_rate_by_more_than_two_bursts(askings: list[Asking], rate: float) -> None:
    sent = play(Budget(Limits(per_second=rate)), askings)
    assert len(sent) == len(askings)
    assert most_over([each.at for each in sent], rate) <= 2 * BURST + 1e-6


@given(askings, st.floats(0.05, 50))
@settings(deadline=None)
def test_what_can_wait_exceeds_the_rate_by_one_burst_at_most(askings: list[Asking], rate: float) -> None:
    sent = play(Budget(Limits(per_second=rate)), [each._replace(patient=True) for each in askings])
    assert most_over([each.at for each in sent], rate) <= BURST + 1e-6


@given(
    st.lists(st.builds(Asking, st.floats(0, 3 * HOUR), st.integers(0, 9), st.booleans()), min_size=1, max_size=60),
    st.integers(BURST + 1, 20),
    st.none() | st.floats(0.05, 2),
)
@settings(deadline=None, max_examples=30)
def test_no_hour_exceeds_its_requests(askings: list[Asking], per_hour: int, rate: float | None) -> None:
    sent = play(Budget(Limits(rate, per_hour)), askings)
    assert len(sent) == len(askings)
    assert most_within([each.at for each in sent], HOUR - 1e-6) <= per_hour


@given(askings, st.floats(0.5, 50))
@settings(deadline=None)
def test_nobody_asks_much_more_often_than_once_a_second(askings: list[Asking], rate: float) -> None:
    for each in play(Budget(Limits(per_second=rate)), askings):
        waited = each.at - each.asking.at
        # Beside that, who was about to be sent asks again when somebody has come before it.
        assert each.asked <= 2 + waited / LONGEST_NAP + sum(other.at <= each.at for other in askings)


def test_a_hundred_that_wait_wake_up_a_hundred_times_a_second_at_most() -> None:
    sent = play(Budget(Limits(per_second=2)), [Asking(0, flow) for flow in range(100)])
    assert sum(each.asked for each in sent) <= 100 * max(each.at for each in sent)
    assert max(each.at for each in sent) == pytest.approx((100 - BURST) / 2, abs=0.1)


def test_the_rate_is_used_in_full_and_does_not_drift() -> None:
    sent = play(Budget(Limits(per_second=10)), [Asking(0, flow) for flow in range(1000)])
    assert sent[-1].at == pytest.approx((1000 - BURST) / 10, rel=0.03)


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


def test_a_clock_read_too_early_is_no_step_back() -> None:
    budget = Budget(Limits(per_second=1))
    assert asked_now(budget, 5) is None
    assert asked_now(budget, 1) is None
    late = asked_now(budget, 2)
    assert late is not None
    assert late.seconds == pytest.approx(1)


def test_threads_get_no_more_than_there_is() -> None:
    budget = Budget(Limits(per_second=1000))
    granted: list[float] = []
    start = threading.Barrier(8)

    def hammer() -> None:
        start.wait()
        for step in range(200):
            if asked_now(budget, step / 1000) is None:
                granted.append(step)  # noqa: PERF401 - what is asked for in between matters

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 150 <= len(granted) <= 199 + BURST
    assert budget._queue == []


def test_without_limits_nothing_waits_and_little_is_kept() -> None:
    budget = Budget()
    assert {each.at for each in play(budget, [Asking(0)] * 500)} == {0.0}
    assert asked_now(budget, 3600) is None
    assert len(budget._sent) == 1


def test_a_new_limit_holds_at_once() -> None:
    budgets = Budgets()
    credentials = Credentials("https://x.example/token", "client", "secret", "1")
    budget = budgets.of("https://x.example", credentials, Limits())
    play(budget, [Asking(0)] * 50)
    assert budgets.of("https://x.example", credentials, Limits(per_second=1)) is budget
    assert [asked_now(budget, 0) is None for _ in range(3)] == [True, False, False]


def test_each_account_has_a_budget_of_its_own() -> None:
    budgets = Budgets()
    made = {
        id(budgets.of(url, Credentials("https://x.example/token", client, "secret", organization), Limits()))
        for url in ("https://a.example", "https://b.example")
        for client in ("c", "d")
        for organization in ("1", "2", None)
        for _ in range(2)
    }
    assert len(made) == 12


@dataclass
class Server:
    """A server with fixed windows, asked by many at once.

    :param size: requests per window.
    :param length: seconds.
    :param headers: what an answer says, given requests left and seconds until the next window.
    """

    size: int
    length: float
    headers: Callable[[bool, int, float], Mapping[str, str]]
    refused: int = 0
    accepted: list[float] = field(default_factory=list)
    opened: float = float("-inf")
    used: int = 0

    def get(self, now: float) -> tuple[int, Mapping[str, str]]:
        """Answer a request."""
        if now - self.opened >= self.length:
            self.opened, self.used = now, 0
        self.used += 1
        fits = self.used <= self.size
        if fits:
            self.accepted.append(now)
        else:
            self.refused += 1
        headers = self.headers(not fits, max(0, self.size - self.used), self.opened + self.length - now)
        return 200 if fits else 429, headers


def load(budget: Budget, server: Server, clients: int, seconds: float, latency: float = 0.1) -> None:
    """Let clients ask a server as fast as the budget allows."""
    numbers = itertools.count()
    events: list[tuple[float, int, str, int, float]] = [(EARLY, next(numbers), "ask", n, 0.0) for n in range(clients)]
    answers: dict[int, tuple[int, Mapping[str, str]]] = {}
    places: dict[int, Place] = {}
    while events[0][0] < EARLY + seconds:
        now, _, what, client, sent_at = heapq.heappop(events)
        if what == "answer":
            budget.learn(*answers.pop(client), sent_at, now)
            heapq.heappush(events, (now, next(numbers), "ask", client, 0.0))
            continue
        place = places.setdefault(client, place_in(budget, client))
        wait = budget.ask(place, now)
        if wait is None:
            del places[client]
            answers[client] = server.get(now + latency / 2)
            heapq.heappush(events, (now + latency, next(numbers), "answer", client, now))
        else:
            heapq.heappush(events, (now + wait.nap, next(numbers), "ask", client, 0.0))


def silent(refused: bool, left: int, reset: float) -> Mapping[str, str]:
    return {}


def retry_after(refused: bool, left: int, reset: float) -> Mapping[str, str]:
    return {"retry-after": f"{reset:.3f}"} if refused else {}


@pytest.mark.parametrize(
    ("headers", "size", "length", "refused", "used"),
    [
        (silent, 2, 1.0, 0.05, 0.7),
        (silent, 5, 1.0, 0.05, 0.7),
        (retry_after, 2, 1.0, 0.05, 0.7),
        (retry_after, 5, 1.0, 0.05, 0.7),
        (retry_after, 30, 10.0, 0.05, 0.7),
        (retry_after, 120, 60.0, 0.1, 0.7),
        # Who says neither how much nor how long has to be tried, a whole window long.
        (silent, 30, 10.0, 0.1, 0.3),
        (silent, 120, 60.0, 0.25, 0.3),
    ],
)
def test_refusals_teach_the_rate(
    headers: Callable[[bool, int, float], Mapping[str, str]], size: int, length: float, refused: float, used: float
) -> None:
    server = Server(size, length, headers)
    load(Budget(), server, clients=10, seconds=600)
    assert server.refused <= refused * len(server.accepted)
    assert len(server.accepted) >= used * size * 600 / length


def quota(refused: bool, left: int, reset: float) -> Mapping[str, str]:
    return {
        "x-ratelimit-limit": "20, 20;w=10",
        "x-ratelimit-remaining": str(left),
        "x-ratelimit-reset": f"{reset:.0f}",
    }


def quota_without_window(refused: bool, left: int, reset: float) -> Mapping[str, str]:
    return {**quota(refused, left, reset), "x-ratelimit-limit": "20"}


def test_a_quota_that_is_told_is_used_and_kept() -> None:
    server = Server(20, 10.0, quota)
    load(Budget(), server, clients=10, seconds=600)
    assert server.refused <= 60
    assert len(server.accepted) >= 0.8 * 20 * 60


def test_a_quota_without_a_window_is_kept_as_far_as_it_is_known() -> None:
    server = Server(20, 10.0, quota_without_window)
    load(Budget(), server, clients=10, seconds=600)
    assert server.refused <= 300
    assert len(server.accepted) >= 0.8 * 20 * 60


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "none", "x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "9" * 5000, "x-ratelimit-reset": "30"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "nan"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"},
        {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "30", "x-ratelimit-limit": "1, 1;w=0"},
        {"retry-after": "30"},
    ],
)
def test_what_is_no_quota_holds_up_nothing(headers: Mapping[str, str]) -> None:
    budget = Budget()
    budget.learn(200, headers, EARLY, EARLY)
    assert asked_now(budget, 0.001) is None


def test_what_was_under_way_is_counted_off_the_quota() -> None:
    budget = Budget()
    play(budget, [Asking(0), Asking(1), Asking(2)])
    told = {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "30", "x-ratelimit-limit": "4, 4;w=40"}
    budget.learn(200, told, EARLY + 0.1, EARLY + 2.5)
    assert asked_now(budget, 3) is None
    wait = asked_now(budget, 3)
    assert wait is not None
    assert wait.seconds == pytest.approx(29.5)
    assert wait.reason == "the quota that the server reports is used up"
    sent = play(budget, [Asking(33)] * 5)
    assert [each.at for each in sent] == [33, 33, 33, 33, pytest.approx(73, abs=0.1)]


def test_all_that_was_under_way_at_a_refusal_is_one_refusal() -> None:
    budget = Budget()
    play(budget, [Asking(0)] * 10)
    for _ in range(5):
        budget.learn(429, {}, EARLY, EARLY + 1)
    wait = asked_now(budget, 1)
    assert wait is not None
    assert wait.seconds == pytest.approx(1 / 7)
    assert wait.reason == "the server refused requests that came faster"


def test_refusals_never_slow_down_to_a_halt_and_are_forgotten() -> None:
    budget = Budget()
    for second in range(100):
        budget.learn(429, {}, EARLY + second, EARLY + second)
    wait = asked_now(budget, 99)
    assert wait is not None
    assert wait.seconds == pytest.approx(10)
    assert len(play(budget, [Asking(99 + 360.1)] * 50)) == 50
    assert {each.at for each in play(budget, [Asking(500)] * 50)} == {500}


def test_a_long_wait_stops_everything_and_slows_nothing_down() -> None:
    budget = Budget()
    budget.learn(429, {"retry-after": "500"}, EARLY, EARLY)
    budget.learn(200, {}, EARLY, EARLY)
    assert asked_now(budget, 100) == (400.0, "the server asked to wait", False, True)
    assert asked_now(budget, 100, patient=False) == (400.0, "the server asked to wait", False, True)
    assert {each.at for each in play(budget, [Asking(500)] * 50)} == {500}


def test_no_answer_silences_a_process_for_longer_than_ten_minutes() -> None:
    budget = Budget()
    budget.learn(429, {"retry-after": "86400"}, EARLY, EARLY)
    assert asked_now(budget, 0) == (600.0, "the server asked to wait", False, True)
    in_an_hour = str(int((time.time() + 3600) * 1000))
    budget = Budget()
    budget.learn(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": in_an_hour}, EARLY, EARLY)
    wait = asked_now(budget, 0)
    assert wait is not None
    assert wait.seconds == pytest.approx(3600, abs=10)


def test_a_server_that_is_not_available_is_left_alone_for_a_while() -> None:
    budget = Budget()
    budget.learn(503, {}, EARLY, EARLY)
    budget.learn(503, {"x-ratelimit-reset": "9"}, EARLY, EARLY)
    budget.learn(500, {"retry-after": "9"}, EARLY, EARLY)
    assert asked_now(budget, 0) is None
    budget.learn(503, {"retry-after": "7"}, EARLY, EARLY)
    assert asked_now(budget, 0) == (7.0, "the server asked to wait", False, True)
    budget.learn(503, {"retry-after": "9999"}, EARLY, EARLY)
    assert asked_now(budget, 0) == (60.0, "the server asked to wait", False, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "61"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5", "x-ratelimit-limit": "50, 50;w=60"},
    ],
)
def test_a_server_that_refuses_a_number_of_requests_is_not_asked_more_slowly(headers: Mapping[str, str]) -> None:
    budget = Budget()
    budget.learn(429, headers, EARLY, EARLY)
    assert asked_now(budget, 4) is not None
    assert {each.at for each in play(budget, [Asking(61)] * 50)} == {61}


def test_the_next_request_after_a_refusal_goes_when_the_server_said() -> None:
    budget = Budget()
    budget.learn(429, {"retry-after": "0.25"}, EARLY, EARLY)
    first, second = play(budget, [Asking(0)] * 2)
    assert first.at == pytest.approx(0.25, abs=0.01)
    assert second.at == pytest.approx(0.25 + 1 / 0.7, abs=0.02)

"""What refusals and quotas teach the budget of a process."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from tests.clients.budgets import EARLY, Asking, asked_now, place_in, play

from tfso_hypatos.clients.budget import Budget, Place


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

"""How many requests the budget of a process lets through."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clients.budgets import Asking, asked_now, askings, most_over, most_within, play

from tfso_hypatos.clients.budget import BURST, HOUR, LONGEST_NAP, Budget, Budgets, Limits
from tfso_hypatos.clients.token import Credentials


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

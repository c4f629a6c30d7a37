"""Which of many orders are read one by one, when, and what the list hides."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from tests.flows.office import INVOICE, MINUTE, Office, only, refusal, rounds

from tfso_hypatos.flows import sweep
from tfso_hypatos.flows.watch import FEW


def test_few_orders_are_read_one_by_one_and_nothing_is_listed() -> None:
    office = Office(FEW)
    office.waits(*range(1, FEW + 1))
    for _ in rounds(office, 3):
        assert (office.lists, sorted(office.reads)) == ([], [1, 2, 3, 4, 5])


@pytest.mark.parametrize("count", [2, 10])
def test_an_early_round_reads_only_what_nobody_has_looked_at(count: int) -> None:
    office = Office(count + 3)
    office.waits(*range(1, count + 1))
    office.round()
    office.waits(count + 1)
    office.waits(count + 2, count + 3, seen=False)
    office.round(early=True)
    assert (office.lists, office.reads) == ([], [count + 2, count + 3])
    office.round(early=True)
    assert (office.lists, office.reads) == ([], [])


def test_who_joins_says_whether_it_is_to_be_read_soon() -> None:
    office = Office(3)
    assert office.watch.add(1, None, office.clock)
    assert not office.watch.add(1, None, office.clock)
    assert not office.watch.add(2, office.now, office.clock)
    assert office.watch.add(3, office.now - datetime.timedelta(days=3), office.clock)


def test_few_that_become_many_are_listed_from_their_last_read_on() -> None:
    office = Office(8)
    office.waits(1, 2, 3)
    office.round()
    office.post(2, silently=False)
    office.waits(*range(4, 9))
    office.round()
    assert (set(office.found), len(office.lists)) == ({2}, 1)
    assert 2 not in office.reads


def test_many_that_become_few_and_many_again_miss_nothing(office: Office) -> None:
    for order_id in range(4, 21):
        office.watch.drop(order_id)
    office.trouble = only("/salesorders/1", "/salesorders/2")(refusal(503))
    office.post(1)
    office.round()
    office.trouble = lambda _: None
    office.passes(600)
    office.waits(*range(4, 21))
    office.round()
    assert set(office.found) == {1}


@pytest.mark.parametrize("interval", [10.0, 60.0, 600.0])
def test_every_order_is_swept_within_ten_intervals(interval: float) -> None:
    office = Office(40)
    office.waits(*range(1, 41))
    read: list[list[int]] = []
    for _ in range(31):
        office.round(interval=interval)
        read.append(list(office.reads))
    allowed = max(interval / 6, 1)
    assert max(map(len, read)) <= min(4, allowed) + 1
    if allowed >= 4:
        for order_id in range(1, 41):
            at = [number for number, ids in enumerate(read) if order_id in ids]
            assert max(b - a for a, b in zip([0, *at], at, strict=False)) <= 11


@pytest.mark.parametrize("interval", [5.0, 60.0, 900.0])
def test_sweeps_are_spread_and_take_600_reads_an_hour_at_most(interval: float) -> None:
    office = Office(1000)
    office.waits(*range(1, 1001))
    counts = []
    for _ in range(int(7200 / interval)):
        office.round(interval=interval)
        counts.append(len(office.reads))
        assert len(set(office.reads)) == len(office.reads)
    an_hour = int(3600 / interval)
    assert max(sum(counts[at : at + an_hour]) for at in range(len(counts) - an_hour + 1)) <= sweep.READS_AN_HOUR
    assert sum(counts[-an_hour:]) >= 0.95 * min(sweep.READS_AN_HOUR, 1000 / sweep.SWEEP_INTERVALS * an_hour)
    assert max(counts) <= interval / 6 + 1


def test_after_an_outage_the_sweep_does_not_catch_up_in_a_burst(office: Office) -> None:
    office.passes(6 * 3600)
    office.round()
    assert len(office.reads) <= 10


def test_a_silent_posting_is_found_by_the_sweep(office: Office) -> None:
    office.post(7, silently=True)
    list(rounds(office, 10))
    assert set(office.found) == {7}


def test_what_the_list_shows_late_is_found(office: Office) -> None:
    office.lag = datetime.timedelta(seconds=100)
    office.post(7)
    list(rounds(office, 3))
    assert set(office.found) == {7}


def test_a_read_that_lags_behind_the_list_is_read_again(office: Office) -> None:
    office.bare_lists = True
    office.post(7)
    shown = office.show

    def stale(order_id: int, *, bare: bool = False) -> dict[str, Any]:
        order = shown(order_id, bare=bare)
        if not bare and order_id == 7:
            order.update(invoice=INVOICE, modifiedAt=(office.now - 60 * MINUTE).isoformat())
        return order

    office.show = stale  # type: ignore[method-assign]
    office.round()
    assert office.reads[0] == 7
    office.show = shown  # type: ignore[method-assign]
    office.round()
    assert set(office.found) == {7}


@pytest.mark.parametrize("seen", [True, False])
def test_a_date_from_before_all_time_is_no_obstacle(seen: bool) -> None:
    office = Office(20)
    office.bare_lists = True
    office.tells_time = False
    office.waits(*range(1, 21), seen=seen)
    shown = office.show

    def nil(order_id: int, *, bare: bool = False) -> dict[str, Any]:
        order = shown(order_id, bare=bare)
        return {**order, "modifiedAt": "0001-01-01T00:00:00"} if bare else order

    office.show = nil  # type: ignore[method-assign]
    office.round()
    office.change(7, memo="edited")
    list(rounds(office, 2))
    office.post(8)
    list(rounds(office, 12))
    assert set(office.found) == {8}


def test_a_clock_of_whole_seconds_hides_no_second_change(office: Office) -> None:
    office.bare_lists = True
    office.now = office.now.replace(microsecond=0)
    office.change(7, memo="edited")
    office.round()
    changed = office.orders[7]["changed"]
    office.post(7, silently=True)
    office.orders[7]["changed"] = changed
    office.round()
    assert set(office.found) == {7}


def test_an_order_without_a_date_is_read_once_a_sweep(office: Office) -> None:
    office.undated = True
    office.bare_lists = True
    reads = 0
    for _ in range(20):
        office.change(7, memo="edited")
        office.round()
        reads += office.reads.count(7)
    assert 1 <= reads <= 3

"""Looking at many orders in rounds, played against a server: what is listed, what is read, what is found."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from tests.flows.office import INVOICE, MINUTE, POSTED, Office, rounds

from tfso_hypatos.exceptions import (
    TransactionNeverPosted,
)
from tfso_hypatos.flows import watch
from tfso_hypatos.flows.watch import MOST_FIRST_READS, OVERLAP
from tfso_hypatos.models.tfso_read import SalesOrder


def test_the_first_list_goes_back_to_the_oldest_look() -> None:
    office = Office(10)
    office.waits(*range(1, 10))
    first = office.now
    office.passes(30)
    office.waits(10)
    office.round()
    assert [since.replace(microsecond=0) for since in office.lists] == [(first - OVERLAP).replace(microsecond=0)]
    assert office.reads == []


def test_the_next_list_goes_back_to_the_one_before(office: Office) -> None:
    before = office.now - MINUTE
    office.round()
    (since,) = office.lists
    assert abs(since - (before - OVERLAP)) <= datetime.timedelta(seconds=1)
    assert office.pages == 1


def test_an_entry_that_shows_the_transaction_is_enough(office: Office) -> None:
    office.post(7)
    office.round()
    found = office.found[7]
    assert isinstance(found, SalesOrder)
    assert found.transaction_id == "7f1c"
    assert 7 not in office.reads
    assert len(office.watch) == 19


@pytest.mark.parametrize("field", ["number", "date", "dueDate", "remittanceReference"])
def test_an_entry_that_lacks_something_of_the_invoice_is_read(office: Office, field: str) -> None:
    office.change(7, invoice={name: value for name, value in POSTED.items() if name != field})
    office.round()
    assert 7 in office.found
    assert office.reads.count(7) == 1


def test_an_entry_without_transaction_is_read(office: Office) -> None:
    office.bare_lists = True
    office.post(7)
    office.round()
    assert set(office.found) == {7}
    assert office.reads[0] == 7


def test_an_entry_that_is_inactive_ends_the_wait(office: Office) -> None:
    office.change(7, status="Inactive")
    office.round()
    assert isinstance(office.found[7], TransactionNeverPosted)
    assert 7 not in office.reads


def test_a_deleted_order_is_found_when_it_is_read(office: Office) -> None:
    del office.orders[7]
    list(rounds(office, 10))
    assert set(office.found) == {7}
    assert isinstance(office.found[7], TransactionNeverPosted)


def test_a_change_that_is_no_posting_is_read_once_although_lists_overlap(office: Office) -> None:
    office.change(7, memo="edited")
    read = [office.reads.count(7) for _ in rounds(office, 4)]
    assert read == [1, 0, 0, 0]
    office.change(7, memo="edited again")
    office.round()
    assert 7 in office.reads


def test_orders_of_others_are_not_read(office: Office) -> None:
    for order_id in range(1000, 1300):
        office.change(order_id, status="Draft")
    office.round()
    assert office.pages == 3
    assert len(office.reads) <= 3
    assert office.found == {}


def test_a_change_before_the_first_look_is_not_read() -> None:
    office = Office(10)
    office.passes(-10)
    office.change(3, memo="edited")
    office.passes(10)
    office.waits(*range(1, 11))
    office.round()
    assert (len(office.lists), office.reads) == (1, [])


def test_what_is_posted_between_the_look_and_the_wait_is_found() -> None:
    office = Office(10)
    office.waits(*range(1, 10))
    office.round()
    seen_at = office.now
    office.post(10)
    list(rounds(office, 9))
    office.watch.add(10, seen_at, office.clock)
    office.round(early=True)
    assert (office.lists, office.reads) == ([], [])
    office.round()
    assert set(office.found) == {10}


def test_without_the_moment_of_the_look_an_order_is_read_once(office: Office) -> None:
    office.change(21, status="Invoice", invoice=INVOICE)
    office.passes(300)
    office.waits(21, seen=False)
    assert [(office.round(), office.reads.count(21))[1] for _ in range(4)] == [1, 0, 0, 0]


def test_an_old_look_is_no_reason_to_list_days() -> None:
    office = Office(10)
    for order_id in range(1, 11):
        office.watch.add(order_id, office.now - datetime.timedelta(days=3), office.clock)
    office.round()
    assert (office.lists, sorted(office.reads)) == ([], list(range(1, 11)))
    office.post(4)
    office.round()
    assert set(office.found) == {4}
    assert len(office.lists) == 1


def test_first_reads_are_bounded() -> None:
    office = Office(250)
    office.waits(*range(1, 251), seen=False)
    read = [len(office.reads) for _ in rounds(office, 3)]
    assert read[0] == MOST_FIRST_READS
    assert MOST_FIRST_READS <= read[1] <= MOST_FIRST_READS + 20
    assert sum(read) >= 250


def test_an_order_that_is_dropped_meanwhile_is_not_found(office: Office) -> None:
    office.bare_lists = True
    office.post(7)
    (first, *_) = office.drive(office.watch.survey(60.0, office.clock))
    flow = office.watch.read(first, office.clock)
    request = next(flow)
    office.watch.drop(7)
    with pytest.raises(StopIteration):
        flow.send(office.answer(request))
    assert office.found == {}


def test_a_round_reads_an_order_once(office: Office) -> None:
    office.drive(office.watch.survey(60.0, office.clock))
    for _ in range(2):
        office.drive(office.watch.read(7, office.clock))
    assert office.reads == [7]


def test_a_server_that_does_not_tell_the_time_is_listed_by_what_it_shows() -> None:
    office = Office(10)
    office.tells_time = False
    office.waits(*range(1, 11))
    office.change(3, memo="edited")
    latest = office.now
    office.round()
    office.round()
    assert office.lists == [latest.replace(microsecond=123000) - OVERLAP]
    office.post(4)
    office.round()
    assert set(office.found) == {4}


def test_without_the_servers_clock_ours_begins_the_list(caplog: pytest.LogCaptureFixture) -> None:
    office = Office(10)
    office.tells_time = False
    office.waits(*range(1, 11), seen=False)
    ours = datetime.datetime.now(datetime.UTC)
    office.round()
    office.change(3, memo="edited")
    office.round()
    (since,) = office.lists
    assert ours - 2 * OVERLAP - MINUTE <= since <= ours - 2 * OVERLAP + MINUTE
    assert office.reads.count(3) == 1
    office.post(4)
    office.round()
    assert set(office.found) == {4}
    list(rounds(office, 15))
    assert [each.getMessage() for each in caplog.records if "clock" in each.getMessage()] == [
        "24SevenOffice does not tell the time; this computer's clock is used, which must not be wrong by minutes"
    ]


def test_a_clock_that_was_wrong_once_hides_nothing_for_long(office: Office) -> None:
    office.now += 1440 * MINUTE
    office.round()
    office.now -= 1440 * MINUTE
    list(rounds(office, 2))
    office.post(7)
    office.round()
    assert set(office.found) == {7}


def test_a_wait_that_joins_while_pages_come_in_is_covered_by_the_next_list() -> None:
    office = Office(20)
    office.waits(*range(1, 11))
    flow = office.watch.survey(60.0, office.clock)
    request = next(flow)
    answer = office.answer(request)
    office.post(11)
    office.watch.add(11, office.now - 10 * MINUTE, office.clock)
    with pytest.raises(StopIteration):
        flow.send(answer)
    office.watch.finish()
    office.passes(600)
    office.round()
    assert set(office.found) == {11}


def test_ten_thousand_waits_take_little_of_the_event_loop() -> None:
    """Counted in steps, not in seconds: a listed order costs the same however many orders are watched."""
    office = Office(0)
    office.waits(*range(1, 10_001))
    looked: list[int] = []

    class Counting(dict[int, Any]):
        def __iter__(self) -> Iterator[int]:
            looked.append(len(self))
            return super().__iter__()

    office.watch._watched = Counting(office.watch._watched)
    for order_id in range(20_000, 20_300):
        office.change(order_id, status="Draft")
    office.drive(office.watch.survey(60.0, office.clock))
    assert (office.pages, looked) == (3, [])


def test_the_numbers_of_the_documentation() -> None:
    """Requests an hour at an interval of a minute."""
    cost = {}
    for count in (1, 5, 6, 20, 100, 1000):
        office = Office(count)
        office.waits(*range(1, count + 1))
        list(rounds(office, 12))
        total = 0
        for _ in range(60):
            office.round()
            total += office.pages + len(office.reads)
        cost[count] = total
    assert cost == {1: 60, 5: 300, 6: 96, 20: 180, 100: 660, 1000: 660}
    assert watch.ROUNDS_WITHOUT_LIST == 10

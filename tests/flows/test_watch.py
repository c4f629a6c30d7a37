"""Looking at many orders in rounds, played against a server that lists, lags, ignores and refuses as a test says."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Generator, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tfso_hypatos.clients.failures import failure
from tfso_hypatos.clients.messages import Request, Response, Step
from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    ConnectionFailed,
    PermissionDenied,
    RateLimited,
    TfsoHypatosError,
    TransactionNeverPosted,
)
from tfso_hypatos.flows import sweep, watch, watched
from tfso_hypatos.flows.rounds import Round
from tfso_hypatos.flows.watch import FEW, MOST_FIRST_READS, OVERLAP, Outcome, Watch
from tfso_hypatos.models.tfso_read import SalesOrder

MINUTE = datetime.timedelta(minutes=1)
INVOICE = {
    "number": 7,
    "date": "2026-11-20",
    "dueDate": "2026-12-04",
    "remittanceReference": "0010017",
}
POSTED = {**INVOICE, "transaction": {"id": "7f1c"}}


class Office:
    """A server of its own time, and the poller's side of it: its clock, its requests, what was found."""

    def __init__(self, count: int = 0) -> None:
        self.now = datetime.datetime.now(datetime.UTC).replace(microsecond=123000)
        self.clock = 1000.0
        self.tells_time = True
        self.ignores_filter = False
        self.bare_lists = False
        self.undated = False
        self.lag = datetime.timedelta(0)
        self.page_size = 100
        self.orders: dict[int, dict[str, Any]] = {}
        self.trouble: Callable[[Request], TfsoHypatosError | None] = lambda _: None
        self.lists: list[datetime.datetime] = []
        self.pages = 0
        self.reads: list[int] = []
        self.found: dict[int, Outcome] = {}
        self.watch = Watch(self.deliver)
        self.passes(-60 * 60)
        for order_id in range(1, count + 1):
            self.change(order_id, status="Invoice", invoice=INVOICE)
        self.passes(60 * 60)

    def deliver(self, order_id: int, outcome: Outcome) -> None:
        assert order_id not in self.found, "found twice"
        self.found[order_id] = outcome

    def passes(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds)
        self.clock += seconds

    def change(self, order_id: int, *, silently: bool = False, **fields: Any) -> None:
        order = self.orders.setdefault(order_id, {"id": order_id, "changed": self.now})
        order.update(fields)
        if not silently:
            order["changed"] = self.now

    def post(self, order_id: int, *, silently: bool = False) -> None:
        self.change(order_id, silently=silently, status="Invoice", invoice=POSTED)

    def waits(self, *order_ids: int, seen: bool = True) -> None:
        for order_id in order_ids:
            self.watch.add(order_id, self.now if seen else None, self.clock)

    def round(self, *, early: bool = False, interval: float = 60.0) -> Round:
        """Play a round, and let an interval pass; what it listed and read is counted anew."""
        self.lists, self.reads, self.pages = [], [], 0
        for order_id in self.drive(self.watch.survey(interval, self.clock, early=early)):
            self.drive(self.watch.read(order_id, self.clock))
        done = self.watch.finish()
        self.passes(1.0 if early else interval)
        return done

    def drive(self, flow: Generator[Any, Any, Any]) -> Any:
        try:
            step = next(flow)
            while True:
                error = self.trouble(step)
                response = None
                if error is None:
                    response = self.answer(step)
                    error = failure("24SevenOffice", step, response)
                step = flow.send(response) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value

    def answer(self, request: Step) -> Response:
        assert isinstance(request, Request)
        if request.path.startswith("/salesorders/"):
            order_id = int(request.path.rpartition("/")[2])
            self.reads.append(order_id)
            shown = self.show(order_id) if order_id in self.orders else None
            return self.respond(shown, {}, 200 if shown else 404)
        self.pages += 1
        asked = {**request.query, **dict(parse_qsl(urlsplit(request.path).query))}
        since, skip = datetime.datetime.fromisoformat(asked["modifiedFrom"]), int(asked.get("skip", 0))
        if not skip:
            self.lists.append(since)
        ids = [each for each, order in self.orders.items() if self.is_listed(order, since)]
        link = {}
        if len(ids) > skip + self.page_size:
            link = {"link": f'<?modifiedFrom={asked["modifiedFrom"]}&skip={skip + self.page_size}>; rel="next"'}
        return self.respond([self.show(each, bare=self.bare_lists) for each in ids[skip : skip + self.page_size]], link)

    def is_listed(self, order: dict[str, Any], since: datetime.datetime) -> bool:
        return self.ignores_filter or since <= order["changed"] <= self.now - self.lag

    def show(self, order_id: int, *, bare: bool = False) -> dict[str, Any]:
        order = dict(self.orders[order_id])
        changed = order.pop("changed")
        if not self.undated:
            order["modifiedAt"] = changed.isoformat()
        if bare:
            order["invoice"] = {name: value for name, value in order["invoice"].items() if name != "transaction"}
        return order

    def respond(self, value: Any, headers: dict[str, str], status: int = 200) -> Response:
        date = {"date": self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")} if self.tells_time else {}
        return Response(status, value, {**date, **headers}, self.clock, self.clock)


def only(*paths: str) -> Callable[[Callable[[], TfsoHypatosError]], Callable[[Request], TfsoHypatosError | None]]:
    return lambda made: lambda request: made() if request.path in paths else None


def refusal(status: int, headers: dict[str, str] | None = None) -> Callable[[], TfsoHypatosError]:
    def make() -> TfsoHypatosError:
        error = failure("24SevenOffice", Request("GET", "/", "look"), Response(status, None, headers or {}))
        assert error is not None
        return error

    return make


@pytest.fixture
def office() -> Office:
    """Return a server with twenty orders that are waited for, invoiced an hour ago; listed once."""
    office = Office(20)
    office.waits(*range(1, 21))
    office.round()
    return office


def rounds(office: Office, count: int) -> Iterator[Round]:
    for _ in range(count):
        yield office.round()


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


def test_a_server_that_ignores_the_filter_is_listed_rarely(caplog: pytest.LogCaptureFixture) -> None:
    office = Office(watched.MOST_OLD + 400)
    office.waits(*range(1, 21))
    office.ignores_filter = True
    listed = []
    for _ in range(30):
        office.round()
        listed.append(office.pages)
    assert sum(pages > 0 for pages in listed) <= 4
    assert max(listed) == 2
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "ignores modifiedFrom" in caplog.text
    office.ignores_filter = False
    list(rounds(office, 10))
    office.post(3)
    office.round()
    assert set(office.found) == {3}


def test_a_small_list_is_used_although_the_filter_is_ignored() -> None:
    office = Office(30)
    office.waits(*range(1, 31))
    office.ignores_filter = True
    for _ in rounds(office, 5):
        assert office.pages == 1
    office.post(3)
    office.round()
    assert set(office.found) == {3}


def test_a_filter_that_is_refused_is_asked_for_rarely(caplog: pytest.LogCaptureFixture) -> None:
    office = Office(20)
    asked = 0

    def refused(request: Request) -> TfsoHypatosError | None:
        nonlocal asked
        asked += request.path == "/salesorders"
        return refusal(400)() if request.path == "/salesorders" else None

    office.trouble = refused
    office.waits(*range(1, 11))
    office.round()
    # What nobody can list from the first look on is read.
    assert sorted(office.reads) == list(range(1, 11))
    office.waits(*range(11, 21))
    office.round(early=True)
    assert sorted(office.reads) == list(range(11, 21))
    list(rounds(office, 18))
    assert asked <= 3
    assert caplog.text.count("refuses modifiedFrom") == 1
    office.post(3)
    list(rounds(office, 20))
    assert set(office.found) == {3}


def test_a_list_that_keeps_failing_does_not_keep_reads_from_being_made(office: Office) -> None:
    office.trouble = only("/salesorders")(refusal(500))
    office.post(7)
    for _ in range(12):
        done = office.round()
        assert not done.has_failed or not office.reads
    assert set(office.found) == {7}


def test_a_list_that_failed_once_loses_nothing() -> None:
    office = Office(10)
    office.waits(*range(1, 11))
    office.post(4)
    office.trouble = only("/salesorders")(refusal(503))
    assert office.round().has_failed
    office.trouble = lambda _: None
    office.passes(3600)
    office.round()
    assert set(office.found) == {4}


def test_a_page_that_fails_keeps_what_the_pages_before_have_shown(office: Office) -> None:
    for order_id in range(1, 21):
        office.post(order_id)
    office.page_size = 10
    office.trouble = lambda request: refusal(503)() if "skip" in request.path else None
    office.round()
    assert set(range(1, 11)) <= set(office.found)
    office.trouble = lambda _: None
    office.round()
    assert set(office.found) == set(range(1, 21))


def test_one_order_that_cannot_be_read_stops_no_other_and_is_asked_for_ever_more_rarely() -> None:
    office = Office(5)
    office.waits(*range(1, 6))
    asked = []

    def broken(request: Request) -> TfsoHypatosError | None:
        if request.path == "/salesorders/1":
            asked.append(number)
            return refusal(500)()
        return None

    office.trouble = broken
    for number in range(30):  # noqa: B007 - the reaction notes it
        done = office.round()
        assert not done.has_failed
        assert sorted(office.reads) == [2, 3, 4, 5]
    assert asked == [0, 2, 6, 14]
    office.trouble = lambda _: None
    office.post(1)
    list(rounds(office, 2))
    assert set(office.found) == {1}


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (ConnectionFailed("no"), 1),
        (RateLimited("429", status=429, retry_after=30), 1),
        (refusal(503)(), 3),
    ],
)
def test_a_server_in_trouble_is_left_alone(error: TfsoHypatosError, most: int) -> None:
    office = Office(5)
    office.waits(*range(1, 6))
    asked = 0

    def trouble(_: Request) -> TfsoHypatosError:
        nonlocal asked
        asked += 1
        return error

    office.trouble = trouble
    done = office.round()
    assert (asked, done.has_failed, done.trouble) == (most, True, error)
    office.trouble = lambda _: None
    office.round()
    assert sorted(office.reads) == [1, 2, 3, 4, 5]


def test_the_longest_wait_that_was_asked_for_counts() -> None:
    done = Round()
    for seconds in (5, 50, 10):
        done.failed(1, RateLimited("429", status=429, retry_after=seconds))
    assert done.trouble is not None
    assert done.trouble.retry_after == 50


def test_an_error_of_the_connection_is_nobodys_outcome(office: Office) -> None:
    office.trouble = only("/salesorders")(refusal(401))
    done = office.round()
    assert isinstance(done.fatal, AuthenticationFailed)
    assert (office.found, office.reads) == ({}, [])


def test_one_order_that_may_not_be_read_ends_only_its_own_wait() -> None:
    office = Office(5)
    office.waits(*range(1, 6))
    office.trouble = only("/salesorders/1")(refusal(403))
    assert office.round().fatal is None
    assert {key: type(value) for key, value in office.found.items()} == {1: PermissionDenied}
    office.trouble = lambda _: refusal(403)()
    assert isinstance(office.round().fatal, PermissionDenied)
    assert len(office.watch) == 4


def test_a_permanent_error_of_one_order_ends_only_its_own_wait() -> None:
    office = Office(5)
    office.waits(*range(1, 6))
    office.trouble = only("/salesorders/1")(refusal(400))
    assert office.round().fatal is None
    assert set(office.found) == {1}


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

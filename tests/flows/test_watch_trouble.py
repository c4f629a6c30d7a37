"""Looking at many orders in rounds while the server ignores, refuses and fails."""

from __future__ import annotations

import logging

import pytest
from tests.flows.office import Office, only, refusal, rounds

from tfso_hypatos.clients.messages import Request
from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    ConnectionFailed,
    PermissionDenied,
    RateLimited,
    TfsoHypatosError,
)
from tfso_hypatos.flows import watched
from tfso_hypatos.flows.rounds import Round


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

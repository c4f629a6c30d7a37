"""What is remembered of posted invoices: after a restart, after trouble, and when it becomes too much."""

from __future__ import annotations

import json
import logging

import pytest
from tests.flows.feed import MEMO, Feed
from tests.flows.office import POSTED, refusal
from tests.flows.runs import ORGANIZATION

from tfso_hypatos.flows import postings
from tfso_hypatos.flows.by_hand import marker_by_hand
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.postings import Known, posted_result
from tfso_hypatos.models.tfso_read import SalesOrder


def test_a_restart_goes_on_where_it_was(feed: Feed) -> None:
    feed.make(1, posted=True)
    feed.make(2)
    assert feed.news() == [1]
    feed.restart()
    # While nobody looked.
    feed.make(3, posted=True)
    feed.post(2, silently=True)
    feed.passes(3 * 86400)
    assert sorted(feed.news()) == [2, 3]
    assert feed.news() == []


def test_a_restart_reports_nothing_twice_within_the_overlap(feed: Feed) -> None:
    feed.make(1, posted=True)
    assert feed.news() == [1]
    feed.restart()
    assert feed.news() == []
    assert feed.orders[1]["changed"] >= feed.lists[0]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_list_that_fails_loses_nothing(feed: Feed, status: int) -> None:
    make = refusal(status)
    feed.make(1, posted=True)
    feed.trouble = lambda _: make()
    assert feed.news() == []
    assert feed.feed.round.has_failed
    feed.passes(86400)
    feed.trouble = lambda _: None
    assert feed.news() == [1]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_of_the_list_is_for_whoever_looks_to_wait_for(feed: Feed, status: int) -> None:
    make = refusal(status)
    feed.trouble = lambda _: make()
    assert feed.news() == []
    assert feed.feed.round.fatal is not None
    feed.trouble = lambda _: None
    feed.make(1, posted=True)
    assert feed.news() == [1]


def test_what_was_found_before_an_error_is_news_all_the_same(feed: Feed) -> None:
    feed.make(1, posted=True)
    feed.make(2)
    make = refusal(503)
    feed.trouble = lambda request: make() if request.path == "/salesorders/2" else None
    assert feed.news() == [1]
    assert feed.feed.round.trouble is not None
    feed.trouble = lambda _: None
    feed.post(2, silently=True)
    assert [each for _ in range(4) for each in feed.news()] == [2]


def test_one_order_that_cannot_be_read_keeps_no_other_from_being_found(feed: Feed) -> None:
    feed.make(1, 2, 3)
    feed.news()
    make = refusal(403)
    feed.trouble = lambda request: make() if request.path == "/salesorders/1" else None
    feed.post(3, silently=True)
    assert feed.news() == [3]
    assert list(feed.feed.known.unposted) == [1, 2]


def test_what_is_remembered_is_bounded(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postings, "MOST_REPORTED", 10)
    monkeypatch.setattr(postings, "MOST_UNPOSTED", 10)
    feed.make(*range(1, 31), posted=True)
    feed.make(*range(101, 131))
    assert len(feed.news()) == 30
    assert list(feed.feed.known.unposted) == list(range(121, 131))
    for _ in range(4):
        assert feed.news() == []
    assert list(feed.feed.known.reported) == list(range(21, 31))


@pytest.mark.parametrize("restarts", [False, True])
def test_more_postings_than_are_remembered_are_reported_once_within_the_overlap(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    monkeypatch.setattr(postings, "MOST_REPORTED", 3)
    feed.make(*range(1, 8), posted=True)
    assert feed.news(30.0) == list(range(1, 8))
    if restarts:
        feed.restart()
    for _ in range(8):
        assert feed.news(30.0) == []
    assert len(feed.feed.known.reported) == 3


def test_undated_postings_are_remembered_as_long_as_the_list_shows_them(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postings, "MOST_REPORTED", 0)
    feed.undated = True
    feed.make(1, 2, posted=True)
    assert feed.news(30.0) == [1, 2]
    assert [feed.news(30.0) for _ in range(8)] == [[]] * 8


def test_each_round_names_the_unposted_ones_that_it_gives_up(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postings, "MOST_UNPOSTED", 3)
    monkeypatch.setattr(postings, "MOST_NAMED", 2)
    with caplog.at_level(logging.WARNING):
        feed.make(1, 2, 3)
        feed.news()
        assert not caplog.records
        feed.passes(600)
        feed.make(4)
        feed.news()
        feed.passes(600)
        feed.make(5, 6, 7)
        feed.news()
    texts = [record.getMessage() for record in caplog.records]
    assert [text.partition("sales orders ")[2] for text in texts] == ["1", "2, 3 and 1 more"]


def test_what_is_kept_are_ids_and_times(feed: Feed) -> None:
    feed.make(1, posted=True, customer={"id": 42, "name": "Bjørn Ås AS"})
    feed.make(2)
    feed.news()
    kept = feed.feed.known.to_json()
    assert (kept["reported"], kept["unposted"]) == ([1], [2])
    assert "Bjørn" not in json.dumps(kept, ensure_ascii=False)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        "text",
        {"news_from": "yesterday", "watermark": None, "reported": [], "unposted": []},
        {"news_from": "2026-11-20T00:00:00", "watermark": None, "reported": [], "unposted": []},
        {"news_from": "2026-11-20T00:00:00Z", "watermark": 7, "reported": [], "unposted": []},
        {"news_from": "2026-11-20T00:00:00Z", "watermark": None, "reported": ["1"], "unposted": []},
        {"news_from": "2026-11-20T00:00:00Z", "watermark": None, "reported": [], "unposted": [True]},
    ],
)
def test_what_nobody_has_kept_is_not_believed(value: object) -> None:
    assert Known.from_json(value) is None


def test_the_news_are_ids_only() -> None:
    order = SalesOrder.model_validate(
        {"id": 7, "status": "Invoice", "internalMemo": MEMO, "invoice": POSTED, "customer": {"name": "Bjørn Ås AS"}}
    )
    assert posted_result(order, ORGANIZATION) == {
        "organization_id": ORGANIZATION,
        "sales_order_id": 7,
        "invoice_number": 7,
        "transaction_id": "7f1c",
        "order_key_hash": "abcdefghijklmnop",
    }
    bare = order.model_copy(update={"internal_memo": None})
    assert "order_key_hash" not in posted_result(bare, ORGANIZATION)


def test_a_copy_of_an_order_by_hand_is_not_marked() -> None:
    memo = str(marker_by_hand(ORGANIZATION, 7, Holder("abcdef", "ghijkl")))
    own = SalesOrder.model_validate({"id": 7, "status": "Invoice", "internalMemo": memo, "invoice": POSTED})
    assert "order_key_hash" in posted_result(own, ORGANIZATION)
    assert "order_key_hash" not in posted_result(own.model_copy(update={"id": 8}), ORGANIZATION)

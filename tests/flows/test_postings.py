"""Looking for posted invoices in rounds, played against a server that lists, lags, ignores and refuses."""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

import pytest
from tests.flows.runs import ORGANIZATION
from tests.flows.test_watch import INVOICE, POSTED, Office, refusal

from tfso_hypatos.flows import postings
from tfso_hypatos.flows.by_hand import marker_by_hand
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.postings import LOOK_BACK, Known, Postings, posted_result
from tfso_hypatos.flows.watch import OVERLAP
from tfso_hypatos.models.tfso_read import SalesOrder

MEMO = "our memo\naf:abcdefghijklmnop/abcdefghij/abcdefghijkl"
SENT = f"{MEMO}!"


class Feed(Office):
    """The server, and the feed's side of it."""

    def __init__(self, *, only_marked: bool = True) -> None:
        super().__init__()
        self.only_marked = only_marked
        self.start(Known(self.now - OVERLAP))

    def start(self, known: Known) -> None:
        self.feed = Postings(known, only_marked=self.only_marked, organization=ORGANIZATION, now=self.clock)

    def restart(self) -> None:
        """Go on with what was kept, as another triggerer does."""
        known = Known.from_json(json.loads(json.dumps(self.feed.known.to_json())))
        assert known is not None
        self.start(known)

    def make(self, *order_ids: int, memo: str | None = MEMO, posted: bool = False, **fields: Any) -> None:
        for order_id in order_ids:
            invoice = POSTED if posted else INVOICE
            self.change(order_id, **{"status": "Invoice", "internalMemo": memo, "invoice": invoice, **fields})

    def news(self, interval: float = 60.0) -> list[int]:
        self.lists, self.reads, self.pages = [], [], 0
        self.drive(self.feed.look(interval, self.clock))
        self.passes(interval)
        return [order.id for order in self.feed.take_news()]


@pytest.fixture
def feed() -> Feed:
    """Return a feed that has listed once."""
    feed = Feed()
    assert feed.news() == []
    return feed


def test_the_first_list_goes_back_for_what_is_invoiced_and_not_posted() -> None:
    feed = Feed()
    feed.passes(-3600)
    feed.make(1)
    feed.make(2, posted=True)
    feed.passes(3600)
    began = feed.feed.known.news_from
    assert feed.news() == []
    assert abs(feed.lists[0] - (began - LOOK_BACK)) < datetime.timedelta(milliseconds=1)
    assert list(feed.feed.known.unposted) == [1]
    feed.post(1, silently=True)
    assert feed.news() == [1]
    assert feed.news() == []


def test_an_order_that_is_invoiced_and_posted_between_two_rounds_is_news_once(feed: Feed) -> None:
    feed.make(1, posted=True)
    assert feed.news() == [1]
    assert feed.reads == []
    assert [feed.news() for _ in range(5)] == [[]] * 5


def test_an_order_is_news_only_when_it_is_posted(feed: Feed) -> None:
    feed.make(1)
    assert [feed.news() for _ in range(3)] == [[]] * 3
    feed.post(1)
    assert feed.news() == [1]


def test_a_list_without_transactions_is_enough_to_know_what_to_read(feed: Feed) -> None:
    feed.bare_lists = True
    feed.make(*range(1, 9))
    assert feed.news() == []
    feed.post(7)
    assert feed.news() == [7]
    assert feed.reads[0] == 7


@pytest.mark.parametrize("count", [1, 3, 30])
def test_a_posting_that_does_not_touch_the_order_is_found_by_reading_it_now_and_then(feed: Feed, count: int) -> None:
    feed.make(*range(1, count + 1))
    feed.news()
    feed.passes(600)
    feed.news()
    feed.post(1, silently=True)
    found = [each for _ in range(12) for each in feed.news()]
    assert found == [1]


def test_many_unposted_orders_cost_little(feed: Feed) -> None:
    feed.make(*range(1, 501))
    feed.news()
    reads = 0
    for _ in range(60):
        feed.news()
        reads += len(feed.reads)
    # The first look at each, and then the sweep.
    assert reads <= 500 + 600 + 10


def test_orders_without_our_marker_are_left_out(feed: Feed) -> None:
    feed.make(1, memo="somebody's own", posted=True)
    feed.make(2, memo=None)
    assert feed.news() == []
    assert feed.feed.known.unposted == {}


def test_all_orders_can_be_asked_for() -> None:
    feed = Feed(only_marked=False)
    feed.news()
    feed.make(1, memo="somebody's own", posted=True)
    assert feed.news() == [1]


def test_an_order_whose_invoicing_does_not_show_yet_is_watched(feed: Feed) -> None:
    feed.make(1, memo=SENT, status="Confirmed")
    assert feed.news() == []
    feed.passes(7200)
    feed.change(1, silently=True, status="Invoice", invoice=POSTED)
    assert feed.news() == [1]


def test_an_order_that_is_no_longer_asked_to_be_invoiced_is_forgotten(feed: Feed) -> None:
    feed.make(1, memo=SENT, status="Confirmed")
    feed.news()
    feed.change(1, internalMemo=MEMO)
    feed.news()
    assert feed.feed.known.unposted == {}


@pytest.mark.parametrize("gone", ["deleted", "inactive"])
def test_an_order_that_is_gone_is_forgotten(feed: Feed, gone: str) -> None:
    feed.make(1)
    feed.news()
    if gone == "deleted":
        del feed.orders[1]
    else:
        feed.change(1, status="Inactive")
    assert feed.news() == []
    assert feed.feed.known.unposted == {}


def test_an_order_that_is_changed_once_more_after_it_was_reported_is_no_news(feed: Feed) -> None:
    feed.make(1, posted=True)
    assert feed.news() == [1]
    feed.passes(86400)
    feed.news()
    feed.change(1, memo="edited")
    assert feed.news() == []


def test_a_server_that_ignores_the_filter_brings_no_old_invoices_as_news(feed: Feed) -> None:
    feed.passes(-100 * 86400)
    feed.make(1, posted=True)
    feed.passes(100 * 86400)
    feed.ignores_filter = True
    assert feed.news() == []
    feed.make(2, posted=True)
    assert feed.news() == [2]


def test_undated_orders_are_news_if_they_were_not_there_at_the_beginning() -> None:
    feed = Feed()
    feed.undated = True
    feed.make(1, posted=True)
    assert feed.news() == []
    feed.make(2, posted=True)
    assert 2 in feed.news()


def test_every_page_is_read(feed: Feed) -> None:
    feed.make(*range(1, 251), posted=True)
    assert feed.news() == list(range(1, 251))
    assert feed.pages == 3


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

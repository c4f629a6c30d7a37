"""Looking for posted invoices in rounds, played against a server: what is listed, what is read, what is news."""

from __future__ import annotations

import datetime

import pytest
from tests.flows.feed import MEMO, SENT, Feed
from tests.flows.office import POSTED

from tfso_hypatos.flows.postings import LOOK_BACK


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

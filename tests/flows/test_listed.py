"""All the orders that are wanted, and no others: what the pages of a list do meanwhile."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import Player, answered, refused
from tests.flows.runs import LINES

from tfso_hypatos.exceptions import TooManyOrders
from tfso_hypatos.flows.listed import is_wanted, list_wanted
from tfso_hypatos.models.base import read, validate
from tfso_hypatos.models.tfso_filter import ListFilter
from tfso_hypatos.models.tfso_read import SalesOrder

CONFIRMED = ListFilter(status="Confirmed")
ORDERS = range(1, 100, 1 + len(LINES))
"""Ids of orders; their lines take the ids in between."""


def with_orders(count: int, **traits: Any) -> Player:
    player = Player(Traits(**traits))
    for order_id in ORDERS[:count]:
        assert player.make_order(memo="", lines=LINES, status="Confirmed") == order_id
    player.steps.clear()
    return player


def ids(player: Player, limit: int = 100) -> list[int]:
    return [order.id for order in player.drive(list_wanted(CONFIRMED, limit))]


def test_pages_are_read_to_the_end_and_no_order_comes_twice() -> None:
    player = with_orders(5, page=2)
    assert ids(player) == list(ORDERS[:5])
    assert len(player.steps) == 3


def test_one_that_changes_between_a_page_and_its_repetition_is_judged_by_the_later_one() -> None:
    player = Player()
    first = {"id": 1, "status": "Confirmed", "grossAmount": 5}
    link = {"link": '</salesorders?page=2>; rel="next"'}
    later = [{**first, "status": "Draft"}, {**first, "id": 2}]
    player.on("GET /salesorders", answered([first], headers=link), answered(later))
    player.on("GET /salesorders?page=2", refused(400))
    assert ids(player) == [2]


def test_too_many_are_told_without_reading_on() -> None:
    player = with_orders(7, page=2)
    with pytest.raises(TooManyOrders):
        ids(player, limit=3)
    assert len(player.steps) == 2
    assert ids(player, limit=7) == list(ORDERS[:7])


def test_one_without_a_total_in_the_list_is_read_and_judged_again() -> None:
    player = with_orders(3)
    first, drafted, deleted = ORDERS[:3]
    player.on("GET /salesorders", answered([{"id": each, "status": "Confirmed"} for each in ORDERS[:3]]))
    player.change(drafted, status="Draft")
    player.delete(deleted)
    found = player.drive(list_wanted(CONFIRMED, 9))
    assert [order.id for order in found] == [first]
    assert found[0].gross_amount is not None


@pytest.mark.parametrize(
    ("wanted", "shown", "said"),
    [
        ({"date_from": "2026-11-20"}, {"date": None}, "shows no date"),
        ({"modified_to": datetime.datetime.now(datetime.UTC)}, {"modifiedAt": "soon"}, "no time of its last change"),
    ],
)
def test_one_that_does_not_show_what_decides_is_left_out_with_a_warning(
    wanted: Any, shown: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert not is_wanted(validate(ListFilter, wanted, "filters"), read(SalesOrder, {"id": 7, **shown}, "it"))
    assert said in caplog.text

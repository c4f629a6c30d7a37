from __future__ import annotations

import datetime

import pytest
from tests.flows.books import Traits
from tests.flows.player import Player, answered, intent
from tests.flows.runs import LINES

from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.flows.look import elect, look
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder

LINE = LINES[0]


def sights(player: Player) -> list[Sight]:
    return player.drive(look(intent())).sights


def elected(player: Player) -> int:
    return player.drive(elect(sights(player))).order.id


def test_only_orders_with_the_marker_are_found_on_every_page() -> None:
    player = Player(Traits(page=2, filters=False))
    ids = [player.make_order() for _ in range(3)]
    for memo in ("Ring first", intent(key="web-9").order.internal_memo or ""):
        player.make_order(memo=memo)
    found = [sight.order.id for sight in sights(player)]
    assert found == ids
    assert player.steps == [
        "GET /salesorders",
        *(step for step in player.steps if step.startswith("GET /salesorders?")),
    ]
    assert len(player.steps) == 3
    assert player.requests[0].query == {
        "limit": "100",
        "customerId": "7",
        "createdFrom": "2025-12-02T08:00:00.000Z",
    }


def test_a_second_look_asks_for_orders_that_are_not_older_than_needed() -> None:
    player, meant = Player(), intent()
    since = meant.created_from + datetime.timedelta(days=3)
    for moment in (since, meant.created_from - datetime.timedelta(days=3)):
        player.drive(look(meant, (), moment))
    asked = [request.query["createdFrom"] for request in player.requests]
    assert asked == ["2025-12-05T08:00:00.000Z", "2025-12-02T08:00:00.000Z"]


def test_an_order_whose_key_may_have_meant_another_customer_is_looked_for_among_all() -> None:
    player = Player()
    other = player.make_order()
    player.change(other, customer={"id": 8, "name": "Another"})
    assert sights(player) == []
    assert [sight.order.id for sight in player.drive(look(intent(any_customer=True))).sights] == [other]
    assert player.requests[-1].query == {"limit": "100", "createdFrom": "2025-12-02T08:00:00.000Z"}


def test_a_known_order_that_the_list_does_not_show_is_read() -> None:
    player = Player()
    hidden = player.make_order()
    player.on("GET /salesorders", answered([]))
    found = player.drive(look(intent(), {hidden, 99}))
    assert player.steps[1:] == [f"GET /salesorders/{order_id}" for order_id in (hidden, 99)]
    assert [sight.order.id for sight in found.sights] == [hidden]
    assert found.unlisted == {hidden}
    assert player.drive(look(intent(), {hidden})).unlisted == set()


@pytest.mark.parametrize("shown", [True, False])
def test_a_known_order_that_has_lost_its_marker_is_told_with_the_text_to_put_back(shown: bool) -> None:
    player = Player()
    edited = player.make_order(memo="Ring first")
    if not shown:
        player.on("GET /salesorders", answered([]))
    with pytest.raises(OrderDrift) as raised:
        player.drive(look(intent(), {edited}))
    assert str(raised.value) == (
        f"Sales order {edited} of 'web-10045' has lost its marker: somebody edited internalMemo in 24SevenOffice. Put "
        f"this text back into it, then clear this task: {intent().marker}"
    )
    player.change(edited, internalMemo=str(raised.value).rsplit(": ", 1)[1])
    assert [sight.order.id for sight in player.drive(look(intent(), {edited})).sights] == [edited]


@pytest.mark.parametrize("shown", [True, False])
def test_a_known_order_of_another_key_or_inactive_without_a_marker_does_not_count(shown: bool) -> None:
    player = Player()
    other = player.make_order(memo=str(intent(key="web-9").marker))
    inactive = player.make_order(memo="Ring first", status="Inactive")
    if not shown:
        player.on("GET /salesorders", answered([]))
    assert player.drive(look(intent(), {other, inactive})) == ([], frozenset())


def test_a_lone_order_is_elected_without_a_look_at_its_lines() -> None:
    player = Player()
    only = player.make_order()
    assert elected(player) == only
    assert player.steps == ["GET /salesorders"]


def test_an_invoiced_order_is_elected_before_all() -> None:
    player = Player()
    player.make_order(lines=LINES)
    invoiced = player.make_order(lines=[LINE], status="Invoice")
    assert elected(player) == invoiced


def test_an_order_with_lines_is_elected_before_an_earlier_one() -> None:
    player = Player()
    player.make_order()
    player.now += 5
    filled = player.make_order(lines=[LINE])
    assert elected(player) == filled


def test_the_earliest_order_is_elected_and_at_the_same_moment_the_lowest_id() -> None:
    player = Player()
    first, second, third = (player.make_order() for _ in range(3))
    assert elected(player) == first
    moved = player.server.orders[third]
    player.server.orders[third] = type(moved)(moved.id, moved.fields, moved.created - 1, moved.modified)
    assert elected(player) == third
    bare = Player(Traits(stamps=False))
    first, second = bare.make_order(), bare.make_order()
    assert elected(bare) == first != second


def test_orders_set_inactive_do_not_count_but_are_not_replaced() -> None:
    player = Player()
    inactive = player.make_order(status="Inactive")
    with pytest.raises(OrderDrift, match=f"Sales order {inactive} of 'web-10045' was set inactive"):
        sights(player)
    active = player.make_order()
    assert [sight.order.id for sight in sights(player)] == [active]


def test_an_answer_without_times_can_be_elected() -> None:
    order = read(SalesOrder, {"id": 5}, "an order")
    player = Player()
    assert player.drive(elect([Sight(order, 0, 0, None)])).order.id == 5

from __future__ import annotations

import datetime
from typing import Any

import pytest
from tests.flows.player import ME, Player, answered

from tfso_hypatos.clients.tfso import see_sales_order
from tfso_hypatos.clients.tfso_lists import SalesOrderFilter, list_sales_orders
from tfso_hypatos.exceptions import UnexpectedResponse

CIRCLE = "the pages of 24SevenOffice's list of sales orders lead in a circle"


def with_pages(*pages: list[int]) -> Player:
    """Return a player whose list has pages with these orders, each but the last with a link to the next."""
    player = Player()
    for number, ids in enumerate(pages, 1):
        path = "/salesorders" if number == 1 else f"/salesorders?page={number}"
        link = {"link": f'</salesorders?page={number + 1}>; rel="next"'} if number < len(pages) else {}
        player.on(f"GET {path}", answered([{"id": order_id} for order_id in ids], headers=link))
    return player


def listed(player: Player) -> list[int]:
    return [order.id for order in player.drive(list_sales_orders(SalesOrderFilter()))]


def test_pages_without_a_new_order_are_read_on() -> None:
    assert listed(with_pages([1], *[[]] * 10, [2], *[[1, 2]] * 10, [3])) == [1, 2, 3]


@pytest.mark.parametrize("idle", [[], [1]])
def test_a_list_without_an_end_ends(idle: list[int]) -> None:
    player = with_pages([1], *[idle] * 50)
    with pytest.raises(UnexpectedResponse, match=CIRCLE):
        listed(player)
    assert len(player.steps) == 1 + 11


def test_pages_that_lead_back_end() -> None:
    player = Player()
    link = {"link": '</salesorders?page=2>; rel="next"'}
    player.on("GET /salesorders", answered([{"id": 1}], headers=link))
    player.on("GET /salesorders?page=2", answered([{"id": 2}], headers=link))
    with pytest.raises(UnexpectedResponse, match=CIRCLE):
        listed(player)
    assert player.steps == ["GET /salesorders", "GET /salesorders?page=2"]


NOON = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Mon, 02 Mar 2026 12:00:00 GMT", NOON),
        ("Mon, 02 Mar 2026 12:00:00", NOON),
        ("Mon, 02 Mar 2026 12:00:00 -0000", NOON),
        ("Mon, 02 Mar 2026 13:00:00 +0100", NOON),
        ("noon", None),
        ("", None),
    ],
)
def test_a_date_without_a_zone_is_in_utc(date: str, moment: datetime.datetime | None) -> None:
    player = Player()
    order_id = player.make_order(ME)
    shown: Any = player.server.show(player.server.orders[order_id])
    player.on(f"GET /salesorders/{order_id}", answered(shown, headers={"date": date}))
    assert player.drive(see_sales_order(order_id)).server_time == moment

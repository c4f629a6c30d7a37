from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import RIVAL, TIMING, Player, after, answered, intent, refused
from tests.flows.runs import LINES

from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.flows.look import elect, look, withdraw
from tfso_hypatos.flows.setbacks import Setbacks

COFFEE, CUPS, _ = LINES
TEA = {"description": "Tea", "quantity": 1, "price": 5}


def withdrawn(player: Player, *strays: int, winner: int) -> bool:
    by_id = {sight.order.id: sight for sight in player.drive(look(intent())).sights}
    player.steps.clear()
    return player.drive(withdraw(intent(), [by_id[stray] for stray in strays], by_id[winner], Setbacks(TIMING)))


def changes(player: Player) -> list[str]:
    return [step for step in player.steps if step.startswith(("DELETE", "PATCH"))]


def deletion(order_id: int) -> list[str]:
    address = f"/salesorders/{order_id}"
    return [f"GET {address}", f"GET {address}/lines", f"DELETE {address}"]


def test_strays_without_lines_are_deleted() -> None:
    player = Player()
    winner, *strays = (player.make_order() for _ in range(3))
    assert withdrawn(player, *strays, winner=winner)
    assert set(player.server.orders) == {winner}
    assert player.steps == [
        f"GET /salesorders/{winner}",
        *(step for stray in strays for step in deletion(stray)),
    ]


@pytest.mark.parametrize("gone", [True, False])
def test_nothing_is_withdrawn_for_an_order_that_was_withdrawn_itself(gone: bool) -> None:
    player = Player()
    winner, stray = player.make_order(), player.make_order()
    by_id = {sight.order.id: sight for sight in player.drive(look(intent())).sights}
    player.delete(winner) if gone else player.change(winner, status="Inactive")
    player.steps.clear()
    assert not player.drive(withdraw(intent(), [by_id[stray]], by_id[winner], Setbacks(TIMING)))
    assert changes(player) == []


@pytest.mark.parametrize("lines", [[COFFEE], LINES, [*LINES, CUPS, COFFEE]])
def test_a_stray_whose_lines_are_all_ours_is_set_inactive_if_the_elected_one_has_lines(lines: Any) -> None:
    player = Player()
    winner, stray = player.make_order(lines=LINES), player.make_order(lines=lines)
    before = player.server.orders[stray].lines
    assert withdrawn(player, stray, winner=winner)
    assert changes(player) == [f"PATCH /salesorders/{stray}"]
    assert player.requests[-1].body == {"status": "Inactive"}
    assert player.server.orders[stray].status == "Inactive"
    assert player.server.orders[stray].lines == before
    assert player.server.orders[winner].status == "Draft"


def test_a_stray_with_lines_calls_for_another_election_if_the_elected_one_has_none() -> None:
    player = Player()
    winner, stray = player.make_order(), player.make_order()
    player.on(f"GET /salesorders/{stray}/lines", after(lambda: player.add(stray, COFFEE)))
    assert not withdrawn(player, stray, winner=winner)
    assert changes(player) == []


@pytest.mark.parametrize(
    ("winner_has", "stray_has", "said"),
    [
        (("Invoice", LINES), ("Invoice", LINES), "is invoiced as number 1002"),
        (("Invoice", LINES), ("Invoice", [COFFEE]), "is invoiced as number 1002"),
        (("Invoice", LINES), (None, LINES), "has lines of its own"),
        (("Invoice", LINES), (None, [COFFEE]), "has lines of its own"),
        ((None, LINES), (None, [*LINES, TEA]), "has lines of its own"),
        ((None, LINES), (None, [{**COFFEE, "price": 100}, CUPS, CUPS]), "has lines of its own"),
        ((None, ()), (None, [TEA]), "has lines of its own"),
    ],
)
def test_what_may_be_a_copy_made_for_another_sale_is_left_to_a_person(
    winner_has: Any, stray_has: Any, said: str
) -> None:
    player = Player()
    winner, stray = (player.make_order(RIVAL, lines, status) for status, lines in (winner_has, stray_has))
    marker = intent(holder=RIVAL).marker
    with pytest.raises(OrderDrift) as raised:
        withdrawn(player, stray, winner=winner)
    assert str(raised.value) == (
        f"Sales orders {winner} and {stray} carry the marker of the same business order, and {stray} {said}. If it is "
        f"a copy made for another sale, remove the text {marker} from its internalMemo; if it bills the same sale "
        "twice, delete or credit one of them. Then clear this task."
    )
    assert changes(player) == []
    assert set(player.server.orders) == {winner, stray}


def test_an_invoiced_stray_is_left_to_a_person_even_if_it_shows_no_lines() -> None:
    player = Player()
    winner, stray = (player.make_order(lines=LINES, status="Invoice") for _ in range(2))
    player.on(f"GET /salesorders/{stray}/lines", answered([]))
    with pytest.raises(OrderDrift, match=f"and {stray} is invoiced"):
        withdrawn(player, stray, winner=winner)
    assert changes(player) == []


def test_a_stray_without_lines_is_deleted_even_if_the_elected_one_is_invoiced() -> None:
    player = Player()
    winner, stray = player.make_order(lines=LINES, status="Invoice"), player.make_order()
    assert withdrawn(player, stray, winner=winner)
    assert set(player.server.orders) == {winner}


def test_a_stray_that_is_gone_is_withdrawn() -> None:
    player = Player()
    winner, first, second, third = (player.make_order() for _ in range(4))
    player.on(f"GET /salesorders/{first}/lines", after(lambda: player.delete(first)))
    player.on(f"GET /salesorders/{second}", after(lambda: player.delete(second)))
    player.on(f"DELETE /salesorders/{third}", after(lambda: player.delete(third)))
    assert withdrawn(player, first, second, third, winner=winner)
    assert changes(player) == [f"DELETE /salesorders/{first}", f"DELETE /salesorders/{third}"]


def test_that_there_is_nothing_to_delete_is_believed_only_if_the_order_is_gone() -> None:
    player = Player()
    winner, stray = player.make_order(), player.make_order()
    player.on(f"DELETE /salesorders/{stray}", refused(404))
    assert withdrawn(player, stray, winner=winner)
    assert player.steps[1:] == [
        *deletion(stray),
        f"GET /salesorders/{stray}",
        f"PATCH /salesorders/{stray}",
    ]
    assert player.server.orders[stray].status == "Inactive"


def test_what_cannot_be_deleted_is_set_inactive() -> None:
    player = Player(Traits(deletes=False))
    winner, stray = player.make_order(lines=LINES), player.make_order()
    assert withdrawn(player, stray, winner=winner)
    assert player.server.orders[stray].status == "Inactive"
    assert changes(player) == [f"DELETE /salesorders/{stray}", f"PATCH /salesorders/{stray}"]


def test_a_conflict_without_an_invoice_leads_to_inactive() -> None:
    player = Player()
    winner, stray = player.make_order(), player.make_order()
    player.on(f"DELETE /salesorders/{stray}", refused(409))
    assert withdrawn(player, stray, winner=winner)
    assert player.server.orders[stray].status == "Inactive"


def test_a_stray_without_lines_that_nothing_helps_against_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    player = Player(Traits(deletes=False))
    winner, stray = player.make_order(), player.make_order()
    player.on(f"PATCH /salesorders/{stray}", refused(400))
    with caplog.at_level(logging.ERROR):
        assert withdrawn(player, stray, winner=winner)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.message == (
        f"Sales order {stray} repeats sales order {winner} and could be neither deleted nor set inactive. Remove it in "
        "24SevenOffice. It has no lines, so it cannot be billed."
    )


def test_a_stray_with_lines_that_nothing_helps_against_is_left_to_a_person() -> None:
    player = Player(Traits(deletes=False))
    winner, stray = (player.make_order(lines=LINES) for _ in range(2))
    player.on(f"PATCH /salesorders/{stray}", refused(400))
    with pytest.raises(
        OrderDrift, match=r"Remove it in 24SevenOffice, then clear this task: it has lines, so it could"
    ):
        withdrawn(player, stray, winner=winner)


@pytest.mark.parametrize(("lines", "method"), [((), "DELETE"), (LINES, "PATCH")])
def test_a_stray_that_was_invoiced_meanwhile_calls_for_another_election(lines: Any, method: str) -> None:
    player = Player()
    winner, stray = player.make_order(lines=lines), player.make_order(lines=lines)

    def invoiced() -> None:
        if not lines:
            player.add(stray, COFFEE)
        player.change(stray, status="Invoice")

    player.on(f"{method} /salesorders/{stray}", after(invoiced))
    assert not withdrawn(player, stray, winner=winner)
    assert changes(player) == [f"{method} /salesorders/{stray}"]
    assert player.drive(elect(player.drive(look(intent())).sights)).order.id == stray

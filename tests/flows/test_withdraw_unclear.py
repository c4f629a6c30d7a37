"""A withdrawal rests on a fresh look, and what is unclear about it leads to another look."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from tests.flows.player import ME, RETRY, RIVAL, TIMING, Player, after, intent, late, lost, refused, unanswered
from tests.flows.runs import LINES, ORGANIZATION
from tests.flows.test_withdraw import COFFEE, changes, withdrawn

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.clients.tfso import see_sales_order
from tfso_hypatos.exceptions import ConnectionFailed, NoAnswer, NotSent, RateLimited, ServerError, TfsoHypatosError
from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.look import look, withdraw, withdraw_one
from tfso_hypatos.flows.setbacks import Setbacks, Timing

UNCLEAR = [ServerError("down", status=503), NoAnswer("reset")]


def twins(lines: Any = ()) -> tuple[Player, int, int]:
    player = Player()
    return player, player.make_order(lines=lines), player.make_order(lines=lines)


def sending(lines: Any, order_id: int) -> str:
    return f"{'PATCH' if lines else 'DELETE'} /salesorders/{order_id}"


@pytest.mark.parametrize("lines", [(), LINES])
def test_a_withdrawal_is_sent_once_and_only_while_its_look_is_fresh(lines: Any) -> None:
    player, winner, stray = twins(lines)
    timing = Timing(20.0, shortest_settle=12.0)
    began = player.now
    sight = player.drive(see_sales_order(stray))
    assert player.drive(withdraw_one(sight, winner, Setbacks(timing), has_lines=bool(lines)))
    *_, sent = player.requests
    assert f"{sent.method} {sent.path}" == sending(lines, stray)
    assert (sent.repeatable, sent.changes, sent.not_after) == (False, True, began + 3.0)


def test_to_set_an_empty_stray_inactive_rests_on_the_same_look() -> None:
    player, winner, stray = twins()

    def slowly_refused(desk: Player, request: Request) -> Response:
        desk.pass_time(2.6)
        return refused(403)(desk, request)

    player.on(f"DELETE /salesorders/{stray}", slowly_refused)
    assert not withdrawn(player, stray, winner=winner)
    assert player.server.orders[stray].status == "Draft"


def test_a_stray_that_got_lines_since_it_was_elected_against_is_left_alone() -> None:
    player, winner, stray = twins()
    player.on(f"GET /salesorders/{stray}", after(lambda: player.add(stray, COFFEE)))
    assert not withdrawn(player, stray, winner=winner)
    assert changes(player) == []


def test_a_stray_that_was_invoiced_since_then_is_left_alone() -> None:
    player, winner, stray = twins(LINES)
    player.on(f"GET /salesorders/{stray}", after(lambda: player.change(stray, status="Invoice")))
    assert not withdrawn(player, stray, winner=winner)
    assert changes(player) == []


@pytest.mark.parametrize("lines", [(), LINES])
def test_a_withdrawal_that_was_held_back_calls_for_a_look_at_once(lines: Any) -> None:
    player, winner, stray = twins(lines)
    player.on(sending(lines, stray), lost(NotSent("old")))
    assert not withdrawn(player, stray, winner=winner)
    assert changes(player) == [sending(lines, stray)]
    assert not [step for step in player.steps if step.startswith("pause")]


@pytest.mark.parametrize("error", UNCLEAR)
@pytest.mark.parametrize("reaction", [unanswered, lost, lambda error: late(7, error)])
@pytest.mark.parametrize("lines", [(), LINES])
def test_an_unclear_withdrawal_is_settled_before_the_next_look(lines: Any, reaction: Any, error: Exception) -> None:
    player, winner, stray = twins(lines)
    player.on(sending(lines, stray), reaction(error))
    assert not withdrawn(player, stray, winner=winner)
    assert changes(player) == [sending(lines, stray)]
    assert player.steps[-1] == "pause 10"


@pytest.mark.parametrize("error", [ConnectionFailed("no route"), RateLimited("slow down", status=429)])
def test_a_withdrawal_that_was_clearly_not_carried_out_calls_for_a_later_look(error: Exception) -> None:
    player, winner, stray = twins()
    player.on(f"DELETE /salesorders/{stray}", lost(error))
    assert not withdrawn(player, stray, winner=winner)
    assert player.steps[-1] == "pause 10"
    assert set(player.server.orders) == {winner, stray}


def test_a_withdrawal_is_left_to_the_next_try_if_24sevenoffice_asks_for_a_long_wait() -> None:
    player, winner, stray = twins()
    player.on(f"DELETE /salesorders/{stray}", lost(RateLimited("slow down", status=429, retry_after=3600)))
    with pytest.raises(RateLimited):
        withdrawn(player, stray, winner=winner)
    assert set(player.server.orders) == {winner, stray}


@pytest.mark.parametrize("lines", [(), LINES])
@pytest.mark.parametrize("which", ["winner", "stray"])
def test_an_order_that_has_lost_its_marker_since_the_list_was_read_calls_for_another_look(
    lines: Any, which: str
) -> None:
    player, winner, stray = twins(lines)
    by_id = {sight.order.id: sight for sight in player.drive(look(intent())).sights}
    player.change(winner if which == "winner" else stray, internalMemo="for another sale")
    assert not player.drive(withdraw(intent(), [by_id[stray]], by_id[winner], Setbacks(TIMING)))
    assert changes(player) == []


@pytest.mark.parametrize("reaction", [refused(403), refused(404), refused(409), lost(NoAnswer("reset"))])
def test_an_order_with_lines_is_never_deleted(reaction: Any) -> None:
    player, winner, stray = twins(LINES)
    player.on(f"PATCH /salesorders/{stray}", reaction, refused(400), refused(400))
    for _ in range(2):
        with contextlib.suppress(TfsoHypatosError):
            withdrawn(player, stray, winner=winner)
    assert not [step for step in player.steps if step.startswith("DELETE")]
    assert len(player.server.orders[stray].lines) == len(LINES)


def create(player: Player, me: Holder) -> int:
    player.steps.clear()
    return player.drive(find_or_create(intent(holder=me), TIMING, ORGANIZATION)).order.id


def fill(player: Player, order_id: int) -> None:
    if order_id in player.server.orders:
        for line in LINES:
            player.add(order_id, line)


@pytest.mark.parametrize("filled_after", [1.0, 3.0, 6.9])
def test_a_late_deletion_of_what_another_run_fills_meanwhile_leaves_one_order(filled_after: float) -> None:
    player = Player()
    first, second = player.make_order(ME), player.make_order(RIVAL)
    player.on(f"DELETE /salesorders/{second}", late(7, NoAnswer("reset")))
    player.later(filled_after, lambda: fill(player, second))
    # Elected anew before the deletion arrives, the filled one would win, and the other one go.
    assert create(player, ME) == first
    assert set(player.server.orders) == {first}
    assert len(player.server.orders[first].lines) == len(LINES)
    assert player.count(f"DELETE /salesorders/{first}") == 0
    assert create(player, RIVAL) == first


def test_a_deletion_that_never_arrives_lets_the_filled_order_win() -> None:
    player = Player()
    first, second = player.make_order(ME), player.make_order(RIVAL)
    player.on(f"DELETE /salesorders/{second}", lost(NoAnswer("reset")))
    player.later(3.0, lambda: fill(player, second))
    assert create(player, ME) == second
    assert set(player.server.orders) == {second}
    assert create(player, RETRY) == second
    assert first not in player.server.orders

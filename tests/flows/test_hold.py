from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import ME, RETRY, RIVAL, TIMING, Player, after, late, lost, refused, unanswered
from tests.flows.runs import LINES, ORGANIZATION

from tfso_hypatos.clients.tfso import Sight, see_sales_order
from tfso_hypatos.exceptions import (
    Conflict,
    InvalidInput,
    NoAnswer,
    OrderBusy,
    PermissionDenied,
)
from tfso_hypatos.flows.hold import Claim, Hold, Standing
from tfso_hypatos.flows.intent import Holder, marker_of
from tfso_hypatos.flows.setbacks import Timing

TWIN = Holder.of("orders", "run-1", "create", 1, 1)


def hold_of(holder: Holder = ME, as_mine: Holder | None = None) -> Hold:
    return Hold(holder, ORGANIZATION, TIMING, as_mine)


def claim(player: Player, order_id: int, hold: Hold) -> Claim:
    sight = player.drive(see_sales_order(order_id))
    player.steps.clear()
    return player.drive(hold.claim(sight))


def test_the_waits_follow_from_the_settle_time() -> None:
    assert (TIMING.claim, TIMING.evidence, TIMING.busy) == (60, 2.5, 180)
    assert Timing().settle == 10


def test_a_look_is_good_for_no_longer_than_the_shortest_settle_time_allows() -> None:
    player = Player()
    sight = player.drive(see_sales_order(player.make_order(ME)))
    for settle, shortest, evidence in ((20.0, 10.0, 2.5), (4.0, 10.0, 1.0), (20.0, None, 5.0)):
        timing = Timing(settle, shortest_settle=shortest)
        assert (timing.evidence, timing.claim, timing.busy) == (evidence, 6 * settle, 18 * settle)
        assert Hold(ME, ORGANIZATION, timing).not_after(sight) == sight.seen_at + evidence


@pytest.mark.parametrize("as_mine", [None, RIVAL])
def test_what_is_mine_costs_no_request(as_mine: Holder | None) -> None:
    player = Player()
    order_id = player.make_order(as_mine or ME)
    hold = hold_of(as_mine=as_mine)
    assert claim(player, order_id, hold).standing is Standing.MINE
    assert player.steps == []


def test_a_look_is_good_for_a_quarter_of_the_settle_time_from_its_sending() -> None:
    player = Player()
    sight = player.drive(see_sales_order(player.make_order(ME)))
    assert hold_of().not_after(sight) == sight.seen_at + 2.5 == 1000 + 2.5


def test_a_fresh_foreign_holder_is_waited_for() -> None:
    player = Player()
    order_id = player.make_order(RIVAL)
    player.now += 59
    assert claim(player, order_id, hold_of()).standing is Standing.WAIT
    assert player.steps == ["pause 5"]
    assert player.holder(order_id) == RIVAL


def test_a_foreign_holder_is_stale_by_the_servers_clock() -> None:
    player = Player()
    order_id = player.make_order(RIVAL)
    player.now += 61
    result = claim(player, order_id, hold_of())
    assert result.standing is Standing.MINE
    assert player.steps == [f"PATCH /salesorders/{order_id}", "pause 10", f"GET /salesorders/{order_id}"]
    assert result.sight is not None
    assert player.holder(order_id) == ME


@pytest.mark.parametrize("traits", [Traits(dates=False), Traits(stamps=False), Traits(dates=False, stamps=False)])
def test_without_a_clock_a_holder_is_stale_when_it_was_seen_to_stand_still(traits: Traits) -> None:
    player, hold = Player(traits), hold_of()
    order_id = player.make_order(RIVAL)
    player.now += 1000
    looks = 0
    while claim(player, order_id, hold).standing is Standing.WAIT:
        looks += 1
    assert 11 <= looks <= 12


def test_a_change_of_the_order_starts_the_wait_anew() -> None:
    player, hold = Player(Traits(dates=False)), hold_of()
    order_id = player.make_order(RIVAL)
    for _ in range(8):
        claim(player, order_id, hold)
    player.add(order_id, LINES[0])
    waits = 0
    while claim(player, order_id, hold).standing is Standing.WAIT:
        waits += 1
    assert waits >= 11


def test_another_run_is_not_waited_for_without_end() -> None:
    player, hold = Player(Traits(dates=False)), hold_of()
    order_id = player.make_order(RIVAL)

    def wait_on() -> None:
        while True:
            claim(player, order_id, hold)
            player.add(order_id, LINES[0])

    with pytest.raises(OrderBusy, match=f"working on sales order {order_id} for 180 s"):
        wait_on()


def test_a_look_that_came_late_says_nothing_of_how_long_another_run_has_been_at_work() -> None:
    player, hold = Player(Traits(dates=False)), hold_of()
    order_id = player.make_order(RIVAL)
    for _ in range(3):
        assert claim(player, order_id, hold).standing is Standing.WAIT
        player.now += 3600
        player.add(order_id, LINES[0])


@pytest.mark.parametrize("other", [RETRY, TWIN])
def test_the_same_run_takes_over_at_once_and_the_one_displaced_does_not_take_back(other: Holder) -> None:
    player, hold = Player(), hold_of()
    order_id = player.make_order(other)
    player.on(f"PATCH /salesorders/{order_id}", lambda desk, request: desk.answer(request))
    player.later(5, lambda: player.hold(order_id, other))
    assert claim(player, order_id, hold).standing is Standing.WAIT
    assert player.holder(order_id) == other
    assert claim(player, order_id, hold).standing is Standing.WAIT
    assert player.steps == ["pause 5"]
    player.now += 60
    assert claim(player, order_id, hold).standing is Standing.MINE


def test_a_take_over_keeps_the_callers_memo() -> None:
    player = Player()
    order_id = player.make_order(RETRY)
    claim(player, order_id, hold_of())
    memo = player.server.orders[order_id].fields["internalMemo"]
    assert memo.startswith("Ring first\naf:")
    assert memo.count("af:") == 1


def test_an_order_without_a_marker_gets_one_of_its_own() -> None:
    player = Player()
    order_id = player.make_order(memo="By hand")
    result = claim(player, order_id, hold_of())
    assert result.standing is Standing.MINE
    assert result.sight is not None
    marker = marker_of(result.sight.order)[1]
    assert marker is not None
    assert marker.holder == ME
    full = player.make_order(memo="m" * 260)
    with pytest.raises(InvalidInput, match=f"sales order {full} has no room for the marker"):
        claim(player, full, hold_of())


def test_an_order_that_is_gone_or_invoiced_is_said_to_be() -> None:
    player = Player()
    gone, later, billed, refusing = (player.make_order(RETRY, lines=LINES) for _ in range(4))
    player.on(f"PATCH /salesorders/{gone}", after(lambda: player.delete(gone)))
    assert claim(player, gone, hold_of()) == Claim(Standing.GONE, None)
    player.later(5, lambda: player.delete(later))
    assert claim(player, later, hold_of()) == Claim(Standing.GONE, None)
    player.later(5, lambda: player.change(billed, status="Invoice"))
    assert claim(player, billed, hold_of()).standing is Standing.INVOICED
    player.on(f"PATCH /salesorders/{refusing}", after(lambda: player.change(refusing, status="Invoice")))
    assert claim(player, refusing, hold_of()).standing is Standing.INVOICED


@pytest.mark.parametrize("reaction", [unanswered, lost])
def test_an_unclear_take_over_is_looked_at_after_twice_the_settle_time(reaction: Callable[[Exception], Any]) -> None:
    player = Player()
    order_id = player.make_order(RETRY)
    player.on(f"PATCH /salesorders/{order_id}", reaction(NoAnswer("reset")))
    standing = claim(player, order_id, hold_of()).standing
    assert standing is (Standing.MINE if reaction is unanswered else Standing.WAIT)
    assert player.steps == [f"PATCH /salesorders/{order_id}", "pause 20", f"GET /salesorders/{order_id}"]


def test_whoever_an_unclear_take_over_displaces_has_the_settle_time_to_finish() -> None:
    """The one displaced may have looked just before the take-over took effect, and its change may still arrive."""
    player = Player()
    order_id = player.make_order(RETRY, LINES)
    player.on(f"PATCH /salesorders/{order_id}", late(7.4, NoAnswer("reset")))
    sent = player.now + 0.1
    result = claim(player, order_id, hold_of())
    assert result.standing is Standing.MINE
    assert result.sight is not None
    assert result.sight.seen_at >= sent + 7.4 + TIMING.settle


def test_a_conflict_is_looked_at_after_twice_the_settle_time() -> None:
    player = Player()
    order_id = player.make_order(RETRY)
    player.on(f"PATCH /salesorders/{order_id}", refused(409))
    assert claim(player, order_id, hold_of()).standing is Standing.WAIT
    assert player.steps == [f"PATCH /salesorders/{order_id}", "pause 20", f"GET /salesorders/{order_id}"]


def test_a_take_over_is_not_repeated_behind_the_flows_back() -> None:
    player = Player()
    order_id = player.make_order(RETRY, LINES)
    claim(player, order_id, hold_of())
    (sent,) = [request for request in player.requests if request.changes]
    assert not sent.repeatable


def test_whoever_displaced_this_task_is_stale_by_its_own_observation_only() -> None:
    player, hold = Player(), hold_of()
    order_id = player.make_order(RETRY)
    player.later(5, lambda: player.hold(order_id, RIVAL))
    assert claim(player, order_id, hold).standing is Standing.WAIT
    player.now += 1000
    began = player.now
    while claim(player, order_id, hold).standing is Standing.WAIT:
        assert player.steps == ["pause 5"]
    assert 60 <= player.now - began - TIMING.settle < 66
    player.hold(order_id, RIVAL)
    player.now += 1000
    assert claim(player, order_id, hold_of()).standing is Standing.MINE


def test_a_task_that_is_displaced_again_and_again_gives_up() -> None:
    player, hold = Player(), hold_of()
    order_id = player.make_order(RETRY)

    def another_try() -> None:
        player.hold(order_id, Holder.of("orders", "run-1", "create", -1, 3))

    for _ in range(5):
        player.later(5, another_try)
        assert claim(player, order_id, hold).standing is Standing.WAIT
        another_try()
    with pytest.raises(OrderBusy, match=f"Sales order {order_id} could not be taken over in 5 attempts") as raised:
        claim(player, order_id, hold)
    assert player.steps == []
    assert not raised.value.permanent
    assert raised.value.__cause__ is None


def test_a_marker_that_is_never_stored_ends_with_what_was_refused() -> None:
    player, hold = Player(), hold_of()
    order_id = player.make_order(memo="By hand")
    player.on(f"PATCH /salesorders/{order_id}", *[refused(409)] * 5)
    for _ in range(5):
        assert claim(player, order_id, hold).standing is Standing.WAIT
    with pytest.raises(OrderBusy, match="or 24SevenOffice does not store its marker") as raised:
        claim(player, order_id, hold)
    assert isinstance(raised.value.__cause__, Conflict)


def test_a_refused_take_over_ends_the_try() -> None:
    player = Player()
    order_id = player.make_order(RETRY)
    player.on(f"PATCH /salesorders/{order_id}", refused(403))
    with pytest.raises(PermissionDenied):
        claim(player, order_id, hold_of())


def test_a_sight_names_its_holder() -> None:
    player = Player()
    sight: Sight = player.drive(see_sales_order(player.make_order(RIVAL)))
    assert not hold_of().is_mine(sight)
    assert hold_of(RIVAL).is_mine(sight)
    assert hold_of(as_mine=RIVAL).is_mine(sight)

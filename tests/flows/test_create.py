from __future__ import annotations

from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import (
    ME,
    RETRY,
    RIVAL,
    TIMING,
    Player,
    after,
    answered,
    intent,
    late,
    lost,
    refused,
    unanswered,
)
from tests.flows.runs import LINES, ORGANIZATION, SELLS

from tfso_hypatos.exceptions import (
    BadRequest,
    NoAnswer,
    OrderBusy,
    OrderDrift,
    OutcomeUncertain,
    ServerError,
    TimedOut,
    UnexpectedResponse,
)
from tfso_hypatos.flows.create import Created, find_or_create
from tfso_hypatos.flows.intent import Holder

COFFEE, CUPS, _ = LINES


def create(player: Player, holder: Holder = ME, known: tuple[int, ...] = (), **more: Any) -> Created:
    player.steps.clear()
    return player.drive(find_or_create(intent(holder=holder, **more), TIMING, ORGANIZATION, known))


def test_the_ordinary_path_makes_exactly_these_requests() -> None:
    player = Player()
    created = create(player)
    order_id = created.order.id
    assert player.steps == [
        "GET /salesorders",
        "POST /salesorders",
        "GET /salesorders",
        *[f"POST /salesorders/{order_id}/lines"] * 3,
        f"GET /salesorders/{order_id}/lines",
        f"GET /salesorders/{order_id}",
    ]
    assert created.created
    assert created.holder == ME
    assert created.edited == ()
    assert len(created.line_ids) == 3
    assert player.remembered == [order_id]
    assert player.server.orders[order_id].sells == SELLS
    changes = [request for request in player.requests if request.changes]
    assert [request.repeatable for request in changes] == [False] * 4
    assert all(request.not_after is not None for request in changes[1:])


def test_the_next_try_and_another_run_adopt_what_is_complete() -> None:
    player = Player()
    first = create(player)
    for holder in (RETRY, RIVAL):
        again = create(player, holder)
        order_id = first.order.id
        expected = ["GET /salesorders", f"GET /salesorders/{order_id}/lines", f"GET /salesorders/{order_id}"]
        assert player.steps == expected
        assert (again.created, again.line_ids, again.holder) == (False, first.line_ids, None)


UNCLEAR = [TimedOut("no answer"), NoAnswer("reset"), ServerError("down", status=502), UnexpectedResponse("html")]


@pytest.mark.parametrize("error", UNCLEAR)
@pytest.mark.parametrize("reaction", [unanswered, lambda error: late(9, error)])
def test_an_unclear_creation_is_looked_for_and_never_sent_again(error: Exception, reaction: Any) -> None:
    player = Player()
    player.on("POST /salesorders", reaction(error))
    created = create(player)
    assert player.count("POST /salesorders") == 1
    assert player.steps[:3] == ["GET /salesorders", "POST /salesorders", "pause 10"]
    assert created.created
    assert list(player.server.orders) == [created.order.id]
    assert player.remembered == [created.order.id]


@pytest.mark.parametrize("error", UNCLEAR)
def test_an_order_that_does_not_appear_leaves_the_outcome_uncertain(error: Exception) -> None:
    player = Player()
    player.on("POST /salesorders", lost(error))
    with pytest.raises(OutcomeUncertain, match=r"not there after 10 s\. Retry this task") as raised:
        create(player)
    assert raised.value.__cause__ is error
    assert player.count("POST /salesorders") == 1
    assert create(player, RETRY).created


def test_a_refused_creation_ends_the_try() -> None:
    player = Player()
    player.on("POST /salesorders", refused(400))
    with pytest.raises(BadRequest):
        create(player)
    assert player.steps[-1] == "POST /salesorders"


def test_after_an_unclear_creation_the_order_of_another_run_may_be_what_is_there() -> None:
    player = Player()
    player.on("POST /salesorders", lost(NoAnswer("reset")))
    player.later(5, lambda: player.make_order(RIVAL, LINES))
    created = create(player)
    assert not created.created
    assert created.holder is None
    assert player.remembered == []


@pytest.mark.parametrize("error", UNCLEAR)
@pytest.mark.parametrize("reaction", [unanswered, lost, lambda error: late(9, error)])
def test_an_unclear_line_is_settled_before_what_is_missing_is_added(error: Exception, reaction: Any) -> None:
    player = Player()
    player.on("POST /salesorders/1/lines", after(lambda: None), reaction(error))
    created = create(player)
    assert player.server.orders[created.order.id].sells == SELLS
    assert player.count("pause 10") == 1


def test_missing_lines_are_completed_after_taking_over_from_the_try_before() -> None:
    player = Player()
    order_id = player.make_order(ME, [CUPS])
    created = create(player, RETRY)
    assert player.server.orders[order_id].sells == SELLS
    assert (created.created, created.holder) == (False, RETRY)
    assert player.steps[1:6] == [
        f"GET /salesorders/{order_id}/lines",
        f"GET /salesorders/{order_id}",
        f"PATCH /salesorders/{order_id}",
        "pause 10",
        f"GET /salesorders/{order_id}",
    ]
    assert player.steps[6] == f"GET /salesorders/{order_id}/lines"


def test_a_repeated_line_is_removed_and_the_lowest_ids_stay() -> None:
    player = Player()
    order_id = player.make_order(ME, [*LINES, CUPS, COFFEE])
    kept = [line_id for line_id, _ in player.server.orders[order_id].lines][:3]
    created = create(player, RETRY)
    assert list(created.line_ids) == kept
    assert player.server.orders[order_id].sells == SELLS


def test_what_another_run_completes_is_waited_for() -> None:
    player = Player()
    order_id = player.make_order(RIVAL, [COFFEE])
    player.later(12, lambda: (player.add(order_id, CUPS), player.add(order_id, CUPS)))
    created = create(player)
    assert player.count("pause 5") in (2, 3)
    assert not any(request.changes for request in player.requests)
    assert created.holder is None


def test_of_two_orders_the_first_wins_and_the_other_goes_before_any_line() -> None:
    player = Player()
    player.on("POST /salesorders", after(lambda: player.make_order(RIVAL)))
    player.later(30, lambda: [player.add(1, line) for line in LINES])
    created = create(player)
    assert created.order.id == 1
    assert player.count("DELETE /salesorders/2") == 1
    assert list(player.server.orders) == [1]


def test_an_order_that_goes_mid_way_is_looked_for_again() -> None:
    player = Player()
    rival: list[int] = []

    def swap() -> None:
        player.delete(1)
        rival.append(player.make_order(RIVAL, LINES))

    player.on("POST /salesorders/1/lines", after(lambda: None), after(swap))
    assert create(player).order.id == rival[0]
    assert player.count("POST /salesorders") == 1


def test_an_order_that_is_deleted_mid_way_is_not_created_anew_by_the_same_try() -> None:
    player = Player()
    player.on("POST /salesorders/1/lines", after(lambda: player.delete(1)))
    with pytest.raises(OutcomeUncertain, match="was created and is gone again"):
        create(player)
    assert player.count("POST /salesorders") == 1


def test_an_order_invoiced_by_another_run_is_adopted() -> None:
    player = Player()
    order_id = player.make_order(RIVAL, LINES, status="Invoice")
    created = create(player)
    assert (created.order.id, created.order.is_invoiced, created.created) == (order_id, True, False)


def test_an_order_set_inactive_meanwhile_is_a_matter_for_a_person() -> None:
    player = Player()
    player.on("POST /salesorders/1/lines", after(lambda: player.change(1, status="Inactive")))
    with pytest.raises(OrderDrift, match="was set inactive"):
        create(player)


def test_a_lagging_list_does_not_hide_what_is_known() -> None:
    player = Player()
    player.on("GET /salesorders", answered([]), answered([]), answered([]))
    order_id = create(player).order.id
    around = ["GET /salesorders", f"GET /salesorders/{order_id}", "pause 2.5"]
    assert player.steps[2:6] == [*around, "GET /salesorders"]
    player.on("GET /salesorders", answered([]))
    assert create(player, RETRY, known=(77, order_id)).order.id == order_id
    assert player.steps[1:4] == [f"GET /salesorders/{order_id}", "GET /salesorders/77", "pause 2.5"]
    assert player.count("POST /salesorders") == 0


def test_a_list_that_never_shows_the_order_is_not_waited_for_without_end() -> None:
    player = Player()
    player.on("GET /salesorders", *[answered([])] * 40)
    assert create(player).created
    assert player.count("pause 2.5") == 8


def test_a_twin_that_the_list_shows_together_with_the_order_wins_before_any_line() -> None:
    player = Player()
    twin = player.make_order(RIVAL, LINES)
    player.on("GET /salesorders", answered([]), answered([]))
    assert create(player).order.id == twin
    assert not [step for step in player.steps if step.startswith("POST /salesorders/")]
    assert player.count("DELETE /salesorders/5") == 1


def test_an_order_that_keeps_changing_is_left_to_the_next_try() -> None:
    player = Player()
    player.make_order(RIVAL)

    def another() -> None:
        player.server.orders = {}
        player.make_order(RIVAL)

    for number in range(1, 60):
        player.on(f"GET /salesorders/{number}/lines", after(another))
    with pytest.raises(OrderBusy, match="kept changing under this task"):
        create(player)
    around = ["GET /salesorders", "GET /salesorders/{}/lines"]
    expected = [around] * 4 + [["pause 2.5", *around]] * 24
    assert player.steps == [step.format(number) for number, steps in enumerate(expected, 1) for step in steps]


def test_only_the_first_work_on_a_new_order_takes_it_for_one_without_lines() -> None:
    player = Player()
    player.on("POST /salesorders/1/lines", after(lambda: None), refused(404))
    player.on("GET /salesorders/1/lines", refused(404))
    created = create(player)
    assert player.steps[3:8] == [
        *["POST /salesorders/1/lines"] * 2,
        "GET /salesorders/1/lines",
        "GET /salesorders",
        "GET /salesorders/1/lines",
    ]
    assert created.created
    assert player.server.orders[1].sells == SELLS
    assert player.count("POST /salesorders/1/lines") == 4


def test_a_new_order_somebody_else_has_taken_over_is_not_one_without_lines() -> None:
    player = Player()

    def rival() -> None:
        player.hold(1, RIVAL)
        for line in LINES:
            player.add(1, line)

    player.on("GET /salesorders", after(lambda: None), after(rival))
    created = create(player)
    assert (created.created, created.holder) == (True, None)
    assert player.count("POST /salesorders/1/lines") == 0
    assert player.server.orders[1].sells == SELLS


@pytest.mark.parametrize("traits", [Traits(), Traits(stamps=False)])
def test_after_the_creation_only_orders_of_that_time_are_looked_for(traits: Traits) -> None:
    player = Player(traits)
    create(player)
    first, second = (
        request.query["createdFrom"]
        for request in player.requests
        if request.path == "/salesorders" and request.method == "GET"
    )
    assert first == "2025-12-02T08:00:00.000Z"
    assert second == ("2026-03-01T08:16:40.100Z" if traits.stamps else first)


def test_the_marker_in_the_reference_number_is_found_again() -> None:
    player = Player(Traits(filters=False))
    first = create(player, marker_field="referenceNumber")
    assert str(player.server.orders[first.order.id].fields["referenceNumber"]).startswith("af:")
    assert create(player, RETRY, marker_field="referenceNumber").order.id == first.order.id


def test_a_line_that_was_clearly_added_and_is_not_shown_yet_is_not_added_again() -> None:
    player = Player()
    player.on("GET /salesorders/1/lines", answered([]), answered([]))
    created = create(player)
    assert len(created.line_ids) == len(set(created.line_ids)) == len(LINES)
    assert player.count("POST /salesorders/1/lines") == len(LINES)


def test_a_line_that_was_clearly_added_and_never_shows_is_uncertain() -> None:
    player = Player()
    player.on("GET /salesorders/1/lines", *[answered([])] * 20)
    with pytest.raises(OutcomeUncertain, match="does not show it"):
        create(player)
    assert player.count("POST /salesorders/1/lines") == len(LINES)

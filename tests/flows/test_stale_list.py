"""A list may show what was: nothing is written, withdrawn or refused for good on its word alone."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.flows.player import ME, RETRY, RIVAL, TIMING, Player, after, answered, intent
from tests.flows.runs import LINES, ORGANIZATION
from tests.flows.test_invoice import run, with_order

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.look import LOOKS_UNTIL_LISTED

UNCHANGED = after(lambda: None)
EMPTY = answered([])


def taken_over(player: Player, order_id: int, by: Holder = RETRY) -> None:
    marker = intent(holder=by).marker
    player.change(order_id, internalMemo=f"Ring first\n{marker}")
    for line in LINES:
        player.add(order_id, line)


def stale(action: Any) -> Any:
    """Return the reaction of a list that shows what was before something happened."""

    def react(player: Player, request: Request) -> Response:
        answer = player.carry_out(request)
        action()
        return answer

    return react


def create(player: Player, me: Holder = ME) -> Any:
    return player.drive(find_or_create(intent(holder=me), TIMING, ORGANIZATION))


def test_whoever_has_waited_for_the_list_reads_the_order_before_it_adds_lines() -> None:
    player = Player()
    player.on("GET /salesorders", UNCHANGED, EMPTY, stale(lambda: taken_over(player, 1)))
    assert len(create(player).line_ids) == len(LINES)
    assert player.count("POST /salesorders/1/lines") == 0
    assert len(player.server.orders[1].lines) == len(LINES)


def test_a_creation_that_took_long_is_read_before_lines_are_added() -> None:
    player = Player()

    def slowly(desk: Player, request: Request) -> Response:
        answer = desk.carry_out(request)
        desk.pass_time(20)
        return answer

    player.on("POST /salesorders", slowly)
    player.on("GET /salesorders", UNCHANGED, stale(lambda: taken_over(player, 1)))
    assert len(create(player).line_ids) == len(LINES)
    assert [
        request.not_after for request in player.requests if request.path.endswith("/lines") and request.changes
    ] == [1000.1 + 2.5]
    assert len(player.server.orders[1].lines) == len(LINES)


@pytest.mark.parametrize("what", ["set inactive", "marker removed", "deleted"])
def test_a_twin_that_was_withdrawn_meanwhile_does_not_keep_an_order_from_being_invoiced(what: str) -> None:
    player = with_order()
    twin = player.make_order(RIVAL, LINES)
    actions = {
        "set inactive": lambda: player.change(twin, status="Inactive"),
        "marker removed": lambda: player.change(twin, internalMemo="for another sale"),
        "deleted": lambda: player.delete(twin),
    }
    player.on("GET /salesorders", stale(actions[what]))
    assert run(player).invoiced
    assert player.count(f"DELETE /salesorders/{twin}") == player.count(f"PATCH /salesorders/{twin}") == 0


def test_a_copy_of_an_invoiced_order_is_not_called_invoiced() -> None:
    player = with_order()
    copy = player.make_order(RIVAL, LINES)
    player.change(copy, internalMemo=f"Ring first\n{intent(holder=RIVAL).marker.sent()}")
    with pytest.raises(OrderDrift, match=f"{copy} has lines too and says that it is being invoiced, as a copy"):
        run(player)
    player.change(1, status="Invoice")
    with pytest.raises(OrderDrift, match=f"{copy} says that it is being invoiced, as a copy"):
        create(player)


def test_a_list_that_never_shows_the_order_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    player = Player()
    player.on("GET /salesorders", *[EMPTY] * 99)
    with caplog.at_level(logging.WARNING):
        create(player)
        assert caplog.messages == ["The list does not show sales order 1, so a twin of it may not show either"]
        assert player.count("GET /salesorders") == 1 + 1 + LOOKS_UNTIL_LISTED
        caplog.clear()
        assert run(player).invoiced
        assert caplog.messages == ["The list does not show sales order 1, so a twin of it may not show either"]
        assert player.count("GET /salesorders") == 1 + LOOKS_UNTIL_LISTED

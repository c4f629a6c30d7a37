from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from tests.flows.books import Traits
from tests.flows.player import ME, RIVAL, Player, after, answered, unanswered
from tests.flows.runs import LINES
from tests.flows.test_invoice import GROSS, LOOK, run, with_order

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.exceptions import InvoicingUnconfirmed, OrderDrift, TimedOut


def test_a_number_that_lags_is_waited_for() -> None:
    player = with_order()
    bare = {**player.server.show(player.server.orders[1]), "status": "Invoice"}

    def bare_answer(desk: Player, request: Request) -> Response:
        desk.carry_out(request)
        return answered(bare)(desk, request)

    player.on("PATCH /salesorders/1", bare_answer)
    player.on("GET /salesorders/1", after(lambda: None), answered(bare), answered({**bare, "status": "Draft"}))
    assert run(player).order.invoice_number == 1001
    assert player.steps[4:] == ["pause 2.5", "GET /salesorders/1"] * 3


def test_a_number_that_does_not_come_is_done_without() -> None:
    player = with_order()
    bare = {**player.server.show(player.server.orders[1]), "status": "Invoice"}
    player.on("PATCH /salesorders/1", answered(bare))
    player.on("GET /salesorders/1", after(lambda: None), *[answered(bare)] * 4)
    result = run(player)
    assert result.order.is_invoiced
    assert result.order.invoice_number is None
    assert player.steps[4:] == ["pause 2.5", "GET /salesorders/1"] * 4


def test_an_invoicing_that_was_accepted_and_does_not_show_is_not_tried_again() -> None:
    player = with_order()
    draft = player.server.show(player.server.orders[1])
    player.on("PATCH /salesorders/1", answered(draft))
    with pytest.raises(InvoicingUnconfirmed) as raised:
        run(player)
    assert raised.value.permanent
    assert str(raised.value).startswith("24SevenOffice accepted to invoice sales order 1 but still shows it as Draft.")
    assert player.steps[3:] == ["PATCH /salesorders/1", *["pause 2.5", "GET /salesorders/1"] * 24]


def test_the_total_of_an_invoice_that_this_try_sent_is_only_reported(caplog: pytest.LogCaptureFixture) -> None:
    player = with_order()

    def with_a_fee(desk: Player, request: Request) -> Response:
        desk.add(1, {"description": "Invoice fee", "quantity": 1, "price": 5})
        return unanswered(TimedOut("no answer"))(desk, request)

    player.on("PATCH /salesorders/1", with_a_fee)
    result = run(player, expected_gross=GROSS, created_gross=GROSS)
    assert result.invoiced
    assert result.order.gross_amount != GROSS
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.message == (
        "Sales order 1 was invoiced, but not as it was checked before: gross amount: expected 399.625, 24SevenOffice "
        "shows 405.875; gross amount: it was created with 399.625, 24SevenOffice shows 405.875"
    )
    with pytest.raises(OrderDrift, match="It is invoiced already"):
        run(player, expected_gross=GROSS)


def hidden_for(seconds: float) -> Player:
    """Return a player with a complete order that the list does not show for a while."""
    player = Player(Traits(list_lag=1.0))
    player.make_order(ME, LINES)
    shown_from = player.now + seconds

    def lagging(desk: Player, request: Request) -> Response:
        reaction = answered([]) if desk.now < shown_from else after(lambda: None)
        return reaction(desk, request)

    player.on("GET /salesorders", *[lagging] * 20)
    return player


def test_an_order_that_the_list_shows_does_not_wait() -> None:
    player = hidden_for(0)
    assert run(player).invoiced
    assert player.steps == LOOK


def test_an_order_that_the_list_does_not_show_yet_waits_for_it() -> None:
    player = hidden_for(5)
    assert run(player).invoiced
    assert player.steps[:7] == [*LOOK[:3], *["pause 2.5", "GET /salesorders"] * 2]
    # The look at the holder has grown old meanwhile.
    assert player.steps[7:] == ["PATCH /salesorders/1", "GET /salesorders/1", "PATCH /salesorders/1"]
    assert len(player.server.invoices) == 1


def test_a_twin_that_shows_together_with_the_order_is_found() -> None:
    player = hidden_for(5)
    twin = player.make_order(RIVAL, LINES)
    with pytest.raises(OrderDrift, match=f"Sales orders 1 and {twin} belong to the same business order"):
        run(player)
    assert player.server.invoices == []


def test_a_list_that_never_shows_the_order_is_not_waited_for_without_end() -> None:
    player = hidden_for(1e9)
    assert run(player).invoiced
    assert player.count("GET /salesorders") == 9
    assert player.now < 1100


def test_twins_are_looked_for_among_orders_of_that_time() -> None:
    player = Player()
    player.make_order(ME, LINES)
    player.server.orders[1] = replace(player.server.orders[1], created=player.now - 3 * 86400)
    player.make_order(RIVAL, LINES)
    twin = player.server.orders[5]
    player.server.orders[5] = replace(twin, created=player.now - 4 * 86400 - 60)
    assert run(player).invoiced
    (asked,) = [request.query for request in player.requests if request.path == "/salesorders"]
    assert asked == {"limit": "100", "customerId": "7", "createdFrom": "2026-02-26T08:16:40.000Z"}


def test_whoever_displaces_this_task_while_it_waits_is_waited_for() -> None:
    player = hidden_for(5)
    player.later(4, lambda: player.hold(1, RIVAL))
    player.later(20, lambda: player.change(1, status="Invoice"))
    result = run(player)
    assert not result.invoiced
    assert len(player.server.invoices) == 1

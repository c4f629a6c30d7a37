from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from tests.flows.books import Traits
from tests.flows.player import ME, RETRY, RIVAL, Player, after, answered, unanswered
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


def young(age: float, traits: Traits | None = None) -> Player:
    """Return a player with an order that seems to be so many seconds old."""
    player = Player(traits)
    player.make_order(ME, LINES)
    order = player.server.orders[1]
    player.server.orders[1] = replace(order, created=player.now - age)
    return player


@pytest.mark.parametrize(("age", "wait"), [(0, "pause 10"), (4, "pause 6"), (-500, "pause 10")])
def test_a_young_order_waits_before_twins_are_looked_for(age: float, wait: str) -> None:
    player = young(age)
    assert run(player).invoiced
    assert player.steps == ["GET /salesorders/1", wait, *LOOK]


@pytest.mark.parametrize("age", [10, 11, 5000])
def test_an_order_of_the_settle_time_does_not_wait(age: float) -> None:
    player = young(age)
    assert run(player).invoiced
    assert player.steps == LOOK


@pytest.mark.parametrize("traits", [Traits(dates=False), Traits(stamps=False)])
def test_an_order_of_no_known_age_waits_one_settle_time(traits: Traits) -> None:
    player = young(5000, traits)
    assert run(player).invoiced
    assert player.steps == ["GET /salesorders/1", "pause 10", *LOOK]


@pytest.mark.parametrize("traits", [Traits(dates=False), Traits(stamps=False)])
def test_a_twin_that_shows_while_an_order_of_no_known_age_waits_is_found(traits: Traits) -> None:
    player = young(5000, traits)
    player.later(5, lambda: player.make_order(RIVAL, LINES))
    with pytest.raises(OrderDrift, match="Sales orders 1 and 5 belong to the same business order"):
        run(player)
    assert player.server.invoices == []


def test_an_order_of_no_known_age_that_was_taken_over_does_not_wait_again() -> None:
    player = young(5000, Traits(dates=False))
    player.hold(1, RETRY)
    assert run(player, created_by=None).invoiced
    assert player.count("pause 10") == 1


def test_a_young_order_that_was_taken_over_is_old_enough_then() -> None:
    player = young(0)
    assert run(player, created_by=None).invoiced
    assert player.steps[:4] == ["GET /salesorders/1", "PATCH /salesorders/1", "pause 10", "GET /salesorders/1"]
    assert player.count("pause 10") == 1


def test_a_twin_that_shows_only_after_the_wait_is_found() -> None:
    player = young(0)
    player.later(5, lambda: player.make_order(RIVAL, LINES))
    with pytest.raises(OrderDrift, match="Sales orders 1 and 5 belong to the same business order"):
        run(player)
    assert player.server.invoices == []


def test_twins_are_looked_for_among_orders_of_that_time() -> None:
    player = young(3 * 86400)
    player.make_order(RIVAL, LINES)
    twin = player.server.orders[5]
    player.server.orders[5] = replace(twin, created=player.now - 4 * 86400 - 60)
    assert run(player).invoiced
    (asked,) = [request.query for request in player.requests if request.path == "/salesorders"]
    assert asked == {"limit": "100", "customerId": "7", "createdFrom": "2026-02-26T08:16:40.000Z"}


def test_whoever_displaces_this_task_while_it_waits_is_waited_for() -> None:
    player = young(0)
    player.later(5, lambda: player.hold(1, RIVAL))
    player.later(20, lambda: player.change(1, status="Invoice"))
    result = run(player)
    assert not result.invoiced
    assert len(player.server.invoices) == 1
    assert "PATCH /salesorders/1" not in player.steps

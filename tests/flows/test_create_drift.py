from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.flows.player import ME, RETRY, RIVAL, Player, after
from tests.flows.runs import LINES, ORDER, SELLS
from tests.flows.test_create import create

from tfso_hypatos.exceptions import OrderDrift

COFFEE, CUPS, _ = LINES
TEA = {"description": "Tea", "quantity": 1, "price": 5}


def changes(player: Player) -> list[str]:
    return [step for step in player.steps if step.startswith(("POST", "PATCH", "DELETE"))]


def test_other_content_under_the_same_key_is_refused_with_the_differences() -> None:
    player = Player()
    create(player)
    other = [{**COFFEE, "price": "100"}, CUPS, CUPS, {"description": "Tea"}]
    with pytest.raises(OrderDrift) as error:
        create(player, RETRY, order={**ORDER, "customer": {"id": 7, "name": "Other"}}, lines=other)
    assert changes(player) == []
    assert error.value.differences == (
        "order.customer.name",
        "line 2 is none of the wanted lines (the nearest differs in price)",
        "lines[0] is not there",
        "lines[3] is not there",
    )
    assert str(error.value) == (
        "Sales order 1 of 'web-10045' was created with other content than this task was given; it was left as it is. "
        f"It differs in: {'; '.join(error.value.differences)}. Give the task the content it had, or change the order "
        "in 24SevenOffice to what is wanted now, then clear this task. Another sale needs another order_key."
    )


def test_other_content_may_be_no_more_than_how_often_a_line_is_wanted() -> None:
    player = Player()
    create(player)
    with pytest.raises(OrderDrift, match="It differs in: how often a line stands there") as error:
        create(player, RETRY, lines=[COFFEE, CUPS])
    assert error.value.differences == ()
    assert changes(player) == []


@pytest.mark.parametrize("status", [None, "Invoice"])
def test_an_order_that_was_changed_to_what_is_wanted_now_is_adopted(
    caplog: pytest.LogCaptureFixture, status: str | None
) -> None:
    player = Player()
    order_id = create(player, order={**ORDER, "memo": "Thank you"}, lines=[TEA, CUPS, CUPS]).order.id
    wanted = {**ORDER, "memo": "Thanks"}
    with pytest.raises(OrderDrift, match="created with other content"):
        create(player, RETRY, order=wanted)
    tea = player.server.orders[order_id].lines[0][0]
    player._call("DELETE", f"/salesorders/{order_id}/lines/{tea}", None)
    player.add(order_id, COFFEE)
    player.change(order_id, memo="Thanks", **({"status": status} if status else {}))
    with caplog.at_level(logging.WARNING):
        created = create(player, RETRY, order=wanted)
    assert caplog.messages == [
        f"Sales order {order_id} was created with other content and now holds what was asked for"
    ]
    assert (created.order.id, created.created, created.holder, created.edited) == (order_id, False, None, ())
    assert len(created.line_ids) == 3
    assert changes(player) == []


def test_a_strange_line_is_drift() -> None:
    player = Player()
    order_id = create(player).order.id
    line = player.add(order_id, TEA)
    with pytest.raises(OrderDrift) as error:
        create(player, RETRY)
    strange = f"line {line} is none of the wanted lines (the nearest differs in description, price)"
    assert error.value.differences == (strange,)
    assert str(error.value) == (
        f"Sales order {order_id} of 'web-10045' differs from what was asked for. Undo the edit in 24SevenOffice and "
        f"clear this task, or bill it by hand: {strange}."
    )
    assert changes(player) == []


def test_a_decisive_edit_is_drift() -> None:
    player = Player()
    order_id = create(player).order.id
    player.change(order_id, customer={"id": 8, "name": "Another"})
    with pytest.raises(OrderDrift, match=r"differs from what was asked for\. .*: order\.customer\.id\.$"):
        create(player, RETRY, known=(order_id,))


def test_what_was_stored_differently_gets_no_lines() -> None:
    player = Player()
    given = {**ORDER, "currency": {"code": "EUR"}}
    player.on("GET /salesorders", after(lambda: None), after(lambda: player.change(1, currency={"code": "NOK"})))
    with pytest.raises(OrderDrift, match=r"1 of 'web-10045' was stored differently .*: order\.currency\.code\.$"):
        create(player, order=given)
    assert player.count("POST /salesorders/1/lines") == 0


def test_an_edit_of_another_field_is_only_told() -> None:
    player = Player()
    order_id = create(player, order={**ORDER, "memo": "Thank you"}).order.id
    player.change(order_id, memo="Thanks", deliveryDate="2026-03-09")
    assert create(player, RETRY, order={**ORDER, "memo": "Thank you"}).edited == ("order.memo",)


def test_a_lost_marker_is_drift() -> None:
    player = Player()
    player.on("POST /salesorders/1/lines", after(lambda: player.change(1, internalMemo="Ring first")))
    with pytest.raises(OrderDrift, match=r"Sales order 1 of 'web-10045' has lost its marker"):
        create(player)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (LINES[:2], r"lines\[2\] was not billed"),
        ([*LINES, COFFEE], "line 5 was billed twice"),
        ([*LINES, TEA], r"line 5 is none of the wanted lines \(the nearest differs in description, price\)"),
    ],
)
def test_an_invoice_with_other_lines_is_drift(lines: Any, said: str) -> None:
    player = Player()
    player.make_order(ME, lines, status="Invoice")
    with pytest.raises(OrderDrift, match=rf"is invoiced and differs from what was asked for: {said}\.$"):
        create(player, RETRY)
    assert changes(player) == []


def test_an_order_completed_and_invoiced_between_two_looks_is_no_drift() -> None:
    player = Player()
    order_id = player.make_order(RIVAL, LINES[:2])

    def finish() -> None:
        player.add(order_id, LINES[2])
        player.change(order_id, status="Invoice")

    player.on(f"GET /salesorders/{order_id}", after(finish))
    created = create(player)
    assert created.order.is_invoiced
    assert len(created.line_ids) == 3
    assert player.server.orders[order_id].sells == SELLS
    lines = f"GET /salesorders/{order_id}/lines"
    assert player.steps == ["GET /salesorders", lines, f"GET /salesorders/{order_id}", lines]

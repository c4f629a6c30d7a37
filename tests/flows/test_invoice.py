from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import KEY, ME, RIVAL, TIMING, Player, after, intent, late, lost, refused, unanswered
from tests.flows.runs import LINES, ORGANIZATION

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.exceptions import (
    NoAnswer,
    NotSent,
    OrderDrift,
    OutcomeUncertain,
    PermissionDenied,
    TimedOut,
)
from tfso_hypatos.flows.billing import InvoiceOrder
from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.invoice import Invoiced, invoice
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import InvoiceDetails

INVOICER = Holder.of("orders", "run-1", "invoice", -1, 1)
GROSS = Decimal("399.625")


def with_order(lines: Any = LINES, traits: Traits | None = None) -> Player:
    player = Player(traits)
    player.drive(find_or_create(intent(lines=lines), TIMING, ORGANIZATION))
    player.requests.clear()
    player.now += 20
    return player


def run(player: Player, created_by: Holder | None = ME, me: Holder = INVOICER, **task: Any) -> Invoiced:
    player.steps.clear()
    given = {"order_id": 1, "key": KEY, **task}
    return player.drive(invoice(InvoiceOrder(**given), TIMING, ORGANIZATION, me, created_by))


LOOK = ["GET /salesorders/1", "GET /salesorders/1/lines", "GET /salesorders", "PATCH /salesorders/1"]


def test_under_the_holder_of_the_create_step_four_requests_do() -> None:
    player = with_order()
    details = validate(InvoiceDetails, {"date": "2026-03-02", "distributionMethod": "emaildistribution"}, "invoice")
    result = run(player, details=details, created_gross=GROSS, expected_gross=GROSS, expected_line_ids=[4, 2, 3])
    assert player.steps == LOOK
    assert result.invoiced
    assert result.order.invoice_number == 1001
    sent = player.requests[-1]
    assert (sent.repeatable, sent.changes) == (False, True)
    assert sent.not_after == pytest.approx(player.requests[0] and 1000.8 + 20 + 2.5)
    assert sent.body["status"] == "Invoice"
    assert player.server.orders[1].fields["invoice"] == {
        "date": "2026-03-02",
        "distributionMethod": "emaildistribution",
    }


@pytest.mark.parametrize("created_by", [None, RIVAL])
def test_without_it_the_order_is_taken_over_first(created_by: Holder | None) -> None:
    player = with_order()
    run(player, created_by)
    assert player.steps == ["GET /salesorders/1", "PATCH /salesorders/1", "pause 10", *LOOK]
    assert player.holder(1) == INVOICER


def test_what_is_invoiced_is_adopted_without_a_change() -> None:
    player = with_order()
    player.change(1, status="Invoice")
    result = run(player)
    assert player.steps == ["GET /salesorders/1"]
    assert not result.invoiced
    assert len(player.server.invoices) == 1


@pytest.mark.parametrize("reaction", [unanswered, lost, lambda error: late(9, error)])
def test_an_unclear_answer_is_settled_and_read_before_anything_else(reaction: Any) -> None:
    player = with_order()
    player.on("PATCH /salesorders/1", reaction(TimedOut("no answer")))
    result = run(player)
    assert player.steps[3:6] == ["PATCH /salesorders/1", "pause 10", "GET /salesorders/1"]
    assert result.invoiced
    assert len(player.server.invoices) == 1


def test_what_stays_unclear_is_given_up() -> None:
    player = with_order()
    player.on("PATCH /salesorders/1", *[lost(NoAnswer("reset"))] * 6)
    with pytest.raises(OutcomeUncertain, match="whether it succeeded to invoice sales order 1: reset"):
        run(player)
    assert player.count("PATCH /salesorders/1") == 6
    assert player.steps.count("GET /salesorders/1") == 6


def test_a_request_held_back_rests_on_a_fresh_look() -> None:
    player = with_order()
    player.on("GET /salesorders", after(lambda: player.pass_time(3)))
    result = run(player)
    assert player.steps == [*LOOK, "GET /salesorders/1", "PATCH /salesorders/1"]
    assert result.invoiced
    player = with_order()
    player.on("PATCH /salesorders/1", lost(NotSent("old")), lost(NotSent("old")))
    assert run(player).invoiced


def test_what_changes_after_a_request_was_held_back_is_checked_again() -> None:
    player = with_order()

    def change() -> None:
        player.pass_time(3)
        player.add(1, LINES[0])

    player.on("GET /salesorders", after(change))
    with pytest.raises(OrderDrift, match="line 5 was added"):
        run(player, expected_line_ids=[2, 3, 4])
    assert player.server.invoices == []


def test_a_refusal_ends_the_try_and_a_conflict_calls_for_a_look() -> None:
    player = with_order()
    player.on("PATCH /salesorders/1", refused(403))
    with pytest.raises(PermissionDenied):
        run(player)

    def beaten(desk: Player, request: Request) -> Response:
        desk.change(1, status="Invoice")
        return refused(409)(desk, request)

    player.on("PATCH /salesorders/1", beaten)
    assert not run(player).invoiced


def test_another_run_is_waited_for_and_its_invoice_adopted() -> None:
    player = with_order()
    player.hold(1, RIVAL)
    player.later(20, lambda: player.change(1, status="Invoice"))
    assert not run(player).invoiced
    assert set(player.steps) == {"GET /salesorders/1", "pause 5"}
    assert len(player.server.invoices) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "Inactive"}, "was set inactive"),
        ({"status": "AdvanceInvoice"}, "has status AdvanceInvoice, so part of it may be billed"),
        ({"invoice": {"number": 7}}, "has invoice number 7 although its status is Draft"),
        ({"internalMemo": "gone"}, "does not carry the marker of the given order_key"),
        ({"internalMemo": str(intent(key="web-9").marker)}, "does not carry the marker of the given order_key"),
    ],
)
def test_an_order_in_another_state_is_not_invoiced(change: Mapping[str, Any], said: str) -> None:
    player = with_order()
    player.change(1, **change)
    with pytest.raises(OrderDrift, match=said):
        run(player)
    assert player.steps == ["GET /salesorders/1"]


@pytest.mark.parametrize(("status", "said"), [("Invoicing", "'Invoicing'"), (None, "None")])
def test_a_status_that_is_not_known_may_mean_that_it_is_being_invoiced(status: str | None, said: str) -> None:
    player = with_order()
    player.change(1, status=status)
    for created_by in (ME, None):
        with pytest.raises(OutcomeUncertain, match=f"has status {said}, which may mean .*; nothing was sent") as raised:
            run(player, created_by)
        assert not raised.value.permanent
        assert player.steps == ["GET /salesorders/1"]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"expected_gross": Decimal(1)}, r"expected 1, 24SevenOffice shows 399\.625\. It was not invoiced"),
        ({"created_gross": Decimal(1)}, r"it was created with 1, 24SevenOffice shows 399\.625\. It was not invoiced"),
        ({"expected_line_ids": [2, 3]}, "line 4 was added"),
        ({"expected_line_ids": [2, 3, 4, 5]}, "line 5 is gone"),
    ],
)
def test_an_order_with_other_content_is_not_invoiced(task: Mapping[str, Any], said: str) -> None:
    player = with_order()
    with pytest.raises(OrderDrift, match=said):
        run(player, **task)
    assert player.server.invoices == []


def test_an_order_without_lines_is_not_invoiced() -> None:
    player = Player()
    player.make_order(ME)
    with pytest.raises(OrderDrift, match="Sales order 1 has no lines"):
        run(player)


def dearer(fee: int) -> Any:
    """Return the reaction of a server that adds a fee to what it invoices."""

    def react(desk: Player, request: Request) -> Response:
        answer = desk.carry_out(request)
        value = {**answer.value, "grossAmount": answer.value["grossAmount"] + fee}
        return replace(answer, value=value)

    return react


def test_a_fee_that_came_with_the_invoice_does_not_keep_a_later_try_from_adopting_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    player = with_order()
    assert run(player, created_gross=GROSS).invoiced
    player.on("GET /salesorders/1", dearer(50), dearer(50))
    assert not run(player, created_gross=GROSS).invoiced
    assert "it was created with 399.625" in caplog.text
    with pytest.raises(OrderDrift, match="It is invoiced already"):
        run(player, expected_gross=GROSS)


def test_an_invoice_over_another_total_that_nobody_here_asked_for_is_not_adopted() -> None:
    player = with_order()
    player.change(1, status="Invoice")
    with pytest.raises(OrderDrift, match="It is invoiced already"):
        run(player, created_gross=Decimal(1))


def test_an_invoice_over_another_total_is_not_adopted() -> None:
    player = with_order()
    player.change(1, status="Invoice")
    with pytest.raises(OrderDrift, match="It is invoiced already"):
        run(player, expected_gross=Decimal(1))


def test_an_order_that_is_gone_cannot_be_invoiced() -> None:
    player = with_order()
    player.delete(1)
    with pytest.raises(OrderDrift, match="Sales order 1 is not there"):
        run(player)


@pytest.mark.parametrize(("status", "said"), [(None, "is not invoiced"), ("Invoice", "is invoiced as number 1001")])
def test_an_order_with_a_twin_that_has_lines_is_not_invoiced(status: str | None, said: str) -> None:
    player = with_order()
    twin = player.make_order(RIVAL, LINES, status)
    with pytest.raises(
        OrderDrift, match=rf"Sales orders 1 and {twin} belong to the same business order.* and {said}\."
    ):
        run(player)
    assert player.server.orders[1].number is None


def test_an_empty_twin_is_withdrawn() -> None:
    player = with_order()
    twin = player.make_order(RIVAL)
    assert run(player).invoiced
    assert twin not in player.server.orders


def test_an_empty_twin_that_cannot_surely_be_withdrawn_is_looked_at_again() -> None:
    player = with_order()
    twin = player.make_order(RIVAL)
    player.on(f"DELETE /salesorders/{twin}", unanswered(NoAnswer("reset")))
    assert run(player).invoiced
    assert player.count(f"DELETE /salesorders/{twin}") == 1
    assert player.steps[-5:-1] == ["pause 10", *LOOK[:3]]


def test_an_empty_twin_of_which_nothing_is_sure_is_left_to_a_later_try() -> None:
    player = with_order()
    twin = player.make_order(RIVAL)
    player.on(f"DELETE /salesorders/{twin}", *[lost(NoAnswer("reset"))] * 9)
    with pytest.raises(OutcomeUncertain, match=f"whether it succeeded to withdraw sales order {twin}: reset") as raised:
        run(player)
    assert not raised.value.permanent
    assert player.count(f"DELETE /salesorders/{twin}") == 6
    assert player.server.invoices == []


def test_a_twin_that_gets_lines_while_it_is_withdrawn_is_left_to_a_person() -> None:
    player = with_order()
    twin = player.make_order(RIVAL)
    player.on(f"GET /salesorders/{twin}", after(lambda: player.add(twin, LINES[0])))
    with pytest.raises(OrderDrift, match=f"Sales orders 1 and {twin} belong to the same business order"):
        run(player)
    assert player.server.orders[twin].lines
    assert player.server.invoices == []


def test_orders_that_are_no_twins_are_left_alone() -> None:
    player = with_order()
    player.make_order(memo="By hand", lines=LINES)
    player.make_order(RIVAL, LINES, status="Inactive")
    player.make_order(memo=str(intent(key="web-9").marker), lines=LINES)
    before = set(player.server.orders)
    assert run(player).invoiced
    assert set(player.server.orders) == before


def test_an_order_made_by_hand_can_be_invoiced_without_a_key() -> None:
    player = Player()
    order_id = player.make_order(memo="By hand", lines=LINES)
    assert run(player, order_id=order_id, key=None, created_by=None).invoiced
    assert player.holder(order_id) == INVOICER

"""An order that 24SevenOffice was asked to invoice says so in its marker, and is left alone until it shows."""

from __future__ import annotations

import contextlib
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
    lost,
    unanswered,
)
from tests.flows.runs import LINES, ORGANIZATION
from tests.flows.test_invoice import INVOICER, run, with_order

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.clients.tfso import see_sales_order
from tfso_hypatos.exceptions import InvoicingUnconfirmed, NoAnswer, OrderBusy, OrderDrift, TfsoHypatosError, TimedOut
from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.hold import Hold, Standing
from tfso_hypatos.flows.intent import Holder, Marker, marker_of
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder

LATER_TRY = Holder.of("orders", "run-1", "invoice", -1, 2)
OTHER_RUN = Holder.of("orders", "run-2", "invoice", -1, 1)
WAIT = ["pause 2.5", "GET /salesorders/1"]


def queueing(seconds: float = 30.0) -> Player:
    return with_order(traits=Traits(queue=seconds))


def sent(player: Player, holder: Holder = ME) -> None:
    """Let a task ask for the invoice, and hear no more of it."""
    marker = Marker.in_text(player.server.orders[1].fields["internalMemo"])
    assert marker is not None
    memo = marker.held_by(holder).sent().put_into(player.server.orders[1].fields["internalMemo"])
    player.change(1, status="Invoice", internalMemo=memo)


def stuck() -> Player:
    """Return a player with an order whose invoicing was asked for and that never shows it."""
    player = with_order()
    player.change(1, internalMemo=f"Ring first\n{intent().marker.sent()}")
    return player


def test_the_request_that_invoices_says_so_in_the_marker() -> None:
    player = with_order()
    before = player.server.orders[1].fields["internalMemo"]
    run(player)
    assert player.requests[-1].body == {"status": "Invoice", "internalMemo": f"{before}!"}
    assert before.startswith("Ring first\naf:")
    assert player.count("PATCH /salesorders/1") == 1


def test_a_marker_in_the_reference_number_says_so_there() -> None:
    player = Player()
    player.drive(find_or_create(intent(marker_field="referenceNumber"), TIMING, ORGANIZATION))
    before = player.server.orders[1].fields["referenceNumber"]
    run(player)
    assert player.requests[-1].body == {"status": "Invoice", "referenceNumber": f"{before}!"}
    assert len(before) < 50


def test_an_order_in_the_queue_is_waited_for() -> None:
    player = queueing()
    result = run(player)
    assert player.steps[3:] == ["PATCH /salesorders/1", *WAIT * 12]
    assert result.invoiced
    assert (result.order.status, result.order.invoice_number) == ("Invoice", 1001)
    assert len(player.server.invoices) == 1


@pytest.mark.parametrize("me", [LATER_TRY, OTHER_RUN])
@pytest.mark.parametrize("created_by", [None, ME])
def test_whoever_comes_while_it_is_in_the_queue_waits_and_adopts(me: Holder, created_by: Holder | None) -> None:
    player = queueing()
    sent(player)
    result = run(player, created_by, me)
    assert set(player.steps) == {"GET /salesorders/1", "pause 2.5"}
    assert not result.invoiced
    assert result.order.invoice_number == 1001
    assert len(player.server.invoices) == 1


@pytest.mark.parametrize("reaction", [unanswered, lost])
def test_after_an_unclear_answer_the_marker_tells_whether_it_arrived(reaction: Any) -> None:
    player = queueing()
    player.on("PATCH /salesorders/1", reaction(TimedOut("no answer")))
    result = run(player)
    assert result.invoiced
    assert player.count("PATCH /salesorders/1") == (1 if reaction is unanswered else 2)
    assert len(player.server.invoices) == 1


def test_a_killed_try_that_had_asked_for_it_is_not_repeated_by_the_next() -> None:
    player = queueing()
    player.on("PATCH /salesorders/1", unanswered(NoAnswer("killed")))
    player.on("GET /salesorders/1", after(lambda: None), lost(ConnectionRefusedError("killed")))
    with pytest.raises(ConnectionRefusedError):
        run(player)
    assert not run(player, None, LATER_TRY).invoiced
    assert len(player.server.invoices) == 1


def test_a_queue_of_nearly_six_settle_times_is_waited_for() -> None:
    player = queueing(59.0)
    assert run(player).invoiced


@pytest.mark.parametrize(
    ("headers", "named"), [({"x-trace-id": "4711-ab"}, " Trace id of the request: 4711-ab."), ({}, "")]
)
def test_what_was_accepted_and_never_shows_names_its_trace(headers: dict[str, str], named: str) -> None:
    player = with_order()

    def accepted(desk: Player, request: Request) -> Response:
        desk.change(1, internalMemo=request.body["internalMemo"])
        return answered(desk.server.show(desk.server.orders[1]), headers=headers)(desk, request)

    player.on("PATCH /salesorders/1", accepted)
    with pytest.raises(InvoicingUnconfirmed) as raised:
        run(player)
    assert raised.value.permanent
    assert f"but still shows it as Draft.{named} It may be in the invoice queue" in str(raised.value)
    assert ("Trace id" in str(raised.value)) == bool(headers)
    assert player.steps[3:] == ["PATCH /salesorders/1", *WAIT * 24]


@pytest.mark.parametrize("me", [INVOICER, LATER_TRY, OTHER_RUN])
def test_what_never_shows_is_not_asked_for_again_by_anybody(me: Holder) -> None:
    player = stuck()
    player.now += 100_000
    for created_by in (None, ME):
        with pytest.raises(InvoicingUnconfirmed, match="remove the ! behind the text") as raised:
            run(player, created_by, me)
        assert raised.value.permanent
        assert player.steps == ["GET /salesorders/1", *WAIT * 24]
    assert player.server.invoices == []


def test_a_person_who_knows_that_it_is_not_queued_removes_the_mark() -> None:
    player = stuck()
    player.change(1, internalMemo=f"Ring first\n{intent().marker}")
    assert run(player).invoiced
    assert len(player.server.invoices) == 1


def test_an_order_with_the_mark_that_a_person_set_inactive_is_refused() -> None:
    player = stuck()
    player.change(1, status="Inactive")
    with pytest.raises(OrderDrift, match="was set inactive"):
        run(player)
    assert player.steps == ["GET /salesorders/1"]


def test_an_order_that_is_deleted_while_it_is_waited_for_is_reported() -> None:
    player = stuck()
    player.later(7, lambda: player.delete(1))
    with pytest.raises(OrderDrift, match="Sales order 1 was deleted after 24SevenOffice was asked to invoice it"):
        run(player)


def test_the_mark_of_an_invoiced_order_means_nothing() -> None:
    player = with_order()
    sent(player)
    assert not run(player, None, OTHER_RUN).invoiced
    assert player.steps == ["GET /salesorders/1"]


@pytest.mark.parametrize("me", [RETRY, RIVAL])
def test_nobody_takes_over_an_order_that_is_being_invoiced(me: Holder) -> None:
    player, hold = stuck(), Hold(me, ORGANIZATION, TIMING)
    player.now += 100_000

    def claim_again_and_again() -> None:
        while True:
            claim = player.drive(hold.claim(player.drive(see_sales_order(1))))
            assert claim.standing is Standing.WAIT

    player.steps.clear()
    with pytest.raises(OrderBusy, match="working on sales order 1 for 180 s"):
        claim_again_and_again()
    assert set(player.steps) == {"GET /salesorders/1", "pause 5"}


@pytest.mark.parametrize("me", [RETRY, RIVAL])
def test_the_create_flow_writes_nothing_to_an_order_that_is_being_invoiced(me: Holder) -> None:
    player = stuck()
    line_id = player.server.orders[1].lines[0][0]
    player.carry_out(Request("DELETE", f"/salesorders/1/lines/{line_id}", "remove it"))
    player.steps.clear()
    with pytest.raises(OrderBusy):
        player.drive(find_or_create(intent(holder=me), TIMING, ORGANIZATION))
    assert not [step for step in player.steps if not step.startswith(("GET", "pause"))]


def test_the_create_flow_adopts_one_that_is_complete_at_once() -> None:
    player = queueing()
    sent(player)
    player.steps.clear()
    created = player.drive(find_or_create(intent(holder=RIVAL), TIMING, ORGANIZATION))
    assert (created.created, created.holder, len(created.lines)) == (False, None, len(LINES))
    assert not [step for step in player.steps if not step.startswith("GET")]


def test_an_order_that_is_being_invoiced_is_not_withdrawn() -> None:
    player = Player(Traits(queue=30.0))
    player.make_order(ME, LINES)
    second = player.make_order(RIVAL, LINES)
    player.change(second, status="Invoice", internalMemo=str(intent(holder=RIVAL).marker.sent()))
    with contextlib.suppress(TfsoHypatosError):
        player.drive(find_or_create(intent(holder=RETRY), TIMING, ORGANIZATION))
    assert not [step for step in player.steps if not step.startswith(("GET", "pause"))]
    assert all(order.status != "Inactive" for order in player.server.orders.values())


def test_the_books_hide_what_is_queued_and_bill_every_request() -> None:
    player = queueing()
    sent(player)
    shown = player.drive(see_sales_order(1)).order
    assert (shown.status, shown.invoice_number) == ("Draft", None)
    marker = marker_of(shown)[1]
    assert marker is not None
    assert marker.invoicing
    sent(player)
    assert len(player.server.invoices) == 2
    player.now += 30
    assert player.drive(see_sales_order(1)).order.is_invoiced
    assert read(SalesOrder, player.server.show(player.server.orders[1]), "it").invoice_number == 1002

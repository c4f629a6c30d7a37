from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import KEY, ME, RIVAL, TIMING, Player, after, answered, intent, late, lost, refused, unanswered
from tests.flows.runs import LINES, ORGANIZATION

from tfso_hypatos.exceptions import (
    BadRequest,
    NoAnswer,
    OrderBusy,
    OrderDrift,
    OutcomeUncertain,
    PermissionDenied,
    TimedOut,
)
from tfso_hypatos.flows.billing import InvoiceOrder, Payer
from tfso_hypatos.flows.compare import line_hash
from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.withdrawal import Outcome, Withdrawn, withdraw_order

WITHDRAWER = Holder.of("orders", "run-1", "withdraw", -1, 1)

TAKE_OVER = ["GET /salesorders/1", "PATCH /salesorders/1", "pause 10", "GET /salesorders/1"]


def with_order(traits: Traits | None = None, status: str | None = None) -> tuple[Player, InvoiceOrder]:
    """Return the books with an order of ours, and what the create step returned of it."""
    player = Player(traits)
    created = player.drive(find_or_create(intent(), TIMING, ORGANIZATION))
    if status:
        player.change(1, status=status)
    player.requests.clear()
    player.now += 20
    task = InvoiceOrder(
        order_id=1,
        key=KEY,
        created_gross=created.order.gross_amount,
        payer=Payer.of(created.order),
        expected_line_ids=created.line_ids,
        line_hashes=[line_hash(line) for line in created.lines],
    )
    return player, task


def run(player: Player, task: InvoiceOrder, outcome: Outcome = "withdraw") -> Withdrawn:
    player.steps.clear()
    return player.drive(withdraw_order(task, outcome, TIMING, ORGANIZATION, WITHDRAWER))


def changes(player: Player) -> list[Any]:
    """Return what was asked for, but for the take-over."""
    return [
        request.body.get("status") if request.method == "PATCH" else request.method
        for request in player.requests
        if request.changes and not (request.method == "PATCH" and "internalMemo" in request.body)
    ]


def test_the_order_is_taken_over_compared_and_deleted() -> None:
    player, task = with_order()
    assert run(player, task) == Withdrawn("deleted", changed=True)
    assert player.steps == [*TAKE_OVER, "GET /salesorders/1/lines", "DELETE /salesorders/1", "GET /salesorders/1"]
    assert player.server.orders == {}
    (deletion,) = [request for request in player.requests if request.method == "DELETE"]
    assert (deletion.repeatable, deletion.changes) == (False, True)
    # A quarter of the settle time after the look at the holder.
    assert deletion.not_after == pytest.approx(player.now - 0.4 + 2.5, abs=0.2)


@pytest.mark.parametrize("outcome", ["withdraw", "draft"])
def test_what_is_gone_or_set_aside_stays_so(outcome: Outcome) -> None:
    player, task = with_order(status="Confirmed")
    player.change(1, status="Inactive")
    assert run(player, task, outcome) == Withdrawn("inactive", changed=False)
    player.delete(1)
    assert run(player, task, outcome) == Withdrawn("was gone", changed=False)
    assert changes(player) == []


def test_doing_it_again_changes_nothing() -> None:
    player, task = with_order(Traits(deletes=False), status="Confirmed")
    assert run(player, task) == Withdrawn("inactive", changed=True)
    player.requests.clear()
    assert run(player, task) == Withdrawn("inactive", changed=False)
    assert changes(player) == []


def test_a_draft_is_made_of_it() -> None:
    player, task = with_order(status="Confirmed")
    assert run(player, task, "draft") == Withdrawn("draft", changed=True)
    assert changes(player) == ["Draft"]
    assert player.server.orders[1].status == "Draft"
    player.requests.clear()
    assert run(player, task, "draft") == Withdrawn("draft", changed=False)
    assert player.requests
    assert changes(player) == []


def test_a_draft_that_is_about_to_be_invoiced_is_no_success() -> None:
    player, task = with_order()
    # Sent before the withdrawal began, and still on its way.
    player.later(7, lambda: player.change(1, status="Invoice"))
    with pytest.raises(OrderDrift, match="is invoiced as number"):
        run(player, task, "draft")
    assert changes(player) == []


def test_a_draft_that_somebody_has_taken_over_meanwhile_is_no_success_yet() -> None:
    player, task = with_order(status="Confirmed")

    def made_and_taken_over() -> None:
        player.hold(1, RIVAL)
        player.later(12, lambda: player.change(1, status="Invoice"))

    player.on("PATCH /salesorders/1", Player.answer, unanswered(TimedOut("no answer")))
    player.later(15, made_and_taken_over)
    with pytest.raises(OrderDrift, match="is invoiced as number"):
        run(player, task, "draft")
    assert changes(player) == ["Draft"]


@pytest.mark.parametrize("outcome", ["withdraw", "draft"])
def test_what_is_set_aside_during_the_take_over_stays_so(outcome: Outcome) -> None:
    player, task = with_order(status="Confirmed")
    player.later(5, lambda: player.change(1, status="Inactive"))
    assert run(player, task, outcome) == Withdrawn("inactive", changed=False)
    assert changes(player) == []


def test_an_edited_order_becomes_a_draft_all_the_same() -> None:
    player, task = with_order(status="Confirmed")
    player.add(1, LINES[0])
    assert run(player, task, "draft").outcome == "draft"


@pytest.mark.parametrize("refusal", [400, 403, 404, 405, 409])
def test_what_cannot_be_deleted_is_set_inactive_after_a_fresh_look(refusal: int) -> None:
    player, task = with_order()
    player.on("DELETE /salesorders/1", refused(refusal))
    assert run(player, task) == Withdrawn("inactive", changed=True)
    assert changes(player) == ["DELETE", "Inactive"]
    deleting = player.steps.index("DELETE /salesorders/1")
    assert player.steps[deleting + 1 : deleting + 3] == ["GET /salesorders/1", "PATCH /salesorders/1"]


def test_what_can_be_neither_deleted_nor_set_inactive_is_an_error() -> None:
    player, task = with_order(Traits(deletes=False))
    player.on("PATCH /salesorders/1", Player.answer, refused(400))
    with pytest.raises(BadRequest):
        run(player, task)


def test_what_may_not_be_read_is_an_error() -> None:
    player, task = with_order()
    player.on("GET /salesorders/1", refused(403))
    with pytest.raises(PermissionDenied):
        run(player, task)


@pytest.mark.parametrize("outcome", ["withdraw", "draft"])
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"status": "Invoice"}, "is invoiced as number 1001"),
        ({"status": "AdvanceInvoice"}, "AdvanceInvoice"),
        ({"internalMemo": f"{intent(holder=ME).marker}!"}, "says that it is being invoiced"),
        ({"invoice": {"number": 77}}, "may be billed in part"),
        ({"internalMemo": str(replace(intent(holder=ME).marker, key="a" * 16))}, "does not carry the marker"),
        ({"internalMemo": "Ring"}, "does not carry the marker"),
    ],
)
def test_what_is_billed_or_may_be_or_is_not_ours_is_left_alone(outcome: Outcome, edit: Any, said: str) -> None:
    player, task = with_order(status="Confirmed")
    player.change(1, **edit)
    with pytest.raises(OrderDrift, match=said):
        run(player, task, outcome)
    assert not any(request.changes for request in player.requests)


def test_a_status_that_is_not_known_is_left_alone() -> None:
    player, task = with_order()
    value = {"id": 1, "status": "Queued", "internalMemo": str(intent(holder=ME).marker)}
    player.on("GET /salesorders/1", answered(value))
    with pytest.raises(OutcomeUncertain, match="may mean that it is being invoiced"):
        run(player, task)
    assert changes(player) == []


@pytest.mark.parametrize("outcome", ["withdraw", "draft"])
@pytest.mark.parametrize("when", ["before the take-over is seen", "before the change"])
def test_an_invoice_that_comes_in_between_is_seen(outcome: Outcome, when: str) -> None:
    player, task = with_order(status="Confirmed")

    def invoiced() -> None:
        player.change(1, status="Invoice")

    if when == "before the change":
        # The server refuses to change an invoice.
        change = "DELETE /salesorders/1" if outcome == "withdraw" else "PATCH /salesorders/1"
        player.on(change, *[Player.answer] * (outcome == "draft"), after(invoiced))
    else:
        player.later(5, invoiced)
    with pytest.raises(OrderDrift, match="is invoiced as number"):
        run(player, task, outcome)
    assert player.server.orders[1].status == "Invoice"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda player: player.add(1, LINES[0]), "line 5 was added"),
        (lambda player: player._call("PATCH", "/salesorders/1/lines/2", {"description": "Tea"}), "line 2 was edited"),
        (lambda player: player._call("DELETE", "/salesorders/1/lines/2", None), "line 2 is gone"),
        (lambda player: player.change(1, customer={"id": 99, "name": "Another"}), "customer: it was created with"),
    ],
)
def test_what_somebody_has_changed_is_reported_and_not_deleted(edit: Any, said: str) -> None:
    player, task = with_order()
    edit(player)
    with pytest.raises(OrderDrift, match=said) as caught:
        run(player, task)
    assert caught.value.differences
    assert changes(player) == []
    assert 1 in player.server.orders


def test_an_edit_during_the_take_over_is_seen() -> None:
    player, task = with_order()
    player.later(5, lambda: player.add(1, LINES[0]))
    with pytest.raises(OrderDrift, match="was added"):
        run(player, task)
    assert changes(player) == []


def test_by_its_id_alone_an_order_is_withdrawn_as_it_is() -> None:
    player, task = with_order()
    player.add(1, LINES[0])
    assert run(player, InvoiceOrder(order_id=1)).outcome == "deleted"
    assert task.key == KEY


@pytest.mark.parametrize(("outcome", "change"), [("withdraw", "DELETE"), ("draft", "PATCH")])
@pytest.mark.parametrize("reaction", [unanswered, lost, lambda error: late(9, error)])
def test_an_unclear_answer_is_settled_and_looked_at(outcome: Outcome, change: str, reaction: Any) -> None:
    player, task = with_order(status="Confirmed")
    what = f"{change} /salesorders/1"
    player.on(what, *[Player.answer] * (change == "PATCH"), reaction(TimedOut("no answer")))
    result = run(player, task, outcome)
    assert result == Withdrawn("deleted" if outcome == "withdraw" else "draft", changed=True)
    sent = [n for n, step in enumerate(player.steps) if step == what][change == "PATCH"]
    assert player.steps[sent + 1 : sent + 3] == ["pause 10", "GET /salesorders/1"]
    assert len(changes(player)) == (2 if reaction is lost else 1)


def test_what_stays_unclear_is_given_up() -> None:
    player, task = with_order()
    player.on("DELETE /salesorders/1", *[lost(NoAnswer("reset"))] * 6)
    with pytest.raises(OutcomeUncertain, match="take back sales order 1: reset"):
        run(player, task)


def test_a_change_that_never_shows_is_given_up() -> None:
    player, task = with_order(status="Confirmed")
    as_before = player.drive(_read())

    def unmoved(player: Player, request: Any) -> Any:
        return answered(as_before)(player, request)

    player.on("PATCH /salesorders/1", Player.answer, *[unmoved] * 100)
    with pytest.raises(OutcomeUncertain, match="does not show it"):
        run(player, task, "draft")


def _read() -> Any:
    from tfso_hypatos.clients.messages import Request, ask

    response = yield from ask(Request("GET", "/salesorders/1", "read"))
    return response.value


def test_a_request_held_back_rests_on_a_fresh_look() -> None:
    player, task = with_order()
    player.on("GET /salesorders/1/lines", after(lambda: player.pass_time(3)))
    assert run(player, task).outcome == "deleted"
    assert player.steps[-4:-1] == ["DELETE /salesorders/1", "GET /salesorders/1", "DELETE /salesorders/1"]


def test_an_edit_before_a_request_that_was_held_back_is_seen() -> None:
    player, task = with_order()

    def slow_and_edited() -> None:
        player.pass_time(3)
        player.later(0, lambda: player.add(1, LINES[0]))

    player.on("GET /salesorders/1/lines", after(slow_and_edited))
    with pytest.raises(OrderDrift, match="was added"):
        run(player, task)
    assert 1 in player.server.orders


def test_an_order_that_somebody_else_works_on_is_waited_for() -> None:
    player, task = with_order()
    player.hold(1, RIVAL)
    with pytest.raises(OrderBusy, match="Another run has been working on sales order 1"):
        _keep_busy(player, task)
    assert changes(player) == []


def _keep_busy(player: Player, task: InvoiceOrder) -> None:
    for n in range(400):
        player.later(1.0 * n, lambda n=n: player.change(1, memo=str(n)))  # type: ignore[misc]
    run(player, task)


def test_the_gross_amount_is_compared_too() -> None:
    player, task = with_order()
    with pytest.raises(OrderDrift, match="gross amount: it was created with 1, 24SevenOffice shows"):
        run(player, replace(task, created_gross=Decimal(1)))
    assert changes(player) == []

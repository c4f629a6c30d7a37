"""A stray is set inactive by the protocol of all who change an order, or left to a person."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import ME, RIVAL, TIMING, Player, after, answered, refused, unanswered
from tests.flows.runs import LINES, ORGANIZATION

from tfso_hypatos.exceptions import TimedOut
from tfso_hypatos.flows.by_hand import marker_by_hand
from tfso_hypatos.flows.reconciliation import RecordFacts
from tfso_hypatos.flows.repair import Outcome, Withdrawal, plan_enrichment, plan_withdrawal, withdraw_stray

COFFEE, CUPS, _ = LINES
LONG = TIMING.claim + 1


@pytest.fixture
def player() -> Player:
    """Return books with a filled order and a stray that repeats it, both untouched for long enough."""
    player = Player()
    player.make_order(lines=LINES)
    player.make_order()
    player.pass_time(LONG)
    return player


def ids(player: Player) -> tuple[int, int]:
    filled, stray = sorted(player.server.orders)
    return filled, stray


def withdrawn(player: Player) -> Outcome:
    filled, stray = ids(player)
    return player.drive(withdraw_stray(stray, [filled, stray], ME, ORGANIZATION, TIMING))


def changes(player: Player) -> list[Any]:
    return [request.body for request in player.requests if request.method != "GET"]


def test_a_plan_only_reads(player: Player) -> None:
    filled, stray = ids(player)
    plan = player.drive(plan_withdrawal(stray, [filled], ORGANIZATION))
    assert isinstance(plan, Withdrawal)
    assert plan.text.startswith(
        f"set sales order {stray} inactive, which repeats sales order {filled}; was: status Draft, no lines, "
        "internalMemo af:"
    )
    assert changes(player) == []


def test_a_stray_is_taken_over_and_set_inactive_and_never_deleted(player: Player) -> None:
    filled, stray = ids(player)
    outcome = withdrawn(player)
    assert outcome.kind == "done"
    take_over, inactive = changes(player)
    assert str(ME) in take_over["internalMemo"]
    assert inactive == {"status": "Inactive"}
    assert player.server.orders[stray].status == "Inactive"
    assert player.server.orders[filled].status == "Draft"
    assert str(RIVAL) in outcome.text


def test_an_order_that_another_run_is_at_work_on_is_left_to_it(player: Player) -> None:
    _, stray = ids(player)
    player.hold(stray, RIVAL)
    outcome = withdrawn(player)
    assert outcome.kind == "left"
    assert f"sales order {stray} was changed after it was created: a person or another run may be" in outcome.text
    assert changes(player) == []


def test_lines_that_come_while_it_is_taken_over_save_the_order(player: Player) -> None:
    _, stray = ids(player)
    player.later(TIMING.settle / 2, lambda: player.add(stray, COFFEE))
    assert withdrawn(player) == Outcome("left", f"sales order {stray} has lines by now")
    assert player.server.orders[stray].status == "Draft"
    assert len(changes(player)) == 1


@pytest.mark.parametrize("happens", ["delete", "inactive", "emptied", "marker"])
def test_with_the_other_order_gone_the_stray_stays(player: Player, happens: str) -> None:
    filled, stray = ids(player)

    def gone() -> None:
        if happens == "delete":
            player.delete(filled)
        elif happens == "inactive":
            player.change(filled, status="Inactive")
        elif happens == "marker":
            player.change(filled, internalMemo="")
        else:
            for line_id, _ in player.server.orders[filled].lines:
                player._call("DELETE", f"/salesorders/{filled}/lines/{line_id}", None)

    player.later(TIMING.settle / 2, gone)
    outcome = withdrawn(player)
    assert outcome.kind == "left"
    assert "no other active order with the same marker has lines" in outcome.text
    assert player.server.orders[stray].status == "Draft"


def test_a_stray_that_is_being_invoiced_is_left_alone(player: Player) -> None:
    filled, stray = ids(player)
    player.change(stray, internalMemo=f"{player.server.orders[stray].fields['internalMemo']}!")
    assert player.drive(plan_withdrawal(stray, [filled], ORGANIZATION)) == Outcome(
        "left", f"sales order {stray} has changed since it was listed"
    )


@pytest.mark.parametrize(
    "edit",
    [
        {"memo": "Ring first"},
        {"customer": {"id": 8, "name": "Another"}},
        {"internalMemo": "a note "},
        {"date": "2026-03-09"},
        {"status": "Confirmed"},
        {"referenceNumber": "PO 7"},
    ],
)
def test_what_a_person_may_have_edited_is_left_to_the_person(player: Player, edit: dict[str, Any]) -> None:
    filled, stray = ids(player)
    if "internalMemo" in edit:
        edit = {"internalMemo": edit["internalMemo"] + str(player.server.orders[stray].fields["internalMemo"])}
    player.change(stray, **edit)
    outcome = player.drive(plan_withdrawal(stray, [filled], ORGANIZATION))
    assert isinstance(outcome, Outcome)
    (name,) = edit
    assert outcome.text == f"may be a person's work: it differs from sales order {filled} in {name}"


def test_what_somebody_has_changed_since_its_creation_is_left_alone(player: Player) -> None:
    filled, stray = ids(player)
    player.change(stray, memo="Ring first")
    player.change(stray, memo="")
    player.change(filled, memo="")
    outcome = player.drive(plan_withdrawal(stray, [filled], ORGANIZATION))
    assert isinstance(outcome, Outcome)
    assert f"sales order {stray} was changed after it was created" in outcome.text


def test_an_order_of_which_nobody_knows_when_it_was_changed_is_left_alone() -> None:
    player = Player(Traits(stamps=False))
    player.make_order(lines=LINES)
    player.make_order()
    filled, stray = ids(player)
    outcome = player.drive(plan_withdrawal(stray, [filled], ORGANIZATION))
    assert isinstance(outcome, Outcome)
    assert "was changed after it was created" in outcome.text


def test_an_order_with_attachments_is_left_alone(player: Player) -> None:
    filled, stray = ids(player)
    player.on(f"GET /salesorders/{stray}/attachments", answered([{"id": "1"}]))
    outcome = player.drive(plan_withdrawal(stray, [filled], ORGANIZATION))
    assert outcome == Outcome("left", f"may be a person's work: sales order {stray} has attachments")


def test_attachments_that_may_not_be_read_are_no_hindrance(player: Player) -> None:
    filled, stray = ids(player)
    player.on(f"GET /salesorders/{stray}/attachments", refused(403))
    assert isinstance(player.drive(plan_withdrawal(stray, [filled], ORGANIZATION)), Withdrawal)


def test_a_copy_of_an_order_by_hand_is_no_stray() -> None:
    player = Player()
    own = player.make_order(lines=LINES, memo="")
    memo = str(marker_by_hand(ORGANIZATION, own, RIVAL))
    player.change(own, internalMemo=memo)
    copy = player.make_order(memo=memo)
    player.pass_time(LONG)
    outcome = player.drive(plan_withdrawal(copy, [own], ORGANIZATION))
    assert isinstance(outcome, Outcome)
    assert "carries no marker any more" in outcome.text


def test_a_stray_of_an_invoiced_order_is_withdrawn(player: Player) -> None:
    filled, stray = ids(player)
    player.change(filled, status="Invoice")
    invoices = list(player.server.invoices)
    assert withdrawn(player).kind == "done"
    assert player.server.orders[stray].status == "Inactive"
    assert player.server.invoices == invoices


def test_an_answer_that_was_lost_is_looked_for(player: Player) -> None:
    _, stray = ids(player)
    address = f"PATCH /salesorders/{stray}"
    player.on(address, lambda player, request: player.answer(request), unanswered(TimedOut("no answer")))
    assert withdrawn(player).kind == "done"
    assert player.count(address) == 2


def test_a_server_that_refuses_is_reported(player: Player) -> None:
    _, stray = ids(player)
    player.on(f"PATCH /salesorders/{stray}", lambda player, request: player.answer(request), refused(400))
    outcome = withdrawn(player)
    assert outcome == Outcome("failed", f"sales order {stray} could not be set inactive; do it in 24SevenOffice")


def test_an_order_that_is_gone_is_no_stray(player: Player) -> None:
    filled, stray = ids(player)
    player.delete(stray)
    outcome = player.drive(plan_withdrawal(stray, [filled], ORGANIZATION))
    assert isinstance(outcome, Outcome)
    assert "is gone" in outcome.text


def test_a_look_that_came_while_it_changed_is_repeated(player: Player) -> None:
    _, stray = ids(player)
    player.on(f"GET /salesorders/{stray}/lines", after(lambda: player.pass_time(TIMING.evidence + 1)))
    assert withdrawn(player).kind == "done"


RECORD = RecordFacts("1001", "T-1", None, "NOK", None, None, None, None)


@pytest.mark.parametrize("status", ["Draft", "Invoice"])
def test_only_a_posted_order_is_written_into_hypatos(player: Player, status: str) -> None:
    filled, _ = ids(player)
    player.change(filled, status=status)
    outcome = player.drive(plan_enrichment("A", filled, None))
    assert isinstance(outcome, Outcome)
    assert outcome.kind == "left"
    assert changes(player) == []


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (None, "'A' with net 100, transaction T-1, lines 3; was: not there"),
        (RECORD, "'A' to net 100, transaction T-1, lines 3; was: transaction T-1"),
        (replace(RECORD, order_id=None, net=Decimal("9.9")), "names no order and has other amounts; it has net 9.9"),
        (replace(RECORD, order_id="7"), "the record 'A' is that of sales order 7"),
    ],
)
def test_a_record_of_another_order_is_left_alone(player: Player, record: RecordFacts | None, text: str) -> None:
    filled, _ = ids(player)
    posted = {"id": filled, "status": "Invoice", "netAmount": 100, "invoice": {"transaction": {"id": "T-1"}}}
    player.on(f"GET /salesorders/{filled}", answered(posted))
    record = replace(record, order_id=str(filled)) if record and record.order_id == "1001" else record
    outcome = player.drive(plan_enrichment("A", filled, record))
    assert text in outcome.text
    assert isinstance(outcome, Outcome) == ("the record" in outcome.text)
    assert changes(player) == []

"""Orders that a person made carry no marker: they are billed once all the same, and so are their copies."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.books import Server, Traits
from tests.flows.player import TIMING, Player, after, late, lost, unanswered
from tests.flows.runs import LINES, ORDER, ORGANIZATION
from tests.flows.settings import HARSH
from tests.flows.story import told
from tests.flows.world import CALM, Net, Process, World

from tfso_hypatos.clients.messages import decode, encode
from tfso_hypatos.exceptions import NoAnswer, OrderDrift, TimedOut
from tfso_hypatos.flows.billing import InvoiceOrder, Payer
from tfso_hypatos.flows.by_hand import is_by_hand, marker_by_hand, without_copied_marker
from tfso_hypatos.flows.intent import Holder, Marker, key_of, marker_of
from tfso_hypatos.flows.invoice import Invoiced, invoice
from tfso_hypatos.flows.preview import preview
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder

TASK = InvoiceOrder(order_id=1, expected_statuses=("Confirmed",), known_from="listed")
TAKE_OVER = ["GET /salesorders/1", "PATCH /salesorders/1", "pause 10"]
INVOICE = ["GET /salesorders/1", "GET /salesorders/1/lines", "PATCH /salesorders/1"]


def holder(run_id: str, number: int = 1) -> Holder:
    return Holder.of("confirmed", run_id, "invoice", -1, number)


def confirmed(memo: str | None = "Ring first", traits: Traits | None = None) -> Player:
    """Return a player with an order that a person made and confirmed."""
    player = Player(traits)
    player.make_order(memo=memo, lines=LINES, status="Confirmed")
    player.now += 20
    return player


def run(player: Player, me: Holder | None = None, task: InvoiceOrder = TASK) -> Invoiced:
    player.steps.clear()
    return player.drive(invoice(task, TIMING, ORGANIZATION, me or holder("run-1")))


def test_it_is_taken_over_and_then_billed() -> None:
    player = confirmed()
    assert run(player).invoiced
    assert player.steps == [*TAKE_OVER, *INVOICE]
    memo = player.server.orders[1].fields["internalMemo"]
    assert memo.startswith("Ring first\naf:")
    assert memo.endswith("!")
    assert not run(player, holder("run-2")).invoiced
    assert len(player.server.invoices) == 1


@pytest.mark.parametrize("reaction", [unanswered, lost, lambda error: late(7, error)])
@pytest.mark.parametrize("which", [0, 1])
def test_an_unclear_answer_to_the_take_over_or_the_invoice_bills_once(reaction: Any, which: int) -> None:
    player = confirmed()
    player.on("PATCH /salesorders/1", *[lambda desk, request: desk.answer(request)] * which, reaction(TimedOut("?")))
    assert run(player).invoiced
    assert len(player.server.invoices) == 1


@pytest.mark.parametrize("queue", [0.0, 30.0])
@pytest.mark.parametrize("next_one", [holder("run-1", 2), holder("run-2")])
def test_a_try_that_is_killed_after_its_request_is_followed_by_one_that_adopts(queue: float, next_one: Holder) -> None:
    player = confirmed(traits=Traits(queue=queue))
    gone = unanswered(ConnectionRefusedError("killed"))
    player.on("PATCH /salesorders/1", lambda desk, request: desk.answer(request), gone)
    with pytest.raises(ConnectionRefusedError):
        run(player)
    assert not run(player, next_one).invoiced
    assert len(player.server.invoices) == 1


@pytest.mark.parametrize("status", ["Draft", "Proposal", "Web"])
def test_one_that_is_no_longer_confirmed_is_left_as_it_is(status: str) -> None:
    player = confirmed()
    player.change(1, status=status)
    with pytest.raises(OrderDrift, match=f"has status {status}, not Confirmed: .* It was not invoiced"):
        run(player)
    assert player.steps == ["GET /salesorders/1"]


@pytest.mark.parametrize("edit", [{"status": "Draft"}, {"status": "Inactive"}, {"status": "AdvanceInvoice"}])
def test_what_a_person_does_while_it_is_taken_over_is_seen_before_it_is_billed(edit: dict[str, Any]) -> None:
    player = confirmed()
    player.later(5, lambda: player.change(1, **edit))
    with pytest.raises(OrderDrift):
        run(player)
    assert player.steps == [*TAKE_OVER, "GET /salesorders/1"]
    assert player.server.invoices == []


def test_one_set_back_after_an_unclear_answer_is_not_asked_for_again() -> None:
    player = confirmed()
    player.on("PATCH /salesorders/1", lambda desk, request: desk.answer(request), lost(NoAnswer("reset")))
    player.later(15, lambda: player.change(1, status="Draft"))
    with pytest.raises(OrderDrift, match="has status Draft"):
        run(player)
    assert player.server.invoices == []


def test_one_set_back_before_a_request_that_was_held_back_is_not_billed() -> None:
    player = confirmed()

    def slow() -> None:
        player.pass_time(3)
        player.change(1, status="Draft")

    player.on("GET /salesorders/1/lines", after(slow))
    with pytest.raises(OrderDrift, match="has status Draft"):
        run(player)
    assert player.server.invoices == []


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"created_gross": Decimal("1.5")}, "gross amount: it was listed with 1.5, 24SevenOffice shows 399.625"),
        ({"payer": Payer(8)}, "customer: it was listed with 8, 24SevenOffice shows 7"),
    ],
)
def test_one_that_is_not_what_was_listed_is_not_billed(known: dict[str, Any], said: str) -> None:
    player = confirmed()
    with pytest.raises(OrderDrift, match=f"{said}. It was not invoiced"):
        run(player, task=InvoiceOrder(order_id=1, known_from="listed", **known))
    assert player.server.invoices == []


def copy(player: Player) -> int:
    """Copy order 1 as a person does for the next month's sale, memo and all; return its id."""
    memo = player.server.orders[1].fields["internalMemo"]
    return player.make_order(memo=memo, lines=LINES, status="Confirmed")


def test_a_copy_of_an_invoiced_order_is_another_sale() -> None:
    player = confirmed()
    run(player)
    second = copy(player)
    player.now += 20
    assert run(player, holder("run-2"), InvoiceOrder(order_id=second, expected_statuses=("Confirmed",))).invoiced
    assert len(player.server.invoices) == 2
    memo = player.server.orders[second].fields["internalMemo"]
    assert memo.count("af:") == 1
    assert memo.startswith("Ring first\naf:")
    assert not run(player, holder("run-3"), InvoiceOrder(order_id=second)).invoiced


def test_a_copy_of_an_order_that_is_held_does_not_keep_either_from_being_billed() -> None:
    player = confirmed()
    player.on("GET /salesorders/1/lines", lost(ConnectionRefusedError("killed")))
    with pytest.raises(ConnectionRefusedError):
        run(player)
    second = copy(player)
    player.now += 200
    assert run(player, holder("run-2")).invoiced
    assert run(player, holder("run-2"), InvoiceOrder(order_id=second)).invoiced
    assert len(player.server.invoices) == 2


def seen(order_id: int, memo: str) -> SalesOrder:
    return read(SalesOrder, {"id": order_id, "internalMemo": memo}, "it")


@pytest.mark.parametrize("order_id", [1, 31, 32, 4711, 2**31 - 1])
def test_the_marker_names_its_order(order_id: int) -> None:
    memo = f"Ring\n{marker_by_hand(ORGANIZATION, order_id, holder('run-1')).sent()}"
    own, other = seen(order_id, memo), seen(order_id + 1, memo)
    assert Marker.in_text(memo) is not None
    assert without_copied_marker(ORGANIZATION, own) is own
    assert is_by_hand(ORGANIZATION, own)
    cleaned = without_copied_marker(ORGANIZATION, other)
    assert (marker_of(cleaned)[1], cleaned.internal_memo) == (None, "Ring")
    assert not is_by_hand(ORGANIZATION, other)


def test_no_other_marker_is_taken_for_a_copied_one() -> None:
    me = holder("run-1")
    for marker in (
        Marker(key_of(ORGANIZATION, "web-1"), "aaaaaaaaab", me),
        Marker(key_of(ORGANIZATION, "web-1"), "bcdefghijk", me),
        marker_by_hand("200000000000002", 1, me),
        Marker(key_of(ORGANIZATION, "#2"), "a" * 10, me),
    ):
        order = seen(2, str(marker))
        assert without_copied_marker(ORGANIZATION, order) is order


@pytest.mark.parametrize("key", ["#2", "2", "made by hand", "made by hand2", 'made by hand","2'])
def test_no_order_key_makes_the_marker_of_an_order_made_by_hand(key: str) -> None:
    by_hand = marker_by_hand(ORGANIZATION, 2, holder("run-1"))
    assert by_hand.key != key_of(ORGANIZATION, key)
    for marker in (replace(by_hand, key=key_of(ORGANIZATION, key)), replace(by_hand, content="bcdefghijk")):
        assert not is_by_hand(ORGANIZATION, seen(2, str(marker)))


@pytest.fixture
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Biller:
    """A run that bills order 1 and is retried until it succeeds, fails for good, or has no try left."""

    def __init__(self, world: World, name: str, tries: int) -> None:
        self.world, self.name, self.tries = world, name, tries
        self.number = 0
        self.result: Any = None

    def begin(self) -> None:
        self.number += 1
        me = holder(self.name, self.number)
        flow = invoice(TASK, Timing(10.0), ORGANIZATION, me)
        Process(self.world, f"{self.name}/{self.number}", flow, self._done, lambda _: None)

    def _done(self, result: Any, error: Exception | None) -> None:
        self.result = result
        if error is not None and not getattr(error, "permanent", False) and self.number < self.tries:
            self.world.after(self.world.rng.uniform(0.2, 15.0), self.begin)


def race(net: Net, traits: Traits, seed: str, tries: int = 5) -> World:
    world = World(Server(traits), net, random.Random(seed))
    made = world.server.handle("POST", "/salesorders", {}, decode(encode(dict(ORDER))), 0.0).value["id"]
    for line in LINES:
        world.server.handle("POST", f"/salesorders/{made}/lines", {}, decode(encode(line)), 0.0)
    world.server.handle("PATCH", f"/salesorders/{made}", {}, {"status": "Confirmed"}, 0.0)
    for name in ("run-1", "run-2", "run-3"):
        world.after(world.rng.uniform(1.0, 4.0), Biller(world, name, tries).begin)
    assert world.run()
    return world


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("traits", [Traits(), Traits(dates=False, stamps=False)], ids=["clock", "no clock"])
def test_three_runs_at_once_bill_it_once_however_unkind_the_network(traits: Traits) -> None:
    billed = 0
    for seed in range(150):
        world = race(HARSH, traits, f"by hand/{seed}")
        assert len(world.server.invoices) <= 1, told(world, [f"seed {seed}"])
        billed += len(world.server.invoices)
    assert billed > 130


@pytest.mark.usefixtures("_quiet")
def test_three_runs_at_once_bill_it_once_if_nothing_goes_wrong() -> None:
    for seed in range(30):
        world = race(CALM, Traits(), f"calm/{seed}")
        assert len(world.server.invoices) == 1, told(world, [f"seed {seed}"])


def test_a_preview_only_reads_and_says_what_would_happen() -> None:
    player = confirmed()
    player.steps.clear()
    look = player.drive(preview(TASK, ORGANIZATION, holder("run-1")))
    assert (look.is_due, look.lines, look.remark) == (True, 3, "")
    player.change(1, internalMemo="x" * 290)
    look = player.drive(preview(TASK, ORGANIZATION, holder("run-1")))
    assert not look.is_due
    assert "has no room for the marker" in look.remark
    player.change(1, internalMemo="", status="Draft")
    assert "has status Draft, not Confirmed" in player.drive(preview(TASK, ORGANIZATION, holder("run-1"))).remark
    player.change(1, status="Invoice")
    assert player.drive(preview(TASK, ORGANIZATION, holder("run-1"))).remark == "is invoiced as number 1001"
    gone = player.drive(preview(InvoiceOrder(order_id=9), ORGANIZATION, holder("run-1")))
    assert (gone.order, gone.remark) == (None, "refused: it is not there")
    assert {step.split()[0] for step in player.steps} == {"GET"}

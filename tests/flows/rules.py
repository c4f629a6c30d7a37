"""The rules of the protocol, each with a way to switch it off and a world in which it is missed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from tests.flows import runs
from tests.flows.books import Traits
from tests.flows.settings import CARELESS, HARSH, SETTINGS, Setting
from tests.flows.simulation import NEEDLESS
from tests.flows.taken_back import INVOICED_AFTERWARDS, TAKEN_BACK_THOUGH_INVOICED, WORK_LOST
from tests.flows.world import CALM, Net

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.flows import billing, create, hold, invoice, look, setbacks, withdrawal
from tfso_hypatos.flows.hold import Claim, Hold, Standing
from tfso_hypatos.flows.intent import Holder, Intent, Marker, is_billed, marker_of
from tfso_hypatos.flows.look import Found
from tfso_hypatos.models.tfso_read import SalesOrder

Patch = pytest.MonkeyPatch
CALM_RACE = Setting(runs=(None,) * 3, net=CALM)
HURRIED_RACE = Setting(runs=(None,) * 3, net=Net(latency=0.6), gap=0.2)
TWINS = Setting(runs=(2, None), net=HARSH)
ALONE = Setting(net=Net(lost=0.15, kill=0.05))
NO_WAY_TO_WITHDRAW = Traits(deletes=False, withdraws=False)
QUEUEING = Setting(net=Net(lost=0.15, kill=0.05), traits=Traits(queue=30.0))
REJECTED = Setting(beside=("withdraw",), net=Net(lost=0.15, kill=0.05, stall=0.1), traits=CARELESS, gap=0.5)
HALTING = Setting(beside=("withdraw",), net=Net(stall=0.3, kill=0.15), traits=Traits(guards=False), gap=0.5)
LAGGING = Setting(runs=(None,) * 3, traits=Traits(list_lag=15.0), gap=0.2)


class NobodysHold(Hold):
    """Everybody may write."""

    def is_mine(self, sight: Sight) -> bool:
        return True


def no_holder(patch: Patch) -> None:
    patch.setattr(create, "Hold", NobodysHold)
    patch.setattr(invoice, "Hold", NobodysHold)


def lines_by_anybody(patch: Patch) -> None:
    # The invoice step refuses lines that the create step did not return: these guards have to be off as well.
    def nothing(*_: object) -> Flow[None]:
        yield from ()

    patch.setattr(create, "Hold", NobodysHold)
    patch.setattr(invoice, "check_content", nothing)
    patch.setattr(invoice, "check_bill", lambda *_: None)


def no_settling(patch: Patch) -> None:
    for module in (create, hold):
        patch.setattr(module, "pause", lambda _, reason: pause(0.01, reason))


def no_settling_after_a_take_over(patch: Patch) -> None:
    take_over = Hold._take_over

    def hurried(self: Hold, *arguments: Any) -> Flow[Claim]:
        flow = take_over(self, *arguments)
        step = next(flow)
        answer: Any = yield step
        try:
            flow.send(answer)
            yield from pause(0.01, "in a hurry")
            return (yield from self._look_again(arguments[0].order.id))
        finally:
            flow.close()

    patch.setattr(Hold, "_take_over", hurried)


def no_look_at_the_orders_of_others(patch: Patch) -> None:
    # The look before the creation alone could be missed: the one after it, and the election, make up for it.
    def selfish(intent: Intent, known_ids: Collection[int] = (), since: Any = None) -> Flow[Found]:
        found = yield from look.look(intent, known_ids, since)
        markers = [(sight, marker_of(sight.order)[1]) for sight in found.sights]
        mine = [sight for sight, marker in markers if marker and marker.holder == intent.marker.holder]
        return found._replace(sights=mine)

    patch.setattr(create, "look", selfish)


def no_look_before_the_creation(patch: Patch) -> None:
    # Whoever knows of an order has looked before, or created it.
    def hasty(intent: Intent, known_ids: Collection[int] = (), since: Any = None) -> Flow[Found]:
        if not known_ids and not looked.get(intent.marker.holder):
            looked[intent.marker.holder] = True
            return Found([], frozenset())
        return (yield from look.look(intent, known_ids, since))

    looked: dict[Holder, bool] = {}
    patch.setattr(create, "look", hasty)


def lines_before_the_election(patch: Patch) -> None:
    post = create._post

    def eager(work: Any) -> Flow[None]:
        yield from post(work)
        if work.created_id is not None:
            yield from create._complete(work, (yield from tfso.see_sales_order(work.created_id)))

    patch.setattr(create, "_post", eager)


def no_election(patch: Patch) -> None:
    def the_last(sights: Sequence[Sight]) -> Flow[Sight]:
        yield from ()
        return max(sights, key=lambda sight: sight.order.id)

    def nothing(*_: object) -> Flow[bool]:
        yield from ()
        return True

    patch.setattr(create, "elect", the_last)
    patch.setattr(create, "withdraw", nothing)
    patch.setattr(invoice, "check_alone", nothing)


def _blindly(sight: Sight) -> Sight:
    # Whoever does not read the status does not read in the marker either that it is about to change.
    draft = {"invoice": None, "internal_memo": (sight.order.internal_memo or "").rstrip("!")}
    if sight.order.status == "Invoice":
        draft["status"] = "Draft"
    return sight._replace(order=sight.order.model_copy(update=draft))


def no_look_at_the_status(patch: Patch) -> None:
    see = invoice._see

    def blind(order_id: int) -> Flow[Sight]:
        return _blindly((yield from see(order_id)))

    def at_once(order: Any, *_: object) -> Flow[Any]:
        yield from ()
        return order

    patch.setattr(invoice, "_see", blind)
    patch.setattr(invoice, "_numbered", at_once)


def no_look_at_the_marker(patch: Patch) -> None:
    patch.setattr(look, "_carries", lambda *_: True)


def no_wait_for_lines(patch: Patch) -> None:
    def at_once(self: setbacks.Setbacks, error: TfsoHypatosError, what: str) -> Flow[None]:
        yield from ()

    patch.setattr(setbacks.Setbacks, "weigh", at_once)


def old_evidence(patch: Patch) -> None:
    patch.setattr(Hold, "not_after", lambda *_: float("inf"))


def take_over_counts_at_once(patch: Patch) -> None:
    def trusting(self: Hold, order_id: int) -> Flow[Claim]:
        return Claim(Standing.MINE, (yield from tfso.see_sales_order(order_id)))

    patch.setattr(Hold, "_look_again", trusting)


def everybody_inherits(patch: Patch) -> None:
    patch.setattr(runs, "inherits", lambda *_: True)


def no_wait_for_the_list(patch: Patch) -> None:
    for module in (create, billing):
        patch.setattr(module, "LOOKS_UNTIL_LISTED", 0)


def no_word_of_the_invoicing(patch: Patch) -> None:
    def without_the_word(order: SalesOrder) -> tuple[Any, Marker | None]:
        field, marker = marker_of(order)
        return field, replace(marker, invoicing=False) if marker else None

    patch.setattr(hold, "marker_of", without_the_word)
    for module in (billing, invoice, look):
        patch.setattr(module, "is_billed", lambda order: order.is_invoiced)


def taken_back_by_anybody(patch: Patch) -> None:
    patch.setattr(withdrawal, "Hold", NobodysHold)


def taken_back_at_any_time(patch: Patch) -> None:
    class Patient(Hold):
        """A look is good for ever."""

        def not_after(self, sight: Sight) -> float:
            return float("inf")

    patch.setattr(withdrawal, "Hold", Patient)


def taken_back_in_any_state(patch: Patch) -> None:
    class Blind(Hold):
        """Does not see that an order is invoiced."""

        def _look_again(self, order_id: int) -> Flow[Claim]:
            sight = yield from see(order_id)
            return Claim(Standing.MINE if sight and self.is_mine(sight) else Standing.WAIT, sight)

    def see(order_id: int) -> Flow[Sight | None]:
        sight = yield from look.see_if_there(order_id)
        return _blindly(sight) if sight else None

    patch.setattr(withdrawal, "Hold", Blind)
    patch.setattr(withdrawal, "see_if_there", see)


def taken_back_in_the_queue(patch: Patch) -> None:
    no_word_of_the_invoicing(patch)
    patch.setattr(withdrawal, "is_billed", lambda order: order.is_invoiced)


def taken_back_with_what_was_added(patch: Patch) -> None:
    def nothing(*_: object) -> Flow[None]:
        yield from ()

    patch.setattr(withdrawal, "_check_same", nothing)


def a_draft_is_a_draft(patch: Patch) -> None:
    set_aside = withdrawal._set_aside

    def at_once(work: Any, sight: Sight | None) -> withdrawal.Withdrawn | None:
        if sight is not None and sight.order.status == "Draft" and not is_billed(sight.order):
            return withdrawal.Withdrawn("draft", changed=work.change_sent)
        return set_aside(work, sight)

    patch.setattr(withdrawal, "_set_aside", at_once)


class Rule(NamedTuple):
    """A rule of the protocol.

    :param name: the rule, for a reader.
    :param switch_off: takes it out of the real flows.
    :param setting: a world in which it is missed.
    :param broken: promises that break without it, or what is no harm and happens only without it.
    """

    name: str
    switch_off: Callable[[Patch], None]
    setting: Setting
    broken: frozenset[str]


_TWICE, _LINES = "invoiced twice", "wrong lines billed"
_REJECTED = frozenset({TAKEN_BACK_THOUGH_INVOICED, INVOICED_AFTERWARDS})

RULES = [
    Rule("only the holder writes", no_holder, CALM_RACE, frozenset({_TWICE, _LINES})),
    Rule("only the holder writes lines", lines_by_anybody, HURRIED_RACE, frozenset({_LINES})),
    Rule("settle", no_settling, ALONE, frozenset({_TWICE, _LINES, "two orders with lines", "run lost"})),
    Rule("settle after a take-over", no_settling_after_a_take_over, TWINS, frozenset({_TWICE, _LINES})),
    Rule(
        "look before and after creating", no_look_at_the_orders_of_others, ALONE, frozenset({"two orders with lines"})
    ),
    Rule(
        "look before creating",
        no_look_before_the_creation,
        SETTINGS["3 runs, one after the other"],
        frozenset({NEEDLESS}),
    ),
    Rule(
        "only the elected order gets lines",
        lines_before_the_election,
        Setting(runs=(None,) * 3, net=CALM, traits=NO_WAY_TO_WITHDRAW),
        frozenset({"two orders with lines"}),
    ),
    Rule("elect, and withdraw the others", no_election, CALM_RACE, frozenset({_TWICE, "two orders with lines"})),
    Rule("read before invoicing", no_look_at_the_status, ALONE, frozenset({_TWICE})),
    Rule("compare the marker", no_look_at_the_marker, CALM_RACE, frozenset({"never invoiced", "run lost"})),
    Rule("settle after an unclear line", no_wait_for_lines, ALONE, frozenset({_TWICE, _LINES, "run lost"})),
    Rule("a look is soon too old", old_evidence, TWINS, frozenset({_TWICE, _LINES})),
    Rule("a take-over is checked", take_over_counts_at_once, TWINS, frozenset({_TWICE})),
    Rule(
        "only the next task goes on as the holder",
        everybody_inherits,
        SETTINGS["a run carries a result"],
        frozenset({_TWICE}),
    ),
    Rule(
        "wait until the list shows the order",
        no_wait_for_the_list,
        LAGGING,
        frozenset({_TWICE, "two orders with lines"}),
    ),
    Rule("an order that is being invoiced is left alone", no_word_of_the_invoicing, QUEUEING, frozenset({_TWICE})),
    Rule("only the holder takes back", taken_back_by_anybody, REJECTED, _REJECTED),
    Rule("read before taking back", taken_back_in_any_state, REJECTED, _REJECTED),
    Rule("a look is soon too old to take back", taken_back_at_any_time, HALTING, _REJECTED),
    Rule(
        "what is being invoiced is not taken back",
        taken_back_in_the_queue,
        SETTINGS["taken back, invoices queue 75 s"],
        _REJECTED,
    ),
    Rule(
        "compare before taking back",
        taken_back_with_what_was_added,
        SETTINGS["taken back after an edit"],
        frozenset({WORK_LOST}),
    ),
    Rule("only the holder reports a draft", a_draft_is_a_draft, SETTINGS["a draft already"], _REJECTED),
]

"""Find or create the one sales order of a business order, and see that it has each line once."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow, pause, remember
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import NotFound, OrderBusy, OrderDrift, OutcomeUncertain, TfsoHypatosError
from tfso_hypatos.flows.compare import DECISIVE, LinePlan, header_differences, plan_lines
from tfso_hypatos.flows.hold import Claim, Hold, Standing
from tfso_hypatos.flows.intent import Holder, Intent, marker_of
from tfso_hypatos.flows.look import LOOKS_UNTIL_LISTED, elect, look, lost_marker, withdraw
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

log = logging.getLogger(__name__)

ROUNDS = 20
"""Looks at most; each further one needs another order to have appeared or vanished meanwhile."""

LOOKS_AT_ONCE = 3
"""Looks without a pause between them: before the creation, after it, and after a lost election."""

LOOKS_FOR_LINES = 9
"""Looks for a line that was clearly added, a quarter of the settle time apart."""

MARGIN = datetime.timedelta(days=1)
"""How much older than ours an order may be that appears in the list only after it."""


class Created(NamedTuple):
    """The sales order of a business order, complete.

    :param order: as 24SevenOffice holds it.
    :param lines: the lines, in the caller's order.
    :param created: whether this try created it; False: it was there and was adopted.
    :param holder: this task, if it is the holder the order names; else None.
    :param edited: header fields that differ from what was asked for without deciding who pays what.
    """

    order: SalesOrder
    lines: tuple[SalesOrderLine, ...]
    created: bool
    holder: Holder | None
    edited: tuple[str, ...]

    @property
    def line_ids(self) -> tuple[int, ...]:
        """Ids of the lines, in the caller's order."""
        return tuple(line.id for line in self.lines)


@dataclass
class _Work:
    """What one run of the flow knows so far."""

    intent: Intent
    timing: Timing
    hold: Hold
    known_ids: set[int] = field(default_factory=set)
    created_id: int | None = None
    creation_sent_at: float | None = None
    added_ids: set[int] = field(default_factory=set)
    posted: bool = False
    since: datetime.datetime | None = None


def find_or_create(
    intent: Intent, timing: Timing, organization: str, known_ids: Iterable[int] = (), *, again: bool = False
) -> Flow[Created]:
    """Return the one sales order of a business order, complete; create it only if there is none.

    :param intent: the business order, checked.
    :param timing: the waits.
    :param organization: organization id.
    :param known_ids: ids remembered for this business order; verified before they are believed.
    :param again: whether this is not the first try, so that the creation of an earlier one may be under way still.
    :raises OutcomeUncertain: if a change was sent, no answer came, and looking again did not show it.
    :raises OrderDrift: if 24SevenOffice holds something else under the same key.
    :raises OrderBusy: if another run is at work on it for too long.
    """
    hold = Hold(intent.marker.holder, organization, timing)
    work = _Work(intent, timing, hold, set(known_ids))
    looks_in_vain = 0
    for looks in range(ROUNDS + LOOKS_UNTIL_LISTED):
        if looks > LOOKS_AT_ONCE + looks_in_vain:
            yield from pause(timing.evidence, f"the sales order of {intent.order_key!r} is changing")
        found, unlisted = yield from look(intent, work.known_ids, work.since)
        if len(found) != 1 and again:
            again = False
            yield from pause(timing.settle, "an earlier try may have been killed while it created or withdrew an order")
            continue
        if not found and work.posted and looks_in_vain < LOOKS_UNTIL_LISTED:
            looks_in_vain += 1
            yield from pause(timing.evidence, f"until 24SevenOffice shows the sales order of {intent.order_key!r}")
            continue
        if not found:
            yield from _post(work)
            continue
        if unlisted:
            # Of two orders, the one that shows later finds the other one: before that, neither may be given lines.
            work.creation_sent_at = None
            if looks_in_vain < LOOKS_UNTIL_LISTED:
                looks_in_vain += 1
                yield from pause(
                    timing.evidence, f"until the list shows sales order {min(unlisted)}, and any twin of it"
                )
                continue
            log.warning("The list does not show sales order %s, so a twin of it may not show either", min(unlisted))
        elected = yield from elect(found)
        strays = [sight for sight in found if sight.order.id != elected.order.id]
        if not (yield from withdraw(intent, strays, elected, work.hold.setbacks)):
            continue
        created = yield from _complete(work, elected)
        if created is not None:
            return created
    raise OrderBusy(f"The sales order of {intent.order_key!r} kept changing under this task. Retry it: it looks first.")


def _post(work: _Work) -> Flow[None]:
    """Create the order; after an unclear answer look, and never send it a second time."""
    if work.posted:
        raise OutcomeUncertain(
            f"The sales order of {work.intent.order_key!r} was created and is gone again. If nobody deleted it, the "
            "list of 24SevenOffice lags: retry this task, it looks first."
        )
    work.posted = True
    try:
        sight = yield from tfso.create_and_see_sales_order(work.intent.order)
    except TfsoHypatosError as error:
        if not error.ambiguous:
            raise
        yield from pause(work.timing.settle, "no clear answer to the creation; then looking whether the order is there")
        found, _ = yield from look(work.intent)
        if not found:
            raise OutcomeUncertain(
                f"No clear answer to the creation of the sales order of {work.intent.order_key!r} ({error}), and it is "
                f"not there after {work.timing.settle:.0f} s. Retry this task: it looks before it creates."
            ) from error
        mine = [sight.order.id for sight in found if work.hold.is_mine(sight)]
        work.created_id = mine[0] if mine else None
    else:
        order = sight.order
        work.created_id, work.creation_sent_at = order.id, sight.seen_at
        work.since = order.created_at - MARGIN if order.created_at else None
    if work.created_id is not None:
        work.known_ids.add(work.created_id)
        yield from remember(work.created_id)


def _complete(work: _Work, elected: Sight) -> Flow[Created | None]:
    """Bring the elected order to exactly the wanted lines; None: it is gone, look anew."""
    order_id = elected.order.id
    sight = elected
    # A new order of ours has no lines, and nobody but its holder writes any. But the list may show what was: that
    # nobody has taken the order over yet is certain only as of its creation.
    sent_at, work.creation_sent_at = work.creation_sent_at, None
    new = False
    if sent_at is not None and order_id == work.created_id and work.hold.is_mine(elected):
        new, sight = True, elected._replace(seen_at=sent_at)
    work.added_ids.clear()
    lines: Sequence[SalesOrderLine] = ()
    plan = plan_lines(work.intent.lines, lines)
    held = new
    while True:
        if not new:
            try:
                lines = yield from _lines(work, order_id)
                plan = plan_lines(work.intent.lines, lines)
                # Last, so that a change rests on a look at the holder that is as young as can be.
                sight = yield from tfso.see_sales_order(order_id)
            except NotFound:
                return None
        new = False
        if sight.order.is_inactive:
            return None
        if sight.order.is_invoiced and not plan.complete:
            # Another run may have completed and invoiced it since the lines were read; now they no longer change.
            lines = yield from tfso.list_lines(order_id)
            plan = plan_lines(work.intent.lines, lines)
        _check_drift(work, sight.order, plan)
        if plan.complete:
            return _result(work, sight, plan, lines)
        if held and work.hold.is_mine(sight):
            yield from _write_lines(work, sight, plan)
            continue
        # The lines above were read before this task held the order; whoever did may have added some since.
        claim: Claim = yield from work.hold.claim(sight)
        held = claim.standing is Standing.MINE
        if claim.standing is Standing.GONE:
            return None


def _lines(work: _Work, order_id: int) -> Flow[list[SalesOrderLine]]:
    """Read the lines of an order, again as long as one that was clearly added is not shown: the list may lag."""
    for _ in range(LOOKS_FOR_LINES):
        lines = yield from tfso.list_lines(order_id)
        hidden = work.added_ids - {line.id for line in lines}
        if not hidden:
            return lines
        yield from pause(work.timing.evidence, f"sales order {order_id} does not show line {min(hidden)} yet")
    raise OutcomeUncertain(
        f"24SevenOffice accepted line {min(hidden)} of sales order {order_id} and does not show it. Retry this task: "
        "it adds what is missing."
    )


def _write_lines(work: _Work, sight: Sight, plan: LinePlan) -> Flow[None]:
    """Add what is missing and remove what is there twice, as long as the look at the holder is good for it."""
    order_id, not_after = sight.order.id, work.hold.not_after(sight)
    try:
        for line in plan.missing:
            added = yield from tfso.add_line(order_id, line, not_after)
            work.added_ids.add(added.id)
            work.hold.setbacks.succeeded()
        for line_id in plan.surplus:
            log.warning("Removing line %s of sales order %s: it repeats another one in everything", line_id, order_id)
            work.added_ids.discard(line_id)
            yield from tfso.delete_line(order_id, line_id, not_after)
            work.hold.setbacks.succeeded()
    except TfsoHypatosError as error:
        yield from work.hold.setbacks.weigh(error, f"complete the lines of sales order {order_id}")


def _check_drift(work: _Work, order: SalesOrder, plan: LinePlan) -> None:
    """Refuse to go on if 24SevenOffice holds something else than was asked for."""
    intent, marker = work.intent, marker_of(order)[1]
    if marker is None or marker.key != intent.marker.key:
        raise lost_marker(intent, order.id)
    same = marker.content == intent.marker.content
    found = _header_drift(intent, order, decisive_only=same) + list(plan.foreign)
    if not same and not found and plan.complete:
        log.warning("Sales order %s was created with other content and now holds what was asked for", order.id)
        return
    where = f"Sales order {order.id} of {intent.order_key!r}"
    if not same:
        found += [f"{place} is not there" for place in _missing_places(intent, plan)]
        raise OrderDrift(
            f"{where} was created with other content than this task was given; it was left as it is. It differs in: "
            f"{'; '.join(found) or 'how often a line stands there'}. Give the task the content it had, or change the "
            "order in 24SevenOffice to what is wanted now, then clear this task. Another sale needs another order_key.",
            found,
        )
    if order.is_invoiced:
        found += [f"{place} was not billed" for place in _missing_places(intent, plan)]
        found += [f"line {line_id} was billed twice" for line_id in plan.surplus]
    if found:
        raise OrderDrift(f"{where} {_state(work, order)}: {'; '.join(found)}.", found)


def _state(work: _Work, order: SalesOrder) -> str:
    if order.is_invoiced:
        return "is invoiced and differs from what was asked for"
    if order.id == work.created_id:
        return "was stored differently from what was sent, and not completed. Look at it in 24SevenOffice"
    return "differs from what was asked for. Undo the edit in 24SevenOffice and clear this task, or bill it by hand"


def _missing_places(intent: Intent, plan: LinePlan) -> list[str]:
    return [f"lines[{index}]" for index in range(len(intent.lines)) if plan.matched[index] is None]


def _header_drift(intent: Intent, order: SalesOrder, *, decisive_only: bool) -> list[str]:
    # Invoicing sets date, terms and number; a reference number that carries the marker is compared as the marker.
    but = {"referenceNumber"} if intent.marker_field == "referenceNumber" else set()
    but |= {"invoice"} if order.is_invoiced else set()
    places = header_differences(intent.order, order, but=frozenset(but))
    return [f"order.{place}" for place in places if place in DECISIVE or not decisive_only]


def _result(work: _Work, sight: Sight, plan: LinePlan, lines: Sequence[SalesOrderLine]) -> Created:
    order, by_id = sight.order, {line.id: line for line in lines}
    edited = tuple(_header_drift(work.intent, order, decisive_only=False))
    if edited:
        log.warning("Sales order %s was edited: %s", order.id, ", ".join(edited))
    return Created(
        order=order,
        lines=tuple(by_id[line_id] for line_id in plan.matched if line_id is not None),
        created=order.id == work.created_id,
        holder=work.hold.me if work.hold.is_mine(sight) else None,
        edited=edited,
    )

"""What a reconciliation may put right: an order without lines that repeats another one, and a record of Hypatos.

Nothing is invoiced, nothing is deleted, and nothing that may be a person's work is touched. A plan only reads; a repair
makes the same plan, and then changes what the plan says.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso import Sight, count_attachments
from tfso_hypatos.flows.amounts import is_same
from tfso_hypatos.flows.by_hand import without_copied_marker
from tfso_hypatos.flows.enrich import patch_over_order
from tfso_hypatos.flows.hold import Hold
from tfso_hypatos.flows.intent import Holder, is_billed, marker_of
from tfso_hypatos.flows.look import has_lines, how_far, see_if_there, still_carries, withdraw_one
from tfso_hypatos.flows.reconciliation import RecordFacts, record_facts
from tfso_hypatos.flows.setbacks import Setbacks, Timing
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentRecord
from tfso_hypatos.models.tfso import Status
from tfso_hypatos.models.tfso_read import SalesOrder

MOST_ATTEMPTS = 4
"""Looks at a stray that keeps changing, or whose withdrawal was not answered."""

UNTOUCHED = datetime.timedelta(seconds=5)
"""So much later than its creation, a change is one that somebody made afterwards."""

_MOVES_ON = frozenset(
    {"id", "status", "invoice", "createdAt", "modifiedAt", "netAmount", "taxAmount", "grossAmount"}
)  # fmt: skip
"""What two orders of one business order need not have in common."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a repair, or would.

    :param kind: ``planned``, ``done``, ``left`` (to a person) or ``failed``.
    :param text: what is or was to be done, and the state before it; or why it was left.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A stray that can be nothing but a repetition of ours.

    :param stray: a look at it, from before its lines were read.
    :param twin_id: the order that it repeats, which has the lines.
    """

    stray: Sight
    twin_id: int

    @property
    def text(self) -> str:
        """What is to be done, and the state before it."""
        order = self.stray.order
        field, marker = marker_of(order)
        return (
            f"set sales order {order.id} inactive, which repeats sales order {self.twin_id}; was: status "
            f"{order.status}, no lines, {field} {marker}"
        )


def plan_withdrawal(
    order_id: int, twin_ids: Sequence[int], organization: str, me: Holder | None = None
) -> Flow[Withdrawal | Outcome]:
    """Look whether a stray may be withdrawn; changes nothing.

    :param order_id: the stray.
    :param twin_ids: orders that carried the same marker when they were listed.
    :param organization: organization id.
    :param me: this try of this task, which may have taken the stray over.
    :return: what is to be done, or why it is left to a person.
    """
    first = yield from see_if_there(order_id)
    marker = marker_of(without_copied_marker(organization, first.order))[1] if first is not None else None
    if first is None or marker is None:
        return Outcome("left", f"sales order {order_id} is gone, or carries no marker any more")
    twin = yield from _twin_with_lines(marker.key, organization, [each for each in twin_ids if each != order_id])
    if twin is None:
        return Outcome("left", "no other active order with the same marker has lines: run its DAG again to complete it")
    # Last, so that a change rests on a look at it that is as young as can be.
    stray = yield from see_if_there(order_id)
    if stray is None or not still_carries(stray, marker.key) or is_billed(stray.order):
        return Outcome("left", f"sales order {order_id} has changed since it was listed")
    if (yield from has_lines(order_id)):
        return Outcome("left", f"sales order {order_id} has lines by now")
    if (yield from count_attachments(order_id)):
        return Outcome("left", f"may be a person's work: sales order {order_id} has attachments")
    differing = _differences(stray.order, twin.order)
    if differing:
        places = ", ".join(differing)
        return Outcome("left", f"may be a person's work: it differs from sales order {twin.order.id} in {places}")
    if not _is_untouched(stray.order, me):
        text = f"sales order {order_id} was changed after it was created: a person or another run may be at work on it"
        return Outcome("left", text)
    return Withdrawal(stray, twin.order.id)


def _is_copy(organization: str, order: SalesOrder) -> bool:
    return marker_of(without_copied_marker(organization, order))[1] is None


def _is_untouched(order: SalesOrder, me: Holder | None) -> bool:
    """Say whether nobody but this task has changed an order since it was created: a person may have emptied a copy."""
    marker = marker_of(order)[1]
    if me is not None and marker is not None and marker.holder == me:
        return True
    created, modified = order.created_at, order.modified_at
    return created is not None and modified is not None and abs(modified - created) <= UNTOUCHED


def _twin_with_lines(key: str, organization: str, twin_ids: Sequence[int]) -> Flow[Sight | None]:
    for twin_id in twin_ids:
        twin = yield from see_if_there(twin_id)
        if twin is None or not still_carries(twin, key) or _is_copy(organization, twin.order):
            continue
        if (yield from has_lines(twin_id)):
            return twin
    return None


def _differences(stray: SalesOrder, twin: SalesOrder) -> list[str]:
    """Return in what a stray differs from the order that it seems to repeat: somebody may have given it a sense."""
    ours, theirs = _header(stray), _header(twin)
    found = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    if stray.status not in (Status.DRAFT, twin.status):
        found.append("status")
    return found


def _header(order: SalesOrder) -> dict[str, Any]:
    field, marker = marker_of(order)
    shown = order.model_dump(by_alias=True, exclude_none=True)
    header = {name: value for name, value in shown.items() if name not in _MOVES_ON}
    if marker is not None:
        # Who holds it, and that it was invoiced, moves on; the rest of the marker must be the same.
        header[field] = str(header[field]).replace(str(marker), f"{marker.key}/{marker.content}")
    return header


def withdraw_stray(
    order_id: int, twin_ids: Sequence[int], me: Holder, organization: str, timing: Timing
) -> Flow[Outcome]:
    """Set a stray inactive that can be nothing but a repetition of ours, by the protocol of all who change an order.

    :param order_id: the stray.
    :param twin_ids: orders that carried the same marker when they were listed.
    :param me: this try of this task.
    :param organization: organization id.
    :param timing: the waits.
    """
    hold, setbacks = Hold(me, organization, timing), Setbacks(timing)
    before, sent = "", False
    for _ in range(MOST_ATTEMPTS):
        plan = yield from plan_withdrawal(order_id, twin_ids, organization, me)
        if isinstance(plan, Outcome):
            # An answer that was lost on its way: the order may be inactive by our own request.
            sight = (yield from see_if_there(order_id)) if sent else None
            return Outcome("done", before) if sight is not None and sight.order.is_inactive else plan
        before = before or plan.text
        if not hold.is_mine(plan.stray):
            # Whatever comes of it, the next look says how things stand.
            yield from hold.claim(plan.stray)
            continue
        sent = True
        if not (yield from withdraw_one(plan.stray, plan.twin_id, setbacks, has_lines=False, keep=True)):
            continue
        sight = yield from see_if_there(order_id)
        if sight is None or sight.order.is_inactive:
            return Outcome("done", before)
        return Outcome("failed", f"sales order {order_id} could not be set inactive; do it in 24SevenOffice")
    reason = "another run is at work on it, or 24SevenOffice gave no clear answer in time"
    return Outcome("left", f"sales order {order_id} was not set inactive: {reason}")


@dataclass(frozen=True, slots=True)
class Enrichment:
    """A record of Hypatos that is to be written.

    :param patch: what is written.
    :param text: what is to be done, and the state before it.
    """

    patch: EnrichmentPatch
    text: str


def plan_enrichment(external_id: str, order_id: int, record: RecordFacts | None) -> Flow[Enrichment | Outcome]:
    """Look whether a record may be written; changes nothing.

    :param external_id: key of the record.
    :param order_id: the order.
    :param record: the record as it is, or None if there is none.
    :return: what is to be written, or why it is left to a person.
    """
    order, patch = yield from patch_over_order(external_id, order_id, {})
    if not order.is_invoiced or order.transaction_id is None:
        state = "names no transaction" if order.is_invoiced else how_far(order)
        return Outcome("left", f"sales order {order_id} {state}")
    new = _state(record_facts(EnrichmentRecord.model_validate(patch.to_wire())))
    if record is None:
        return Enrichment(patch, f"insert the Hypatos sales order {external_id!r} with {new}; was: not there")
    if record.order_id not in (None, str(order_id)):
        return Outcome("left", f"the record {external_id!r} is that of sales order {record.order_id}")
    old = _state(record)
    if record.order_id is None and not _may_be_of(record, order):
        return Outcome("left", f"the record {external_id!r} names no order and has other amounts; it has {old}")
    return Enrichment(patch, f"patch the Hypatos sales order {external_id!r} to {new}; was: {old}")


def _may_be_of(record: RecordFacts, order: SalesOrder) -> bool:
    # A record that somebody else wrote may lack amounts; one that has others may be that of another order.
    pairs = ((record.net, order.net_amount), (record.tax, order.tax_amount), (record.gross, order.gross_amount))
    currency = order.currency.code if order.currency else None
    return all(one is None or other is None or is_same(one, other, currency) for one, other in pairs)


def _state(record: RecordFacts) -> str:
    named: Mapping[str, object] = {
        "net": record.net,
        "tax": record.tax,
        "gross": record.gross,
        "invoice": record.invoice_number,
        "transaction": record.transaction_id,
        "lines": record.lines,
    }
    shown = [f"{name} {value}" for name, value in named.items() if value is not None]
    return ", ".join(shown) or "no amounts and no invoice"

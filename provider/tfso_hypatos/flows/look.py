"""Which orders carry a business order's marker, which one of them counts, and how the others are withdrawn."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Collection, Sequence
from typing import NamedTuple

from tfso_hypatos.clients import tfso, tfso_lists
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import NotFound, OrderDrift, TfsoHypatosError
from tfso_hypatos.flows.compare import plan_lines
from tfso_hypatos.flows.intent import Intent, is_billed, marker_of
from tfso_hypatos.flows.setbacks import Setbacks
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

log = logging.getLogger(__name__)

LOOKS_UNTIL_LISTED = 8
"""Looks, a quarter of the settle time apart, at a list that does not show an order that is there."""


class Found(NamedTuple):
    """The orders of a business order.

    :param sights: the orders.
    :param unlisted: ids of those among them that are known, but that the list does not show.
    """

    sights: list[Sight]
    unlisted: frozenset[int]


def look(intent: Intent, known_ids: Collection[int] = (), since: datetime.datetime | None = None) -> Flow[Found]:
    """Return the orders that carry the intent's key and are not set inactive.

    The list is filtered again here, because a server ignores a filter that it does not know; and because the list
    may lag, orders known by id are read one by one.

    :param intent: the business order.
    :param known_ids: ids of orders that this task created or remembers; verified like any other.
    :param since: look only at orders created since, for older ones were looked at before.
    :raises OrderDrift: if all that is left of the business order was set inactive, or has lost its marker.
    """
    created_from = intent.created_from if since is None else max(since, intent.created_from)
    filters = tfso_lists.SalesOrderFilter(customer_id=intent.customer_id, created_from=created_from)
    sights = {sight.order.id: sight for sight in (yield from tfso_lists.see_sales_orders(filters))}
    listed = frozenset(sights)
    for order_id in sorted(set(known_ids) - set(sights)):
        try:
            sights[order_id] = yield from tfso.see_sales_order(order_id)
        except NotFound:
            log.info("Sales order %s is no longer there", order_id)
    known = [sights[order_id].order for order_id in known_ids if order_id in sights]
    unmarked = [order for order in known if marker_of(order)[1] is None and not order.is_inactive]
    if unmarked:
        raise lost_marker(intent, unmarked[0].id)
    carrying = [sight for sight in sights.values() if _carries(sight.order, intent.marker.key)]
    active = [sight for sight in carrying if not sight.order.is_inactive]
    if carrying and not active:
        ids = ", ".join(str(sight.order.id) for sight in carrying)
        raise OrderDrift(
            f"Sales order {ids} of {intent.order_key!r} was set inactive: by a person, or by runs of the same "
            "order_key that each withdrew what the other had created (their logs say so). Set one active again and "
            "clear this task, or use another order_key if the business order is meant to be billed after all."
        )
    return Found(active, frozenset(sight.order.id for sight in active) - listed)


def lost_marker(intent: Intent, order_id: int) -> OrderDrift:
    """Return the error for an order of ours whose marker somebody has removed."""
    return OrderDrift(
        f"Sales order {order_id} of {intent.order_key!r} has lost its marker: somebody edited {intent.marker_field} in "
        f"24SevenOffice. Put this text back into it, then clear this task: {intent.marker}"
    )


def _carries(order: SalesOrder, key: str) -> bool:
    marker = marker_of(order)[1]
    return marker is not None and marker.key == key


def elect(sights: Sequence[Sight]) -> Flow[Sight]:
    """Return the one order that counts: an invoiced one, else one with lines, else the earliest, else the lowest id."""
    if len(sights) == 1:
        return sights[0]
    ranks = []
    for sight in sights:
        order = sight.order
        billed = is_billed(order)
        filled = billed or (yield from has_lines(order.id))
        created = order.created_at.timestamp() if order.created_at else float("inf")
        ranks.append(((not billed, not filled, created, order.id), sight))
    return min(ranks, key=lambda ranked: ranked[0])[1]


def withdraw(intent: Intent, strays: Sequence[Sight], elected: Sight, setbacks: Setbacks) -> Flow[bool]:
    """Withdraw the orders that lost the election: delete them, else set them inactive, else report them.

    An order without lines cannot be invoiced, so one that can be neither deleted nor set inactive does no harm. One
    with lines is withdrawn only if it can be nothing but a repetition of ours.

    :param intent: the business order.
    :param strays: the orders that lost.
    :param elected: the one that won.
    :param setbacks: weighs what goes wrong.
    :return: False if one of them has changed, or may have, so that a new election is due.
    :raises OrderDrift: if one of them may be somebody's copy of ours, made for another sale.
    """
    # A list that lags shows what was; with two orders withdrawn for each other none would be left.
    if strays and not still_carries((yield from see_if_there(elected.order.id)), intent.marker.key):
        return False
    for stray in strays:
        sight = yield from see_if_there(stray.order.id)
        if sight is None:
            continue
        if not still_carries(sight, intent.marker.key) or is_billed(sight.order) != is_billed(stray.order):
            return False
        lines = yield from _lines_of(stray.order.id)
        if is_billed(sight.order) or (lines and is_billed(elected.order)) or plan_lines(intent.lines, lines).foreign:
            raise _maybe_a_copy(sight.order, elected.order)
        # Whoever created the stray may have been at work on it since the election.
        if lines and not (yield from has_lines(elected.order.id)):
            return False
        if not (yield from withdraw_one(sight, elected.order.id, setbacks, has_lines=bool(lines))):
            return False
    return True


def how_far(order: SalesOrder) -> str:
    """Return how far the invoicing of an order is, in a person's words."""
    if order.is_invoiced:
        return f"is invoiced as number {order.invoice_number}" if order.invoice_number else "is invoiced"
    if is_billed(order):
        return "says that it is being invoiced, as a copy of an invoiced order does, too"
    return "is not invoiced"


def _maybe_a_copy(stray: SalesOrder, elected: SalesOrder) -> OrderDrift:
    field, marker = marker_of(stray)
    state = how_far(stray) if is_billed(stray) else "has lines of its own"
    return OrderDrift(
        f"Sales orders {elected.id} and {stray.id} carry the marker of the same business order, and {stray.id} "
        f"{state}. If it is a copy made for another sale, "
        f"remove the text {marker} from its {field}; if it bills the same sale twice, delete or credit one of them. "
        "Then clear this task."
    )


def _lines_of(order_id: int) -> Flow[list[SalesOrderLine]]:
    try:
        return (yield from tfso.list_lines(order_id))
    except NotFound:
        return []


def has_lines(order_id: int) -> Flow[bool]:
    """Say whether an order has lines; one that is gone has none."""
    return bool((yield from _lines_of(order_id)))


def withdraw_one(
    stray: Sight, elected_id: int, setbacks: Setbacks, *, has_lines: bool, keep: bool = False
) -> Flow[bool]:
    """Delete an order, else set it inactive, else report it; one with lines is not deleted, so that it can be undone.

    :param stray: a fresh look at the order, from before its lines were read.
    :param elected_id: the order that it repeats.
    :param setbacks: weighs what goes wrong.
    :param has_lines: whether it could be billed, so that leaving it there is no choice.
    :param keep: set it inactive, and do not delete it, whatever it has.
    :return: False if it has changed meanwhile, or if it is not certain that it is gone: another look is due.
    :raises OrderDrift: if it has lines and can be neither deleted nor set inactive.
    """
    order_id = stray.order.id
    doing = f"set sales order {order_id} inactive"
    not_after = stray.seen_at + setbacks.timing.evidence
    inactive = {"status": "Inactive"}
    delete = tfso.delete_sales_order(order_id, repeatable=False, not_after=not_after)
    set_inactive = tfso.update_sales_order(order_id, inactive, doing=doing, repeatable=False, not_after=not_after)
    attempts = ((delete, "Deleted"), (set_inactive, "Set inactive"))[has_lines or keep :]
    for attempt, done in attempts:
        try:
            yield from attempt
        except TfsoHypatosError as error:
            if not error.permanent:
                # If it may still arrive, another order must not be elected before it has.
                yield from setbacks.weigh(error, f"withdraw sales order {order_id}")
                return False
            # A 404 may also mean that the API has no such call.
            sight = yield from see_if_there(order_id)
            if sight is None:
                return True
            if is_billed(sight.order):
                return False
            log.warning("%s", error)
        else:
            log.warning("%s: sales order %s, which repeats sales order %s", done, order_id, elected_id)
            return True
    text = (
        f"Sales order {order_id} repeats sales order {elected_id} and could be neither deleted nor set inactive. "
        "Remove it in 24SevenOffice"
    )
    if has_lines:
        raise OrderDrift(f"{text}, then clear this task: it has lines, so it could be billed.")
    log.error("%s. It has no lines, so it cannot be billed.", text)
    return True


def still_carries(sight: Sight | None, key: str) -> bool:
    """Say whether an order is there, active, and still carries the marker of a business order.

    :param sight: a look at it, or None if it is gone.
    :param key: short hash of organization and order key.
    """
    return sight is not None and not sight.order.is_inactive and _carries(sight.order, key)


def see_if_there(order_id: int) -> Flow[Sight | None]:
    """Read an order, or return None if it is gone."""
    try:
        return (yield from tfso.see_sales_order(order_id))
    except NotFound:
        return None

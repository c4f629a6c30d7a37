"""Which orders carry a business order's marker, which one of them counts, and how the others are withdrawn."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import ApiError, Conflict, NotFound, OrderDrift
from tfso_hypatos.flows.intent import Intent, marker_of
from tfso_hypatos.models.tfso_read import SalesOrder

log = logging.getLogger(__name__)


def look(intent: Intent, known_ids: Collection[int] = ()) -> Flow[list[Sight]]:
    """Return the orders that carry the intent's key and are not set inactive.

    The list is filtered again here, because a server ignores a filter that it does not know; and because the list
    may lag, orders known by id are read one by one.

    :param intent: the business order.
    :param known_ids: ids of orders that this task created or remembers; verified like any other.
    :raises OrderDrift: if all that is left of the business order was set inactive.
    """
    filters = tfso.SalesOrderFilter(customer_id=intent.customer_id, created_from=intent.created_from)
    sights = {sight.order.id: sight for sight in (yield from tfso.see_sales_orders(filters))}
    for order_id in sorted(set(known_ids) - set(sights)):
        try:
            sights[order_id] = yield from tfso.see_sales_order(order_id)
        except NotFound:
            log.info("Sales order %s is no longer there", order_id)
    carrying = [sight for sight in sights.values() if _carries(sight.order, intent.marker.key)]
    active = [sight for sight in carrying if not sight.order.is_inactive]
    if carrying and not active:
        ids = ", ".join(str(sight.order.id) for sight in carrying)
        raise OrderDrift(
            f"Sales order {ids} of {intent.order_key!r} was set inactive in 24SevenOffice. Set it active again, or "
            "use another order_key if the business order is meant to be billed after all."
        )
    return active


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
        filled = order.is_invoiced or (yield from has_lines(order.id))
        created = order.created_at.timestamp() if order.created_at else float("inf")
        ranks.append(((not order.is_invoiced, not filled, created, order.id), sight))
    return min(ranks, key=lambda ranked: ranked[0])[1]


def has_lines(order_id: int) -> Flow[bool]:
    """Say whether an order has lines; one that is gone has none."""
    try:
        return bool((yield from tfso.list_lines(order_id)))
    except NotFound:
        return False


def withdraw(strays: Sequence[Sight], elected: Sight) -> Flow[bool]:
    """Withdraw the orders that lost the election: delete them, else set them inactive, else report them.

    An order without lines cannot be invoiced, so one that can be neither deleted nor set inactive does no harm.

    :param strays: the orders that lost.
    :param elected: the one that won.
    :return: False if one of them has changed meanwhile, so that a new election is due.
    """
    for stray in strays:
        order = stray.order
        if order.is_invoiced:
            raise OrderDrift(
                f"Sales orders {elected.order.id} and {order.id} of the same business order are both invoiced. "
                "Credit one of them in 24SevenOffice."
            )
        # Whoever created the stray may have been at work on it since the election.
        if (yield from has_lines(order.id)) and not (yield from has_lines(elected.order.id)):
            return False
        if not (yield from _withdraw_one(order.id, elected.order.id)):
            return False
    return True


def _withdraw_one(order_id: int, elected_id: int) -> Flow[bool]:
    set_inactive = tfso.update_sales_order(
        order_id, {"status": "Inactive"}, doing=f"set sales order {order_id} inactive"
    )
    for attempt, done in ((tfso.delete_sales_order(order_id), "Deleted"), (set_inactive, "Set inactive")):
        try:
            yield from attempt
        except NotFound:
            return True
        except Conflict:
            if (yield from _is_invoiced(order_id)):
                return False
        except ApiError as refusal:
            if not refusal.permanent:
                raise
            log.warning("%s", refusal)
        else:
            log.warning("%s: sales order %s, which repeats sales order %s", done, order_id, elected_id)
            return True
    log.error(
        "Sales order %s repeats sales order %s and could be neither deleted nor set inactive. It has no lines, so it "
        "cannot be invoiced; remove it in 24SevenOffice.",
        order_id,
        elected_id,
    )
    return True


def _is_invoiced(order_id: int) -> Flow[bool]:
    try:
        return (yield from tfso.get_sales_order(order_id)).is_invoiced
    except NotFound:
        return False

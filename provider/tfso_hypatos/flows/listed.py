"""The sales orders that somebody wants: all of them, and no others, whatever the server makes of the filters."""

from __future__ import annotations

import datetime
import logging

from tfso_hypatos.clients import tfso, tfso_lists
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso_lists import Page, SalesOrderFilter
from tfso_hypatos.exceptions import NotFound, TooManyOrders
from tfso_hypatos.models.tfso_filter import ListFilter
from tfso_hypatos.models.tfso_read import SalesOrder

log = logging.getLogger(__name__)

_DAY = datetime.timedelta(days=1)
_SECOND = datetime.timedelta(seconds=1)


def list_wanted(wanted: ListFilter, limit: int) -> Flow[list[SalesOrder]]:
    """Read every order that is wanted, all pages, lowest id first.

    :param wanted: which orders.
    :param limit: how many there may be.
    :raises TooManyOrders: if there are more: none is left out silently.
    """
    found: dict[int, SalesOrder] = {}

    def visit(page: Page) -> bool:
        for sight in page.orders:
            # Pages may come again, and show what has changed since.
            found.pop(sight.order.id, None)
            if is_wanted(wanted, sight.order):
                found[sight.order.id] = sight.order
        return len(found) <= limit

    if not (yield from tfso_lists.walk_sales_orders(_query(wanted), visit)):
        raise TooManyOrders(
            f"24SevenOffice has more than {limit} such sales orders. None is handed on, for the others would be left "
            "out silently. Narrow the filters, or raise limit; a task that is mapped over the orders may have as "
            "many instances as [core] max_map_length in Airflow's configuration says"
        )
    orders = []
    for order_id in sorted(found):
        order = found[order_id]
        if order.gross_amount is None:
            # Without its total, nobody would see that it was edited before it is billed.
            try:
                order = yield from tfso.get_sales_order(order_id)
            except NotFound:
                continue
            if not is_wanted(wanted, order):
                continue
        orders.append(order)
    return orders


def is_wanted(wanted: ListFilter, order: SalesOrder) -> bool:
    """Say whether an order is one of those that are wanted; one that does not show what decides it is not.

    :param wanted: which orders.
    :param order: the order.
    """
    customer = order.customer.id if order.customer else None
    if wanted.status is not None and order.status != wanted.status:
        return False
    if wanted.customer_id is not None and customer != wanted.customer_id:
        return False
    for name, shown, first, last in (
        ("date", order.date, wanted.date_from, wanted.date_to),
        ("time of its last change", order.modified_at, wanted.modified_from, wanted.modified_to),
    ):
        if first is None and last is None:
            continue
        if shown is None:
            log.warning("Sales order %s shows no %s, so the filter leaves it out", order.id, name)
            return False
        if not _is_between(shown, first, last):
            return False
    return True


def _is_between(shown: datetime.date, first: datetime.date | None, last: datetime.date | None) -> bool:
    return (first is None or first <= shown) and (last is None or shown <= last)


def _query(wanted: ListFilter) -> SalesOrderFilter:
    # Whether the server counts the bounds themselves is not documented; it is asked for more, and judged here.
    return SalesOrderFilter(
        status=wanted.status,
        customer_id=wanted.customer_id,
        date_from=wanted.date_from - _DAY if wanted.date_from else None,
        date_to=wanted.date_to + _DAY if wanted.date_to else None,
        modified_from=wanted.modified_from - _SECOND if wanted.modified_from else None,
        modified_to=wanted.modified_to + _SECOND if wanted.modified_to else None,
    )

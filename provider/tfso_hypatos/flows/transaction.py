"""Is the invoice of an order posted: waiting, ready or never."""

from __future__ import annotations

import functools
import logging
from enum import Enum

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.exceptions import NotFound, TransactionNeverPosted
from tfso_hypatos.models.tfso import Status
from tfso_hypatos.models.tfso_read import SalesOrder

log = logging.getLogger(__name__)


class Posting(Enum):
    """How far the invoice of an order is."""

    WAITING = "waiting"
    POSTED = "posted"
    NEVER = "never"


def posting_of(order: SalesOrder) -> Posting:
    """Return how far the invoice of an order is; a status that is not known means waiting."""
    if order.is_inactive:
        return Posting.NEVER
    return Posting.POSTED if order.is_invoiced and order.transaction_id else Posting.WAITING


def is_known(status: str | None) -> bool:
    """Say whether a status is one of those the API documents."""
    return status is None or status in set(Status)


@functools.lru_cache(maxsize=10_000)
def _warn_of_status(order_id: int, status: str | None) -> None:
    log.warning("Sales order %s has status %r, which this provider does not know; waiting on", order_id, status)


def look_for_transaction(order_id: int) -> Flow[SalesOrder | None]:
    """Return the order if its invoice transaction is posted, None while it is waited for.

    :param order_id: the order.
    :raises TransactionNeverPosted: if the order was deleted or set inactive.
    """
    try:
        order = yield from tfso.get_sales_order(order_id)
    except NotFound as error:
        raise TransactionNeverPosted(f"Sales order {order_id} was deleted, so its invoice is never posted") from error
    if not is_known(order.status):
        _warn_of_status(order_id, order.status)
    posting = posting_of(order)
    if posting is Posting.NEVER:
        raise TransactionNeverPosted(f"Sales order {order_id} was set inactive, so its invoice is never posted")
    return order if posting is Posting.POSTED else None

"""Is the invoice of an order posted: waiting, ready or never."""

from __future__ import annotations

import datetime
import functools
import logging
from enum import Enum
from typing import NamedTuple

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


class Look(NamedTuple):
    """What a look for the transaction showed.

    :param order: the order.
    :param is_posted: whether its invoice transaction is posted.
    :param as_of: the server's clock that the look is not older than; None if the server did not say.
    """

    order: SalesOrder
    is_posted: bool
    as_of: datetime.datetime | None


def look_at_transaction(order_id: int) -> Flow[Look]:
    """Look whether the invoice transaction of an order is posted, and say as of when.

    :param order_id: the order.
    :raises TransactionNeverPosted: if the order was deleted or set inactive.
    """
    try:
        sight = yield from tfso.see_sales_order(order_id)
    except NotFound as error:
        raise TransactionNeverPosted(f"Sales order {order_id} was deleted, so its invoice is never posted") from error
    order = sight.order
    if not is_known(order.status):
        _warn_of_status(order_id, order.status)
    posting = posting_of(order)
    if posting is Posting.NEVER:
        raise set_inactive(order_id)
    return Look(order, posting is Posting.POSTED, sight.as_of)


def set_inactive(order_id: int) -> TransactionNeverPosted:
    """Return the error for an order that was set aside."""
    return TransactionNeverPosted(f"Sales order {order_id} was set inactive, so its invoice is never posted")

"""What a person is asked to approve: the order as it is now, if it still is what was created."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.exceptions import NotFound, OrderDrift
from tfso_hypatos.flows.billing import InvoiceOrder, check_bill, check_content, check_marker, check_state
from tfso_hypatos.flows.intent import is_billed
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine


class Bill(NamedTuple):
    """What an order bills, or has billed.

    :param order: the order.
    :param lines: its lines; none are read of an order that is invoiced already.
    """

    order: SalesOrder
    lines: Sequence[SalesOrderLine] = ()

    @property
    def is_billed(self) -> bool:
        """Whether the order is invoiced or about to be, so that there is nothing left to approve."""
        return is_billed(self.order)


def see_bill(task: InvoiceOrder) -> Flow[Bill]:
    """Read what an order bills; nothing is changed.

    The lines are read after the order: what is edited in between makes the invoice step stop, for it compares the
    order with what is returned here.

    :param task: the order, and what it must be.
    :raises OrderDrift: if the order is not what it must be, or cannot be invoiced.
    :raises OutcomeUncertain: if its status is not known.
    """
    try:
        order = yield from tfso.get_sales_order(task.order_id)
    except NotFound as error:
        raise OrderDrift(
            f"Sales order {task.order_id} is not there, so there is nothing to approve: it was deleted in "
            f"24SevenOffice. Clear the task that creates it. ({error})"
        ) from error
    check_marker(task, order)
    if is_billed(order):
        check_bill(task, order)
        return Bill(order)
    check_state(task, order)
    lines = yield from check_content(task, order)
    return Bill(order, tuple(lines))


def is_below(order: SalesOrder, threshold: Decimal, currency: str | None) -> bool:
    """Say whether an order is so small that nobody needs to approve it.

    :param order: the order; without a total, or with a negative one (a credit), a person has to look at it.
    :param threshold: total with VAT that an order must stay under.
    :param currency: what the threshold counts in; None: whatever the order is in.
    """
    if currency is not None and (order.currency is None or order.currency.code != currency):
        return False
    return order.gross_amount is not None and 0 <= order.gross_amount < threshold

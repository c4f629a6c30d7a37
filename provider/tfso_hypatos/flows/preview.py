"""What an order would bill, without changing anything."""

from __future__ import annotations

from typing import NamedTuple

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.exceptions import InvalidInput, NotFound, OrderDrift, OutcomeUncertain
from tfso_hypatos.flows.billing import InvoiceOrder, check_bill, check_content, check_marker, check_state
from tfso_hypatos.flows.by_hand import marker_by_hand, without_copied_marker
from tfso_hypatos.flows.intent import Holder, is_billed, marker_change, marker_of
from tfso_hypatos.models.tfso_read import SalesOrder


class Preview(NamedTuple):
    """What invoicing an order would do.

    :param order: the order, or None if there is none.
    :param lines: how many lines it has, as far as they were read.
    :param is_due: whether it would be invoiced.
    :param remark: why not.
    """

    order: SalesOrder | None
    lines: int | None
    is_due: bool
    remark: str


def preview(task: InvoiceOrder, organization: str, me: Holder) -> Flow[Preview]:
    """Look at an order as the task that invoices it does; only reads. Other orders of the same key are not looked for.

    :param task: what would be invoiced.
    :param organization: organization id.
    :param me: this try of this task.
    """
    try:
        order = without_copied_marker(organization, (yield from tfso.get_sales_order(task.order_id)))
    except NotFound:
        return Preview(None, None, False, "refused: it is not there")
    try:
        check_marker(task, order)
        if is_billed(order):
            check_bill(task, order)
            number = f" as number {order.invoice_number}" if order.invoice_number else ""
            remark = f"is invoiced{number}" if order.is_invoiced else "says that it is being invoiced, as a copy does"
            return Preview(order, None, False, remark)
        check_state(task, order)
        lines = yield from check_content(task, order)
        marker = marker_of(order)[1] or marker_by_hand(organization, order.id, me)
        marker_change(order, marker.held_by(me).sent())
    except (OrderDrift, OutcomeUncertain, InvalidInput) as error:
        return Preview(order, None, False, f"refused: {error}")
    return Preview(order, len(lines), True, "")

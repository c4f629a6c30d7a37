"""Look, then invoice: at most once, and only what was created."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NamedTuple

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import InvoicingUnconfirmed, NotFound, OrderDrift, TfsoHypatosError
from tfso_hypatos.flows.billing import (
    InvoiceOrder,
    bill_differences,
    check_alone,
    check_bill,
    check_content,
    check_marker,
    check_state,
)
from tfso_hypatos.flows.by_hand import is_by_hand, without_copied_marker
from tfso_hypatos.flows.hold import Hold, Standing
from tfso_hypatos.flows.intent import Holder, is_billed, marker_change, marker_of
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.models.tfso_read import SalesOrder

log = logging.getLogger(__name__)

LOOKS_FOR_NUMBER = 4
"""Looks in each settle time for what lags behind the answer; an invoice without a number is returned after so many."""

LOOKS_FOR_STATUS = 6 * LOOKS_FOR_NUMBER
"""Looks until an invoicing that was accepted is left to a person."""


class Invoiced(NamedTuple):
    """An order that is invoiced.

    :param order: as 24SevenOffice holds it.
    :param invoiced: whether this try invoiced it; False: it was invoiced already and was adopted.
    """

    order: SalesOrder
    invoiced: bool


def invoice(
    task: InvoiceOrder, timing: Timing, organization: str, me: Holder, created_by: Holder | None = None
) -> Flow[Invoiced]:
    """Invoice an order unless it is invoiced; read it before every change.

    :param task: what is to be invoiced.
    :param timing: the waits.
    :param organization: organization id.
    :param me: this try of this task.
    :param created_by: the holder that the create step of this run left on the order, if nobody else can be using it.
    :raises OrderDrift: if the order is not what it must be, or was invoiced already and bills something else.
    :raises OutcomeUncertain: if it could not be found out whether the order was invoiced.
    :raises OrderBusy: if another run is at work on it for too long, or 24SevenOffice is too slow.
    """
    hold = Hold(me, organization, timing, as_mine=created_by)
    setbacks = hold.setbacks
    sent = False
    checked: SalesOrder | None = None
    while True:
        sight = yield from _see(task.order_id)
        sight = sight._replace(order=without_copied_marker(organization, sight.order))
        check_marker(task, sight.order)
        if is_billed(sight.order):
            order = yield from _numbered(sight.order, timing)
            _check_invoiced(task, order, sent=sent)
            return Invoiced(order, invoiced=sent)
        check_state(task, sight.order)
        claim = yield from hold.claim(sight)
        if claim.standing is not Standing.MINE or claim.sight is None:
            continue
        order = claim.sight.order
        # A look that followed a take-over shows what a person did in between.
        check_state(task, order)
        if checked is None or not _unchanged(checked, order):
            yield from check_content(task, order)
            # A copy of an order that a person made is another sale, and so no twin.
            if not is_by_hand(organization, order) and not (yield from check_alone(order, setbacks)):
                continue
            checked = order
        try:
            accepted = yield from _send(task, order, hold.not_after(claim.sight))
        except TfsoHypatosError as error:
            sent = sent or error.ambiguous
            yield from setbacks.weigh(error, f"invoice sales order {task.order_id}")
        else:
            order = yield from _numbered(accepted.order, timing, accepted.trace_id)
            _check_invoiced(task, order, sent=True)
            return Invoiced(order, invoiced=True)


def _send(task: InvoiceOrder, order: SalesOrder, not_after: float) -> Flow[tfso.Accepted]:
    """Ask 24SevenOffice to invoice the order; the same request says so in the marker, for whoever looks later."""
    marker = marker_of(order)[1]
    marked = marker_change(order, marker.sent()) if marker else {}
    accepted = yield from tfso.invoice_sales_order(order.id, task.change(marked), not_after)
    log.info("24SevenOffice accepted to invoice sales order %s (trace id %s)", order.id, accepted.trace_id)
    return accepted


def _check_invoiced(task: InvoiceOrder, order: SalesOrder, *, sent: bool) -> None:
    """Report an invoice that bills something else than it should; nothing can be undone."""
    marker = marker_of(order)[1]
    if not sent:
        # What an earlier try of this provider invoiced it had compared with what was created, just before.
        asked = marker is not None and marker.invoicing
        check_bill(replace(task, created_gross=None) if asked else task, order)
    # Invoicing may add a fee of its own, and what follows should go on; but somebody has to know.
    found = bill_differences(task, order)
    if found:
        log.error("Sales order %s was invoiced, but not as it was checked before: %s", order.id, "; ".join(found))


def _see(order_id: int) -> Flow[Sight]:
    try:
        return (yield from tfso.see_sales_order(order_id))
    except NotFound as error:
        raise OrderDrift(
            f"Sales order {order_id} is not there: it was deleted in 24SevenOffice, or withdrawn because another order "
            f"of the same business order won. Clear the task that creates it. ({error})"
        ) from error


def _numbered(order: SalesOrder, timing: Timing, trace_id: str | None = None) -> Flow[SalesOrder]:
    """Return the order once it shows status and invoice number, which may come a while after the answer."""
    looks = 0
    while not (order.is_invoiced and order.invoice_number is not None):
        if order.is_invoiced and looks >= LOOKS_FOR_NUMBER:
            return order
        if looks >= LOOKS_FOR_STATUS:
            traced = f" Trace id of the request: {trace_id}." if trace_id else ""
            raise InvoicingUnconfirmed(
                f"24SevenOffice accepted to invoice sales order {order.id} but still shows it as {order.status}."
                f"{traced} It may be in the invoice queue: neither invoice it by hand nor clear this task before it "
                "shows an invoice there. If it never will, remove the ! behind the text af:... in its memo or "
                "reference, then clear this task: it invoices the order."
            )
        looks += 1
        yield from pause(timing.settle / LOOKS_FOR_NUMBER, f"waiting for the invoice number of sales order {order.id}")
        try:
            order = yield from tfso.get_sales_order(order.id)
        except NotFound as error:
            raise OrderDrift(
                f"Sales order {order.id} was deleted after 24SevenOffice was asked to invoice it. Look there for an "
                f"invoice of it before anything is created or billed again. ({error})"
            ) from error
    return order


def _unchanged(before: SalesOrder, now: SalesOrder) -> bool:
    """Say whether nothing has changed, lines included; without the moment of its last change that is not known."""
    return now.modified_at is not None and before == now

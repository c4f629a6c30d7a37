"""Look, then invoice: at most once, and only what was created."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import (
    InvoicingUnconfirmed,
    NotFound,
    OrderBusy,
    OrderDrift,
    OutcomeUncertain,
    TfsoHypatosError,
)
from tfso_hypatos.flows.hold import Hold, Setbacks, Standing, Timing
from tfso_hypatos.flows.intent import Holder, marker_of
from tfso_hypatos.flows.look import has_lines, withdraw_one
from tfso_hypatos.flows.transaction import is_known
from tfso_hypatos.models.base import plain_number
from tfso_hypatos.models.tfso import InvoiceDetails
from tfso_hypatos.models.tfso_read import SalesOrder

LOOKS_FOR_NUMBER = 4
"""Further looks, spread over the settle time, for a status or number that lags behind the answer."""

LOOK_BACK = datetime.timedelta(days=1)
"""How much older than the order a twin of it may be; an older one was found before the order was created."""


@dataclass(frozen=True, kw_only=True)
class InvoiceOrder:
    """What is to be invoiced, and what it must be for that.

    :param order_id: the order.
    :param details: date, due date, terms and distribution; None leaves all to 24SevenOffice.
    :param key: short hash of the order key that the order's marker must carry, or None.
    :param expected_gross: total with VAT that it must have, or None.
    :param created_gross: total that the create step returned, or None.
    :param expected_line_ids: lines that it must have, no more and no fewer, or None.
    """

    order_id: int
    details: InvoiceDetails | None = None
    key: str | None = None
    expected_gross: Decimal | None = None
    created_gross: Decimal | None = None
    expected_line_ids: Sequence[int] | None = None

    def change(self) -> dict[str, Any]:
        """Return the change that invoices the order."""
        details = self.details.to_wire() if self.details else {}
        return {"status": "Invoice", **({"invoice": details} if details else {})}


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
    :raises OrderDrift: if the order is not what it must be; nothing was sent.
    :raises OutcomeUncertain: if it could not be found out whether the order was invoiced.
    """
    hold = Hold(me, organization, timing, as_mine=created_by)
    setbacks = Setbacks(timing)
    sent = False
    matured = False
    checked: SalesOrder | None = None
    while True:
        sight = yield from _see(task.order_id)
        _check_marker(task, sight.order)
        if sight.order.is_invoiced:
            if not sent:
                _check_gross(task, sight.order)
            return Invoiced((yield from _numbered(sight.order, timing)), invoiced=sent)
        _check_state(sight.order)
        claim = yield from hold.claim(sight)
        if claim.standing is not Standing.MINE or claim.sight is None:
            continue
        order = claim.sight.order
        # Taking the order over has waited for as long.
        matured = matured or claim.sight is not sight
        young = 0.0 if matured else _too_young(claim.sight, timing)
        matured = True
        if young > 0:
            yield from pause(young, f"until the list shows whether sales order {order.id} has a twin")
            continue
        if checked is None or not _unchanged(checked, order):
            yield from _check_content(task, order)
            yield from _check_alone(order)
            checked = order
        try:
            order = yield from tfso.update_sales_order(
                task.order_id,
                task.change(),
                doing=f"invoice sales order {task.order_id}",
                not_after=hold.not_after(claim.sight),
            )
        except TfsoHypatosError as error:
            sent = sent or error.ambiguous
            yield from setbacks.weigh(error, f"invoice sales order {task.order_id}")
        else:
            return Invoiced((yield from _numbered(order, timing)), invoiced=True)


def _see(order_id: int) -> Flow[Sight]:
    try:
        return (yield from tfso.see_sales_order(order_id))
    except NotFound as error:
        raise OrderDrift(
            f"Sales order {order_id} is not there: it was deleted in 24SevenOffice, or withdrawn because another order "
            f"of the same business order won. Clear the task that creates it. ({error})"
        ) from error


def _numbered(order: SalesOrder, timing: Timing) -> Flow[SalesOrder]:
    """Return the order once it shows status and invoice number, which may come a little after the answer."""
    looks = 0
    while not (order.is_invoiced and order.invoice_number is not None):
        if looks == LOOKS_FOR_NUMBER:
            if order.is_invoiced:
                return order
            raise InvoicingUnconfirmed(
                f"24SevenOffice accepted to invoice sales order {order.id} but still shows it as {order.status}. Do "
                "not clear this task before the order shows an invoice there: it would be invoiced again."
            )
        looks += 1
        yield from pause(timing.settle / LOOKS_FOR_NUMBER, f"waiting for the invoice number of sales order {order.id}")
        order = (yield from _see(order.id)).order
    return order


def _too_young(sight: Sight, timing: Timing) -> float:
    """Return the seconds until an order is a settle time old: a twin created just before it may show only then.

    It has been there since it was seen, so waiting a settle time is enough whatever the clocks say.
    """
    created, now = sight.order.created_at, sight.server_time
    if created is None or now is None or marker_of(sight.order)[1] is None:
        return 0.0
    return min(timing.settle, timing.settle - (now - created).total_seconds())


def _unchanged(before: SalesOrder, now: SalesOrder) -> bool:
    return (before.modified_at, before.gross_amount) == (now.modified_at, now.gross_amount)


def _check_marker(task: InvoiceOrder, order: SalesOrder) -> None:
    marker = marker_of(order)[1]
    if task.key is not None and (marker is None or marker.key != task.key):
        raise OrderDrift(
            f"Sales order {order.id} does not carry the marker of the given order_key; it was not invoiced. Either the "
            "id and the key belong to different business orders, or somebody edited the marker in 24SevenOffice."
        )


def _check_state(order: SalesOrder) -> None:
    if order.is_inactive:
        raise OrderDrift(f"Sales order {order.id} was set inactive in 24SevenOffice; it was not invoiced.")
    if order.status == "AdvanceInvoice":
        raise OrderDrift(
            f"Sales order {order.id} has status AdvanceInvoice, so part of it may be billed already; it was not "
            "invoiced. Finish it in 24SevenOffice."
        )
    if order.invoice_number is not None:
        raise OrderDrift(
            f"Sales order {order.id} has invoice number {order.invoice_number} although its status is {order.status}; "
            "it was not invoiced again. Look at it in 24SevenOffice."
        )
    if order.status is None or not is_known(order.status):
        raise OutcomeUncertain(
            f"Sales order {order.id} has status {order.status!r}, which may mean that it is being invoiced; nothing "
            "was sent. Retry this task: it looks first."
        )


def _check_content(task: InvoiceOrder, order: SalesOrder) -> Flow[None]:
    """Refuse to invoice an order without lines, with other lines than it was created with, or with another total."""
    _check_gross(task, order)
    present = {line.id for line in (yield from tfso.list_lines(order.id))}
    if not present:
        raise OrderDrift(
            f"Sales order {order.id} has no lines, so it cannot be invoiced. Clear the task that creates it."
        )
    if task.expected_line_ids is None or present == set(task.expected_line_ids):
        return
    found = [f"line {line_id} was added" for line_id in sorted(present - set(task.expected_line_ids))]
    found += [f"line {line_id} is gone" for line_id in sorted(set(task.expected_line_ids) - present)]
    raise OrderDrift(
        f"Sales order {order.id} no longer has the lines it was created with: {'; '.join(found)}. It was not invoiced.",
        found,
    )


def _check_gross(task: InvoiceOrder, order: SalesOrder) -> None:
    shown = "no total" if order.gross_amount is None else plain_number(order.gross_amount)
    state = "It is invoiced already." if order.is_invoiced else "It was not invoiced."
    for expected, source in ((task.expected_gross, "expected"), (task.created_gross, "it was created with")):
        if expected is not None and order.gross_amount != expected:
            difference = f"gross amount: {source} {plain_number(expected)}, 24SevenOffice shows {shown}"
            raise OrderDrift(f"Sales order {order.id} has another total: {difference}. {state}", [difference])


def _check_alone(order: SalesOrder) -> Flow[None]:
    """Refuse to invoice an order that has a twin which is billed or could be; withdraw an empty twin."""
    field, marker = marker_of(order)
    if marker is None or order.customer is None or order.customer.id is None:
        return
    since = order.created_at - LOOK_BACK if order.created_at else None
    filters = tfso.SalesOrderFilter(customer_id=order.customer.id, created_from=since)
    for sight in (yield from tfso.see_sales_orders(filters)):
        twin = sight.order
        other = marker_of(twin)[1]
        if twin.id == order.id or twin.is_inactive or other is None or other.key != marker.key:
            continue
        if twin.is_invoiced or (yield from has_lines(twin.id)):
            state = f"invoiced as number {twin.invoice_number}" if twin.is_invoiced else "not invoiced"
            raise OrderDrift(
                f"Sales orders {order.id} and {twin.id} belong to the same business order, and {twin.id} has lines too "
                f"({state}). Nothing was invoiced. If {twin.id} is a copy for another sale, "
                f"remove af:{marker.key}... from its {field}; if it repeats this sale, delete one. Then clear the task."
            )
        # Left by a run that was killed while it created it; whoever might still be at work on it adopts ours.
        if not (yield from withdraw_one(twin.id, order.id, has_lines=False)):
            raise OrderBusy(
                f"Sales order {twin.id} of the same business order was invoiced just now. Retry: it looks first."
            )

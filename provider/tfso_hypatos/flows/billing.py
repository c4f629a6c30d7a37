"""What an order is about to bill, and to whom: compared with what it was created with, before it is invoiced."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Self

from tfso_hypatos.clients import tfso, tfso_lists
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.exceptions import OrderDrift, OutcomeUncertain
from tfso_hypatos.flows.compare import line_hash
from tfso_hypatos.flows.intent import is_billed, marker_of
from tfso_hypatos.flows.look import LOOKS_UNTIL_LISTED, has_lines, how_far, see_if_there, still_carries, withdraw_one
from tfso_hypatos.flows.setbacks import Setbacks
from tfso_hypatos.flows.transaction import is_known
from tfso_hypatos.models.base import plain_number
from tfso_hypatos.models.tfso import InvoiceDetails
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

log = logging.getLogger(__name__)

LOOK_BACK = datetime.timedelta(days=1)
"""How much older than the order a twin of it may be; an older one was found before the order was created."""


NONE = "none"
"""What a list says of an order without a payment method: that is known, and not a thing that was not shown."""


class Payer(NamedTuple):
    """Who pays, and how; None for what is not shown.

    :param customer_id: the customer.
    :param currency: currency code (ISO 4217).
    :param payment_method_id: the payment method, or :data:`NONE`.
    """

    customer_id: int | None = None
    currency: str | None = None
    payment_method_id: int | str | None = None

    @classmethod
    def of(cls, order: SalesOrder) -> Self:
        """Return the payer of an order."""
        return cls(
            order.customer.id if order.customer else None,
            order.currency.code if order.currency else None,
            order.payment_method.id if order.payment_method else None,
        )


NOT_KNOWN = Payer()


@dataclass(frozen=True, kw_only=True)
class InvoiceOrder:
    """What is to be invoiced, and what it must be for that.

    :param order_id: the order.
    :param details: date, due date, terms and distribution; None leaves all to 24SevenOffice.
    :param key: short hash of the order key that the order's marker must carry, or None.
    :param expected_gross: total with VAT that it must have, or None.
    :param created_gross: total that the create step returned, or the list showed, or None.
    :param payer: who pays, as the create step returned it, or the list showed it.
    :param expected_line_ids: lines that it must have, no more and no fewer, or None.
    :param line_hashes: what each of these lines bills, in the same order, or None.
    :param expected_statuses: the statuses that each of those who asked names; all have to hold.
    :param known_from: what total and payer were known from: the order was "created" or "listed" with them.
    """

    order_id: int
    details: InvoiceDetails | None = None
    key: str | None = None
    expected_gross: Decimal | None = None
    created_gross: Decimal | None = None
    payer: Payer = NOT_KNOWN
    expected_line_ids: Sequence[int] | None = None
    line_hashes: Sequence[str] | None = None
    expected_statuses: Sequence[str] = ()
    known_from: str = "created"

    def change(self, marked: Mapping[str, str]) -> dict[str, Any]:
        """Return the change that invoices the order.

        :param marked: the field that says that the order is being invoiced.
        """
        details = self.details.to_wire() if self.details else {}
        return {"status": "Invoice", **({"invoice": details} if details else {}), **marked}


def check_marker(task: InvoiceOrder, order: SalesOrder) -> None:
    """Refuse an order that is not the one of the given order key."""
    marker = marker_of(order)[1]
    if task.key is not None and (marker is None or marker.key != task.key):
        raise OrderDrift(
            f"Sales order {order.id} does not carry the marker of the given order_key; it was not invoiced. Either the "
            "id and the key belong to different business orders, or somebody edited the marker in 24SevenOffice."
        )


def check_state(task: InvoiceOrder, order: SalesOrder) -> None:
    """Refuse an order that cannot be invoiced, may be billed already, or has another status than it should."""
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
    expected = sorted(set(task.expected_statuses))
    if len(expected) > 1:
        raise OrderDrift(
            f"Sales order {order.id} would need two statuses at once, {' and '.join(expected)}: the task's "
            f"expected_status is not the one that came with the order. It has status {order.status} and was not "
            "invoiced."
        )
    if expected and order.status not in expected:
        raise OrderDrift(
            f"Sales order {order.id} has status {order.status}, not {expected[0]}: somebody changed it in "
            "24SevenOffice. It was not invoiced."
        )


def check_content(task: InvoiceOrder, order: SalesOrder) -> Flow[Sequence[SalesOrderLine]]:
    """Refuse to invoice an order without lines, or one that would bill something else than what was created.

    :param task: what is to be invoiced.
    :param order: the order.
    :return: its lines.
    :raises OrderDrift: if it is not what it must be.
    """
    check_bill(task, order)
    lines = yield from tfso.list_lines(order.id)
    if not lines:
        raise OrderDrift(
            f"Sales order {order.id} has no lines, so it cannot be invoiced. Clear the task that creates it."
        )
    found = line_differences(task, lines)
    if found:
        raise OrderDrift(
            f"Sales order {order.id} no longer has the lines it was created with: {'; '.join(found)}. It was not "
            "invoiced. Undo the edit in 24SevenOffice and clear this task, or bill the order by hand.",
            found,
        )
    return lines


def line_differences(task: InvoiceOrder, present: Sequence[SalesOrderLine]) -> list[str]:
    """Return in what the lines of an order differ from those it was created with, if these are known."""
    if task.expected_line_ids is None:
        return []
    lines = {line.id: line for line in present}
    expected = set(task.expected_line_ids)
    found = [f"line {line_id} was added" for line_id in sorted(lines.keys() - expected)]
    found += [f"line {line_id} is gone" for line_id in sorted(expected - lines.keys())]
    hashes = zip(task.expected_line_ids, task.line_hashes or (), strict=False)
    found += [
        f"line {line_id} was edited"
        for line_id, before in hashes
        if line_id in lines and line_hash(lines[line_id]) != before
    ]
    return found


def check_bill(task: InvoiceOrder, order: SalesOrder) -> None:
    """Refuse an order, invoiced or not, that bills another total or somebody else than it should."""
    found = bill_differences(task, order)
    if found:
        state = "It is invoiced already." if order.is_invoiced else "It was not invoiced."
        raise OrderDrift(f"Sales order {order.id} is not what it should be: {'; '.join(found)}. {state}", found)


def bill_differences(task: InvoiceOrder, order: SalesOrder) -> list[str]:
    """Return in what an order differs from what it should be; who pays is compared only if both are known."""
    shown = "no total" if order.gross_amount is None else plain_number(order.gross_amount)
    found = [
        f"gross amount: {source} {plain_number(expected)}, 24SevenOffice shows {shown}"
        for expected, source in (
            (task.expected_gross, "expected"),
            (task.created_gross, f"it was {task.known_from} with"),
        )
        if expected is not None and order.gross_amount != expected
    ]
    now = Payer.of(order)._asdict()
    for name, before in task.payer._asdict().items():
        if before == NONE and order.is_invoiced:
            # Whatever invoicing fills in is no edit.
            continue
        if before is not None and now[name] is not None and str(now[name]) != str(before):
            place = name.removesuffix("_id").replace("_", " ")
            found.append(f"{place}: it was {task.known_from} with {before}, 24SevenOffice shows {now[name]}")
    return found


def check_alone(order: SalesOrder, setbacks: Setbacks) -> Flow[bool]:
    """Refuse to invoice an order that has a twin which is billed or could be; withdraw an empty twin.

    Of two orders, the one that shows later in the list finds the other one there: so a list that shows the order shows
    a twin as well, unless that comes later and finds this one.

    :param order: the order.
    :param setbacks: weighs what goes wrong.
    :return: False if it is not certain that a twin is gone, so that another look is due.
    :raises OrderDrift: if there is a twin that is billed or could be; the order was not invoiced.
    """
    field, marker = marker_of(order)
    if marker is None or order.customer is None or order.customer.id is None:
        return True
    since = order.created_at - LOOK_BACK if order.created_at else None
    filters = tfso_lists.SalesOrderFilter(customer_id=order.customer.id, created_from=since)
    for looks in range(LOOKS_UNTIL_LISTED + 1):
        if looks:
            yield from pause(
                setbacks.timing.evidence, f"until the list shows sales order {order.id}, and whether it has a twin"
            )
        sights = yield from tfso_lists.see_sales_orders(filters)
        if any(sight.order.id == order.id for sight in sights):
            break
    else:
        log.warning("The list does not show sales order %s, so a twin of it may not show either", order.id)
    for listed in sights:
        if listed.order.id == order.id or not still_carries(listed, marker.key):
            continue
        # The list may show what was, before the twin was withdrawn or somebody removed its marker.
        twin = yield from see_if_there(listed.order.id)
        if twin is None or not still_carries(twin, marker.key):
            continue
        if is_billed(twin.order) or (yield from has_lines(twin.order.id)):
            raise _twin(order, twin.order, f"af:{marker.key}...", field)
        # Left by a run that was killed while it created it; whoever might still be at work on it adopts ours.
        if not (yield from withdraw_one(twin, order.id, setbacks, has_lines=False)):
            return False
    return True


def _twin(order: SalesOrder, twin: SalesOrder, text: str, field: str) -> OrderDrift:
    return OrderDrift(
        f"Sales orders {order.id} and {twin.id} belong to the same business order, and {twin.id} has lines too and "
        f"{how_far(twin)}. Nothing was invoiced by this task. If {twin.id} is a copy for another sale, remove {text} "
        f"from its {field}; if it repeats this sale, delete one. Then clear the task."
    )

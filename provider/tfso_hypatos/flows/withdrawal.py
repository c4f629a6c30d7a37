"""Take an order back that was rejected: look, become its holder, compare, then delete it or set it aside."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.messages import Flow, pause
from tfso_hypatos.clients.tfso import Sight
from tfso_hypatos.exceptions import (
    BadRequest,
    Conflict,
    NotFound,
    OrderDrift,
    OutcomeUncertain,
    PermissionDenied,
    TfsoHypatosError,
)
from tfso_hypatos.flows.billing import InvoiceOrder, bill_differences, line_differences
from tfso_hypatos.flows.hold import Hold, Standing
from tfso_hypatos.flows.intent import Holder, is_billed, marker_of
from tfso_hypatos.flows.look import how_far, see_if_there
from tfso_hypatos.flows.setbacks import Setbacks, Timing
from tfso_hypatos.flows.transaction import is_known
from tfso_hypatos.models.tfso import Status
from tfso_hypatos.models.tfso_read import SalesOrder

log = logging.getLogger(__name__)

Outcome = Literal["withdraw", "draft"]
"""What is wanted: the order gone, or back in status Draft."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Done = Literal["deleted", "inactive", "draft", "was gone"]
"""What was done, or was so already."""

MOST_ROUNDS = 80
"""Looks at most; each further one needs another run that is at work on the order, or a change that does not show."""


_LEFT = "It was left as it is."


class Withdrawn(NamedTuple):
    """An order that was taken back.

    :param outcome: what was done, or was so already.
    :param changed: whether this try changed the order.
    """

    outcome: Done
    changed: bool


@dataclass
class _Work:
    """What one run of the flow knows so far."""

    task: InvoiceOrder
    outcome: Outcome
    setbacks: Setbacks
    deletes: bool = True
    deletion_sent: bool = False
    change_sent: bool = False
    compared: SalesOrder | None = None


def withdraw_order(
    task: InvoiceOrder, outcome: Outcome, timing: Timing, organization: str, me: Holder
) -> Flow[Withdrawn]:
    """Take an order back that is not invoiced; repeating it is harmless.

    :param task: the order, and what it must be so that it may be withdrawn.
    :param outcome: ``withdraw`` deletes it, else sets it inactive; ``draft`` sets its status to Draft.
    :param timing: the waits.
    :param organization: organization id.
    :param me: this try of this task.
    :raises OrderDrift: if the order is invoiced or about to be; and for ``withdraw``, if somebody has changed it.
    :raises OutcomeUncertain: if it could not be found out what became of the order.
    :raises OrderBusy: if another run is at work on it for too long, or 24SevenOffice is too slow.
    """
    hold = Hold(me, organization, timing)
    work = _Work(task, outcome, Setbacks(timing))
    for _ in range(MOST_ROUNDS):
        sight = yield from see_if_there(task.order_id)
        if sight is not None:
            _check_marker(task, sight.order)
        done = _set_aside(work, sight)
        if done is not None or sight is None:
            return done or Withdrawn("was gone", changed=False)
        _check_state(sight.order)
        # A draft, too: a request to invoice it may be on its way, and only from its holder none can be.
        claim = yield from hold.claim(sight)
        if claim.standing is not Standing.MINE or claim.sight is None:
            continue
        _check_marker(task, claim.sight.order)
        done = _set_aside(work, claim.sight)
        if done is not None:
            return done
        _check_state(claim.sight.order)
        if outcome == "draft" and claim.sight.order.status == Status.DRAFT:
            return Withdrawn("draft", changed=work.change_sent)
        try:
            if outcome == "withdraw":
                yield from _check_same(work, claim.sight.order)
            yield from _send(work, claim.sight, hold.not_after(claim.sight))
        except TfsoHypatosError as error:
            yield from work.setbacks.weigh(error, f"take back sales order {task.order_id}")
    raise OutcomeUncertain(
        f"24SevenOffice accepted to take back sales order {task.order_id} and does not show it. Retry this task: it "
        "looks first."
    )


def _set_aside(work: _Work, sight: Sight | None) -> Withdrawn | None:
    """Return what a look shows to be done for good; an order that is set aside stays so, whoever did it."""
    if sight is None:
        return Withdrawn("deleted" if work.deletion_sent else "was gone", changed=work.deletion_sent)
    if sight.order.is_inactive:
        return Withdrawn("inactive", changed=work.change_sent)
    return None


def _check_marker(task: InvoiceOrder, order: SalesOrder) -> None:
    """Refuse an order of another business order."""
    marker = marker_of(order)[1]
    if task.key is not None and (marker is None or marker.key != task.key):
        raise OrderDrift(
            f"Sales order {order.id} does not carry the marker of the given order_key. {_LEFT} Either the id and the "
            "key belong to different business orders, or somebody edited the marker in 24SevenOffice."
        )


def _check_state(order: SalesOrder) -> None:
    """Refuse an order that is billed, or may be."""
    if is_billed(order):
        raise OrderDrift(
            f"Sales order {order.id} {how_far(order)}, so it cannot be taken back. {_LEFT} If it is invoiced, credit "
            "it in 24SevenOffice."
        )
    if order.status == Status.ADVANCE_INVOICE or order.invoice_number is not None:
        raise OrderDrift(
            f"Sales order {order.id} has status {order.status} and may be billed in part. {_LEFT} Look at it in "
            "24SevenOffice."
        )
    if order.status is None or not is_known(order.status):
        raise OutcomeUncertain(
            f"Sales order {order.id} has status {order.status!r}, which may mean that it is being invoiced; nothing "
            "was sent. Retry this task: it looks first."
        )


def _check_same(work: _Work, order: SalesOrder) -> Flow[None]:
    """Refuse to delete what somebody has worked on since; what has not changed since the last look is not read."""
    task = work.task
    if order.modified_at is not None and work.compared == order:
        return
    lines = yield from tfso.list_lines(order.id)
    found = bill_differences(task, order) + line_differences(task, lines)
    if found:
        raise OrderDrift(
            f"Sales order {order.id} was changed since it was created: {'; '.join(found)}. It was not withdrawn, so "
            "that nobody's work is lost. Delete it in 24SevenOffice or bill it there by hand; or undo the edit and "
            "clear this task.",
            found,
        )
    work.compared = order


def _send(work: _Work, sight: Sight, not_after: float) -> Flow[None]:
    order_id = work.task.order_id
    if work.outcome == "draft":
        yield from _set(work, order_id, Status.DRAFT, not_after)
    elif not work.deletes:
        yield from _set(work, order_id, Status.INACTIVE, not_after)
    else:
        try:
            yield from tfso.delete_sales_order(order_id, repeatable=False, not_after=not_after)
        except (BadRequest, PermissionDenied, NotFound, Conflict) as error:
            # A 404 may also mean that the API has no such call; the next look tells.
            log.warning("%s", error)
            work.deletes = False
        except TfsoHypatosError as error:
            work.deletion_sent = work.deletion_sent or error.ambiguous
            raise
        else:
            work.deletion_sent = True
            work.setbacks.succeeded()
            log.info("Deleted sales order %s, which was in status %s", order_id, sight.order.status)


def _set(work: _Work, order_id: int, status: Status, not_after: float) -> Flow[None]:
    doing = f"set sales order {order_id} to status {status}"
    try:
        order = yield from tfso.update_sales_order(
            order_id, {"status": str(status)}, doing=doing, repeatable=False, not_after=not_after
        )
    except TfsoHypatosError as error:
        work.change_sent = work.change_sent or error.ambiguous
        raise
    work.change_sent = True
    work.setbacks.succeeded()
    if order.status != status:
        yield from pause(work.setbacks.timing.settle, f"until sales order {order_id} shows status {status}")

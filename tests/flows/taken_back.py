"""What the books say about orders that were taken back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.flows.books import Order, Server
from tests.flows.runs import KEY, Report, Run

from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.flows.intent import marker_of
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder

LOOK = 1.0
"""Seconds at most from the moment that a task's last look shows to its report."""

TAKEN_BACK_THOUGH_INVOICED = "taken back though invoiced"
INVOICED_AFTERWARDS = "invoiced though taken back"
WORK_LOST = "a person's work taken back"
NOT_TRUE = "reported what is not so"
OTHERS = "another order touched"


class Edit(NamedTuple):
    """What a person has done to an order by hand."""

    order_id: int
    at: float


def judge_taken_back(server: Server, reports: Sequence[Report], edits: Sequence[Edit], settle: float) -> set[str]:
    """Return what was broken of what the withdrawal promises.

    :param server: the books, from the first moment on.
    :param reports: what the tasks said that took an order back.
    :param edits: what was done by hand.
    :param settle: settle time: nobody can see an edit that is made while the withdrawal of the order is on its way.
    """
    broken = set()
    if any(_is_taken_back(before, after) and before.number is not None for _, before, after in _changes(server)):
        broken.add(TAKEN_BACK_THOUGH_INVOICED)
    if _billed_when_inactive(server) or any(_billed_in_passing(server, report) for report in reports):
        broken.add(INVOICED_AFTERWARDS)
    if not all(_is_true(server, report) for report in reports):
        broken.add(NOT_TRUE)
    for at, before, after in _changes(server):
        # To make a draft of it takes nothing from anybody.
        lost = _is_taken_back(before, after) and (after is None or after.status == "Inactive")
        if lost and any(edit.order_id == before.id and at - edit.at > settle for edit in edits):
            broken.add(WORK_LOST)
        if not is_ours(server, before) and before != after:
            broken.add(OTHERS)
    return broken


def is_in_the_right(run: Run, server: Server, edits: Sequence[Edit]) -> bool:
    """Say whether a run that took nothing back has failed as it should: the order is billed, set aside or edited."""
    set_aside = any(order.status == "Inactive" for order in server.orders.values())
    return isinstance(run.ended, OrderDrift) and bool(server.invoices or set_aside or edits)


def is_ours(server: Server, order: Order) -> bool:
    """Say whether an order carries the marker of the business order."""
    marker = marker_of(read(SalesOrder, server.show(order), "the books"))[1]
    return marker is not None and marker.key == KEY


def _changes(server: Server) -> Iterator[tuple[float, Order, Order | None]]:
    """Yield each change of an order: when, what it was before, and what it is then."""
    for (_, before), (at, after) in itertools.pairwise(server.history):
        for number, order in before.items():
            if after.get(number) is not order:
                yield at, order, after.get(number)


def _is_taken_back(before: Order, after: Order | None) -> bool:
    return after is None or (after.status != before.status and after.status in ("Inactive", "Draft"))


def _billed_when_inactive(server: Server) -> bool:
    return any(
        before.status == "Inactive" and after is not None and after.number != before.number
        for _, before, after in _changes(server)
    )


def _billed_in_passing(server: Server, report: Report) -> bool:
    """Say whether an order became a draft while a request to invoice it was on its way; later ones have seen it."""
    return report.outcome == "draft" and any(
        bill.order_id == report.order_id and bill.sent < report.at for bill in server.invoices
    )


def _is_true(server: Server, report: Report) -> bool:
    """Say whether the books were as a task says when it looked; somebody else may have gone on by the end."""
    return any(_shows(orders, report) for orders in _seen(server, report.at))


def _seen(server: Server, at: float) -> Iterator[Mapping[int, Order]]:
    for (since, orders), (until, _) in itertools.pairwise([*server.history, (float("inf"), {})]):
        if since <= at and until >= at - LOOK:
            yield orders


def _shows(orders: Mapping[int, Order], report: Report) -> bool:
    order = orders.get(report.order_id)
    if report.outcome in ("deleted", "was gone"):
        return order is None
    return order is not None and order.status == {"inactive": "Inactive", "draft": "Draft"}[report.outcome]

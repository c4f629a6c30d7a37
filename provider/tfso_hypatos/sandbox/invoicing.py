"""What an order needs before it can be invoiced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfso_hypatos.sandbox.messages import Call, RefusalError
from tfso_hypatos.sandbox.refusals import Refusals
from tfso_hypatos.sandbox.settings import Settings
from tfso_hypatos.sandbox.state import Order

_PROJECT, _DEPARTMENT = 1, 2


def no_lines(refusals: Refusals, call: Call) -> RefusalError:
    """Return the error of an order that has no lines.

    :param refusals: makes the errors.
    :param call: the request.
    """
    return refusals.business(call, "NoLines", "No lines in the sales order", ["lineItems"])


def check_invoicing(refusals: Refusals, settings: Settings, call: Call, order: Order, body: Mapping[str, Any]) -> None:
    """Refuse to invoice an order that lacks something.

    :param refusals: makes the errors.
    :param settings: what the organization demands.
    :param call: the request.
    :param order: the order as it stands.
    :param body: what the request changes.
    """
    if not order.lines:
        raise no_lines(refusals, call)
    if settings.invoicing_disabled:
        # The name of this error is ours: nothing is published about the case.
        raise refusals.business(call, "InvoicingDisabled", "Invoicing is deactivated for the organization")
    given = body.get("dimensions", order.header.get("dimensions", []))
    demands = (
        (settings.department_required, _DEPARTMENT, "DepartmentMissing", "Department is missing", "department"),
        (settings.project_required, _PROJECT, "ProjectMissing", "Project is missing", "project"),
    )
    for is_demanded, dimension, kind, message, argument in demands:
        if is_demanded and not _has_dimension(dimension, given, order):
            raise refusals.business(call, kind, message, [argument])


def _has_dimension(dimension: int, given: Any, order: Order) -> bool:
    if any(each["dimensionType"] == dimension for each in given):
        return True
    lines = order.lines.values()
    return all(any(each["dimensionType"] == dimension for each in line.get("dimensions", ())) for line in lines)

"""Flows that look, and the budget that they are sent by."""

from __future__ import annotations

import itertools
from typing import Any

from tfso_hypatos.clients import tfso_lists
from tfso_hypatos.clients.budget import BUDGETS, BURST, Budget, Limits
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.transport import Service

HOURLY = Limits(per_hour=3 + BURST)
"""Lets through three requests that can wait, and then none for an hour."""


def look() -> Flow[Any]:
    """Return a flow that sends one request."""
    return tfso_lists.list_page(tfso_lists.SalesOrderFilter())


def looks(number: int) -> list[Flow[Any]]:
    """Return so many of them."""
    return [look() for _ in range(number)]


def budget_of(service: Service) -> Budget:
    """Return the budget of a service."""
    return BUDGETS.of(service.base_url, service.credentials, service.limits)


def over(budget: Budget, rate: float) -> float:
    """Return by how many requests any stretch of time exceeded a rate."""
    sent = list(budget._sent)
    stretches = itertools.combinations_with_replacement(range(len(sent)), 2)
    return max(last - first + 1 - rate * (sent[last] - sent[first]) for first, last in stretches) - 1e-6

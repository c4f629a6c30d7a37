"""What can go wrong with one request: the fault classes of the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SETTLE = 0.8
"""Seconds of settle time: a change may take effect up to three quarters of it after it was sent."""

TIMEOUT = 0.25
"""Seconds until the client gives up on an answer."""

LATE = 0.45
"""Seconds of what is later than the client's time-out and within what the settle time allows for."""

DOWN = 0.07
"""Seconds for which connections are refused: the try that meets it fails, and the next one may."""

TOO_LATE = 1.6
"""Seconds of what is later than the settle time, even if that begins only after a time-out."""


@dataclass(frozen=True)
class FaultClass:
    """One way in which a request goes wrong.

    :param spec: the fault, as the sandbox takes it.
    :param lasts: seconds in which what was asked for may still happen.
    :param only: part of the label of the requests it means anything for.
    :param twin: whether a run that has died left an empty order with the same key that lists show only later.
    :param beyond: whether it breaks what the settle time assumes, so that the promise does not cover it.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    lasts: float = 0.0
    only: str = ""
    twin: bool = False
    beyond: bool = False


def _late(seconds: float, **more: Any) -> FaultClass:
    return FaultClass(
        {"action": "commit_late", "seconds": seconds, **more}, lasts=seconds, beyond=seconds > 0.75 * SETTLE
    )


CLASSES: Mapping[str, FaultClass] = {
    "refused": FaultClass({"action": "restart", "seconds": DOWN}, lasts=DOWN),
    "drop_before": FaultClass({"action": "drop_before"}),
    "drop_after": FaultClass({"action": "drop_after"}),
    "500_before": FaultClass({"action": "status_before", "status": 500}),
    "500_after": FaultClass({"action": "status_after", "status": 500}),
    "502_html_before": FaultClass({"action": "status_before", "status": 502, "html": True}),
    "502_html_after": FaultClass({"action": "status_after", "status": 502, "html": True}),
    "503_before": FaultClass({"action": "status_before", "status": 503}),
    "503_after": FaultClass({"action": "status_after", "status": 503}),
    "504_before": FaultClass({"action": "status_before", "status": 504}),
    "504_after": FaultClass({"action": "status_after", "status": 504}),
    "hang_before": FaultClass({"action": "hang_before", "seconds": 2 * TIMEOUT}),
    "hang_after": FaultClass({"action": "hang_after", "seconds": 2 * TIMEOUT}),
    "late_dropped": _late(LATE),
    "late_timed_out": _late(LATE, hold=2 * TIMEOUT),
    "late_503": _late(LATE, status=503),
    "too_late": _late(TOO_LATE),
    "too_late_timed_out": _late(TOO_LATE, hold=2 * TIMEOUT),
    "reset_body": FaultClass({"action": "reset_body"}),
    "truncate": FaultClass({"action": "truncate"}),
    "unauthorized": FaultClass({"action": "unauthorized"}),
    "rate_limit": FaultClass({"action": "rate_limit"}),
    "rate_limit_wait": FaultClass({"action": "rate_limit", "retry_after": 0.1}),
    "rate_limit_date": FaultClass({"action": "rate_limit", "retry_after": 0.1, "as_date": True}),
    "slow": FaultClass({"action": "slow", "seconds": 0.12}),
    "slow_timed_out": FaultClass({"action": "slow", "seconds": LATE}, lasts=LATE),
    "lag_of_list": FaultClass({"action": "list_lag", "seconds": LATE}, lasts=LATE, only="/salesorders #"),
    "early_twin": FaultClass({"action": "drop_after"}, lasts=0.03, twin=True),
    "late_twin": FaultClass({"action": "drop_after"}, lasts=LATE, twin=True),
}
"""Every class by name. ``refused`` answers the request it hits; the one after it finds nobody who listens."""

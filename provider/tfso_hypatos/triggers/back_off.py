"""How long a look that failed is put off."""

from __future__ import annotations

from tfso_hypatos.exceptions import TfsoHypatosError

LONGEST_BACK_OFF = 600.0
"""Seconds between two rounds at most, however often they have failed."""


def back_off(interval: float, failures: int, trouble: TfsoHypatosError | None) -> float:
    """Return the seconds until a look is tried again.

    :param interval: seconds between two looks.
    :param failures: how often in a row it has failed.
    :param trouble: the last failure.
    """
    asked = (trouble.retry_after if trouble is not None else None) or 0.0
    return min(max(interval * 2.0 ** min(failures, 10), asked), max(interval, LONGEST_BACK_OFF))

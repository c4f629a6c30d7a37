"""Rate limits in fixed windows."""

from __future__ import annotations

import math
import time


class Limiter:
    """Counts requests in windows; the first request opens one."""

    def __init__(self) -> None:
        self._opened = 0.0
        self._used = 0

    def take(self, limit: int | None, window: float) -> bool:
        """Count one request and say whether it is within the limit.

        :param limit: requests per window; None: no limit.
        :param window: seconds.
        """
        now = time.monotonic()
        if not self._used or now - self._opened >= window:
            self._opened, self._used = now, 0
        self._used += 1
        return limit is None or self._used <= limit

    def remaining(self, limit: int) -> int:
        """Return how many requests are left in this window.

        :param limit: requests per window.
        """
        return max(0, limit - self._used)

    def reset(self, window: float) -> int:
        """Return the seconds until the next window, rounded up.

        :param window: seconds.
        """
        return max(0, math.ceil(self._opened + window - time.monotonic()))

"""The clock by which a look at an order grows old."""

from __future__ import annotations

import time

# The monotonic clock of Linux stands still while the machine is suspended; the rest of the world does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Return seconds since some moment; never set back, and going on while the machine sleeps."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)

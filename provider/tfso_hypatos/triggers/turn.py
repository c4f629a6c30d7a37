"""When the next round of a poller is due: after an interval, or before its time for what nobody has looked at."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

GATHERING = 1.0
"""Seconds from a call to the round before its time, so that triggers that start together make one."""

EARLIEST = 0.1
"""Part of the interval that lies between two rounds at least, however many calls there are."""

LONGEST_EARLIEST = 10.0
"""Seconds that a call need not wait for more than, however long the interval is."""


class Turn:
    """Keeps the time between rounds; the first is called by itself.

    :param loop: the event loop of the rounds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = asyncio.Event()
        self._called_at = loop.time()
        self._ended_at: float | None = None
        self._regular_ended_at = math.inf
        self._held_until = -math.inf

    def call(self) -> None:
        """Ask for a round before its time; many calls make one."""
        if self._called_at == math.inf:
            self._called_at = self._loop.time()
            self._changed.set()

    def reckon(self) -> None:
        """Look at the interval again: it may have become shorter."""
        self._changed.set()

    def ends(self, *, early: bool, held: float) -> None:
        """Note the end of a round.

        :param early: it was one before its time, which does not put off the next regular one.
        :param held: seconds in which there must be no other; 0: as the interval says.
        """
        now = self._loop.time()
        self._ended_at = now
        if not early:
            self._regular_ended_at = now
        self._held_until = now + held if held else -math.inf

    async def comes(self, interval: Callable[[], float]) -> bool:
        """Wait for the next round, and return whether it is one before its time.

        :param interval: returns the seconds from one regular round to the next, as the waits want it now.
        """
        while True:
            now = self._loop.time()
            regular_at = max(self._regular_ended_at + interval(), self._held_until)
            early_at = max(self._called_at + min(GATHERING, interval()), self._held_until)
            if self._ended_at is not None:
                early_at = max(early_at, self._ended_at + min(EARLIEST * interval(), LONGEST_EARLIEST))
            if min(regular_at, early_at) <= now:
                self._called_at = math.inf
                # The first of all is a regular one.
                return regular_at > now and self._ended_at is not None
            timer = self._loop.call_at(min(regular_at, early_at), self._changed.set)
            try:
                await self._changed.wait()
            finally:
                timer.cancel()
            self._changed.clear()

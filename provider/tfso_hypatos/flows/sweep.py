"""Reading everything that is watched, slowly: which orders are next."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

HOUR = 3600.0

SWEEP_INTERVALS = 10
"""Poll intervals after which an order is read at the latest, as far as the hour allows."""

READS_AN_HOUR = 600
"""Reads an hour at most, however many orders are watched."""


class Sweep:
    """Says which orders are to be read only because nobody has for a long time."""

    def __init__(self) -> None:
        # The longest unread first.
        self._read_at: dict[int, float] = {}
        self._taken_at: float | None = None
        self._share = 0.0
        self._allowed = 0.0

    def joined(self, order_id: int, now: float) -> None:
        """Note an order; somebody has just looked at it."""
        self.read(order_id, now)

    def left(self, order_id: int) -> None:
        """Forget an order."""
        self._read_at.pop(order_id, None)

    def read(self, order_id: int, now: float) -> None:
        """Note that an order is read."""
        self._read_at.pop(order_id, None)
        self._read_at[order_id] = now

    def is_due(self, order_id: int, interval: float, now: float) -> bool:
        """Say whether an order has been left unread for as long as it may be."""
        return self._read_at[order_id] <= now - SWEEP_INTERVALS * interval

    def rest(self, now: float) -> None:
        """Save nothing up while everything is read anyway."""
        self._taken_at, self._share, self._allowed = now, 0.0, 0.0

    def take(
        self, interval: float, now: float, skipped: Container[int], is_ready: Callable[[int], bool]
    ) -> Iterator[int]:
        """Yield the orders that are to be read in this round.

        :param interval: seconds between two rounds.
        :param now: seconds of a monotonic clock.
        :param skipped: orders that are read anyway.
        :param is_ready: says of an order whether it may be read now.
        """
        since = 0.0 if self._taken_at is None else now - self._taken_at
        self._taken_at = now
        # Only a part of a read is kept for the next round: what was not used is not made up for by a burst.
        self._allowed = self._allowed % 1 + min(since, interval) * READS_AN_HOUR / HOUR
        self._share = min(self._share, 1.0) + len(self._read_at) / SWEEP_INTERVALS
        for order_id in list(self._read_at):
            if self._allowed < 1 or (self._share < 1 and not self.is_due(order_id, interval, now)):
                return
            if order_id not in skipped and is_ready(order_id):
                self._allowed -= 1
                self._share -= 1
                yield order_id

"""How many requests may be sent, and when: one budget for each account, shared by all that a process sends."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tfso_hypatos.clients.failures import seconds_to_wait
from tfso_hypatos.clients.learned import LearnedRate, Quota

if TYPE_CHECKING:
    from tfso_hypatos.clients.token import Credentials

HOUR = 3600.0

BURST = 2
"""Requests that may be sent at once after a rest: a look, and the change that rests on it.

As many changes may be sent ahead of their time, and as many requests of an hour are kept for them.
"""

SHORTEST_WAIT = 0.001
"""Seconds a request waits at least if it may not be sent at once; less would be spinning."""

LONGEST_NAP = 1.0
"""Seconds after which a request asks again at the latest: what it waits for may come earlier than it seemed."""

LOST = 10.0
"""Seconds after which who has not asked again is passed by, so that a thread that hangs holds up nobody else."""

REMEMBERED = 60.0
"""Seconds for which requests are remembered without a limit per hour."""

LONGEST_WINDOW = 60.0
"""A server that asks for a longer wait refuses the number of requests, not their rate."""

LONGEST_BLOCK = 600.0
"""Seconds after which one request asks again, whatever wait a server has named: it may be a mistake."""

LONGEST_OUTAGE = 60.0
"""Seconds for which a server that is not available is believed for all requests."""


@dataclass(frozen=True)
class Limits:
    """What a connection may send; None is no limit.

    :param per_second: requests a second, on average.
    :param per_hour: requests in any 60 minutes.
    """

    per_second: float | None = None
    per_hour: float | None = None


class Wait(NamedTuple):
    """A request may not be sent yet.

    :param seconds: how long at least, as far as can be seen.
    :param reason: why, for people.
    :param queued: whether it only stands behind others of this process, which go on meanwhile.
    :param used_up: whether an allowance is used up, and not only too little time has passed since the last request.
    """

    seconds: float
    reason: str
    queued: bool = False
    used_up: bool = True

    @property
    def nap(self) -> float:
        """Seconds after which to ask again."""
        return min(max(self.seconds, SHORTEST_WAIT), LONGEST_NAP)


class Place(NamedTuple):
    """A place in the queue; the lowest comes first.

    Changes that are soon too late come before all others, as they came: so every look leads to a change, and nobody
    looks again and again in vain. Then what is begun is finished first.

    :param patient: whether it can wait, unlike a change that is soon too late.
    :param flow: number of the flow; 0 for what cannot wait.
    :param number: in the order of arrival.
    """

    patient: bool
    flow: int
    number: int


class Budget:
    """Says when a request may be sent.

    Requests are let through at a steady rate, after a rest up to :data:`BURST` at once. A change that is soon too late
    may be sent ahead of its time, as far as :data:`BURST` requests; those after it pay.

    :param limits: what the connection says; what the server says is learned.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._queue: list[Place] = []
        self._asked_at: dict[Place, float] = {}
        self._now = float("-inf")
        self._sent: deque[float] = deque()
        self._allowance = float(BURST)
        self._filled_at = 0.0
        self._blocked_until = 0.0
        self._quota = Quota()
        self._learned = LearnedRate()

    @contextmanager
    def queueing(self, flow: int, *, patient: bool = True) -> Iterator[Place]:
        """Give a place in the queue, and take it back whatever happens.

        :param flow: number of the flow; what began earlier goes first.
        :param patient: whether the request can wait; else it may be sent ahead of its time.
        """
        place = Place(patient, flow if patient else 0, next(self._numbers))
        try:
            yield place
        finally:
            with self._guard:
                self._remove(place)

    def ask(self, place: Place, now: float) -> Wait | None:
        """Return None if the request may be sent now, which counts it; else what it waits for.

        :param place: its place in the queue.
        :param now: :func:`clock.now`.
        """
        with self._guard:
            now = self._tick(now)
            if place not in self._asked_at:
                insort(self._queue, place)
            self._asked_at[place] = now
            while now - self._asked_at[self._queue[0]] > LOST:
                self._remove(self._queue[0])
            wait = self._wait(bisect_left(self._queue, place), place.patient, now)
            if wait is not None:
                return wait
            self._remove(place)
            self._count(now)
            return None

    def take(self, now: float, *, patient: bool = True) -> bool:
        """Count a request and return True if it may be sent now and nobody else waits: no queue, as nearly always.

        :param now: :func:`clock.now`.
        :param patient: whether the request can wait.
        """
        with self._guard:
            now = self._tick(now)
            if self._queue or self._wait(0, patient, now) is not None:
                return False
            self._count(now)
            return True

    def _count(self, now: float) -> None:
        self._allowance -= 1
        self._sent.append(now)
        self._quota.take()

    def _remove(self, place: Place) -> None:
        if self._asked_at.pop(place, None) is not None:
            del self._queue[bisect_left(self._queue, place)]

    def _tick(self, now: float) -> float:
        # Threads look at the clock before they get here, and not in the same order.
        self._now = now = max(self._now, now)
        keep = REMEMBERED if self.limits.per_hour is None else HOUR
        while self._sent and self._sent[0] <= now - keep:
            self._sent.popleft()
        return now

    def _wait(self, before: int, patient: bool, now: float) -> Wait | None:
        limits, rate, waits = self.limits, self._fill(now), []
        if self._blocked_until > now:
            waits.append(Wait(self._blocked_until - now, "the server asked to wait"))
        if (seconds := self._quota.until(before, now)) > 0:
            queued = before > 0 and self._quota.until(0, now) <= 0
            waits.append(Wait(seconds, "the quota that the server reports is used up", queued))
        if limits.per_hour is not None:
            seconds = self._until_the_hour_allows(limits.per_hour, before + (BURST if patient else 0), now)
            waits.append(Wait(seconds, f"requests_per_hour of the connection ({limits.per_hour:g}) is used up"))
        if rate is not None:
            lacking = before + 1 - self._allowance - (0 if patient else BURST)
            ours = f"requests_per_second of the connection ({rate:g}) allows no more"
            reason = ours if rate == limits.per_second else "the server refused requests that came faster"
            waits.append(Wait(lacking / rate, reason, queued=before > 0, used_up=False))
        longest = max(waits, default=None)
        return longest if longest is not None and longest.seconds > 0 else None

    def _until_the_hour_allows(self, per_hour: float, before: int, now: float) -> float:
        over = len(self._sent) + before + 1 - int(per_hour)
        if over <= 0:
            return 0.0
        return self._sent[over - 1] + HOUR - now if over <= len(self._sent) else HOUR

    def _fill(self, now: float) -> float | None:
        """Add what the time since the last call allows, and return the rate."""
        known = [rate for rate in (self.limits.per_second, self._learned.now(now)) if rate is not None]
        rate = min(known) if known else None
        grown = self._allowance + rate * (now - self._filled_at) if rate is not None else BURST
        self._allowance, self._filled_at = min(float(BURST), grown), now
        return rate

    def learn(self, status: int, headers: Mapping[str, str], sent_at: float, now: float) -> None:
        """Learn from an answer.

        :param status: HTTP status code.
        :param headers: header names in lower case.
        :param sent_at: moment (:func:`clock.now`) at which the request was sent.
        :param now: :func:`clock.now`.
        """
        with self._guard:
            now = self._tick(now)
            says_quota = self._quota.heed(headers, now, lambda: self._sent_after(sent_at))
            if status == 429:
                asked = seconds_to_wait(headers)
                self._block(now + min(asked or 0.0, LONGEST_BLOCK))
                # Where the quota is known, or takes long to be renewed, going slower would help nobody.
                if not says_quota and (asked or 0.0) <= LONGEST_WINDOW:
                    self._slow_down(asked, sent_at, now)
            elif status == 503 and "retry-after" in headers:
                self._block(now + min(seconds_to_wait(headers) or 0.0, LONGEST_OUTAGE))

    def _block(self, until: float) -> None:
        self._blocked_until = max(self._blocked_until, until)

    def _sent_after(self, moment: float) -> int:
        return sum(1 for _ in itertools.takewhile(lambda sent_at: sent_at > moment, reversed(self._sent)))

    def _slow_down(self, asked: float | None, sent_at: float, now: float) -> None:
        self._fill(now)
        in_a_second = self._sent_after(sent_at - 1) - self._sent_after(sent_at)
        rate = self._learned.refused(sent_at, now, in_a_second)
        if rate is not None:
            # The next request goes when the server said, or else after the time of one.
            self._allowance = min(self._allowance, 0.0 if asked is None else 1 - rate * asked)


class Budgets:
    """The budgets of this process: one for each account at an API, whichever connection names it."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[str, str, str | None], Budget] = {}
        self._guard = threading.Lock()

    def of(self, url: str, credentials: Credentials, limits: Limits) -> Budget:
        """Return the budget that an account's requests are counted in.

        :param url: API URL.
        :param credentials: whose account it is.
        :param limits: what the connection says now; replaces what it said before.
        """
        account = url, credentials.client_id, credentials.organization
        with self._guard:
            budget = self._budgets.setdefault(account, Budget(limits))
            budget.limits = limits
            return budget

    def clear(self) -> None:
        """Forget every account, as a new process does."""
        with self._guard:
            self._budgets.clear()


BUDGETS = Budgets()
"""The budgets of this process."""

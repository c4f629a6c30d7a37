"""How many requests may be sent, and when: one budget for each connection, shared by all that a process sends."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfso_hypatos.clients.failures import seconds_to_wait

if TYPE_CHECKING:
    from tfso_hypatos.clients.token import Credentials

HOUR = 3600.0

SHORTEST_WAIT = 0.001
"""Seconds a request waits at least if it may not be sent at once; less would be spinning."""

LONGEST_BLOCK = 60.0
"""Seconds without a request at most after a refusal that names no time."""

OBSERVED = 10.0
"""Seconds over which the rate is measured that a server refused."""

SLOWER = 0.7
"""Share of the refused rate that is tried next."""

FASTER = 1.01
"""What each success multiplies a learned rate by."""

FORGOTTEN = 1000.0
"""Requests a second from which on a learned rate is no limit any more."""

NEARLY_USED_UP = 0.1
"""Share of a server's quota from which on what is left is spread over the time until it is renewed."""


@dataclass(frozen=True)
class Limits:
    """What a connection may send; None is no limit.

    :param per_second: requests a second, on average.
    :param per_hour: requests in any 60 minutes.
    """

    per_second: float | None = None
    per_hour: float | None = None

    @property
    def burst(self) -> float:
        """Requests that may be sent at once after a rest: a look, and the change that rests on it."""
        return max(2.0, self.per_second or 0.0)


class Budget:
    """Says when a request may be sent.

    A request waits behind those of flows that began before its own: so what is begun is finished, and a look is still
    fresh when the change follows that rests on it. Such a change may be sent ahead of its time; those after it pay.

    :param limits: what the connection says; what the server says is learned.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, int] = {}
        self._sent: deque[float] = deque()
        self._tokens = self.limits.burst
        self._filled_at: float | None = None
        self._blocked_until = 0.0
        self._rate: float | None = None
        self._slowed_at = float("-inf")
        self._refusals = 0
        self._pace = 0.0
        self._next_at = 0.0

    @contextmanager
    def queueing(self, rank: int) -> Iterator[int]:
        """Stand in the queue, and leave it whatever happens.

        :param rank: number of the flow; a lower one goes first.
        """
        with self._guard:
            ticket = next(self._numbers)
            self._waiting[ticket] = rank
        try:
            yield ticket
        finally:
            with self._guard:
                del self._waiting[ticket]

    def wait(self, ticket: int, now: float, *, ahead: bool = False) -> float:
        """Return 0 if the request may be sent now, and count it; else after how many seconds to ask again.

        :param ticket: its place in the queue.
        :param now: :func:`clock.now`.
        :param ahead: it may be sent ahead of its time, as far as a burst goes.
        """
        with self._guard:
            mine = (self._waiting[ticket], ticket)
            before = sum((rank, number) < mine for number, rank in self._waiting.items())
            wait = self._until_free(before, now, ahead=ahead)
            if wait > 0:
                return max(wait, SHORTEST_WAIT)
            self._tokens -= 1
            self._next_at = max(self._next_at, now) + self._pace
            self._sent.append(now)
            return 0.0

    def _until_free(self, before: int, now: float, *, ahead: bool) -> float:
        rate = self._rate_now()
        self._fill(rate, now)
        waits = [self._blocked_until - now, self._until_the_hour_allows(before, now)]
        if not ahead:
            waits.append(self._next_at - now + before * self._pace)
        if rate is not None:
            lacking = before + 1 - self._tokens - (self.limits.burst if ahead else 0.0)
            waits.append(lacking / rate)
        elif before and max(waits) > 0:
            waits.append(max(waits) + before * SHORTEST_WAIT)
        return max(waits)

    def _rate_now(self) -> float | None:
        known = [rate for rate in (self.limits.per_second, self._rate) if rate is not None]
        return min(known, default=None)

    def _fill(self, rate: float | None, now: float) -> None:
        since = now - self._filled_at if self._filled_at is not None else 0.0
        self._filled_at = now
        self._tokens = self.limits.burst if rate is None else min(self.limits.burst, self._tokens + since * rate)

    def _until_the_hour_allows(self, before: int, now: float) -> float:
        keep = HOUR if self.limits.per_hour is not None else OBSERVED
        while self._sent and self._sent[0] <= now - keep:
            self._sent.popleft()
        if self.limits.per_hour is None:
            return 0.0
        over = len(self._sent) + before + 1 - int(self.limits.per_hour)
        if over <= 0:
            return 0.0
        return self._sent[min(over, len(self._sent)) - 1] + HOUR - now if self._sent else HOUR

    def learn(self, status: int, headers: Mapping[str, str], sent_at: float, now: float) -> None:
        """Learn from an answer.

        :param status: HTTP status code.
        :param headers: header names in lower case.
        :param sent_at: moment (:func:`clock.now`) at which the request was sent.
        :param now: :func:`clock.now`.
        """
        with self._guard:
            if status == 429:
                self._refused(seconds_to_wait(headers), sent_at, now)
                return
            self._refusals = 0
            if self._rate is not None:
                self._rate = self._rate * FASTER if self._rate < FORGOTTEN else None
            self._heed_quota(headers, now)

    def _refused(self, asked: float | None, sent_at: float, now: float) -> None:
        # Several requests may have been under way when the first was refused: that is one refusal.
        if sent_at >= self._slowed_at:
            recent = [moment for moment in self._sent if moment > now - OBSERVED]
            over = max(now - recent[0], 1.0) if recent else 1.0
            self._rate = max(SLOWER * len(recent) / over, 1 / LONGEST_BLOCK)
            self._slowed_at = now
            self._refusals += 1
            self._tokens = min(self._tokens, 0.0)
        block = min(2.0 ** (self._refusals - 1), LONGEST_BLOCK) if asked is None else asked
        self._blocked_until = max(self._blocked_until, now + block)

    def _heed_quota(self, headers: Mapping[str, str], now: float) -> None:
        remaining = _number(headers.get("x-ratelimit-remaining"))
        reset = _number(headers.get("x-ratelimit-reset"))
        self._pace = 0.0
        if remaining is None or reset is None or not 0 <= reset <= HOUR:
            return
        quota = _number(headers.get("x-ratelimit-limit", "").partition(",")[0])
        if remaining <= 0:
            self._blocked_until = max(self._blocked_until, now + reset)
        elif quota and remaining <= NEARLY_USED_UP * quota:
            self._pace = reset / remaining


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


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


BUDGETS = Budgets()
"""The budgets of this process."""

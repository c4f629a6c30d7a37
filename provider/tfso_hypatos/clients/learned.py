"""What a server's answers tell of its limits: the quota that it reports, and the rate that it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tfso_hypatos.clients.failures import seconds_to_wait

SLOWER = 0.7
"""Share of a refused rate that is tried next."""

SLOWEST = 0.1
"""Requests a second below which no refusal leads."""

LONGEST_WINDOW = 3600.0
"""Seconds after which a quota is believed to be renewed, whatever a server says."""

DOUBLED_IN = 120.0
"""Seconds without a refusal in which a learned rate doubles."""

FORGOTTEN_AFTER = 3 * DOUBLED_IN
"""Seconds without a refusal after which a learned rate is no limit any more."""

_NUMBER = re.compile(r"\d{1,9}")

_WINDOW = re.compile(r"(\d{1,9})\s*;\s*w=(\d{1,9}(?:\.\d{1,9})?)")
"""The part of ``x-ratelimit-limit`` that says how many requests a window takes, and its seconds: ``100, 100;w=60``."""


class Quota:
    """What a server says is left until when (``x-ratelimit-*``); unknown until it says so."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._renewed_at = 0.0
        self._window: tuple[int, float] | None = None

    def heed(self, headers: Mapping[str, str], now: float, sent_since: Callable[[], int]) -> bool:
        """Take over what an answer says, and say whether it says anything.

        :param headers: header names in lower case.
        :param now: moment (:func:`clock.now`) of the answer.
        :param sent_since: counts the requests that were sent after the one that is answered, unseen by the server.
        """
        if "x-ratelimit-remaining" not in headers:
            return False
        left = _NUMBER.fullmatch(headers["x-ratelimit-remaining"])
        seconds = seconds_to_wait({name: headers[name] for name in ("x-ratelimit-reset", "date") if name in headers})
        if left is None or seconds is None:
            return False
        self._left = int(left[0]) - sent_since()
        self._renewed_at = now + min(seconds, LONGEST_WINDOW)
        window = _WINDOW.search(headers.get("x-ratelimit-limit", ""))
        self._window = (int(window[1]), float(window[2])) if window else None
        return True

    def take(self) -> None:
        """Count a request."""
        if self._left is not None:
            self._left -= 1

    def until(self, before: int, now: float) -> float:
        """Return the seconds until it takes a request.

        :param before: how many others go before it.
        :param now: :func:`clock.now`.
        """
        if self._left is None:
            return 0.0
        if now >= self._renewed_at:
            # As much as the last time, until an answer tells how much it is.
            self._left, seconds = self._window or (None, 0.0)
            self._renewed_at = now + seconds
        return 0.0 if self._left is None or before < self._left else self._renewed_at - now


class LearnedRate:
    """The rate at which a server that names none is asked: slower with each refusal, and faster with time."""

    def __init__(self) -> None:
        self._rate: float | None = None
        self._refused_at = float("-inf")

    def now(self, now: float) -> float | None:
        """Return the requests a second that seem to be allowed, or None if nothing is known.

        :param now: :func:`clock.now`.
        """
        if self._rate is None or now - self._refused_at > FORGOTTEN_AFTER:
            self._rate = None
            return None
        return self._rate * float(2 ** ((now - self._refused_at) / DOUBLED_IN))

    def refused(self, sent_at: float, now: float, in_a_second: int) -> float | None:
        """Go slower, and return the new rate; None if it is not new.

        :param sent_at: moment (:func:`clock.now`) at which the refused request was sent.
        :param now: :func:`clock.now`.
        :param in_a_second: how many requests were sent in the second before, itself included.
        """
        if sent_at <= self._refused_at:
            # It was under way when another one was refused: that is one refusal.
            return None
        self._rate = max(SLOWER * (self.now(now) or max(in_a_second, 1)), SLOWEST)
        self._refused_at = now
        return self._rate

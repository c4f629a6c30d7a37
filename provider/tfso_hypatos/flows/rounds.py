"""How one round of looking at many orders goes, and what its failures mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfso_hypatos.exceptions import ConnectionFailed, PermissionDenied, RateLimited, TfsoHypatosError, TokenUnavailable

OF_THE_SERVER = (ConnectionFailed, RateLimited, TokenUnavailable)
"""Passing errors that the next request would meet, too."""

MOST_IN_A_ROW = 3
"""Failures in a row after which the server is taken to be in trouble, and is left alone."""


@dataclass
class Round:
    """One round.

    :param pages: pages that were listed.
    :param found: orders that are waited for no longer.
    :param fatal: an error that every order of the connection would meet again.
    :param trouble: the passing error of this round that asked for the longest wait.
    :param denied: orders that may not be read, and what the server said.
    :param unread: orders that could not be read for a passing reason.
    """

    pages: int = 0
    found: int = 0
    fatal: TfsoHypatosError | None = None
    trouble: TfsoHypatosError | None = None
    denied: dict[int, PermissionDenied] = field(default_factory=dict)
    unread: list[int] = field(default_factory=list)
    _begun: set[int] = field(default_factory=set)
    _successes: int = 0
    _in_a_row: int = 0
    _is_given_up: bool = False

    @property
    def reads(self) -> int:
        """How many orders were read."""
        return len(self._begun)

    @property
    def is_over(self) -> bool:
        """Say whether nothing more should be sent in this round."""
        return self._is_given_up or self.fatal is not None

    @property
    def has_failed(self) -> bool:
        """Say whether it is the server that is in trouble, and not only one order."""
        return self._is_given_up or (self.trouble is not None and self._successes == 0)

    def begins(self, order_id: int) -> bool:
        """Note that an order is read, and say whether it is for the first time."""
        is_first = order_id not in self._begun
        self._begun.add(order_id)
        return is_first

    def succeeded(self) -> None:
        """Note an answer."""
        self._successes += 1
        self._in_a_row = 0

    def failed(self, order_id: int | None, error: TfsoHypatosError) -> None:
        """Note a passing error.

        :param order_id: the order that was read, or None for the list.
        :param error: the error.
        """
        if order_id is not None:
            self.unread.append(order_id)
        if self.trouble is None or (error.retry_after or 0.0) > (self.trouble.retry_after or 0.0):
            self.trouble = error
        self._in_a_row += 1
        self._is_given_up = self._is_given_up or isinstance(error, OF_THE_SERVER) or self._in_a_row >= MOST_IN_A_ROW

    def judge(self) -> None:
        """Decide at the end whose errors they were: that of single orders, or of all."""
        if self.denied and self._successes == 0:
            self.fatal = self.fatal or next(iter(self.denied.values()))
        if self.fatal is not None:
            self.denied.clear()
        if self.fatal is not None or self.has_failed:
            self.unread.clear()

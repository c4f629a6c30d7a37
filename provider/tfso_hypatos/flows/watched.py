"""What is known of an order that is watched, and what a list tells of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from tfso_hypatos.clients.tfso_lists import Page
from tfso_hypatos.flows.transaction import Look
from tfso_hypatos.models.tfso_read import SalesOrder

DOUBT = datetime.timedelta(seconds=5)
"""How far the clocks of one service's servers may differ: a change this much older than a look was seen by it."""

STALE = datetime.timedelta(seconds=1)
"""A look that shows an order this much older than the list does was answered by a server that lags."""

MOST_OLD = 100
"""Orders from before the moment asked for in one list, above which the server is taken to ignore the filter."""


@dataclass(slots=True)
class Watched:
    """An order whose invoice is waited for.

    :param as_of: the server's clock that the last look is not older than; None: nobody knows.
    :param modified_at: when the order had last been changed, as that look showed it.
    :param failures: how often in a row it could not be read.
    :param resumes: number of the round in which it may be read again after a failure.
    """

    as_of: datetime.datetime | None
    modified_at: datetime.datetime | None = None
    failures: int = 0
    resumes: int = 0

    def has_seen(self, modified_at: datetime.datetime) -> bool:
        """Say whether the last look showed a change."""
        return modified_at == self.modified_at or (self.as_of is not None and modified_at <= self.as_of - DOUBT)

    def note(self, look: Look, listed: datetime.datetime | None) -> None:
        """Remember what a look showed.

        :param look: the look.
        :param listed: when the order was last changed, as the list showed it; None: it did not.
        """
        self.failures = self.resumes = 0
        shown = look.order.modified_at
        if listed is not None and shown is not None and listed - shown > STALE:
            # What the list has shown is still to be seen.
            return
        self.as_of = look.as_of
        self.modified_at = shown or listed
        if shown is not None and shown.microsecond == 0 and look.as_of is not None and look.as_of <= shown:
            # A clock of whole seconds may show the next change as the same moment.
            self.modified_at = None


@dataclass
class Listing:
    """One list of changes, while its pages come in.

    :param since: the moment asked for.
    :param note: told every order.
    :param as_of: the server's clock when the list was asked for, at the latest.
    :param latest: the latest change that it shows, of those that were asked for.
    """

    since: datetime.datetime
    note: Callable[[SalesOrder], None]
    as_of: datetime.datetime | None = None
    latest: datetime.datetime | None = None
    pages: int = 0
    _dated: int = 0
    _old: int = 0

    def visit(self, page: Page) -> bool:
        """Take a page, and return whether the list is worth going on with."""
        if self.pages == 0:
            self.as_of = page.as_of
        self.pages += 1
        for sight in page.orders:
            self._date(sight.order.modified_at)
            self.note(sight.order)
        return not (self._old > MOST_OLD and self._old * 2 > self._dated)

    def _date(self, moment: datetime.datetime | None) -> None:
        if moment is not None:
            self._dated += 1
            if moment < self.since:
                self._old += 1
            else:
                self.latest = moment if self.latest is None else max(moment, self.latest)


def is_complete(order: SalesOrder) -> bool:
    """Say whether an order of a list shows all that is handed on of an invoice; lists may leave something out."""
    invoice = order.invoice
    return bool(order.invoice_number and invoice and invoice.date and invoice.due_date and invoice.remittance_reference)

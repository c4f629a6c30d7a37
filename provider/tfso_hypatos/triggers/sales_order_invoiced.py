"""Starts DAGs when invoices are posted: the trigger of an asset watcher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from tfso_hypatos.exceptions import InvalidInput, Problem

SHORTEST_INTERVAL = 5.0
"""Seconds between two looks at least; by the next one Airflow has stored the events of the one before."""


class SalesOrderInvoicedTrigger(BaseEventTrigger):
    """Watches for posted invoices, for ever: one event for each order whose invoice is posted. It only reads.

    An event carries ``organization_id``, ``sales_order_id``, ``invoice_number``, ``transaction_id``, and
    ``order_key_hash`` if the order has the marker of this provider. It comes at least once, and only once as a rule,
    unless more than 2,000 invoices are not posted at a time: what was reported is kept in the state of the asset
    (Airflow 3.3), so that a restarted triggerer goes on where it was. On Airflow 3.2 nothing is kept: it begins anew,
    now or at ``since``.

    Airflow may merge several events into one run, so handle them all:
    :func:`tfso_hypatos.assets.orders_of_events`.

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (GET /salesorders, GET /salesorders/{id})

    :param tfso_conn_id: connection of type ``tfso``.
    :param only_marked: only orders that carry the marker of this provider, for it created or invoiced them; False: all
        of the organization.
    :param poll_interval: seconds between two looks, or a timedelta; 5 seconds at least.
    :param since: date-time with a time zone, or its ISO form (``2026-11-20T00:00:00+01:00``): orders changed from then
        on are reported if nothing is kept yet. A constant: Airflow takes another one for another trigger. None: from
        now on.
    :param name: for a second asset with a trigger of otherwise equal arguments. Airflow makes one trigger of two that
        are equal, and one that watches for two assets keeps nothing; another name makes them two.
    """

    def __init__(
        self,
        tfso_conn_id: str = "tfso_default",
        only_marked: bool = True,
        poll_interval: timedelta | float = 60.0,
        since: datetime | str | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        # The triggerer makes it again of what an earlier or a later version has stored, and must not fail at that.
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow left it untyped
        self.tfso_conn_id = tfso_conn_id
        self.only_marked = only_marked
        self.poll_interval = poll_interval
        self.since = since
        self.name = name
        self.unknown = unknown

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments.

        Airflow asks for them when it reads the DAG file, so a mistake shows as an import error.

        :raises InvalidInput: if an argument is not one, or is of the wrong kind.
        """
        problems = [Problem(name, "is not an argument of this trigger") for name in sorted(self.unknown)]
        seconds, since = _seconds(self.poll_interval), _moment(self.since)
        if seconds is None:
            problems.append(Problem("poll_interval", "seconds, as a number above zero, or a timedelta"))
        if since is None and self.since is not None:
            problems.append(Problem("since", "a date-time with a time zone, such as 2026-11-20T00:00:00+01:00"))
        if self.name is not None and not (isinstance(self.name, str) and self.name):
            problems.append(Problem("name", "a text that is not empty"))
        if problems:
            raise InvalidInput(problems)
        arguments = {
            "tfso_conn_id": self.tfso_conn_id,
            "only_marked": self.only_marked,
            "poll_interval": seconds,
            "since": since,
        }
        # Left out, so that a trigger without one stays the same trigger for Airflow when the provider is upgraded.
        named = {} if self.name is None else {"name": self.name}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**arguments, **named}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for every posted invoice; never ends by itself."""
        from tfso_hypatos.triggers.posting_feed import PostingFeed

        interval = max(_seconds(self.poll_interval) or SHORTEST_INTERVAL, SHORTEST_INTERVAL)
        since = _moment(self.since) or (str(self.since) if self.since is not None else None)
        store = getattr(self, "asset_state_store", None)
        feed = PostingFeed(self.tfso_conn_id, store, interval, only_marked=self.only_marked, since=since)
        try:
            while True:
                for news in await feed.round():
                    yield TriggerEvent(news)  # type: ignore[no-untyped-call]  # Airflow left it untyped
                await asyncio.sleep(feed.pause)
        finally:
            await feed.aclose()


def _seconds(interval: Any) -> float | None:
    if isinstance(interval, timedelta):
        interval = interval.total_seconds()
    if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not 0 < interval < float("inf"):
        return None
    return float(interval)


def _moment(since: Any) -> str | None:
    from tfso_hypatos.flows.moments import moment_of

    text = since.isoformat() if isinstance(since, datetime) else since
    return text if moment_of(text) is not None else None

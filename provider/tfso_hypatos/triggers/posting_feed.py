"""Posted invoices as they come, for a trigger that never ends: the connection, the memory and the waits of it."""

from __future__ import annotations

import asyncio
import copy
import datetime
import logging
from inspect import isawaitable
from typing import Any

from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.flows.digests import digest
from tfso_hypatos.flows.moments import moment_of
from tfso_hypatos.flows.postings import Known, Postings, posted_result
from tfso_hypatos.flows.watch import OVERLAP
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers.back_off import back_off

log = logging.getLogger(__name__)


class PostingFeed:
    """Does one round after the other; whatever goes wrong is logged, and tried again later.

    What was reported in a round is kept at the beginning of the next one: by then Airflow has the events in its
    database. If the triggerer dies before that, they come again.

    :param conn_id: connection of type ``tfso``.
    :param store: the store of the asset's state (Airflow 3.3), or None.
    :param interval: seconds between two rounds.
    :param only_marked: leave out orders that do not carry the marker of this provider.
    :param since: ISO date-time from which on postings are news, if nothing is kept; None: from now on.
    """

    def __init__(self, conn_id: str, store: Any, interval: float, *, only_marked: bool, since: str | None) -> None:
        self.conn_id = conn_id
        self.pause = interval
        self._store = store
        self._interval = interval
        self._only_marked = only_marked
        self._since = since
        self._hook: TfsoHook | None = None
        self._organization: str | None = None
        self._postings: Postings | None = None
        self._kept: dict[str, Any] | None = None
        self._failures = 0

    async def round(self) -> list[dict[str, Any]]:
        """Look once, and return what is news; ``pause`` is how long to wait then."""
        trouble: TfsoHypatosError | None = None
        try:
            await self._keep()
            hook, postings = await self._open()
            await hook.adrive(postings.look(self._interval, asyncio.get_running_loop().time()))
            done = postings.round
            trouble = done.fatal or (done.trouble if done.has_failed else None)
        except TfsoHypatosError as error:
            trouble = error
        except Exception as error:
            log.exception("Looking for posted invoices on %s failed", self.conn_id)
            trouble = TfsoHypatosError(type(error).__name__)
        self._failures = 0 if trouble is None else self._failures + 1
        self.pause = back_off(self._interval, self._failures, trouble) if trouble is not None else self._interval
        if trouble is not None:
            text = "Could not look for posted invoices on %s (%s); looking again in %.0f s"
            log.warning(text, self.conn_id, trouble, self.pause)
        if self._postings is None or self._organization is None:
            return []
        return [posted_result(order, self._organization) for order in self._postings.take_news()]

    async def aclose(self) -> None:
        """Close the session."""
        hook, self._hook = self._hook, None
        if hook is not None:
            await hook.aclose()

    async def _open(self) -> tuple[TfsoHook, Postings]:
        """Take the connection as it stands now; another organization is another feed."""
        hook = TfsoHook(self.conn_id)
        settings = await hook.asettings()
        if self._hook is None or settings != await self._hook.asettings():
            await self.aclose()
            self._hook = hook
        organization = settings.required_text("organization_id")
        if self._postings is None or organization != self._organization:
            known = await self._kept_for(organization)
            now = asyncio.get_running_loop().time()
            self._postings = Postings(known, only_marked=self._only_marked, organization=organization, now=now)
            self._organization = organization
            await self._keep()
        return self._hook, self._postings

    def _key(self, organization: str | None) -> str:
        return f"posted_invoices.{digest(16, organization, self._only_marked, self._since)}"

    async def _kept_for(self, organization: str) -> Known:
        self._kept = None
        kept = await self._ask("get", self._key(organization))
        known = Known.from_json(kept)
        if known is not None:
            log.info("Going on with posted invoices on %s from %s", self.conn_id, known.watermark or known.news_from)
            return known
        if kept is not None:
            log.error("What was kept of posted invoices on %s cannot be read; beginning anew", self.conn_id)
        begin = moment_of(self._since)
        if begin is None:
            if self._since is not None:
                log.error("since=%r is no date and time with a time zone; beginning now", self._since)
            # Early enough for two clocks that differ.
            begin = datetime.datetime.now(datetime.UTC) - OVERLAP
        log.info("Looking for invoices on %s that are posted from %s on", self.conn_id, begin)
        return Known(begin)

    async def _keep(self) -> None:
        if self._postings is None:
            return
        value = self._postings.known.to_json()
        if value == self._kept:
            return
        try:
            await self._ask("set", self._key(self._organization), copy.deepcopy(value))
        except Exception as error:  # noqa: BLE001 - without it some events come twice after a restart
            log.warning("What was reported on %s could not be kept (%s)", self.conn_id, type(error).__name__)
        else:
            self._kept = value

    async def _ask(self, method: str, *arguments: Any) -> Any:
        """Call the store by its asynchronous method, or by the other one where it has no such (Airflow 3.3.0)."""
        if self._store is None:
            return None
        call = getattr(self._store, f"a{method}", None) or getattr(self._store, method)
        try:
            answer = call(*arguments)
            return await answer if isawaitable(answer) else answer
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            # Not one of its kinds: the store belongs to several assets, and cannot say which one is meant.
            self._store = None
            text = "A trigger that watches for several assets keeps nothing; give that of each a name of its own (%s)"
            log.warning(text, error)
            return None

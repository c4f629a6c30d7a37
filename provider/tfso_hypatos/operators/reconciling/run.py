"""One run of a reconciliation: list the orders, read the ledger, then look at each order and say what is the matter."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from contextlib import AsyncExitStack

from tfso_hypatos.clients.tfso_ledger import walk_transaction_lines
from tfso_hypatos.clients.tfso_lists import Page, walk_sales_orders
from tfso_hypatos.exceptions import BatchFailed, PermissionDenied, Stopped
from tfso_hypatos.flows.reconciliation import OrderFacts, RecordFacts, facts_of, read_lines, read_record
from tfso_hypatos.links.addresses import order_address
from tfso_hypatos.models.tfso_ledger import TransactionLine
from tfso_hypatos.operators.reconciling.arguments import Wanted
from tfso_hypatos.operators.reconciling.repairs import Repairs
from tfso_hypatos.operators.reconciling.tools import Tools
from tfso_hypatos.reports.classify import Case, Rules, classify, is_posted
from tfso_hypatos.reports.rows import Row, Summary, row_of, row_of_missing

LEDGER_MARGIN = datetime.timedelta(days=7)
"""How far from the dates of the invoices their transactions are looked for."""


class Reconciliation:
    """One try at a reconciliation.

    :param wanted: what is to be reconciled, and how.
    :param tools: what it works with.
    """

    def __init__(self, wanted: Wanted, tools: Tools) -> None:
        self._wanted = wanted
        self._tools = tools
        self._store = self.store = tools.store
        self._slots = asyncio.Semaphore(wanted.concurrency)
        self._as_of: datetime.datetime | None = None
        self._ledger: tuple[datetime.date, datetime.date] | None = None
        self._broken = False
        self._hypatos_denied = False
        self._without_id = self._outside = 0
        self._shows_unmarked = True
        self._rules = Rules(datetime.datetime.now(datetime.UTC))
        period = wanted.period
        self.summary = Summary((period.date_from, period.date_to), self._rules.as_of, repair_mode=wanted.repair)
        self._repairs = Repairs(wanted, tools, self.summary)

    async def run(self) -> None:
        """Read everything, and keep what is the matter with each order.

        :raises TfsoHypatosError: if something could not be read.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._tools.tfso)
            if self._tools.hypatos is not None:
                await stack.enter_async_context(self._tools.hypatos)
            await self._tools.tfso.adrive(walk_sales_orders(self._wanted.period.filters(), self._keep))
            self._set_clock()
            await self._read_ledger()
            # One of them may be the order of a sale that was not found: whoever does not see it bills it again.
            self._shows_unmarked = not self._wanted.ignore_unmarked or self._store.lacks_orders()
            self._claim_records()
            for chunk in self._store.chunks():
                await self._examine_all(chunk)
        for expected in self._store.not_found():
            row = row_of_missing(expected, self._tools.me)
            self._store.add_row(row)
            self.summary.note_missing(row)
        self._note_gaps()

    @property
    def try_name(self) -> str:
        """A name of this try that no other one has, also in the folder of another run."""
        return f"try-{self._tools.try_number:03d}-{self._tools.me}"

    def cut_off(self, error: BaseException) -> None:
        """Note in the report that it is not whole."""
        self._note_gaps()
        text = f"The run was cut off ({type(error).__name__}): orders that are not listed were not looked at."
        self.summary.notes.insert(0, text)

    def error(self) -> BatchFailed | None:
        """Return the error of the repairs that failed, or None."""
        return self._repairs.error()

    def _keep(self, page: Page) -> bool:
        if self._tools.killed():
            raise Stopped("the task was killed while it listed orders")
        self._as_of = self._as_of or page.as_of
        mine = [sight.order for sight in page.orders if self._wanted.period.holds(sight.order)]
        self._store.add_orders(facts_of(order, self._tools.tfso.organization) for order in mine)
        return True

    def _set_clock(self) -> None:
        wanted = self._wanted
        as_of = self._as_of or datetime.datetime.now(datetime.UTC)
        self._rules = Rules(as_of, wanted.not_invoiced_after_days, wanted.not_posted_after_days, wanted.grace)
        self.summary.as_of = as_of

    async def _read_ledger(self) -> None:
        days = self._store.invoice_days()
        if days is None:
            return
        # Nobody bills before the order or in the future; a date that is mistyped must not make this read every year.
        earliest = self._wanted.period.date_from - LEDGER_MARGIN
        latest = max(self._wanted.period.date_to, self._rules.as_of.date()) + LEDGER_MARGIN
        first, last = max(days[0] - LEDGER_MARGIN, earliest), min(days[1] + LEDGER_MARGIN, latest)
        if first > last:
            # Every invoice is dated far from the period.
            self._ledger = (last, first)
            return

        def keep(lines: Sequence[TransactionLine]) -> None:
            named = ((line.invoice_number, line.transaction_id, line.customer_id) for line in lines)
            self._store.add_postings((number, posting, whose) for number, posting, whose in named if number and posting)

        day = datetime.timedelta(days=1)
        try:
            await self._tools.tfso.adrive(walk_transaction_lines(first, last + day, keep))
        except PermissionDenied:
            scope = "api.accounting.transaction:read"
            self.summary.notes.append(f"The ledger was not compared: the scope {scope} is not granted.")
        else:
            self._ledger = (first, last)

    def _claim_records(self) -> None:
        """Note which records of Hypatos several orders claim: none of those may be written."""
        for chunk in self._store.chunks() if self._wanted.repair_classes else ():
            for order in (each for each in chunk if each.is_invoiced):
                external_id = self._wanted.external_ids.of(order, self._store.expected_for(order))
                if external_id is not None:
                    self._store.add_external_id(external_id)

    async def _examine_all(self, orders: Sequence[OrderFacts]) -> None:
        if self._tools.killed():
            raise Stopped("the task was killed; no further order is looked at")
        # One that fails must not cut off the repair of another one in the middle; no further one is begun.
        rows = await asyncio.gather(*map(self._examine, orders), return_exceptions=True)
        failed = None
        for found in rows:
            if isinstance(found, BaseException):
                # One that came after it may have been repaired, and has to be in the report.
                failed = failed or found
            elif found is None:
                self.summary.ignored += 1
            else:
                case, row = found
                self._store.add_row(row)
                self.summary.note(case, row)
        if failed is not None:
            raise failed

    async def _examine(self, order: OrderFacts) -> tuple[Case, Row] | None:
        if order.key is None and not self._shows_unmarked:
            return None
        async with self._slots:
            if self._broken:
                raise Stopped("an order before this one could not be read")
            try:
                case, external_id = await self._case(order)
                findings = classify(case, self._rules)
                repair = await self._repairs.of(case, findings, external_id)
            except BaseException:
                self._broken = True
                raise
        url = order_address(self._tools.tfso.settings, order.order_id, order.invoice_number)
        return case, row_of(case, findings, external_id, url, None if repair is None else str(repair))

    async def _case(self, order: OrderFacts) -> tuple[Case, str | None]:
        expected = self._store.expected_for(order)
        is_open = not order.is_invoiced and not order.is_inactive
        lines = None
        if is_open or (self._wanted.all_lines and not order.is_inactive):
            lines = await self._tools.tfso.adrive(read_lines(order.order_id))
        ledger = self._postings(order) if order.is_invoiced else None
        case = Case(order, self._store.twins(order), expected, lines, ledger=ledger)
        external_id = self._wanted.external_ids.of(order, expected)
        if self._tools.hypatos is None or not is_posted(case):
            return case, external_id
        if external_id is None:
            self._without_id += 1
            return case, None
        asked, record = await self._record(external_id)
        case = Case(order, case.twins, expected, lines, record, record_asked=asked, ledger=ledger)
        return case, external_id

    def _postings(self, order: OrderFacts) -> frozenset[str] | None:
        """Return the transactions of an order's invoice, or None if they would not be among those that were read."""
        if self._ledger is None:
            return None
        found, day = self._store.postings(order), order.invoice_date
        if found or (day is not None and self._ledger[0] <= day <= self._ledger[1]):
            return found
        self._outside += 1
        return None

    async def _record(self, external_id: str) -> tuple[bool, RecordFacts | None]:
        if self._tools.hypatos is None or self._hypatos_denied:
            return False, None
        try:
            return True, await self._tools.hypatos.adrive(read_record(external_id))
        except PermissionDenied:
            self._hypatos_denied = True
            return False, None

    def _note_gaps(self) -> None:
        notes = self.summary.notes
        if self._wanted.ignore_unmarked and self._shows_unmarked:
            text = "Orders without a marker are shown all the same: one of them may be a sale that was not found."
            notes.append(text)
        if self._tools.hypatos is None:
            notes.append("Hypatos was not compared: neither external_id_format nor external_ids was given.")
        if self._outside:
            text = "Invoices not compared with the ledger, for their date is unknown or far from the period"
            notes.append(f"{text}: {self._outside}.")
        if self._hypatos_denied:
            notes.append("Hypatos was not compared, or not wholly: the scope enrichment.write is not granted.")
        if self._without_id:
            count = self._without_id
            notes.append(f"Posted orders not compared with Hypatos, for their external id is not known: {count}.")

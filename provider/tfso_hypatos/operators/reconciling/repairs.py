"""The repairs of a reconciliation: those that may be made, order by order, and what became of each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from tfso_hypatos.exceptions import BatchFailed, Failure, Stopped, TfsoHypatosError
from tfso_hypatos.flows.enrich import enrich
from tfso_hypatos.flows.repair import Outcome, plan_enrichment, plan_withdrawal, withdraw_stray
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.operators.reconciling.arguments import Wanted
from tfso_hypatos.operators.reconciling.tools import Tools
from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.reports.classify import Case, Finding
from tfso_hypatos.reports.rows import Summary

log = logging.getLogger(__name__)

MOST_LISTED = 20
"""Repairs that failed which the error of the task names; the report has all of them."""


class Repairs:
    """Repairs what may be repaired, and keeps count.

    :param wanted: what may be repaired, and whether it is only previewed.
    :param tools: what it works with.
    :param summary: where what became of each repair is counted.
    """

    def __init__(self, wanted: Wanted, tools: Tools, summary: Summary) -> None:
        self._wanted = wanted
        self._tools = tools
        self._summary = summary
        self._failures: list[Failure] = []
        self._failed: Counter[str] = Counter()

    def error(self) -> BatchFailed | None:
        """Return the error of those that failed, or None."""
        if not self._failed:
            return None
        message = f"repairs failed: {sum(self._failed.values())}; the report is written and names them"
        return BatchFailed(message, self._failures, self._failed)

    async def of(self, case: Case, findings: Sequence[Finding], external_id: str | None) -> Outcome | None:
        """Repair an order, or say what a repair would do.

        :param case: the order, and what was read of it.
        :param findings: what is the matter with it.
        :param external_id: key of its record in Hypatos, or None.
        :return: None if nothing of that may be repaired.
        :raises Stopped: if the task was killed.
        """
        kinds = {finding.kind.value for finding in findings} & self._wanted.repair_classes
        if not kinds:
            return None
        if self._tools.killed():
            raise Stopped("the task was killed; no further repair is begun")
        order_id = case.order.order_id
        try:
            if OrderClass.STRAY_WITHOUT_LINES.value in kinds:
                outcome = await self._withdraw(order_id, [twin.order_id for twin in case.twins])
            elif external_id is not None and self._tools.hypatos is not None:
                outcome = await self._enrich(self._tools.hypatos, external_id, case)
            else:
                return None
        except Stopped:
            log.warning("The repair of sales order %s was cut off: look at the order, or repair it again", order_id)
            raise
        except TfsoHypatosError as error:
            outcome = Outcome("failed", f"{type(error).__name__}: {error}")
            self._failed[type(error).__name__] += 1
            if len(self._failures) < MOST_LISTED:
                self._failures.append(Failure(f"sales order {order_id}", type(error).__name__, str(error)))
        self._summary.repairs[outcome.kind] += 1
        write = log.error if outcome.kind == "failed" else log.info
        write("Repair of sales order %s (%s): %s", order_id, ", ".join(sorted(kinds)), outcome)
        return outcome

    async def _withdraw(self, order_id: int, twin_ids: Sequence[int]) -> Outcome:
        tfso = self._tools.tfso
        if self._wanted.repair == "apply":
            flow = withdraw_stray(order_id, twin_ids, self._tools.me, tfso.organization, self._tools.timing)
            return await tfso.adrive(flow)
        plan = await tfso.adrive(plan_withdrawal(order_id, twin_ids, tfso.organization))
        return plan if isinstance(plan, Outcome) else Outcome("planned", plan.text)

    async def _enrich(self, hypatos: HypatosHook, external_id: str, case: Case) -> Outcome:
        if self._tools.store.is_shared(external_id):
            return Outcome("left", f"several invoiced orders claim the record {external_id!r}")
        plan = await self._tools.tfso.adrive(plan_enrichment(external_id, case.order.order_id, case.record))
        if isinstance(plan, Outcome):
            return plan
        if self._wanted.repair != "apply":
            return Outcome("planned", plan.text)
        headers = hypatos.insert_headers(await hypatos.asettings())
        await hypatos.adrive(enrich(external_id, plan.patch, "insert" if case.record is None else "fail", headers))
        return Outcome("done", plan.text)

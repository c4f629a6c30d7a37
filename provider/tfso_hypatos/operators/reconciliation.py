"""Operator that compares the sales orders of a period in both systems, and reports what is the matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tfso_hypatos.links.sales_order import ReconciliationReportLink
from tfso_hypatos.operators.arguments import TaskIdentity, given
from tfso_hypatos.operators.base import ApiOperator, holder_of
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

# Hooks, flows and models are imported where they are used, as in tfso_hypatos.operators.sales_order.
if TYPE_CHECKING:
    import datetime

    from airflow.sdk import Context, XComArg

    from tfso_hypatos.operators.reconciling.arguments import Wanted
    from tfso_hypatos.operators.reconciling.run import Reconciliation
    from tfso_hypatos.operators.reconciling.tools import Tools
    from tfso_hypatos.reports.store import Store


class ReconcileSalesOrdersOperator(ApiOperator):
    """Compare the sales orders of a period in 24SevenOffice with their markers, the ledger, the source and Hypatos.

    Only reads, unless ``repair`` is ``apply``. Writes ``reconciliation.html``, ``.csv`` and ``.json``, and a table to
    the log. Returns ``counts`` (orders by class), ``totals`` (gross amounts by currency, as text), ``orders``,
    ``notes`` (what could not be compared), ``repair`` and ``paths``.

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (GET /salesorders, GET /salesorders/{id}/lines,
    GET /transactionlines) and https://hypatos.redocly.app/openapi/enrichment/patchsalesorder

    :param date_from: first order date, ``YYYY-MM-DD``. (templated)
    :param date_to: last order date, ``YYYY-MM-DD``; it is included. (templated)
    :param report_path: folder that the report is written to; one that is there is replaced. Any URL that Airflow's
        object storage knows. (templated)
    :param report_url: web address at which people open that folder, without a user, ``?`` or ``#``; the task then
        links to the report. (templated)
    :param statuses: only orders with one of these statuses: a list, or text with commas; left out, all. Twins with
        other statuses are not seen. (templated)
    :param expected: business orders that the source knows of: a list of order keys, of objects with ``order_key`` and
        perhaps ``order``, ``lines`` and ``external_id``, or what a batch returned; or its JSON text. (templated)
    :param expected_path: instead of ``expected``, a file of JSON lines, one such object in each; or a folder of them.
        (templated)
    :param external_id_format: how the key of an order's record in Hypatos is made: a text with ``{sales_order_id}``,
        ``{invoice_number}``, ``{reference_number}``, ``{customer_id}`` or, with ``expected``, ``{order_key}`` in it,
        such as ``sales-order-{sales_order_id}``. Without it and ``external_ids``, Hypatos is not asked. (templated)
    :param external_ids: keys by sales order ids; these are taken first, then an ``external_id`` of ``expected``, then
        ``external_id_format``. A dict or JSON text. (templated)
    :param unmarked: ``report`` orders without a marker, or ``ignore`` them. (templated)
    :param not_invoiced_after_days: days after which an order should be invoiced. (templated)
    :param not_posted_after_days: days after which an invoice should be posted. (templated)
    :param grace_minutes: minutes for which an order that changed may be in work. (templated)
    :param check_lines: read the lines of orders that are not invoiced (``open``), or of ``all``. (templated)
    :param repair: ``none``, ``preview`` (lists what ``apply`` would do) or ``apply``. (templated)
    :param repair_classes: what may be repaired: ``not_enriched``, ``enrichment_differs``, ``stray_without_lines``; a
        list, or text with commas. (templated)
    :param concurrency: orders looked at at a time.
    :param settle_seconds: seconds after an unclear answer until what is there is believed; default from the
        connection, else 10.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :param hypatos_conn_id: connection of type ``hypatos``, used only with ``external_id_format`` or ``external_ids``.
        (templated)
    :raises InvalidInput: if an argument is wrong; nothing was sent.
    :raises BatchFailed: if repairs failed; the report is written. It is also written if ``apply`` ends early.
    """

    template_fields: Sequence[str] = (
        "date_from",
        "date_to",
        "report_path",
        "report_url",
        "statuses",
        "expected",
        "expected_path",
        "external_id_format",
        "external_ids",
        "unmarked",
        "not_invoiced_after_days",
        "not_posted_after_days",
        "grace_minutes",
        "check_lines",
        "repair",
        "repair_classes",
        "tfso_conn_id",
        "hypatos_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"expected": "json", "external_ids": "json"}
    operator_extra_links = (ReconciliationReportLink(),)
    ui_color = "#f3ecdd"

    def __init__(
        self,
        *,
        date_from: str | datetime.date | XComArg,
        date_to: str | datetime.date | XComArg,
        report_path: str | XComArg,
        report_url: str | XComArg | None = None,
        statuses: Sequence[str] | str | XComArg | None = None,
        expected: Sequence[Any] | Mapping[str, Any] | str | XComArg | None = None,
        expected_path: str | XComArg | None = None,
        external_id_format: str | XComArg | None = None,
        external_ids: Mapping[str, str] | str | XComArg | None = None,
        unmarked: str = "report",
        not_invoiced_after_days: int | str = 7,
        not_posted_after_days: int | str = 1,
        grace_minutes: int | str = 60,
        check_lines: str = "open",
        repair: str = "none",
        repair_classes: Sequence[str] | str | XComArg = (),
        concurrency: int = 8,
        settle_seconds: float | None = None,
        tfso_conn_id: str = "tfso_default",
        hypatos_conn_id: str = "hypatos_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.date_from = date_from
        self.date_to = date_to
        self.report_path = report_path
        self.report_url = report_url
        self.statuses = statuses
        self.expected = expected
        self.expected_path = expected_path
        self.external_id_format = external_id_format
        self.external_ids = external_ids
        self.unmarked = unmarked
        self.not_invoiced_after_days = not_invoiced_after_days
        self.not_posted_after_days = not_posted_after_days
        self.grace_minutes = grace_minutes
        self.check_lines = check_lines
        self.repair = repair
        self.repair_classes = repair_classes
        self.concurrency = concurrency
        self.settle_seconds = settle_seconds
        self.tfso_conn_id = tfso_conn_id
        self.hypatos_conn_id = hypatos_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, repair if asked to, and report."""
        import tempfile
        from pathlib import Path

        from tfso_hypatos.operators.reconciling.arguments import wanted_of
        from tfso_hypatos.reports.store import Store

        with ending_at_once():
            wanted = wanted_of(vars(self))
            with tempfile.TemporaryDirectory(prefix="reconciliation-") as folder, Store(Path(folder) / "db") as store:
                return self._reconcile(context, wanted, self._tools(context, wanted, store))

    def _tools(self, context: Context, wanted: Wanted, store: Store) -> Tools:
        from tfso_hypatos.hooks.hypatos import HypatosHook
        from tfso_hypatos.hooks.tfso import TfsoHook
        from tfso_hypatos.operators.reconciling.tools import Tools

        tfso = self._stoppable(TfsoHook(self.tfso_conn_id))
        hypatos = self._stoppable(HypatosHook(self.hypatos_conn_id)) if wanted.external_ids.is_given else None
        if hypatos is not None:
            # A connection that is wrong is found before anything is read.
            _ = hypatos.settings
        me, timing = holder_of(context, self.task_id), tfso.timing(self.settle_seconds)
        identity = TaskIdentity.of(context)
        try_number = 1 if identity is None else identity.try_number
        return Tools(tfso, hypatos, store, me, timing, lambda: self._killed, try_number)

    def _write(self, context: Context, wanted: Wanted, run: Reconciliation) -> dict[str, str]:
        from tfso_hypatos.links.addresses import push_report_address
        from tfso_hypatos.operators.reconciling.files import address_of, write_report

        paths = write_report(str(self.report_path), run.summary, run.store, run.try_name)
        if wanted.report_url is not None:
            paths["url"] = address_of(wanted.report_url)
            push_report_address(context, paths["url"])
        return paths

    def _leave_report(self, context: Context, wanted: Wanted, run: Reconciliation, error: BaseException) -> None:
        run.cut_off(error)
        try:
            paths = self._write(context, wanted, run)
        except Exception:
            self.log.exception("The report of what was done until then could not be written")
        else:
            self.log.warning("The report of what was done until then is %s", paths.get("url", paths["html"]))

    def _reconcile(self, context: Context, wanted: Wanted, tools: Tools) -> dict[str, Any]:
        from tfso_hypatos.operators.batch.loop import run_on_a_loop
        from tfso_hypatos.operators.reconciling.files import log_report
        from tfso_hypatos.operators.reconciling.run import Reconciliation
        from tfso_hypatos.operators.reconciling.sources import keep_expected

        run = Reconciliation(wanted, tools)
        summary = run.summary
        if given(self.expected) or given(self.expected_path):
            summary.notes += keep_expected(self.expected, self.expected_path, tools.tfso.organization, tools.store)
        try:
            run_on_a_loop(run.run, self.on_kill)
        except BaseException as end:
            if wanted.repair == "apply":
                # What was repaired until then has to be on record, whatever ended it.
                self._leave_report(context, wanted, run, end)
            raise
        paths = self._write(context, wanted, run)
        log_report(summary, tools.store)
        self.log.info("The report is %s", paths.get("url", paths["html"]))
        if (error := run.error()) is not None:
            raise error
        return {**summary.as_dict(), "paths": paths}

"""Operators that take many business orders at once to their invoices, and into Hypatos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from tfso_hypatos.assets import CREATED_SALES_ORDERS, ENRICHED_SALES_ORDERS, INVOICED_SALES_ORDERS
from tfso_hypatos.exceptions import InvalidInput, Problem, TfsoHypatosError
from tfso_hypatos.operators.arguments import TaskIdentity, created_from, given, switched_on
from tfso_hypatos.operators.base import holder_of
from tfso_hypatos.operators.batch.operator import BatchOperator
from tfso_hypatos.operators.enrichment import on_missing_of
from tfso_hypatos.operators.external_ids import rule_of_format
from tfso_hypatos.operators.invoice_arguments import DETAILS, InvoicingOperator
from tfso_hypatos.operators.preview_table import preview_table
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

# Hooks, flows and models are imported where they are used, as in tfso_hypatos.operators.sales_order.
if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.operators.batch.items import Step


class CreateSalesOrdersOperator(BatchOperator):
    """Create the sales orders of many business orders in 24SevenOffice, each once, with each line once.

    Does for each order what :class:`CreateSalesOrderOperator` does, several at a time. Returns the list of its results
    in the order of the items; with ``results_path`` they are written there, and ``total``, ``done``, ``failed``,
    ``skipped`` and ``results_path`` are returned.

    :param orders: a list of objects with ``order_key`` (required), ``order`` and ``lines``, as
        :class:`CreateSalesOrderOperator` takes them; or its JSON text. (templated)
    :param path: instead of ``orders``, a file of JSON lines, one such object in each; or a folder of them. Any URL
        that Airflow's object storage knows. (templated)
    :param results_path: folder that results are written to, one of its own for every task and run, and for every map
        index. (templated)
    :param concurrency: orders at a time.
    :param on_failed_orders: ``fail``, or ``hand_on``: once a retry would not help, succeed with the orders that are
        done, and leave those that failed to a :class:`.CheckFailedOrdersOperator`.
    :param marker_field: field of the order that carries the marker: ``internalMemo`` or ``referenceNumber``.
    :param settle_seconds: seconds after an unclear answer until what is there is believed; default from the
        connection, else 10.
    :param look_back_days: how many days back an earlier order with the same key is looked for; further if the DAG run
        is older.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a value breaks a rule of the API; nothing was sent.
    :raises BatchFailed: if orders failed; the others are done.
    """

    template_fields: Sequence[str] = (*BatchOperator.template_fields, "tfso_conn_id")
    ui_color = "#e8f1ec"
    outlet_alias = CREATED_SALES_ORDERS

    def __init__(
        self,
        *,
        orders: Sequence[Mapping[str, Any]] | str | XComArg | None = None,
        path: str | XComArg | None = None,
        results_path: str | XComArg | None = None,
        concurrency: int = 16,
        on_failed_orders: str = "fail",
        marker_field: str = "internalMemo",
        settle_seconds: float | None = None,
        look_back_days: int = 90,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.orders = orders
        self.path = path
        self.results_path = results_path
        self.concurrency = concurrency
        self.on_failed_orders = on_failed_orders
        self.marker_field = marker_field
        self.settle_seconds = settle_seconds
        self.look_back_days = look_back_days
        self.tfso_conn_id = tfso_conn_id

    def _step(self, context: Context) -> Step:
        from tfso_hypatos.hooks.tfso import TfsoHook
        from tfso_hypatos.operators.batch.steps import Creation

        hook = self._stoppable(TfsoHook(self.tfso_conn_id))
        me = TaskIdentity.of(context)
        return Creation(
            hook,
            hook.timing(self.settle_seconds),
            holder_of(context, self.task_id),
            created_from(context, timedelta(days=self.look_back_days), own_key=True),
            self.marker_field,
            again=me is not None and me.try_number > 1,
        )


class InvoiceSalesOrdersOperator(BatchOperator, InvoicingOperator):
    """Invoice many sales orders in 24SevenOffice, each at most once.

    Does for each order what :class:`InvoiceSalesOrderOperator` does, several at a time. Returns the list of its results
    in the order of the items; with ``results_path`` they are written there, and ``total``, ``done``, ``failed``,
    ``skipped`` and ``results_path`` are returned.

    :param orders: what :class:`CreateSalesOrdersOperator` returned (``orders=create.output``); or a list of ids, of its
        results, or of objects with either as ``sales_order_id``. An object may also have ``order_key``,
        ``expected_gross_amount``, ``expected_status``, and its own ``invoice_date``, ``due_date``, ``payment_terms``
        and ``distribution_method``. What :class:`.ListSalesOrdersOperator` returned will do. Or the list's JSON text.
        (templated)
    :param path: instead of ``orders``, a file of JSON lines, one such object in each; or a folder of them: the
        ``results_path`` of an earlier task. (templated)
    :param results_path: folder that results are written to, one of its own for every task and run, and for every map
        index. (templated)
    :param concurrency: orders at a time.
    :param on_failed_orders: ``fail``, or ``hand_on``: once a retry would not help, succeed with the orders that are
        done, and leave those that failed to a :class:`.CheckFailedOrdersOperator`.
    :param invoice_date: ``YYYY-MM-DD``; left out, 24SevenOffice takes today. (templated)
    :param due_date: ``YYYY-MM-DD``; left out, it follows from the terms. (templated)
    :param payment_terms: ``{"type": "NumberOfDays", "value": 14}``, also ``OutMonthPlusDays`` and ``FixedDate``; a
        dict or JSON text. (templated)
    :param distribution_method: such as ``emaildistribution`` or ``ehfdistribution``; left out, 24SevenOffice
        chooses. (templated)
    :param expected_status: status that each order must have (``Confirmed``), else it is not invoiced; an item's own
        has to hold as well. (templated)
    :param stop_variable: Airflow Variable by which a person stops invoicing; looked at before each order and before
        each change. (templated)
    :param preview: only log what would be invoiced, as a table, and return an empty list; nothing is changed or
        written. True, false, or what a template makes of it. (templated)
    :param settle_seconds: seconds after an unclear answer until what is there is believed; default from the
        connection, else 10.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a value breaks a rule of the API; nothing was sent.
    :raises InvoicingStopped: if a person has stopped invoicing; clear the task when it may go on.
    :raises BatchFailed: if orders failed; the others are invoiced.
    """

    template_fields: Sequence[str] = (
        *BatchOperator.template_fields,
        *DETAILS,
        "expected_status",
        "stop_variable",
        "preview",
        "tfso_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"orders": "json", "payment_terms": "json"}
    ui_color = "#dcebe3"
    outlet_alias = INVOICED_SALES_ORDERS
    _looks: list[dict[str, Any]] | None = None

    def __init__(
        self,
        *,
        orders: Sequence[Any] | Mapping[str, Any] | str | XComArg | None = None,
        path: str | XComArg | None = None,
        results_path: str | XComArg | None = None,
        concurrency: int = 16,
        on_failed_orders: str = "fail",
        invoice_date: str | XComArg | None = None,
        due_date: str | XComArg | None = None,
        payment_terms: Mapping[str, Any] | str | XComArg | None = None,
        distribution_method: str | XComArg | None = None,
        expected_status: str | XComArg | None = None,
        stop_variable: str | XComArg | None = None,
        preview: bool | str | XComArg = False,
        settle_seconds: float | None = None,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.orders = orders
        self.path = path
        self.results_path = results_path
        self.concurrency = concurrency
        self.on_failed_orders = on_failed_orders
        self.invoice_date = invoice_date
        self.due_date = due_date
        self.payment_terms = payment_terms
        self.distribution_method = distribution_method
        self.expected_status = expected_status
        self.stop_variable = stop_variable
        self.preview = preview
        self.settle_seconds = settle_seconds
        self.tfso_conn_id = tfso_conn_id

    def _step(self, context: Context) -> Step:
        from tfso_hypatos.hooks.tfso import TfsoHook
        from tfso_hypatos.operators.batch.steps import Invoicing

        hook = self._stoppable(TfsoHook(self.tfso_conn_id))
        me = holder_of(context, self.task_id)
        return Invoicing(
            hook,
            hook.timing(self.settle_seconds),
            me,
            lambda earlier: self._created_by(context, me, earlier),
            {name: getattr(self, name) for name in DETAILS},
            self.expected_status,
            self._with_stop_switch(hook),
            self._looks,
        )

    def execute(self, context: Context) -> Any:
        """Check every order, then invoice what is not invoiced yet, or only say what would be."""
        with ending_at_once():
            self._looks = [] if self._only_looks() else None
        if self._looks is None:
            return super().execute(context)
        try:
            self._show(super().execute(context))
        except TfsoHypatosError:
            if self._looks:
                self._show(sorted(self._looks, key=lambda row: row["sales_order_id"]), is_whole=False)
            raise
        return []

    def _show(self, rows: Sequence[Mapping[str, Any]], *, is_whole: bool = True) -> None:
        for line in preview_table(rows, is_whole=is_whole):
            self.log.info("%s", line)

    def _only_looks(self) -> bool:
        return switched_on(self.preview, "preview")


class EnrichSalesOrdersOperator(BatchOperator):
    """Write many sales orders into the enrichment data of Hypatos, by JSON Merge Patch; repeating it is harmless.

    Does for each order what :class:`EnrichSalesOrderOperator` does, several at a time. Returns the list of its results
    in the order of the items; with ``results_path`` they are written there, and ``total``, ``done``, ``failed``,
    ``skipped`` and ``results_path`` are returned.

    :param orders: a list of objects with ``external_id`` and ``sales_order_id``, ``patch`` or both; without
        ``external_id`` the ``order_key`` is taken, so what :class:`InvoiceSalesOrdersOperator` returned will do. Or the
        list's JSON text. (templated)
    :param path: instead of ``orders``, a file of JSON lines, one such object in each; or a folder of them: the
        ``results_path`` of an earlier task. (templated)
    :param results_path: folder that results are written to, one of its own for every task and run, and for every map
        index. (templated)
    :param concurrency: orders at a time.
    :param on_failed_orders: ``fail``, or ``hand_on``: once a retry would not help, succeed with the orders that are
        done, and leave those that failed to a :class:`.CheckFailedOrdersOperator`.
    :param on_missing: what to do if Hypatos has no such record: ``fail``, ``skip`` or ``insert``. (templated)
    :param external_id_format: key of items that have neither ``external_id`` nor ``order_key``, such as orders that
        people made: a text with ``{sales_order_id}`` in it. (templated)
    :param hypatos_conn_id: connection of type ``hypatos``. (templated)
    :param tfso_conn_id: connection of type ``tfso``, used only for items with ``sales_order_id``. (templated)
    :raises InvalidInput: if a value breaks a rule of the API; nothing was sent.
    :raises BatchFailed: if orders failed; the others are done.
    """

    template_fields: Sequence[str] = (
        *BatchOperator.template_fields,
        "on_missing",
        "external_id_format",
        "hypatos_conn_id",
        "tfso_conn_id",
    )
    ui_color = "#e5e6f5"
    outlet_alias = ENRICHED_SALES_ORDERS

    def __init__(
        self,
        *,
        orders: Sequence[Mapping[str, Any]] | Mapping[str, Any] | str | XComArg | None = None,
        path: str | XComArg | None = None,
        results_path: str | XComArg | None = None,
        concurrency: int = 16,
        on_failed_orders: str = "fail",
        on_missing: str = "fail",
        external_id_format: str | XComArg | None = None,
        hypatos_conn_id: str = "hypatos_default",
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.orders = orders
        self.path = path
        self.results_path = results_path
        self.concurrency = concurrency
        self.on_failed_orders = on_failed_orders
        self.on_missing = on_missing
        self.external_id_format = external_id_format
        self.hypatos_conn_id = hypatos_conn_id
        self.tfso_conn_id = tfso_conn_id

    def _step(self, context: Context) -> Step:  # noqa: ARG002 - a patch is the same for every try
        from tfso_hypatos.hooks.hypatos import HypatosHook
        from tfso_hypatos.hooks.tfso import TfsoHook
        from tfso_hypatos.operators.batch.steps import Enriching

        hypatos = self._stoppable(HypatosHook(self.hypatos_conn_id))
        _ = hypatos.settings
        key = str(self.external_id_format) if given(self.external_id_format) else None
        if key is not None and (rule := rule_of_format(key, ("sales_order_id",))) is not None:
            raise InvalidInput([Problem("external_id_format", rule)])
        return Enriching(hypatos, self._stoppable(TfsoHook(self.tfso_conn_id)), on_missing_of(self.on_missing), key)

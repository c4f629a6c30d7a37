"""Operators that take a business order to an invoice, and into Hypatos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from tfso_hypatos.assets import CREATED_SALES_ORDERS, announce
from tfso_hypatos.links.addresses import push_order_addresses
from tfso_hypatos.links.sales_order import SalesOrderLink
from tfso_hypatos.operators.arguments import (
    TaskIdentity,
    created_from,
    name_map_index,
    order_key_of,
    structured,
)
from tfso_hypatos.operators.base import ApiOperator, holder_of
from tfso_hypatos.operators.enrichment import EnrichSalesOrderOperator
from tfso_hypatos.operators.invoicing import InvoiceSalesOrderOperator
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy
from tfso_hypatos.operators.sales_orders import (
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrdersOperator,
)

# Hooks, flows and models are imported where they are used: they cost ten times what the operators do, and the DAG
# processor, which imports this module for every file, needs none of them.
if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.hooks.tfso import TfsoHook

__all__ = [
    "CreateSalesOrderOperator",
    "CreateSalesOrdersOperator",
    "EnrichSalesOrderOperator",
    "EnrichSalesOrdersOperator",
    "InvoiceSalesOrderOperator",
    "InvoiceSalesOrdersOperator",
]


class CreateSalesOrderOperator(ApiOperator):
    """Create the sales order of a business order in 24SevenOffice, once, with each line once.

    Looks before it creates, adopts what an earlier try or run has created, and completes missing lines. Returns
    ``order_key``, ``sales_order_id``, ``status``, ``created`` (False: adopted), ``line_ids``, ``net_amount``,
    ``tax_amount`` and ``gross_amount`` (amounts as text); ``customer_id``, ``currency``, ``payment_method_id`` and
    ``line_hashes``, by which the invoice task sees what was edited in between; and ``holder`` if the order names this
    task as its holder: the invoice task of the same run goes on under it.

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (POST /salesorders, POST /salesorders/{id}/lines)

    :param order: the order, with the field names of the API; ``customer.id`` and ``customer.name`` are required.
        A dict or JSON text. (templated)
    :param lines: the lines, at least one; a list of dicts or JSON text. Amounts as numbers or text. (templated)
    :param order_key: your name for the business order, the same whenever it is sent ("web-10045"). Without one it is
        made of dag, run, task and map index: safe against retries and clears, but a second run of the DAG makes a
        second order. (templated)
    :param marker_field: field of the order that carries the marker: ``internalMemo`` (300 characters, shared with
        your own memo) or ``referenceNumber`` (50 characters, printed on the invoice).
    :param settle_seconds: seconds after an unclear answer until what is there is believed; default from the
        connection, else 10.
    :param look_back_days: how many days back an earlier order with the same key is looked for; further if the DAG run
        is older.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a value breaks a rule of the API; nothing was sent.
    :raises OrderDrift: if 24SevenOffice holds something else under the same key.
    :raises OutcomeUncertain: if no answer came and looking again did not show the order; a retry looks first.
    :raises OrderBusy: if another run is at work on it for too long; a retry looks first.
    """

    template_fields: Sequence[str] = ("order", "lines", "order_key", "tfso_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"order": "json", "lines": "json"}
    operator_extra_links = (SalesOrderLink(),)
    ui_color = "#e8f1ec"

    def __init__(
        self,
        *,
        order: Mapping[str, Any] | str | XComArg,
        lines: Sequence[Mapping[str, Any]] | str | XComArg,
        order_key: str | XComArg | None = None,
        marker_field: str = "internalMemo",
        settle_seconds: float | None = None,
        look_back_days: int = 90,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.order = order
        self.lines = lines
        self.order_key = order_key
        self.marker_field = marker_field
        self.settle_seconds = settle_seconds
        self.look_back_days = look_back_days
        self.tfso_conn_id = tfso_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Find or create the order."""
        from tfso_hypatos.hooks.tfso import TfsoHook

        with ending_at_once(), self._stoppable(TfsoHook(self.tfso_conn_id)) as hook:
            return self._create(context, hook)

    def _create(self, context: Context, hook: TfsoHook) -> dict[str, Any]:
        from tfso_hypatos.flows.create import find_or_create
        from tfso_hypatos.flows.intent import Intent, marker_of
        from tfso_hypatos.flows.results import created_result
        from tfso_hypatos.operators.memory import Memory

        order_key = order_key_of(self.order_key, context)
        look_back = timedelta(days=self.look_back_days)
        intent = Intent.build(
            organization=hook.organization,
            order_key=order_key,
            order=structured(self.order, "order"),
            lines=structured(self.lines, "lines"),
            holder=holder_of(context, self.task_id),
            created_from=created_from(context, look_back, own_key=self.order_key is not None),
            marker_field=self.marker_field,
            # A mapped list may come in another order next time, and then a place in it, and so its key, means another
            # customer.
            any_customer=self.order_key is None,
        )
        name_map_index(context, order_key=order_key)
        memory = Memory(context, intent.marker.key)
        me = TaskIdentity.of(context)
        again = me is not None and me.try_number > 1
        timing = hook.timing(self.settle_seconds)
        flow = find_or_create(intent, timing, hook.organization, memory.order_ids(), again=again)
        created = hook.drive(flow, memory.remember)
        name_map_index(context, created.order.id, order_key)
        result = created_result(order_key, created)
        verb = "Created" if created.created else "Adopted"
        self.log.info("%s sales order %s of %r: gross %s", verb, created.order.id, order_key, result["gross_amount"])
        # Whoever removes it by mistake can put it back; it holds hashes and nothing personal.
        self.log.info("Marker of sales order %s: %s", created.order.id, marker_of(created.order)[1])
        push_order_addresses(context, hook.settings, result)
        announce(context, self, CREATED_SALES_ORDERS, hook.settings, result)
        return result

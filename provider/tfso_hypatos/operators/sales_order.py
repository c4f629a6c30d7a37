"""Operators that take a business order to an invoice, and into Hypatos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.links.addresses import push_order_addresses
from tfso_hypatos.links.sales_order import InvoiceLink, SalesOrderLink
from tfso_hypatos.operators.arguments import (
    TaskIdentity,
    created_from,
    given,
    order_key_of,
    sales_order_reference,
    structured,
)
from tfso_hypatos.operators.base import ApiOperator, holder_of
from tfso_hypatos.operators.enrichment import EnrichSalesOrderOperator
from tfso_hypatos.operators.retry import ending_at_once

# Hooks, flows and models are imported where they are used: they cost ten times what the operators do, and the DAG
# processor, which imports this module for every file, needs none of them.
if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.flows.intent import Holder
    from tfso_hypatos.flows.invoice import InvoiceOrder
    from tfso_hypatos.hooks.tfso import TfsoHook
    from tfso_hypatos.models.tfso import InvoiceDetails

__all__ = ["CreateSalesOrderOperator", "EnrichSalesOrderOperator", "InvoiceSalesOrderOperator"]


class CreateSalesOrderOperator(ApiOperator):
    """Create the sales order of a business order in 24SevenOffice, once, with each line once.

    Looks before it creates, adopts what an earlier try or run has created, and completes missing lines. Returns
    ``order_key``, ``sales_order_id``, ``status``, ``created`` (False: adopted), ``line_ids``, ``net_amount``,
    ``tax_amount`` and ``gross_amount`` (amounts as text), and ``holder`` if the order names this task as its holder:
    the invoice task of the same run goes on under it.

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
        super().__init__(**kwargs)
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
        from tfso_hypatos.flows.intent import Intent
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
        memory = Memory(context, intent.marker.key)
        me = TaskIdentity.of(context)
        again = me is not None and me.try_number > 1
        timing = hook.timing(self.settle_seconds)
        flow = find_or_create(intent, timing, hook.organization, memory.order_ids(), again=again)
        created = hook.drive(flow, memory.remember)
        result = created_result(order_key, created)
        if created.edited:
            self.log.warning("Sales order %s was edited: %s", created.order.id, ", ".join(created.edited))
        verb = "Created" if created.created else "Adopted"
        self.log.info("%s sales order %s of %r: gross %s", verb, created.order.id, order_key, result["gross_amount"])
        push_order_addresses(context, hook.settings, result)
        return result


class InvoiceSalesOrderOperator(ApiOperator):
    """Invoice a sales order in 24SevenOffice, at most once.

    Reads the order before it changes it, and adopts one that is invoiced already. Returns ``sales_order_id``,
    ``status``, ``invoiced`` (False: adopted), ``invoice_number``, ``invoice_date``, ``due_date``,
    ``remittance_reference`` and ``transaction_id`` (None until the invoice is posted).

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (PATCH /salesorders/{id})

    :param sales_order_id: id of the order, or the result of :class:`CreateSalesOrderOperator`
        (``sales_order_id=create.output``): then the order must still have the lines and the total it was created
        with. (templated)
    :param order_key: the business order whose marker the order must carry; taken from the result if one is given.
        (templated)
    :param invoice_date: ``YYYY-MM-DD``; left out, 24SevenOffice takes today. (templated)
    :param due_date: ``YYYY-MM-DD``; left out, it follows from the terms. (templated)
    :param payment_terms: ``{"type": "NumberOfDays", "value": 14}``, also ``OutMonthPlusDays`` and ``FixedDate``; a
        dict or JSON text. (templated)
    :param distribution_method: such as ``emaildistribution`` or ``ehfdistribution``; left out, 24SevenOffice
        chooses. (templated)
    :param expected_gross_amount: total with VAT that the order must have, else nothing is invoiced. (templated)
    :param settle_seconds: seconds after an unclear answer until what is there is believed; default from the
        connection, else 10.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a value breaks a rule of the API; nothing was sent.
    :raises OrderDrift: if the order is not what it must be; nothing was invoiced.
    :raises OutcomeUncertain: if it could not be found out whether the order was invoiced; a retry looks first.
    """

    template_fields: Sequence[str] = (
        "sales_order_id",
        "order_key",
        "invoice_date",
        "due_date",
        "payment_terms",
        "distribution_method",
        "expected_gross_amount",
        "tfso_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"payment_terms": "json"}
    operator_extra_links = (SalesOrderLink(), InvoiceLink())
    ui_color = "#dcebe3"

    def __init__(
        self,
        *,
        sales_order_id: int | str | Mapping[str, Any] | XComArg,
        order_key: str | XComArg | None = None,
        invoice_date: str | XComArg | None = None,
        due_date: str | XComArg | None = None,
        payment_terms: Mapping[str, Any] | str | XComArg | None = None,
        distribution_method: str | XComArg | None = None,
        expected_gross_amount: str | float | XComArg | None = None,
        settle_seconds: float | None = None,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sales_order_id = sales_order_id
        self.order_key = order_key
        self.invoice_date = invoice_date
        self.due_date = due_date
        self.payment_terms = payment_terms
        self.distribution_method = distribution_method
        self.expected_gross_amount = expected_gross_amount
        self.settle_seconds = settle_seconds
        self.tfso_conn_id = tfso_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Invoice the order unless it is invoiced."""
        from tfso_hypatos.hooks.tfso import TfsoHook

        with ending_at_once(), self._stoppable(TfsoHook(self.tfso_conn_id)) as hook:
            return self._invoice(context, hook)

    def _invoice(self, context: Context, hook: TfsoHook) -> dict[str, Any]:
        from tfso_hypatos.flows.invoice import invoice
        from tfso_hypatos.flows.results import invoice_result

        order_id, earlier = sales_order_reference(self.sales_order_id)
        task = self._task(hook.organization, order_id, earlier)
        push_order_addresses(context, hook.settings, {"sales_order_id": order_id})
        invoiced = hook.drive(
            invoice(
                task,
                hook.timing(self.settle_seconds),
                hook.organization,
                holder_of(context, self.task_id),
                self._created_by(context, earlier),
            )
        )
        result = {**invoice_result(invoiced.order), "invoiced": invoiced.invoiced}
        verb = "Invoiced sales order" if invoiced.invoiced else "Adopted the invoice of sales order"
        self.log.info("%s %s: invoice number %s", verb, order_id, result["invoice_number"])
        push_order_addresses(context, hook.settings, result)
        return result

    def _task(self, organization: str, order_id: int, earlier: Mapping[str, Any]) -> InvoiceOrder:
        from tfso_hypatos.flows.intent import key_of
        from tfso_hypatos.flows.invoice import InvoiceOrder
        from tfso_hypatos.models.base import amount

        order_key = self.order_key if given(self.order_key) else earlier.get("order_key")
        created_gross = earlier.get("gross_amount")
        expected = self.expected_gross_amount
        return InvoiceOrder(
            order_id=order_id,
            details=self._details(),
            key=key_of(organization, str(order_key)) if given(order_key) else None,
            expected_gross=amount(expected, "expected_gross_amount") if given(expected) else None,
            created_gross=amount(created_gross, "sales_order_id.gross_amount") if given(created_gross) else None,
            expected_line_ids=_line_ids(earlier.get("line_ids")),
        )

    def _details(self) -> InvoiceDetails | None:
        from tfso_hypatos.models.base import validate
        from tfso_hypatos.models.tfso import InvoiceDetails

        # The operator's own names, so that an error names the argument.
        fields = {
            "invoice_date": ("date", self.invoice_date),
            "due_date": ("dueDate", self.due_date),
            "payment_terms": ("paymentTerms", self.payment_terms),
            "distribution_method": ("distributionMethod", self.distribution_method),
        }
        members: dict[str, Any] = {}
        problems: list[Problem] = []
        for argument, (name, value) in fields.items():
            if not given(value):
                continue
            try:
                member = structured(value, argument) if argument == "payment_terms" else value
                validate(InvoiceDetails, {name: member}, "")
            except InvalidInput as error:
                problems += [Problem(place.replace(f".{name}", argument, 1), rule) for place, rule in error.problems]
            else:
                members[name] = member
        if problems:
            raise InvalidInput(problems)
        return validate(InvoiceDetails, members, "invoice") if members else None

    def _created_by(self, context: Context, earlier: Mapping[str, Any]) -> Holder | None:
        """Return the holder that the create step left on the order, if this is the only task that can go on under it.

        Anybody else would have to take the order over first: a later try, because the earlier one may be alive; and a
        second invoice task of the DAG, or another map index, because it would go on under the same holder.
        """
        from tfso_hypatos.flows.intent import Holder

        me, dag = TaskIdentity.of(context), self.get_dag()
        if me is None or me.try_number != 1 or not isinstance(earlier.get("holder"), str) or dag is None:
            return None
        holder = Holder.parse(earlier["holder"])
        mine = holder_of(context, self.task_id)
        if holder is None or (holder.run, holder.map_index) != (mine.run, mine.map_index):
            return None
        return holder if sum(_invoices(task) for task in dag.tasks) == 1 else None


def _line_ids(value: object) -> Sequence[int] | None:
    if value is None or (isinstance(value, list | tuple) and all(isinstance(line_id, int) for line_id in value)):
        return value
    raise InvalidInput(
        [Problem("sales_order_id.line_ids", "a list of line ids is needed, as the create task returns it")]
    )


def _invoices(task: object) -> bool:
    """Say whether a task of the DAG, mapped or not, is one that invoices."""
    kind = getattr(task, "operator_class", type(task))
    return isinstance(kind, type) and issubclass(kind, InvoiceSalesOrderOperator)

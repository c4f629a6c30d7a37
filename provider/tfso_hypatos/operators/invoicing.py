"""The operator that invoices a sales order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tfso_hypatos.assets import INVOICED_SALES_ORDERS, announce
from tfso_hypatos.links.addresses import push_order_addresses
from tfso_hypatos.links.sales_order import InvoiceLink, SalesOrderLink
from tfso_hypatos.operators.arguments import name_map_index
from tfso_hypatos.operators.base import holder_of
from tfso_hypatos.operators.invoice_arguments import INVOICE, InvoicingOperator, arguments_of, invoice_order
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.hooks.tfso import TfsoHook


class InvoiceSalesOrderOperator(InvoicingOperator):
    """Invoice a sales order in 24SevenOffice, at most once.

    Reads the order before it changes it, and adopts one that is invoiced already. Returns ``sales_order_id``,
    ``status``, ``invoiced`` (False: adopted), ``invoice_number``, ``invoice_date``, ``due_date``,
    ``remittance_reference`` and ``transaction_id`` (None until the invoice is posted).

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (PATCH /salesorders/{id})

    :param sales_order_id: id of the order, or the result of :class:`CreateSalesOrderOperator`
        (``sales_order_id=create.output``): then the order must still have the lines, the total, the customer, the
        currency and the payment method it was created with. Or the result of :class:`.ApproveSalesOrderOperator`: then
        it must have been approved, and still be what was approved. Or one of the orders that
        :class:`.ListSalesOrdersOperator` returned: then it must still have the status, the total, the customer, the
        currency and the payment method. (templated)
    :param order_key: the business order whose marker the order must carry; taken from the result if one is given.
        (templated)
    :param invoice_date: ``YYYY-MM-DD``; left out, 24SevenOffice takes today. (templated)
    :param due_date: ``YYYY-MM-DD``; left out, it follows from the terms. (templated)
    :param payment_terms: ``{"type": "NumberOfDays", "value": 14}``, also ``OutMonthPlusDays`` and ``FixedDate``; a
        dict or JSON text. (templated)
    :param distribution_method: such as ``emaildistribution`` or ``ehfdistribution``; left out, 24SevenOffice
        chooses. (templated)
    :param expected_gross_amount: total with VAT that the order must have, else nothing is invoiced. (templated)
    :param expected_status: status that the order must have (``Confirmed``), else nothing is invoiced; that of a listed
        order has to hold as well. (templated)
    :param stop_variable: Airflow Variable by which a person stops invoicing; looked at before each change. (templated)
    :param settle_seconds: seconds after an unclear answer until what is there is believed; default from the
        connection, else 10.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a value breaks a rule of the API; nothing was sent.
    :raises OrderDrift: if the order is not what it must be, or is invoiced already and bills something else.
    :raises InvoicingStopped: if a person has stopped invoicing; clear the task when it may go on.
    :raises OutcomeUncertain: if it could not be found out whether the order was invoiced; a retry looks first.
    :raises OrderBusy: if another run is at work on it for too long; a retry looks first.
    """

    template_fields: Sequence[str] = (
        "sales_order_id",
        "order_key",
        "invoice_date",
        "due_date",
        "payment_terms",
        "distribution_method",
        "expected_gross_amount",
        "expected_status",
        "stop_variable",
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
        expected_status: str | XComArg | None = None,
        stop_variable: str | XComArg | None = None,
        settle_seconds: float | None = None,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.sales_order_id = sales_order_id
        self.order_key = order_key
        self.invoice_date = invoice_date
        self.due_date = due_date
        self.payment_terms = payment_terms
        self.distribution_method = distribution_method
        self.expected_gross_amount = expected_gross_amount
        self.expected_status = expected_status
        self.stop_variable = stop_variable
        self.settle_seconds = settle_seconds
        self.tfso_conn_id = tfso_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Invoice the order unless it is invoiced."""
        from tfso_hypatos.hooks.tfso import TfsoHook

        with ending_at_once(), self._stoppable(TfsoHook(self.tfso_conn_id)) as hook:
            return self._invoice(context, hook)

    def _invoice(self, context: Context, hook: TfsoHook) -> dict[str, Any]:
        from tfso_hypatos.exceptions import InvoicingStopped
        from tfso_hypatos.flows.invoice import invoice
        from tfso_hypatos.flows.results import invoiced_result

        task, earlier = invoice_order(hook.organization, arguments_of(self, INVOICE))
        name_map_index(context, task.order_id, self.order_key or earlier.get("order_key"))
        push_order_addresses(context, hook.settings, {"sales_order_id": task.order_id})
        self._with_stop_switch(hook)
        me = holder_of(context, self.task_id)
        timing, created_by = hook.timing(self.settle_seconds), self._created_by(context, me, earlier)
        try:
            invoiced = hook.drive(invoice(task, timing, hook.organization, me, created_by))
        except InvoicingStopped as stopped:
            raise type(stopped)(f"Sales order {task.order_id} is not invoiced. {stopped}.") from stopped
        result = invoiced_result(invoiced)
        verb = "Invoiced sales order" if result["invoiced"] else "Adopted the invoice of sales order"
        self.log.info("%s %s: invoice number %s", verb, task.order_id, result["invoice_number"])
        push_order_addresses(context, hook.settings, result)
        announce(context, self, INVOICED_SALES_ORDERS, hook.settings, result)
        return result

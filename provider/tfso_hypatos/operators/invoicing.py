"""The operator that invoices a sales order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.links.addresses import push_order_addresses
from tfso_hypatos.links.sales_order import InvoiceLink, SalesOrderLink
from tfso_hypatos.operators.arguments import TaskIdentity, given, sales_order_reference, structured
from tfso_hypatos.operators.base import ApiOperator, holder_of
from tfso_hypatos.operators.retry import ending_at_once

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.flows.billing import InvoiceOrder
    from tfso_hypatos.flows.intent import Holder
    from tfso_hypatos.hooks.tfso import TfsoHook
    from tfso_hypatos.models.tfso import InvoiceDetails

T = TypeVar("T")


class InvoiceSalesOrderOperator(ApiOperator):
    """Invoice a sales order in 24SevenOffice, at most once.

    Reads the order before it changes it, and adopts one that is invoiced already. Returns ``sales_order_id``,
    ``status``, ``invoiced`` (False: adopted), ``invoice_number``, ``invoice_date``, ``due_date``,
    ``remittance_reference`` and ``transaction_id`` (None until the invoice is posted).

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (PATCH /salesorders/{id})

    :param sales_order_id: id of the order, or the result of :class:`CreateSalesOrderOperator`
        (``sales_order_id=create.output``): then the order must still have the lines, the total, the customer, the
        currency and the payment method it was created with. (templated)
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
    :raises OrderDrift: if the order is not what it must be, or is invoiced already and bills something else.
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
        from tfso_hypatos.flows.billing import InvoiceOrder, Payer
        from tfso_hypatos.flows.intent import key_of
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
            payer=Payer(*(earlier.get(name) for name in Payer._fields)),
            expected_line_ids=_list_of(int, earlier, "line_ids"),
            line_hashes=_list_of(str, earlier, "line_hashes"),
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


def _list_of(kind: type[T], earlier: Mapping[str, Any], name: str) -> Sequence[T] | None:
    value = earlier.get(name)
    if value is None or (isinstance(value, list | tuple) and all(isinstance(item, kind) for item in value)):
        return value
    raise InvalidInput([Problem(f"sales_order_id.{name}", "a list is needed, as the create task returns it")])


def _invoices(task: object) -> bool:
    """Say whether a task of the DAG, mapped or not, is one that invoices."""
    kind = getattr(task, "operator_class", type(task))
    return isinstance(kind, type) and issubclass(kind, InvoiceSalesOrderOperator)

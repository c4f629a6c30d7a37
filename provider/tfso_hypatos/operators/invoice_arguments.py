"""What is to be invoiced and who may go on as the holder: the same for one order and for many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.operators.arguments import TaskIdentity, given, sales_order_reference, structured
from tfso_hypatos.operators.base import ApiOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.flows.billing import InvoiceOrder
    from tfso_hypatos.flows.intent import Holder
    from tfso_hypatos.hooks.tfso import TfsoHook
    from tfso_hypatos.models.tfso import InvoiceDetails

T = TypeVar("T")

DETAILS: Mapping[str, str] = {
    "invoice_date": "date",
    "due_date": "dueDate",
    "payment_terms": "paymentTerms",
    "distribution_method": "distributionMethod",
}
"""The arguments that say how an order is invoiced, and what the API calls them."""

WHICH_ORDER = ("sales_order_id", "order_key")
"""The arguments that say which order it is."""

DUE = ("invoice_date", "due_date", "payment_terms")
"""The arguments that a due date follows from."""

INVOICE = (*WHICH_ORDER, "expected_gross_amount", "expected_status", *DETAILS)
"""The arguments of a task that invoices one order."""


def arguments_of(task: object, names: Sequence[str]) -> dict[str, Any]:
    """Return arguments of a task by name: no others, so that what a subclass keeps beside them demands nothing.

    :param task: the operator.
    :param names: those that its class documents.
    """
    return {name: getattr(task, name) for name in names}


class InvoicingOperator(ApiOperator):
    """Base of the operators that invoice: a DAG with two of them has nobody who goes on without taking over."""

    stop_variable: str | XComArg | None

    def _with_stop_switch(self, hook: TfsoHook) -> Callable[[], None] | None:
        """Let the stop switch be asked before each change, if there is one; return what asks it."""
        from tfso_hypatos.operators.stop_switch import StopSwitch

        if not given(self.stop_variable):
            return None
        switch = StopSwitch(str(self.stop_variable))
        hook.before_change(switch.check)
        return switch.check

    def _created_by(self, context: Context, me: Holder, earlier: Mapping[str, Any]) -> Holder | None:
        """Return the holder that the create step left on the order, if this is the only task that can go on under it.

        Anybody else would have to take the order over first: a later try, because the earlier one may be alive; and a
        second invoice task of the DAG, or another map index, because it would go on under the same holder.
        """
        from tfso_hypatos.flows.intent import Holder

        identity, dag = TaskIdentity.of(context), self.get_dag()
        if identity is None or identity.try_number != 1 or not isinstance(earlier.get("holder"), str) or dag is None:
            return None
        holder = Holder.parse(earlier["holder"])
        if holder is None or (holder.run, holder.map_index) != (me.run, me.map_index):
            return None
        return holder if sum(_invoices(task) for task in dag.tasks) == 1 else None


def invoice_order(
    organization: str, arguments: Mapping[str, Any], item_status: object = None
) -> tuple[InvoiceOrder, Mapping[str, Any]]:
    """Return what is to be invoiced, and the result of the earlier task if one was given.

    :param organization: organization id.
    :param arguments: the task's own by name, as :func:`expected_order` takes them.
    :param item_status: as :func:`expected_order` takes it.
    :raises InvalidInput: if one breaks a rule, it is named; or if the earlier task says that a person rejected it.
    """
    order, earlier = expected_order(organization, arguments, item_status)
    if earlier.get("approved", True) is not True:
        rule = "the order was not approved: the task that asked for the approval says so"
        raise InvalidInput([Problem("sales_order_id.approved", rule)])
    return order, earlier


def expected_order(
    organization: str, arguments: Mapping[str, Any], item_status: object = None
) -> tuple[InvoiceOrder, Mapping[str, Any]]:
    """Return what an order must be, approved or not, and the result of the earlier task if one was given.

    :param organization: organization id.
    :param arguments: the task's own by name, as they were given: ``sales_order_id``, and perhaps others of those named
        in :data:`INVOICE`.
    :param item_status: of an item of a batch, the status that it expects besides.
    :raises InvalidInput: if one breaks a rule; it is named.
    """
    from tfso_hypatos.flows.billing import InvoiceOrder, Payer
    from tfso_hypatos.flows.intent import key_of
    from tfso_hypatos.models.base import amount

    order_id, earlier = sales_order_reference(arguments["sales_order_id"])
    own_key, expected = arguments.get("order_key"), arguments.get("expected_gross_amount")
    order_key = own_key if given(own_key) else earlier.get("order_key")
    created_gross = earlier.get("gross_amount")
    if _is_listed(earlier) and not given(created_gross) and not given(expected):
        rule = "the listed order shows no total, so nobody would see that it was edited: say expected_gross_amount"
        raise InvalidInput([Problem("sales_order_id.gross_amount", rule)])
    # All have to hold: an order that was listed as a draft is no bill for a task that bills what is confirmed.
    statuses = (arguments.get("expected_status"), item_status, earlier.get("expected_status"))
    order = InvoiceOrder(
        order_id=order_id,
        details=_details(arguments),
        key=key_of(organization, str(order_key)) if given(order_key) else None,
        expected_gross=amount(expected, "expected_gross_amount") if given(expected) else None,
        created_gross=amount(created_gross, "sales_order_id.gross_amount") if given(created_gross) else None,
        payer=Payer(*(earlier.get(name) for name in Payer._fields)),
        expected_line_ids=_list_of(int, earlier, "line_ids"),
        line_hashes=_list_of(str, earlier, "line_hashes"),
        expected_statuses=tuple(_status(status) for status in statuses if given(status)),
        known_from="created" if "line_ids" in earlier else "listed",
    )
    return order, earlier


def _is_listed(earlier: Mapping[str, Any]) -> bool:
    return {"status", "expected_status"} <= earlier.keys() and "line_ids" not in earlier


def _status(value: Any) -> str:
    from tfso_hypatos.models.tfso import Status

    possible = [status.value for status in Status if status not in (Status.INVOICE, Status.INACTIVE)]
    if value not in possible:
        raise InvalidInput([Problem("expected_status", f"one of {', '.join(possible)}")])
    return str(value)


def _details(arguments: Mapping[str, Any]) -> InvoiceDetails | None:
    from tfso_hypatos.models.base import validate
    from tfso_hypatos.models.tfso import InvoiceDetails

    members: dict[str, Any] = {}
    problems: list[Problem] = []
    for argument, name in DETAILS.items():
        value = arguments.get(argument)
        if not given(value):
            continue
        try:
            member = structured(value, argument) if argument == "payment_terms" else value
            validate(InvoiceDetails, {name: member}, "")
        except InvalidInput as error:
            # The operator's own names, so that an error names the argument.
            problems += [Problem(place.replace(f".{name}", argument, 1), rule) for place, rule in error.problems]
        else:
            members[name] = member
    if problems:
        raise InvalidInput(problems)
    return validate(InvoiceDetails, members, "invoice") if members else None


def _list_of(kind: type[T], earlier: Mapping[str, Any], name: str) -> Sequence[T] | None:
    value = earlier.get(name)
    if value is None or (isinstance(value, list | tuple) and all(isinstance(item, kind) for item in value)):
        return value
    raise InvalidInput([Problem(f"sales_order_id.{name}", "a list is needed, as the create task returns it")])


def _invoices(task: object) -> bool:
    """Say whether a task of the DAG, mapped or not, is one that invoices."""
    kind = getattr(task, "operator_class", type(task))
    return isinstance(kind, type) and issubclass(kind, InvoicingOperator)

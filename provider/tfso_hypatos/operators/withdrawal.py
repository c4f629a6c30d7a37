"""The operator that takes a rejected sales order back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.links.addresses import push_order_addresses
from tfso_hypatos.links.sales_order import SalesOrderLink
from tfso_hypatos.operators.base import ApiOperator, holder_of
from tfso_hypatos.operators.invoice_arguments import WHICH_ORDER, arguments_of, expected_order
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.flows.withdrawal import Outcome
    from tfso_hypatos.hooks.tfso import TfsoHook


class WithdrawSalesOrderOperator(ApiOperator):
    """Take a sales order back that is not to be invoiced; repeating it is harmless.

    Takes the order over before it changes it, and never touches one that is invoiced, or that 24SevenOffice was asked
    to invoice. Returns ``sales_order_id``, ``order_key`` if known, ``outcome`` (``deleted``, ``inactive``, ``draft`` or
    ``was gone``) and ``changed`` (False: it was so already).

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (DELETE /salesorders/{id}, PATCH /salesorders/{id})

    :param sales_order_id: id of the order, or the result of :class:`.ApproveSalesOrderOperator` or
        :class:`.CreateSalesOrderOperator`: then an order that somebody has changed since is not withdrawn. (templated)
    :param order_key: the business order whose marker the order must carry; taken from the result if one is given.
        (templated)
    :param outcome: ``withdraw``: delete the order, or set it inactive where deleting is refused; ``draft``: set its
        status back to Draft, so that a person can go on with it in 24SevenOffice. (templated)
    :param settle_seconds: seconds after an unclear answer until what is there is believed; default from the
        connection, else 10.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a value breaks a rule, or the order was approved; nothing was sent.
    :raises OrderDrift: if the order is invoiced or about to be; or for ``withdraw``, if somebody has changed it.
    :raises OutcomeUncertain: if it could not be found out what became of the order; a retry looks first.
    :raises OrderBusy: if another run is at work on it for too long; a retry looks first.
    """

    template_fields: Sequence[str] = ("sales_order_id", "order_key", "outcome", "tfso_conn_id")
    operator_extra_links = (SalesOrderLink(),)
    ui_color = "#f3dfdb"

    def __init__(
        self,
        *,
        sales_order_id: int | str | Mapping[str, Any] | XComArg,
        order_key: str | XComArg | None = None,
        outcome: str = "withdraw",
        settle_seconds: float | None = None,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.sales_order_id = sales_order_id
        self.order_key = order_key
        self.outcome = outcome
        self.settle_seconds = settle_seconds
        self.tfso_conn_id = tfso_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Take the order back."""
        from tfso_hypatos.hooks.tfso import TfsoHook

        with ending_at_once(), self._stoppable(TfsoHook(self.tfso_conn_id)) as hook:
            return self._withdraw(context, hook)

    def _withdraw(self, context: Context, hook: TfsoHook) -> dict[str, Any]:
        from tfso_hypatos.flows.withdrawal import withdraw_order

        task, earlier = expected_order(hook.organization, arguments_of(self, WHICH_ORDER))
        if earlier.get("approved") is True:
            rule = "the order was approved: the task that asked for the approval says so"
            raise InvalidInput([Problem("sales_order_id.approved", rule)])
        outcome = outcome_of(self.outcome)
        push_order_addresses(context, hook.settings, {"sales_order_id": task.order_id})
        me = holder_of(context, self.task_id)
        flow = withdraw_order(task, outcome, hook.timing(self.settle_seconds), hook.organization, me)
        withdrawn = hook.drive(flow)
        self.log.info("Sales order %s: %s", task.order_id, withdrawn.outcome)
        key = {"order_key": earlier["order_key"]} if "order_key" in earlier else {}
        return {"sales_order_id": task.order_id, **key, "outcome": withdrawn.outcome, "changed": withdrawn.changed}


def outcome_of(value: object) -> Outcome:
    """Return what is to become of the order.

    :raises InvalidInput: if it is none of the choices.
    """
    from tfso_hypatos.flows.withdrawal import OUTCOMES

    for choice in OUTCOMES:
        if choice == value:
            return choice
    raise InvalidInput([Problem("outcome", f"one of {', '.join(OUTCOMES)}")])

"""The operator that asks a person to approve a sales order before it is invoiced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.bases.skipmixin import SkipMixin

from tfso_hypatos.exceptions import ApprovalOutdated, EventError, InvalidInput, Problem
from tfso_hypatos.links.addresses import push_order_addresses
from tfso_hypatos.links.sales_order import SalesOrderLink
from tfso_hypatos.operators.arguments import given, structured
from tfso_hypatos.operators.base import ApiOperator
from tfso_hypatos.operators.invoice_arguments import DUE, WHICH_ORDER, arguments_of, invoice_order
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg
    from airflow.sdk.execution_time.hitl import HITLUser

    from tfso_hypatos.flows.approval import Bill
    from tfso_hypatos.hooks.tfso import TfsoHook

APPROVE = "Approve"
REJECT = "Reject"

APPROVED, REJECTED, TIMED_OUT = "approved", "rejected", "timed out"
BELOW_THRESHOLD, INVOICED_ALREADY = "below threshold", "invoiced already"


class ApproveSalesOrderOperator(ApiOperator, HITLOperator, SkipMixin):
    """Show the bill of a sales order to a person in the Airflow UI, who approves or rejects it.

    Only reads 24SevenOffice. Returns what :class:`.InvoiceSalesOrderOperator` and :class:`.WithdrawSalesOrderOperator`
    take as ``sales_order_id``: ``sales_order_id``, ``order_key`` if known, ``status``, ``line_ids``, ``line_hashes``,
    ``customer_id``, ``currency``, ``payment_method_id`` and the amounts as they were approved, so that nothing else is
    invoiced; and ``approved`` (False: the invoice task refuses the order), ``decision`` (``approved``, ``rejected``,
    ``timed out``, ``below threshold`` or ``invoiced already``), ``approved_by`` (id of the user; None if nobody
    was asked, or nobody approved) and ``responded_at`` (ISO 8601; None if nobody was asked).

    A rejection is no failure: the task succeeds, and the tasks directly downstream are skipped, but for those named in
    ``if_rejected``; an approval skips these.

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (GET /salesorders/{id}, GET /salesorders/{id}/lines)
    and on the human-in-the-loop operators of Airflow's standard provider.

    :param sales_order_id: id of the order, or the result of :class:`.CreateSalesOrderOperator`
        (``sales_order_id=create.output``): then the order must still have the lines, the total, the customer, the
        currency and the payment method it was created with. (templated)
    :param order_key: the business order whose marker the order must carry; taken from the result if one is given.
        (templated)
    :param if_rejected: ids of the tasks directly downstream that run only after a rejection or a time-out.
    :param approve_below: total with VAT; an order below it is approved without asking anybody. An order without
        a total, or with a negative one, is always asked about. (templated)
    :param approve_below_currency: currency code (ISO 4217) that ``approve_below`` counts in: an order in another one is
        always asked about. Left out, it counts in whatever the order is in. (templated)
    :param invoice_date: ``YYYY-MM-DD``, as given to the invoice task; only for the due date that is shown. (templated)
    :param due_date: ``YYYY-MM-DD``, as given to the invoice task; only shown. (templated)
    :param payment_terms: ``{"type": "NumberOfDays", "value": 14}``, as given to the invoice task; only for the due
        date that is shown. A dict or JSON text. (templated)
    :param subject: headline of the request; left out, it names the order and its total. (templated)
    :param assigned_users: who may respond: user ids, or dicts with ``id`` and ``name``; a list or JSON text. Left out,
        everybody who may respond to requests of this DAG. (templated)
    :param response_timeout: how long to wait for a person, as a timedelta; then the order counts as rejected. Left out,
        for ever.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a value breaks a rule; nobody was asked.
    :raises OrderDrift: if the order is not what it must be, or cannot be invoiced; nobody was asked.
    :raises ApprovalOutdated: if Airflow would show the bill of an earlier try, which was another one.
    """

    template_fields: Sequence[str] = (
        "sales_order_id",
        "order_key",
        "approve_below",
        "approve_below_currency",
        "invoice_date",
        "due_date",
        "payment_terms",
        "subject",
        "assigned_users",
        "tfso_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"payment_terms": "json"}
    operator_extra_links = (SalesOrderLink(),)
    ui_color = "#f6ecd2"
    inherits_from_skipmixin = True

    def __init__(
        self,
        *,
        sales_order_id: int | str | Mapping[str, Any] | XComArg,
        order_key: str | XComArg | None = None,
        if_rejected: str | Sequence[str] = (),
        approve_below: str | float | XComArg | None = None,
        approve_below_currency: str | XComArg | None = None,
        invoice_date: str | XComArg | None = None,
        due_date: str | XComArg | None = None,
        payment_terms: Mapping[str, Any] | str | XComArg | None = None,
        subject: str = "",
        assigned_users: Sequence[str | Mapping[str, str]] | str | XComArg | None = None,
        response_timeout: timedelta | None = None,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        # Rejecting by default is what makes a time-out a rejection.
        options: dict[str, Any] = {
            "options": [APPROVE, REJECT],
            "defaults": REJECT,
            "response_timeout": response_timeout,
        }
        super().__init__(subject=subject, **options, **with_retry_policy(kwargs))
        self.sales_order_id = sales_order_id
        self.order_key = order_key
        self.if_rejected = if_rejected
        self.approve_below = approve_below
        self.approve_below_currency = approve_below_currency
        self.invoice_date = invoice_date
        self.due_date = due_date
        self.payment_terms = payment_terms
        self.subject = subject
        # A list only when it runs.
        self.assigned_users = assigned_users  # type: ignore[assignment]
        self.response_timeout = response_timeout or self.response_timeout
        self.tfso_conn_id = tfso_conn_id

    @property
    def hitl_summary(self) -> dict[str, Any]:
        """What listeners are told of the request: without the bill, which holds names."""
        return {**super().hitl_summary, "body": None}

    def execute(self, context: Context) -> dict[str, Any]:
        """Look at the order, and ask, unless there is nothing to ask."""
        from tfso_hypatos.hooks.tfso import TfsoHook

        with ending_at_once():
            with self._stoppable(TfsoHook(self.tfso_conn_id)) as hook:
                facts, decision = self._look(context, hook)
            if decision is not None:
                return self._decide(context, facts, decision)
            self._refuse_an_outdated_request(context)
        try:
            super().execute(context)
        except BaseException as waiting:
            # Airflow's two ways to wait; both hand their arguments to execute_complete, in another process.
            if hasattr(waiting, "method_name"):
                waiting.kwargs = {"facts": facts}  # type: ignore[attr-defined]
            raise
        raise EventError("Airflow did not wait for the approval")

    def _look(self, context: Context, hook: TfsoHook) -> tuple[dict[str, Any], str | None]:
        """Return what is to be approved, and the decision if nobody needs to be asked."""
        from tfso_hypatos.flows.approval import is_below, see_bill
        from tfso_hypatos.flows.bill_text import markdown, subject
        from tfso_hypatos.flows.results import approval_facts
        from tfso_hypatos.models.base import amount

        task, earlier = invoice_order(hook.organization, arguments_of(self, (*WHICH_ORDER, *DUE)))
        threshold = amount(self.approve_below, "approve_below") if given(self.approve_below) else None
        currency = str(self.approve_below_currency) if given(self.approve_below_currency) else None
        self.assigned_users = _users(self.assigned_users)
        self._check_branches()
        push_order_addresses(context, hook.settings, {"sales_order_id": task.order_id})
        bill: Bill = hook.drive(see_bill(task))
        key = self.order_key if given(self.order_key) else earlier.get("order_key")
        order_key = str(key) if given(key) else None
        facts = approval_facts(order_key, bill)
        facts |= {name: earlier[name] for name in ("holder", "expected_status") if isinstance(earlier.get(name), str)}
        if bill.is_billed:
            number = bill.order.invoice_number
            self.log.info("Nobody is asked: sales order %s is invoiced already, as number %s", task.order_id, number)
            return facts, INVOICED_ALREADY
        if threshold is not None and is_below(bill.order, threshold, currency):
            gross = facts["gross_amount"]
            self.log.info("Nobody is asked: sales order %s is %s, below %s", task.order_id, gross, threshold)
            return facts, BELOW_THRESHOLD
        self.subject = self.subject if given(self.subject) else subject(bill.order)
        self.body = markdown(bill, order_key, task.details)
        return facts, None

    def _check_branches(self) -> None:
        unknown = sorted(set(_names(self.if_rejected)) - set(self.downstream_task_ids))
        if unknown:
            rule = f"no task directly downstream is called {', '.join(unknown)}"
            raise InvalidInput([Problem("if_rejected", rule)])

    def _refuse_an_outdated_request(self, context: Context) -> None:
        """Make sure that people are shown this request, and not that of an earlier try.

        Airflow keeps the first request of a task instance when the task is cleared or tried again: it takes back the
        response, but shows the old text and asks the old users.
        """
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

        request = CreateHITLDetailPayload(
            ti_id=context["ti"].id,
            options=self.options,
            subject=self.subject,
            body=self.body,
            defaults=self.defaults,
            params=self.serialized_params,
            multiple=self.multiple,
            assigned_users=self.assigned_users or [],
        )
        shown: Any = task_runner.SUPERVISOR_COMMS.send(msg=request)
        theirs, ours = ([user.id for user in each.assigned_users or ()] for each in (shown, request))
        if (shown.body, theirs) != (request.body, ours):
            raise ApprovalOutdated(
                "This task has asked before, and what is to be approved, or who may approve it, has changed since. "
                "Airflow keeps showing the first request to people, so nobody is asked. Trigger the DAG anew for the "
                "same order: it takes over what is there, and asks with the bill as it is now."
            )

    def execute_complete(
        self, context: Context, event: dict[str, Any], facts: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Go on after the response, or after the time-out."""
        response = super().execute_complete(context, event)
        if not isinstance(facts, dict) or "sales_order_id" not in facts:
            raise EventError("what was to be approved got lost between two parts of this task; clear it")
        if response["chosen_options"] not in ([APPROVE], [REJECT]):
            raise EventError("the response is neither an approval nor a rejection")
        user, at = response["responded_by_user"], response["responded_at"]
        moment = at.isoformat() if isinstance(at, datetime) else str(at)
        if response["chosen_options"] == [REJECT]:
            # The scheduler responds for a person who did not, and nobody else does so without a name.
            return self._decide(context, facts, TIMED_OUT if user is None else REJECTED, responded_at=moment)
        if user is None:
            raise EventError("the response approves and does not say who did")
        return self._decide(context, facts, APPROVED, approved_by=str(user["id"]), responded_at=moment)

    def _decide(
        self,
        context: Context,
        facts: dict[str, Any],
        decision: str,
        approved_by: str | None = None,
        responded_at: str | None = None,
    ) -> dict[str, Any]:
        approved = decision not in (REJECTED, TIMED_OUT)
        result = {
            **facts,
            "approved": approved,
            "decision": decision,
            "approved_by": approved_by,
            "responded_at": responded_at,
        }
        self.log.info("Sales order %s: %s", facts["sales_order_id"], decision)
        unwanted = self._not_to_run(approved=approved)
        if unwanted:
            # Skipping ends the task with an exception, and what it would have returned is lost.
            if self.do_xcom_push:
                context["ti"].xcom_push(key="return_value", value=result)
            self.skip(context["ti"], unwanted)
        return result

    def _not_to_run(self, *, approved: bool) -> list[Any]:
        """Return the tasks directly downstream that the decision leaves out; a task that both ways lead to is none."""
        if not self.downstream_task_ids:
            return []
        after_rejection = set(_names(self.if_rejected))
        followed, left = set(), []
        for task in self.get_direct_relatives(upstream=False):
            if (task.task_id in after_rejection) is approved:
                left.append(task)
            else:
                followed |= task.get_flat_relative_ids(upstream=False)
        return [task for task in left if task.task_id not in followed and not task.is_teardown]


def _names(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _users(value: Any) -> list[HITLUser] | None:
    """Return who may respond, as Airflow wants them; None for everybody."""
    if not given(value):
        return None
    users = structured(value, "assigned_users")
    if isinstance(users, Mapping):
        users = [users]
    if not isinstance(users, Sequence) or isinstance(users, str):
        raise InvalidInput([Problem("assigned_users", "a list of user ids is needed")])
    found: list[HITLUser] = []
    for index, user in enumerate(users):
        fields = user if isinstance(user, Mapping) else {"id": user}
        if not given(fields.get("id")) or not isinstance(fields["id"], str | int):
            raise InvalidInput([Problem(f"assigned_users[{index}]", "a user id is needed")])
        found.append({"id": str(fields["id"]), "name": str(fields.get("name") or fields["id"])})
    return found or None

"""The operator that lists sales orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.operators.arguments import given
from tfso_hypatos.operators.base import ApiOperator
from tfso_hypatos.operators.mapping import most_mapped
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.hooks.tfso import TfsoHook
    from tfso_hypatos.models.tfso_filter import ListFilter

FILTERS = ("status", "customer_id", "date_from", "date_to", "modified_from", "modified_to")


ANY = "any"
"""What a template says that leaves a filter out: an empty text may as well be a value that was not there."""


class ListSalesOrdersOperator(ApiOperator):
    """List the sales orders in 24SevenOffice that filters let through: all pages, lowest id first.

    Returns a list of dicts with ``sales_order_id``, ``status``, ``expected_status`` (the same), ``gross_amount`` (as
    text), ``currency``, ``customer_id``, ``payment_method_id`` (``none`` without one) and ``date``.
    :class:`.InvoiceSalesOrdersOperator` takes the list for its ``orders``, and :class:`.InvoiceSalesOrderOperator`
    each of them for its ``sales_order_id``; both refuse an order whose status, total, customer, currency or payment
    method is another one by then.

    The filters are applied again to what the server lists, for a server ignores those that it does not know. A filter
    that is None or ``any`` is left out; an empty text is an error, for a template renders one of a missing value, too.

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (GET /salesorders)

    :param status: ``Draft``, ``Web``, ``Proposal``, ``Confirmed``, ``Invoice`` or ``AdvanceInvoice``. (templated)
    :param customer_id: only this customer's. (templated)
    :param date_from: earliest order date, ``YYYY-MM-DD``. (templated)
    :param date_to: latest order date, ``YYYY-MM-DD``. (templated)
    :param modified_from: only what was changed at or after this moment, with a time zone. (templated)
    :param modified_to: only what was changed before or at this moment, with a time zone. (templated)
    :param limit: how many orders there may be, else the task fails: none is left out. None means as many as Airflow
        maps a task over (``[core] max_map_length``). (templated)
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises InvalidInput: if a filter is not one; nothing was sent.
    :raises TooManyOrders: if there are more than ``limit``.
    """

    template_fields: Sequence[str] = (*FILTERS, "limit", "tfso_conn_id")
    ui_color = "#eef0e2"

    def __init__(
        self,
        *,
        status: str | XComArg | None = None,
        customer_id: int | str | XComArg | None = None,
        date_from: date | str | XComArg | None = None,
        date_to: date | str | XComArg | None = None,
        modified_from: datetime | str | XComArg | None = None,
        modified_to: datetime | str | XComArg | None = None,
        limit: int | str | XComArg | None = None,
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.status = status
        self.customer_id = customer_id
        self.date_from = date_from
        self.date_to = date_to
        self.modified_from = modified_from
        self.modified_to = modified_to
        self.limit = limit
        self.tfso_conn_id = tfso_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002 - Airflow passes it
        """List the orders."""
        from tfso_hypatos.hooks.tfso import TfsoHook

        with ending_at_once(), self._stoppable(TfsoHook(self.tfso_conn_id)) as hook:
            return self._list(hook)

    def _list(self, hook: TfsoHook) -> list[dict[str, Any]]:
        from tfso_hypatos.flows.listed import list_wanted
        from tfso_hypatos.flows.results import listed_result

        orders = hook.drive(list_wanted(self._wanted(), self._limit()))
        said = ", ".join(f"{name} {getattr(self, name)}" for name in FILTERS if _filters(getattr(self, name)))
        self.log.info("24SevenOffice has %d sales orders with %s", len(orders), said or "any status and date")
        return [listed_result(order) for order in orders]

    def _wanted(self) -> ListFilter:
        from tfso_hypatos.models.base import validate
        from tfso_hypatos.models.tfso_filter import ListFilter

        values = {name: getattr(self, name) for name in FILTERS}
        empty = [name for name, value in values.items() if isinstance(value, str) and not value.strip()]
        if empty:
            # Not the same as none: orders of other customers, or that nobody has confirmed, would be billed.
            rule = f"must not be empty; None, or {ANY} from a template, leaves the filter out"
            raise InvalidInput([Problem(name, rule) for name in empty])
        try:
            return validate(ListFilter, {name: value for name, value in values.items() if _filters(value)}, "filters")
        except InvalidInput as error:
            problems = [Problem(place.removeprefix("filters."), rule) for place, rule in error.problems]
            raise InvalidInput(problems) from None

    def _limit(self) -> int:
        value = str(self.limit).strip() if given(self.limit) else str(most_mapped())
        if not value.isascii() or not value.isdigit() or not int(value):
            raise InvalidInput([Problem("limit", "a whole number above zero is needed")])
        return int(value)


def _filters(value: Any) -> bool:
    return value is not None and value != ANY

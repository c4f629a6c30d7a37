"""Sensor that waits until an invoice is posted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException

from tfso_hypatos import exceptions
from tfso_hypatos.assets import POSTED_SALES_ORDERS, announce
from tfso_hypatos.links.addresses import push_order_addresses
from tfso_hypatos.links.sales_order import InvoiceLink, SalesOrderLink, stored_addresses
from tfso_hypatos.operators.arguments import name_map_index, sales_order_reference
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

# The hook and the flow are imported where they are used, as in the operators.
if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.hooks.tfso import TfsoHook

RESULT_KEYS = (
    "sales_order_id",
    "status",
    "invoice_number",
    "invoice_date",
    "due_date",
    "remittance_reference",
    "transaction_id",
)
"""What a posted invoice hands on; an event with less is not believed."""


class InvoiceTransactionSensor(BaseSensorOperator):
    """Wait until the invoice of a sales order is posted: it then has an ``invoice.transaction.id``.

    Returns ``sales_order_id``, ``status``, ``invoice_number``, ``invoice_date``, ``due_date``,
    ``remittance_reference`` and ``transaction_id``, the same in poke, reschedule and deferrable mode. A look that
    fails for a passing reason is repeated at the next interval; ``soft_fail`` skips on time-out only.

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (GET /salesorders/{id})

    :param sales_order_id: id of the order, or the result of an earlier task (``sales_order_id=invoice.output``).
        (templated)
    :param deferrable: wait in the triggerer, without a worker slot; default from ``[operators] default_deferrable``.
    :param tfso_conn_id: connection of type ``tfso``. (templated)
    :raises TransactionNeverPosted: if the order was deleted or set inactive.
    """

    template_fields: Sequence[str] = ("sales_order_id", "tfso_conn_id")
    operator_extra_links = (SalesOrderLink(), InvoiceLink())
    ui_color = "#f3ead9"
    _hook: TfsoHook | None = None
    _seen_at: str | None = None
    _organization: str | None = None

    def __init__(
        self,
        *,
        sales_order_id: int | str | Mapping[str, Any] | XComArg,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.sales_order_id = sales_order_id
        self.deferrable = deferrable
        self.tfso_conn_id = tfso_conn_id

    def execute(self, context: Context) -> Any:
        """Wait, on the worker or in the triggerer."""
        with ending_at_once(), self._opened_hook():
            if not self.deferrable:
                return super().execute(context)
            seen = self._first_look(context)
        if isinstance(seen, PokeReturnValue):
            return seen.xcom_value
        return self._defer()

    def _first_look(self, context: Context) -> PokeReturnValue | bool:
        """Look once before deferring, and treat a failure as the base class does between its pokes."""
        try:
            return self.poke(context)
        except exceptions.TfsoHypatosError as error:
            if self.silent_fail:
                self.log.exception("Sensor poke failed")
                return False
            raise self._as_the_sensor_says(error) from error

    def _as_the_sensor_says(self, error: exceptions.TfsoHypatosError) -> Exception:
        return AirflowSkipException("Skipping due to never_fail is set to True.") if self.never_fail else error

    def _defer(self) -> NoReturn:
        from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger

        order_id, _ = sales_order_reference(self.sales_order_id)
        interval = float(self.poke_interval)
        self.defer(
            trigger=InvoiceTransactionTrigger(order_id, self.tfso_conn_id, interval, self._seen_at, self._organization),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
            kwargs={"sales_order_id": order_id},
        )

    @contextmanager
    def _opened_hook(self) -> Iterator[TfsoHook]:
        """Keep one hook, with one connection look-up and one session, for all the pokes of an execution."""
        from tfso_hypatos.hooks.tfso import TfsoHook

        if self._hook is not None:
            yield self._hook
            return
        with TfsoHook(self.tfso_conn_id) as hook:
            self._hook = hook
            try:
                yield hook
            finally:
                self._hook = None

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Look once."""
        from tfso_hypatos.flows.results import invoice_result
        from tfso_hypatos.flows.transaction import look_at_transaction

        order_id, earlier = sales_order_reference(self.sales_order_id)
        name_map_index(context, order_id, earlier.get("order_key"))
        with self._opened_hook() as hook:
            self._organization = hook.organization
            if not stored_addresses(self):
                push_order_addresses(context, hook.settings, {**earlier, "sales_order_id": order_id})
            try:
                look = hook.drive(look_at_transaction(order_id))
            except exceptions.TfsoHypatosError as error:
                if error.permanent:
                    raise
                self.log.warning("Could not look at sales order %s (%s); looking again later", order_id, error)
                return False
            if not look.is_posted:
                # What is posted from now on is for the trigger to find.
                self._seen_at = look.as_of.isoformat() if look.as_of is not None else None
                return False
            result = invoice_result(look.order)
            push_order_addresses(context, hook.settings, result)
            announce(context, self, POSTED_SALES_ORDERS, hook.settings, result)
        return PokeReturnValue(is_done=True, xcom_value=result)

    def resume_execution(self, *arguments: Any, **keywords: Any) -> Any:
        """Go on after the trigger; outside of it, for the base class skips on some of Airflow's own exceptions."""
        with ending_at_once():
            return super().resume_execution(*arguments, **keywords)

    def _names(self, order_id: int) -> tuple[int, object]:
        """Return what the grid may call this task instance, whose arguments were rendered again after the wait."""
        try:
            return order_id, sales_order_reference(self.sales_order_id)[1].get("order_key")
        except exceptions.InvalidInput:
            return order_id, None

    def execute_complete(
        self, context: Context, event: Any = None, sales_order_id: int | None = None
    ) -> dict[str, Any]:
        """Go on after the triggerer's event; only an event that says posted, of this order, is a success.

        :raises EventError: on any other event.
        """
        try:
            if sales_order_id is None:
                # dag.test() of Airflow 3.3 resumes with the event alone.
                sales_order_id, _ = sales_order_reference(self.sales_order_id)
            name_map_index(context, *self._names(sales_order_id))
            result = _result_of(event, sales_order_id)
        except exceptions.TfsoHypatosError as error:
            raise self._as_the_sensor_says(error) from error
        with self._opened_hook() as hook:
            push_order_addresses(context, hook.settings, result)
            announce(context, self, POSTED_SALES_ORDERS, hook.settings, result)
        self.log.info("The invoice of sales order %s is posted", result["sales_order_id"])
        return result


def _result_of(event: Any, sales_order_id: int | None) -> dict[str, Any]:
    match event:
        case {"status": "posted", "result": dict() as result} if result.keys() >= set(RESULT_KEYS):
            if result["transaction_id"] and result["sales_order_id"] == sales_order_id:
                # A later version's trigger may tell more.
                return {key: result[key] for key in RESULT_KEYS}
            raise exceptions.EventError(f"the trigger reported another order than {sales_order_id}, or no transaction")
        case {"status": "error", "kind": str() as kind, "message": str() as message}:
            raise _error_of(kind, message)
        case {"status": "error", "message": str() as message}:
            raise exceptions.EventError(message)
        case _:
            raise exceptions.EventError("the trigger sent an event that this sensor does not understand")


def _error_of(kind: str, message: str) -> exceptions.TfsoHypatosError:
    """Return the error that ended the trigger; one that carries more than a text comes as an :class:`EventError`."""
    error_class = getattr(exceptions, kind, None)
    if error_class is exceptions.TransactionNeverPosted:
        return exceptions.TransactionNeverPosted(message)
    error = exceptions.EventError(f"{kind}: {message}")
    # The trigger gives up on permanent errors of ours only.
    error.permanent = isinstance(error_class, type) and issubclass(error_class, exceptions.TfsoHypatosError)
    return error

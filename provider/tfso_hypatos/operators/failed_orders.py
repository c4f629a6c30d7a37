"""Orders of a batch that failed while the others went on: handed on by the batch, reported by a task after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, TriggerRule, XComArg

from tfso_hypatos.exceptions import ConfigurationError, InvalidInput, OrdersLeftOut, Problem
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy
from tfso_hypatos.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

FAILED_ORDERS = "failed_orders"
"""Key of the XCom in which a batch hands on what failed."""

FAIL, HAND_ON = "fail", "hand_on"

MOST_NAMED = 20
"""Orders that the error names; the XCom and the log of the batch have more."""

_ORDINARY = (TriggerRule.ALL_SUCCESS, TriggerRule.ALL_DONE)
"""Trigger rules by which a task runs after a batch that succeeded."""


class CheckFailedOrdersOperator(BaseOperator):
    """Fail if orders of an earlier batch failed, so that the run fails although the others went on.

    For a batch with ``on_failed_orders="hand_on"``, which has to have this task directly downstream: it waits for that
    batch alone, and nothing waits for it. Other tasks go on with the orders that are done, beside this one. Sends
    nothing, and returns nothing.

    :param failed_orders: what the batch handed on: ``XComArg(invoice, key="failed_orders")``. (templated)
    :raises OrdersLeftOut: if there are any, naming them.
    :raises InvalidInput: if it is not what a batch handed on.
    """

    template_fields: Sequence[str] = ("failed_orders",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"failed_orders": "json"}
    ui_color = "#f6e7d8"

    def __init__(self, *, failed_orders: Mapping[str, Any] | XComArg, **kwargs: Any) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.failed_orders = failed_orders

    def execute(self, context: Context) -> None:  # noqa: ARG002 - as Airflow calls it
        """Fail if orders failed."""
        with ending_at_once():
            task_id, total, orders = _handed_on(self.failed_orders)
            if total:
                raise OrdersLeftOut(_sentence(task_id, total, orders))


def _handed_on(given: Any) -> tuple[object, int, Sequence[Mapping[str, Any]]]:
    """Return what a batch handed on: its task, how many of its orders failed, and the first of them."""
    if not isinstance(given, Mapping):
        raise _not_handed_on()
    total, orders = given.get("total"), given.get("orders")
    if not isinstance(total, int) or isinstance(total, bool) or total < 0:
        raise _not_handed_on()
    if not isinstance(orders, list) or not all(isinstance(order, Mapping) for order in orders):
        raise _not_handed_on()
    return given.get("task_id"), total, orders


def _not_handed_on() -> InvalidInput:
    rule = (
        f'what a batch with on_failed_orders="{HAND_ON}" handed on is needed: '
        f'XComArg(<its task>, key="{FAILED_ORDERS}")'
    )
    return InvalidInput([Problem(FAILED_ORDERS, rule)])


def _sentence(task_id: object, total: int, orders: Sequence[Mapping[str, Any]]) -> str:
    named = [_named(order) for order in orders[:MOST_NAMED]]
    more = f" and {total - len(named)} more" if total > len(named) else ""
    return (
        f"{counted(total, 'order')} of the task {task_id} failed, and the tasks after it go on without "
        f"{'it' if total == 1 else 'them'}: {', '.join(named)}{more}. The log of that task says why."
    )


def _named(order: Mapping[str, Any]) -> str:
    name = next((order[name] for name in ("order_key", "sales_order_id", "external_id") if name in order), "?")
    return f"{name} ({order.get('kind')})"


def hands_on(task: BaseOperator, mode: object) -> bool:
    """Say whether a batch hands on the orders that failed.

    :param task: the batch.
    :param mode: its ``on_failed_orders``.
    :raises ConfigurationError: if it is none of the choices; if the task is mapped; or if no later task would fail
        because of those orders.
    """
    if mode == FAIL:
        return False
    if mode != HAND_ON:
        raise ConfigurationError(f"on_failed_orders must be {FAIL} or {HAND_ON}")
    dag = task.get_dag()
    if dag is not None and dag.get_task(task.task_id).is_mapped:
        # What an instance has not handed on that was marked as success by hand, nobody would miss.
        raise ConfigurationError(
            f'on_failed_orders="{HAND_ON}" is not for a mapped task: map a task group of it and its check'
        )
    later = [dag.get_task(task_id) for task_id in task.downstream_task_ids] if dag is not None else []
    if not any(_checks(each, task.task_id) for each in later):
        raise ConfigurationError(
            f'on_failed_orders="{HAND_ON}" needs a task that fails if orders failed, or nobody would see it: '
            f'CheckFailedOrdersOperator(task_id=…, failed_orders=XComArg(<{task.task_id}>, key="{FAILED_ORDERS}")), '
            "which waits for this task alone, and for which no task waits"
        )
    return True


def _checks(task: Any, batch_id: str) -> bool:
    """Say whether a task is the check of a batch, and fails the run whatever becomes of the other tasks."""
    # Airflow judges a run by its last tasks, and skips a task together with one that it waits for.
    is_last = not task.downstream_task_ids and not task.is_teardown
    waits_for_it_alone = task.upstream_task_ids == {batch_id} and task.trigger_rule in _ORDINARY
    if not (isinstance(task, CheckFailedOrdersOperator) and is_last and waits_for_it_alone):
        return False
    references = XComArg.iter_xcom_references(task.failed_orders)
    return any((operator.task_id, key) == (batch_id, FAILED_ORDERS) for operator, key in references)


def retry_is_left(context: Context) -> bool:
    """Say whether the running task is tried again if it fails; outside of a task run it is not."""
    instance = context.get("ti")
    number, most = getattr(instance, "try_number", None), getattr(instance, "max_tries", None)
    return isinstance(number, int) and isinstance(most, int) and number <= most

"""Arguments as they arrive after rendering, and who the running task is."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tfso_hypatos.exceptions import ConfigurationError, InvalidInput, Problem
from tfso_hypatos.words import truth_of

if TYPE_CHECKING:
    from airflow.sdk import Context

MARGIN = datetime.timedelta(days=1)
"""How much earlier than the DAG run its orders are looked for, in case the clocks differ."""


@dataclass(frozen=True)
class TaskIdentity:
    """Which try of which task instance is running."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int

    @classmethod
    def of(cls, context: Context) -> TaskIdentity | None:
        """Return who runs, or None outside of a task run (``execute`` called by hand)."""
        instance = context.get("ti")
        if instance is None:
            return None
        map_index = -1 if instance.map_index is None else instance.map_index
        return cls(instance.dag_id, instance.run_id, instance.task_id, map_index, instance.try_number)

    @classmethod
    def anonymous(cls, task_id: str) -> TaskIdentity:
        """Return an identity that nobody else has."""
        return cls("", f"manual-{uuid.uuid4()}", task_id, -1, 1)

    @property
    def order_key(self) -> str:
        """The name of a business order that was given none: the same for every try, another for every run."""
        return f"{self.dag_id}/{self.run_id}/{self.task_id}/{self.map_index}"


def order_key_of(given: object, context: Context) -> str:
    """Return the caller's order key, or one made of the running task.

    :raises ConfigurationError: outside of a task run, where there is nothing to make one of.
    """
    if given is not None:
        return str(given)
    identity = TaskIdentity.of(context)
    if identity is None:
        raise ConfigurationError("order_key is needed when execute() is called outside of a task run")
    return identity.order_key


def structured(value: Any, place: str) -> Any:
    """Return an argument that is an object or a list, also when a template rendered it as JSON text.

    :raises InvalidInput: if the text is not JSON, or is JSON that is not taken.
    """
    if not isinstance(value, str):
        return value
    from tfso_hypatos.clients.messages import Unreadable, decode_input  # lazy: operators must import quickly

    try:
        return decode_input(value)
    except Unreadable as error:
        rule = str(error)
        if rule == "is not JSON":
            rule = (
                "a template rendered this as text that is not JSON: end the template with | tojson, or set "
                "render_template_as_native_obj=True on the DAG"
            )
        raise InvalidInput([Problem(place, rule)]) from None


def sales_order_reference(value: Any) -> tuple[int, Mapping[str, Any]]:
    """Return the id of a sales order, and the result of the earlier task if that is what was given.

    :param value: an id, its digits, or the dict that a task of this provider returned (or its JSON text).
    :raises InvalidInput: if it is none of these.
    """
    text = isinstance(value, str)
    if text and value.strip().startswith("{"):
        value = structured(value.strip(), "sales_order_id")
    result: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    given = result.get("sales_order_id") if isinstance(value, Mapping) else value
    if isinstance(given, str) and given.strip().isascii() and given.strip().isdigit():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or given <= 0:
        rule = "a sales order id is needed, or the result of the task that created or invoiced the order"
        raise InvalidInput([Problem("sales_order_id", rule)])
    return given, result


def given(value: Any) -> bool:
    """Say whether an optional argument was given; a template can only leave it out by rendering nothing."""
    # The outputs of a mapped task are equal to any sequence with the same items: without any, to an empty text.
    return value is not None and not (isinstance(value, str) and value == "")


def switched_on(value: Any, place: str) -> bool:
    """Return an argument that is true or false, also as the text that a template renders.

    :param value: the argument.
    :param place: what the caller calls it.
    :raises InvalidInput: if it is neither; a template that rendered nothing must not decide what is billed.
    """
    truth = truth_of(value)
    if truth is None:
        raise InvalidInput([Problem(place, "true or false is needed")])
    return truth


def name_map_index(context: Context, sales_order_id: int | None = None, order_key: object = None) -> None:
    """Let ``map_index_template`` say ``order_key`` and ``sales_order_id`` of a task instance.

    :param context: of the running task.
    :param sales_order_id: the order; None as long as there is none.
    :param order_key: the caller's name for it, if there is one.
    """
    names = cast("dict[str, Any]", context)
    names["sales_order_id"] = sales_order_id
    names["order_key"] = str(order_key) if given(order_key) else None


def created_from(context: Context, look_back: datetime.timedelta, *, own_key: bool) -> datetime.datetime:
    """Return how far back an earlier order is looked for: not later than the DAG run, which may be cleared much later.

    :param context: of the running task.
    :param look_back: how far at least, if the caller named the order; a name made of the run is no older than the run.
    :param own_key: whether the caller named the order.
    """
    now = datetime.datetime.now(datetime.UTC)
    started = getattr(context.get("dag_run"), "run_after", None)
    if not isinstance(started, datetime.datetime):
        return now - look_back
    return min(started - MARGIN, now - look_back) if own_key else started - MARGIN

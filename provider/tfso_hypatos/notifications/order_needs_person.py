"""Tells a person about an order that no retry will bring forward."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowTaskTimeout, TaskDeferralTimeout

from tfso_hypatos.advice import Advice, advice_for, needs_person
from tfso_hypatos.exceptions import BatchFailed, OrdersLeftOut, TfsoHypatosError
from tfso_hypatos.links.sales_order import DOCUMENT_URL, ORDER_URL, stored_addresses
from tfso_hypatos.notifications.delivery import Deliver, deliver_now, deliver_soon, receivers_of

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

PROBLEM = "order_problem"
"""Name in the context of what is handed on."""

LONGEST_ERROR = 1000
"""Characters of an error that a message repeats."""

_UNDELIVERED = "The message above could not be delivered"

_ENDED = Advice(
    "The task ended without an error that could be seen: its process was killed, or it timed out.",
    "A change that was on its way may have taken effect; the next try looks first.",
    "Look at the order if it is urgent, then clear the task.",
)

_TOOK_TOO_LONG = Advice(
    "The task was not done within its `execution_timeout`.",
    "A change that was on its way may have taken effect; the next try looks first.",
    "See in the log what took so long, give the task more time if need be, then clear it.",
)

_WAITED_TOO_LONG = Advice(
    "What was waited for did not come within the `timeout`.",
    "Waiting only reads: nothing was changed.",
    "Look at the order in 24SevenOffice, then clear the task; it waits again.",
)

_UNEXPECTED = Advice(
    "The task met an error that this provider does not know.",
    "A change may have taken effect; the next try looks first.",
    "Read the error in the task's log, then clear the task. If it comes again, report it.",
)

_OF_AIRFLOW: tuple[tuple[type[BaseException], Advice], ...] = (
    (AirflowSensorTimeout, _WAITED_TOO_LONG),
    (TaskDeferralTimeout, _WAITED_TOO_LONG),
    (AirflowTaskTimeout, _TOOK_TOO_LONG),
)


class OrderNeedsPersonNotifier(BaseNotifier):
    """Says which order needs a person, what happened, what is certain and what to do next; for ``on_failure_callback``.

    A task that has failed for good leaves its order to a person, whatever the error, so each is a message. Silent about
    tries that are followed by another one (so it says a thing once whatever the ``retries``), and about what is not of
    this provider. Names the order by its key and id, and nobody by name.

    What it hands on is ``order_problem`` in the context, for the templates of another notifier:
    ``SmtpNotifier(subject="{{ order_problem.title }}", html_content="<pre>{{ order_problem.text | e }}</pre>", ...)``.
    It has ``title``, ``text``, ``kind``, ``order_key``, ``sales_order_id``, ``external_id``, ``happened``,
    ``certain``, ``next``, ``error``, ``log_url`` and ``order_url``.

    :param deliver: a notifier or a function, or a list of them: each is called with the context, and awaited if it is
        asynchronous; one that fails does not keep the others from it. The task's log has the text in any case.
    :raises InvalidInput: if ``deliver`` is neither, when the DAG file is read.
    """

    def __init__(self, deliver: Deliver | Sequence[Deliver] | None = None, context: Context | None = None) -> None:
        super().__init__(context)
        self.deliver = deliver
        self._receivers = receivers_of(deliver)

    def notify(self, context: Context) -> None:
        """Hand the message on, if there is one."""
        message = self._logged(context)
        for each in self._receivers if message else ():
            try:
                deliver_now(each, message)
            except (Exception, asyncio.CancelledError):
                log.exception(_UNDELIVERED)

    async def async_notify(self, context: Context) -> None:
        """Do what :meth:`notify` does, without blocking the event loop."""
        message = self._logged(context)
        for each in self._receivers if message else ():
            try:
                await deliver_soon(each, message)
            except Exception:
                log.exception(_UNDELIVERED)
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                log.exception(_UNDELIVERED)

    def _logged(self, context: Context) -> dict[str, Any] | None:
        """Return the context with the message, or None if there is none; it is on record whatever comes."""
        problem = problem_of(context)
        if problem is None:
            return None
        log.error("%s", problem["text"])
        return {**context, PROBLEM: problem}


def problem_of(context: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a person is told about a failed task, or None if no person is needed.

    :param context: of the callback.
    """
    instance, task = context.get("ti"), context.get("task")
    state = str(getattr(instance, "state", None) or "")
    if state.endswith("up_for_retry"):
        return None
    error = _error_of(context.get("exception"))
    if isinstance(error, TfsoHypatosError):
        if not (needs_person(error) or _has_ended(instance, state)):
            return None
        advice, kind, text = advice_for(error), type(error).__name__, str(error)[:LONGEST_ERROR]
    elif not _is_ours(task):
        return None
    elif error is None:
        # The DAG processor calls for a task whose process died, and knows of no error.
        advice, kind, text = _ENDED, "Killed", None
    elif _has_ended(instance, state):
        # Its text may hold anything, somebody's name, too; the task's log has it.
        advice, kind, text = _advice_for_others(error), type(error).__name__, None
    else:
        return None
    problem = {
        "kind": kind,
        **_names(task),
        **advice._asdict(),
        "error": text,
        "log_url": getattr(instance, "log_url", None),
        "order_url": stored_addresses(task).get(ORDER_URL) or stored_addresses(task).get(DOCUMENT_URL),
    }
    problem["title"] = f"{'Orders need' if _is_of_several(error) else f'{_order(problem)} needs'} a person: {kind}"
    problem["text"] = _text(problem, instance)
    return problem


def _has_ended(instance: Any, state: str) -> bool:
    """Say whether no further try follows: Airflow says so, or has no state to tell and all tries were used."""
    if state:
        return state.endswith("failed")
    number, most = getattr(instance, "try_number", None), getattr(instance, "max_tries", None)
    return isinstance(number, int) and isinstance(most, int) and number > most


def _is_ours(task: Any) -> bool:
    """Say whether a task, mapped or not, is one of this provider; by name, so that no operator need be imported."""
    kind = getattr(task, "operator_class", type(task))
    return any(each.__module__.startswith("tfso_hypatos.") for each in getattr(kind, "__mro__", ()))


def _advice_for_others(error: BaseException) -> Advice:
    return next((advice for kind, advice in _OF_AIRFLOW if isinstance(error, kind)), _UNEXPECTED)


def _error_of(error: Any) -> BaseException | None:
    # Airflow 3.2 is told to end the task by an error of its own, which was raised from ours.
    cause = getattr(error, "__cause__", None)
    return cause if isinstance(cause, TfsoHypatosError) and not isinstance(error, TfsoHypatosError) else error


def _names(task: Any) -> dict[str, Any]:
    given = getattr(task, "sales_order_id", None)
    result = given if isinstance(given, Mapping) else {"sales_order_id": given}
    own = {name: getattr(task, name, None) for name in ("order_key", "external_id")}
    return {
        "order_key": _plain(own["order_key"]) or _plain(result.get("order_key")),
        "sales_order_id": _plain(result.get("sales_order_id")),
        "external_id": _plain(own["external_id"]),
    }


def _plain(value: Any) -> str | None:
    """Return a name; None for what is none, or was never rendered."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return None if not text or "{{" in text or text.lstrip().startswith("{") else text


def _is_of_several(error: BaseException | None) -> bool:
    return isinstance(error, BatchFailed | OrdersLeftOut)


def _order(problem: Mapping[str, Any]) -> str:
    key, order_id, external_id = problem["order_key"], problem["sales_order_id"], problem["external_id"]
    if key is not None:
        return f"Order {key!r}" + (f" (sales order {order_id})" if order_id else "")
    if order_id is not None:
        return f"Sales order {order_id}"
    return f"Hypatos sales order {external_id!r}" if external_id is not None else "An order"


def _text(problem: Mapping[str, Any], instance: Any) -> str:
    where = "/".join(str(getattr(instance, name, "?")) for name in ("dag_id", "run_id", "task_id"))
    lines = [
        problem["title"],
        f"What happened: {problem['happened']}",
        *([f"Error: {problem['error']}"] if problem["error"] else []),
        f"What is certain: {problem['certain']}",
        f"What to do next: {problem['next']}",
        f"Task: {where}",
        *([f"Log: {problem['log_url']}"] if problem["log_url"] else []),
        *([f"Order: {problem['order_url']}"] if problem["order_url"] else []),
    ]
    return "\n".join(lines)

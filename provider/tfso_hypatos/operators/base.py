"""What the operators of this provider share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow.sdk import BaseOperator

from tfso_hypatos.operators.arguments import TaskIdentity

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tfso_hypatos.flows.intent import Holder
    from tfso_hypatos.hooks.base import ApiHook


HookT = TypeVar("HookT", bound="ApiHook")


class ApiOperator(BaseOperator):
    """Permanent errors end the task, and a kill stops it before its next change.

    It has no constructor, so each operator passes on its arguments by ``with_retry_policy`` itself: Airflow copies the
    params of the DAG for every class that has one, each time the DAG file is read.
    """

    _hooks: tuple[ApiHook, ...] = ()
    _killed = False

    def on_kill(self) -> None:
        """Send no further change."""
        self._killed = True
        for hook in self._hooks:
            hook.stop()

    def _stoppable(self, hook: HookT) -> HookT:
        """Return a hook that a kill stops, even one that came before there was a hook."""
        self._hooks = (*self._hooks, hook)
        if self._killed:
            hook.stop()
        return hook


def holder_of(context: Context, task_id: str) -> Holder:
    """Return the holder that the running task is; outside of a task run, one that nobody else is."""
    from tfso_hypatos.flows.intent import Holder

    me = TaskIdentity.of(context) or TaskIdentity.anonymous(task_id)
    return Holder.of(me.dag_id, me.run_id, me.task_id, me.map_index, me.try_number)

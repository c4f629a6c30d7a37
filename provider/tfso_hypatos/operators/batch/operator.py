"""What the operators share that take many orders in one task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tfso_hypatos.assets import announce_batch
from tfso_hypatos.exceptions import ConfigurationError
from tfso_hypatos.operators.arguments import TaskIdentity, given
from tfso_hypatos.operators.base import ApiOperator
from tfso_hypatos.operators.failed_orders import FAILED_ORDERS, hands_on, retry_is_left
from tfso_hypatos.operators.mapping import refuse_unmappable
from tfso_hypatos.operators.retry import ending_at_once

if TYPE_CHECKING:
    from airflow.sdk import AssetAlias, Context, XComArg

    from tfso_hypatos.operators.batch.items import Step


class BatchOperator(ApiOperator):
    """Many orders in one task, several at a time, each by the same protocol as a task of its own.

    What one try has finished, the next one does not do again: it is told by the results that were written
    (``results_path``), or adopts what it finds. What the task remembers of single orders (Airflow 3.3) is not used.
    """

    outlet_alias: ClassVar[AssetAlias]
    template_fields: Sequence[str] = ("orders", "path", "results_path")
    template_fields_renderers: ClassVar[dict[str, str]] = {"orders": "json"}

    orders: Sequence[Any] | Mapping[str, Any] | str | XComArg | None
    path: str | XComArg | None
    results_path: str | XComArg | None
    concurrency: int
    on_failed_orders: str

    def execute(self, context: Context) -> Any:
        """Check every order, then do what is not done yet."""
        from tfso_hypatos.operators.batch.items import check
        from tfso_hypatos.operators.batch.loop import run_on_a_loop
        from tfso_hypatos.operators.batch.results import Collected, Written
        from tfso_hypatos.operators.batch.run import BatchRun
        from tfso_hypatos.operators.batch.sources import source_of

        with ending_at_once():
            if isinstance(self.concurrency, bool) or not isinstance(self.concurrency, int) or self.concurrency < 1:
                raise ConfigurationError("concurrency must be a whole number above zero")
            hand_on = hands_on(self, self.on_failed_orders)
            source = source_of(self.orders, self.path)
            step = self._step(context)
            for hook in step.hooks:
                hook.outlast()
            plan = check(source, step.job)
            if not self._writes_results():
                refuse_unmappable(self, context, plan.total)
            identity = TaskIdentity.of(context) or TaskIdentity.anonymous(self.task_id)
            if self._writes_results():
                results: Written | Collected = Written(str(self.results_path), identity)
            else:
                results = Collected(plan)
            looks = self._only_looks()
            run = BatchRun(
                step,
                plan,
                source,
                results,
                self.concurrency,
                lambda: self._killed,
                again=identity.try_number > 1,
                only_looks=looks,
                hands_on=hand_on,
                retry_is_left=retry_is_left(context),
            )
            run_on_a_loop(run.run, self.on_kill)
            outcome = results.outcome(run.counts())
            instance = context.get("ti")
            if hand_on and instance is not None:
                instance.xcom_push(key=FAILED_ORDERS, value={"task_id": self.task_id, **run.failed_orders()})
            if not looks:
                announce_batch(context, self, self.outlet_alias, step.hooks[0].settings, outcome)
            return outcome

    def _only_looks(self) -> bool:
        return False

    def _writes_results(self) -> bool:
        return given(self.results_path) and not self._only_looks()

    @abstractmethod
    def _step(self, context: Context) -> Step:
        """Return what is done with each order; its hooks stop when the task is killed."""

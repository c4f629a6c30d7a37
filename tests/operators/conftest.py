from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.operators.retry import HAS_RETRY_POLICIES

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

# Airflow 3.2 has no retry policies, so what tests them cannot even be imported there.
collect_ignore = [] if HAS_RETRY_POLICIES else ["test_retry.py"]


@dataclass
class Run:
    """A run of a DAG: gives every task a context, as far as this provider looks at one."""

    run_id: str = "run-1"
    dag_id: str = "orders"
    xcom: dict[str, Any] = field(default_factory=dict)

    def context(
        self,
        operator: BaseOperator,
        *,
        try_number: int = 1,
        max_tries: int = 0,
        map_index: int = -1,
        store: Any = None,
    ) -> dict[str, Any]:
        """Return the context of a try of a task; as many as ``max_tries`` are followed by another one."""
        context: dict[str, Any] = {"ti": self._instance(operator, try_number, max_tries, map_index)}
        return context if store is None else {**context, "task_state_store": store}

    def execute(self, operator: BaseOperator, **context: Any) -> Any:
        """Run a task and return its result."""
        return operator.execute(self.context(operator, **context))  # type: ignore[arg-type]

    def _instance(self, operator: BaseOperator, try_number: int, max_tries: int, map_index: int) -> Any:
        run = self

        class Instance:
            dag_id, run_id, task_id = run.dag_id, run.run_id, operator.task_id

            def __init__(self) -> None:
                self.map_index, self.try_number, self.max_tries = map_index, try_number, max_tries

            def xcom_push(self, key: str, value: Any) -> None:
                run.xcom[key] = value

        return Instance()


@pytest.fixture
def run() -> Run:
    """Return a run of a DAG."""
    return Run()


class Store(dict[str, Any]):
    """The state store of a task, as far as this provider uses it."""

    def set(self, name: str, value: Any) -> None:
        """Keep a value."""
        self[name] = value


@pytest.fixture
def store() -> Store:
    """Return an empty state store."""
    return Store()

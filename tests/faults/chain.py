"""A chain of real tasks, run as Airflow runs them: each is tried again after a failure."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from tests.faults.ways import Way

from tfso_hypatos import exceptions
from tfso_hypatos.exceptions import BatchFailed, TfsoHypatosError
from tfso_hypatos.operators.retry import ApiRetryPolicy

TRIES = 4
LONGEST_DELAY = 1.1
"""Seconds between two tries at most; a date in ``Retry-After`` asks for up to one."""

PROVIDERS = {
    name for name, each in vars(exceptions).items() if isinstance(each, type) and issubclass(each, TfsoHypatosError)
}
"""Names of the provider's errors."""


@dataclass
class Passed:
    """How one pass over the chain ended.

    :param results: what the tasks returned, by name; the ones that did not succeed are missing.
    :param tries: how many tries that took.
    :param failed: the error that ended it, or None.
    :param crashes: errors of tries that are none of the provider's.
    """

    results: dict[str, Any] = field(default_factory=dict)
    tries: int = 0
    failed: Exception | None = None
    crashes: list[str] = field(default_factory=list)

    def ending(self) -> str:
        """Return the names of the errors that ended it."""
        return " and ".join(sorted(set(_kinds(self.failed)))) if self.failed else "success"


def _kinds(error: Exception) -> list[str]:
    """Return what kind of error it is; for a batch, of what kinds those of its orders are."""
    return list(error.counts) if isinstance(error, BatchFailed) else [type(error).__name__]


@dataclass
class Chain(ABC):
    """One DAG run.

    :param run_id: its name.
    :param conn: ending of the connection ids.
    :param way: how the DAG is written.
    """

    run_id: str
    conn: str
    way: Way
    _tries: dict[str, int] = field(default_factory=dict)

    def play(self) -> Passed:
        """Run every task; again, as when somebody clears the run, if it has run before."""
        passed = Passed()
        for name, make in self._tasks().items():
            self._task(name, make, passed)
            if passed.failed is not None:
                break
        return passed

    @abstractmethod
    def _tasks(self) -> Mapping[str, Callable[[dict[str, Any]], BaseOperator]]:
        """Return what makes each task, given the results of those before it."""

    def _task(self, name: str, make: Callable[[dict[str, Any]], BaseOperator], passed: Passed) -> None:
        for attempt in range(1, TRIES + 1):
            number = self._tries[name] = self._tries.get(name, 0) + 1
            passed.tries += 1
            try:
                returned = make(passed.results).execute(self._context(name, number))  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the matrix is about
                passed.crashes += [repr(error)] * (not PROVIDERS.issuperset(_kinds(error)))
                delay = _delay(error, number)
                if delay is None or attempt == TRIES:
                    passed.failed = error
                    return
                time.sleep(delay)
            else:
                # As it comes out of Airflow's database.
                passed.results[name] = json.loads(json.dumps(returned))
                return

    def _context(self, task_id: str, number: int) -> dict[str, Any]:
        run = self.run_id
        name = task_id

        class Instance:
            dag_id, run_id, task_id, map_index, try_number = "orders", run, name, -1, number

            def xcom_push(self, key: str, value: Any) -> None:
                """Keep nothing."""

        return {"ti": Instance()}

    def _dag(self) -> DAG | None:
        return DAG("orders", schedule=None) if self.way.handed_on else None


def _delay(error: Exception, number: int) -> float | None:
    """Return the seconds to the next try, as the task's own retry policy decides; None: there is none."""
    if isinstance(error, AirflowFailException):
        return None
    if isinstance(error, TfsoHypatosError):
        if error.permanent:
            return None
        decision = ApiRetryPolicy().evaluate(error, number, TRIES)
        asked = decision.retry_delay.total_seconds() if decision.retry_delay else 0.0
        return min(max(asked, 0.02), LONGEST_DELAY)
    return 0.02

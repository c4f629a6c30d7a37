"""A chain of real tasks, run as Airflow runs them: create, invoice, wait, enrich, each tried again after a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.operators.retry import ApiRetryPolicy
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    EnrichSalesOrderOperator,
    InvoiceSalesOrderOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

TRIES = 4
LONGEST_DELAY = 1.1
"""Seconds between two tries at most; a date in ``Retry-After`` asks for up to one."""

ORDER_KEY = "web-10045"
ORDER: Mapping[str, Any] = {
    "customer": {"id": 42, "name": "Bjørn Ås AS"},
    "date": "2026-11-20",
    "currency": {"code": "NOK"},
}
LINES = (
    {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
    {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
    {"type": "text", "description": "Frakt", "quantity": "1", "price": "150.50"},
)


@dataclass(frozen=True)
class Way:
    """How the DAG is written.

    :param handed_on: the invoice task is in the DAG of the create task, and goes on under its holder.
    :param marker_field: where the marker stands.
    """

    handed_on: bool
    marker_field: str


@dataclass
class Passed:
    """How one pass over the chain ended.

    :param results: what the tasks returned, by name; the ones that did not succeed are missing.
    :param tries: how many tries that took.
    :param failed: the error that ended it, or None.
    """

    results: dict[str, Any] = field(default_factory=dict)
    tries: int = 0
    failed: BaseException | None = None

    @property
    def crashed(self) -> bool:
        """Whether it ended by something that is none of the provider's errors."""
        return self.failed is not None and not isinstance(self.failed, TfsoHypatosError)

    def ending(self) -> str:
        """Return the name of the error that ended it."""
        return type(self.failed).__name__ if self.failed else "success"


@dataclass
class Chain:
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
        tasks: Mapping[str, Callable[[dict[str, Any]], BaseOperator]] = {
            "create": self._create,
            "invoice": self._invoice,
            "wait": self._wait,
            "enrich": self._enrich,
        }
        for name, make in tasks.items():
            self._task(name, make, passed)
            if passed.failed is not None:
                break
        return passed

    def _task(self, name: str, make: Callable[[dict[str, Any]], BaseOperator], passed: Passed) -> None:
        for attempt in range(1, TRIES + 1):
            number = self._tries[name] = self._tries.get(name, 0) + 1
            passed.tries += 1
            try:
                passed.results[name] = make(passed.results).execute(self._context(name, number))  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the matrix is about
                delay = _delay(error, number)
                if delay is None or attempt == TRIES:
                    passed.failed = error
                    return
                time.sleep(delay)
            else:
                return

    def _context(self, task_id: str, number: int) -> dict[str, Any]:
        run = self.run_id
        name = task_id

        class Instance:
            dag_id, run_id, task_id, map_index, try_number = "orders", run, name, -1, number

            def xcom_push(self, key: str, value: Any) -> None:
                """Keep nothing."""

        return {"ti": Instance()}

    def _create(self, _: dict[str, Any]) -> BaseOperator:
        return CreateSalesOrderOperator(
            task_id="create",
            order=dict(ORDER),
            lines=[dict(line) for line in LINES],
            order_key=ORDER_KEY,
            marker_field=self.way.marker_field,
            tfso_conn_id=f"tfso_{self.conn}",
        )

    def _invoice(self, results: dict[str, Any]) -> BaseOperator:
        return InvoiceSalesOrderOperator(
            task_id="invoice",
            sales_order_id=results["create"],
            tfso_conn_id=f"tfso_{self.conn}",
            dag=DAG("orders", schedule=None) if self.way.handed_on else None,
        )

    def _wait(self, results: dict[str, Any]) -> BaseOperator:
        return InvoiceTransactionSensor(
            task_id="wait",
            sales_order_id=results["invoice"],
            tfso_conn_id=f"tfso_{self.conn}",
            deferrable=False,
            poke_interval=0.02,
            timeout=5,
        )

    def _enrich(self, results: dict[str, Any]) -> BaseOperator:
        return EnrichSalesOrderOperator(
            task_id="enrich",
            external_id=ORDER_KEY,
            sales_order_id=results["wait"],
            on_missing="insert",
            tfso_conn_id=f"tfso_{self.conn}",
            hypatos_conn_id=f"hypatos_{self.conn}",
        )


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

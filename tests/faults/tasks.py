"""The tasks of a chain: for one order in each, and for several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.chain import Chain
from tests.faults.orders import ONE, SEVERAL
from tests.faults.rejected import RejectedChain

from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrderOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from tests.faults.bench import Bench
    from tests.faults.ways import Way

Makers = Mapping[str, Callable[[dict[str, Any]], "BaseOperator"]]


def chain(run_id: str, bench: Bench, way: Way) -> Chain:
    """Return a DAG run."""
    if way.rejected:
        return RejectedChain(run_id, bench.name, way)
    if way.batch:
        return BatchChain(run_id, bench.name, way, folder=bench.folder)
    return SingleChain(run_id, bench.name, way)


class SingleChain(Chain):
    """Create, invoice, wait, enrich: one order."""

    def _tasks(self) -> Makers:
        return {"create": self._create, "invoice": self._invoice, "wait": self._wait, "enrich": self._enrich}

    def _create(self, _: dict[str, Any]) -> BaseOperator:
        return CreateSalesOrderOperator(
            task_id="create",
            **ONE.item,
            marker_field=self.way.marker_field,
            tfso_conn_id=f"tfso_{self.conn}",
        )

    def _invoice(self, results: dict[str, Any]) -> BaseOperator:
        return InvoiceSalesOrderOperator(
            task_id="invoice",
            sales_order_id=results["create"],
            tfso_conn_id=f"tfso_{self.conn}",
            dag=self._dag(),
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
            external_id=ONE.key,
            sales_order_id=results["wait"],
            on_missing="insert",
            tfso_conn_id=f"tfso_{self.conn}",
            hypatos_conn_id=f"hypatos_{self.conn}",
        )


@dataclass
class BatchChain(Chain):
    """Create, invoice, enrich: several orders in each task, all at once.

    :param folder: where results are written to.
    """

    folder: Path = Path()

    def _tasks(self) -> Makers:
        return {"create": self._create, "invoice": self._invoice, "enrich": self._enrich}

    def _create(self, _: dict[str, Any]) -> BaseOperator:
        return CreateSalesOrdersOperator(
            task_id="create",
            orders=[each.item for each in SEVERAL],
            marker_field=self.way.marker_field,
            **self._more("create"),
        )

    def _invoice(self, results: dict[str, Any]) -> BaseOperator:
        return InvoiceSalesOrdersOperator(
            task_id="invoice", orders=results["create"], dag=self._dag(), **self._more("invoice")
        )

    def _enrich(self, results: dict[str, Any]) -> BaseOperator:
        return EnrichSalesOrdersOperator(
            task_id="enrich",
            orders=results["invoice"],
            on_missing="insert",
            hypatos_conn_id=f"hypatos_{self.conn}",
            **self._more("enrich"),
        )

    def _more(self, task_id: str) -> dict[str, Any]:
        results_path = str(self.folder / self.run_id / task_id) if self.way.batch == "files" else None
        return {"results_path": results_path, "tfso_conn_id": f"tfso_{self.conn}"}

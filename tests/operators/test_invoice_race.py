from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run


@pytest.mark.usefixtures("connections")
def test_two_invoice_tasks_of_a_dag_do_not_share_the_order(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.configure(reinvoice="invoice_again")
    with DAG("orders", schedule=None):
        create = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
        output: Any = create.output
        invoices = [InvoiceSalesOrderOperator(task_id=f"invoice{n}", sales_order_id=output) for n in (1, 2)]
    created = run.execute(create)
    for invoice in invoices:
        invoice.sales_order_id = created
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run.execute, invoices))
    assert sorted(result["invoiced"] for result in results) == [False, True]
    assert len(log.invoices) == 1

"""A file of orders, of any length: create them in 24SevenOffice and invoice them; the results are files, too."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from tfso_hypatos.operators.sales_order import CreateSalesOrdersOperator, InvoiceSalesOrdersOperator

with DAG(
    dag_id="orders_from_a_file",
    schedule=None,
    catchup=False,
    params={
        "path": Param(
            "file:///tmp/orders/orders.jsonl",
            type="string",
            minLength=1,
            title="File of orders (JSON lines)",
            description="In each line one order, as JSON: its order_key, order and lines. Any URL that Airflow's "
            "object storage knows; with file://, a file of the worker.",
        ),
        "results": Param(
            "file:///tmp/orders/results",
            type="string",
            minLength=1,
            title="Folder for the results",
            description="Each run writes a folder of its own into it.",
        ),
    },
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    tags=["24SevenOffice"],
    doc_md=__doc__,
):
    # [START files]
    create = CreateSalesOrdersOperator(
        task_id="create",
        path="{{ params.path }}",
        results_path="{{ params.results }}/{{ run_id }}/created",
        concurrency=64,
    )
    InvoiceSalesOrdersOperator(
        task_id="invoice",
        orders=create.output,
        results_path="{{ params.results }}/{{ run_id }}/invoiced",
        concurrency=64,
    )
    # [END files]

"""The shortest useful DAG: one order, once, and its invoice, once."""

# [START minimal]
from airflow.sdk import DAG

from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

with DAG("minimal_order", schedule=None, params={"order_key": "web-10046"}, tags=["24SevenOffice"]):
    create = CreateSalesOrderOperator(
        task_id="create",
        order_key="{{ params.order_key }}",
        order={"customer": {"id": 42, "name": "Bjørn Ås Rørleggerservice AS"}},
        lines=[{"description": "Rørdeler", "quantity": 2, "price": "99.99"}],
    )
    InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=create.output)
# [END minimal]

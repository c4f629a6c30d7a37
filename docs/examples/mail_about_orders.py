"""A DAG that mails to a person which order needs one."""

from __future__ import annotations

# [START mail]
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG

from tfso_hypatos.notifications.order_needs_person import OrderNeedsPersonNotifier
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

mail = SmtpNotifier(
    to="orders@example.com",
    from_email="airflow@example.com",
    subject="{{ order_problem.title }}",
    html_content="<pre>{{ order_problem.text | e }}</pre>",
)

with DAG(
    "mail_about_orders",
    schedule=None,
    params={"order_key": "web-10048"},
    default_args={"on_failure_callback": OrderNeedsPersonNotifier(deliver=mail)},
):
    create = CreateSalesOrderOperator(
        task_id="create",
        order_key="{{ params.order_key }}",
        order={"customer": {"id": 42, "name": "Bjørn Ås Rørleggerservice AS"}},
        lines=[{"description": "Rørdeler", "quantity": 2, "price": "99.99"}],
    )
    InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=create.output)
# [END mail]

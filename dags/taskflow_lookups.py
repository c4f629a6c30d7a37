"""Reads orders with the hook in @task functions: what is billed today, and does every total fit its lines?"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

ABOUT = """
Lists the orders of a day, adds up what is invoiced, and compares each order's total with its lines.

A `@task` with a hook is right for *reading*. Creating and invoicing are left to the operators on purpose: a hook's
method is one plain call, and a task that is retried, cleared or killed would make it again, and with it a second order
or a second invoice. The operators look before they change anything, whatever happened to the try before.

Results are ids, states and amounts as text; names and addresses stay out of XCom.
"""

with DAG(
    dag_id="taskflow_lookups",
    schedule=None,
    catchup=False,
    params={"day": Param("2026-11-20", type="string", format="date", title="Order date")},
    tags=["24SevenOffice"],
    doc_md=ABOUT,
):
    # [START orders_of]
    @task
    def orders_of(day: str) -> list[dict[str, Any]]:
        """Return the orders of a day."""
        from datetime import date

        from tfso_hypatos.clients.tfso_lists import SalesOrderFilter
        from tfso_hypatos.hooks.tfso import TfsoHook

        with TfsoHook("tfso_default") as hook:
            orders = hook.list_sales_orders(SalesOrderFilter(date=date.fromisoformat(day)))
        return [
            {"sales_order_id": order.id, "status": order.status, "net_amount": str(order.net_amount or 0)}
            for order in orders
        ]

    # [END orders_of]

    @task
    def invoiced_total(orders: list[dict[str, Any]]) -> str:
        """Return the sum of what is invoiced, without VAT."""
        from decimal import Decimal

        amounts = (Decimal(order["net_amount"]) for order in orders if order["status"] == "Invoice")
        return str(sum(amounts, Decimal(0)))

    @task
    def check_totals(orders: list[dict[str, Any]]) -> list[int]:
        """Return the orders whose total is not that of their lines."""
        from decimal import ROUND_HALF_UP, Decimal

        from tfso_hypatos.hooks.tfso import TfsoHook

        def net(quantity: Decimal | None, price: Decimal | None, discount: Decimal | None) -> Decimal:
            whole = (quantity or Decimal(0)) * (price or Decimal(0)) * (1 - (discount or Decimal(0)) / 100)
            return whole.quantize(Decimal("0.01"), ROUND_HALF_UP)

        differing = []
        with TfsoHook("tfso_default") as hook:
            for order in orders:
                lines = hook.list_lines(order["sales_order_id"])
                total = sum(net(line.quantity, line.price, line.discount_rate) for line in lines)
                if total != Decimal(order["net_amount"]):
                    differing.append(order["sales_order_id"])
        return differing

    found: Any = orders_of("{{ params.day }}")
    invoiced_total(found)
    check_totals(found)

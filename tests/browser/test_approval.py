"""A person reads the bill in the Airflow UI, and approves or rejects it."""

from __future__ import annotations

from tests.browser import stage
from tests.browser.ui import AirflowUi, Values

DAG_ID = "order_to_invoice_approval"


def _ask(ui: AirflowUi, run_id: str, approval: Values) -> str:
    ui.trigger(DAG_ID, run_id, {"Run Parameters": {"Order number": run_id}, "Approval": approval})
    return ui.open_required_action(DAG_ID, run_id, "approve")


def test_an_approved_order_is_invoiced(ui: AirflowUi, on_stage: stage.Stage) -> None:
    shown = _ask(ui, "browser-approved", {})
    order_id = on_stage.returned(DAG_ID, "browser-approved", "create")["sales_order_id"]
    assert on_stage.order(order_id)["status"] == "Web"
    for text in (
        "Customer: Bjørn Ås Rørleggerservice AS (customer 42)",
        "Rørdeler, kobber 15 mm\t30 × 99.99",
        "Total\t3749.63 NOK",
    ):
        assert text in shown

    ui.respond("Approve")

    assert ui.ended(DAG_ID, "browser-approved") == "Success", on_stage.why(DAG_ID, "browser-approved")
    assert on_stage.order(order_id)["status"] == "Invoice"
    (invoice,) = [invoice for invoice in on_stage.books["invoices"] if invoice["order_id"] == order_id]
    opened = ui.extra_link(DAG_ID, "browser-approved", "invoice", "24SevenOffice invoice")
    try:
        assert f"Invoice {invoice['number']}" in opened.locator("h1").inner_text()
    finally:
        opened.close()


def test_a_rejected_order_is_taken_back(ui: AirflowUi, on_stage: stage.Stage) -> None:
    order_id = _reject(ui, on_stage, "browser-rejected", {})

    assert order_id in [order["id"] for order in on_stage.books["deleted_orders"]]


def test_a_rejected_order_is_left_as_a_draft_if_the_form_says_so(ui: AirflowUi, on_stage: stage.Stage) -> None:
    order_id = _reject(ui, on_stage, "browser-draft", {"After a rejection": "Leave it as a draft in 24SevenOffice"})

    assert on_stage.order(order_id)["status"] == "Draft"


def _reject(ui: AirflowUi, on_stage: stage.Stage, run_id: str, approval: Values) -> int:
    """Reject an order, and return its id."""
    _ask(ui, run_id, approval)
    ui.respond("Reject")
    assert ui.ended(DAG_ID, run_id) == "Success", on_stage.why(DAG_ID, run_id)
    order_id = int(on_stage.returned(DAG_ID, run_id, "create")["sales_order_id"])
    assert [invoice for invoice in on_stage.books["invoices"] if invoice["order_id"] == order_id] == []
    return order_id

"""One order through the trigger form, to one order and one invoice in the books."""

from __future__ import annotations

from decimal import Decimal

from tests.browser import stage
from tests.browser.ui import AirflowUi, Values

DAG_ID, RUN_ID = "order_to_invoice", "browser-order"

LINES = [{"description": "Tømming av sluk", "quantity": 2, "price": 450.5, "tax": {"number": 3}}]

SENT: dict[str, Values] = {
    "Run Parameters": {"Order number": "web-browser-1", "Purchase order of the customer": "PO-1"},
    "Lines": {"Lines": LINES},
}


def test_an_order_from_the_trigger_form_becomes_one_order_and_one_invoice(ui: AirflowUi, on_stage: stage.Stage) -> None:
    before = on_stage.books

    ui.trigger(DAG_ID, RUN_ID, SENT)

    assert ui.ended(DAG_ID, RUN_ID) == "Success", on_stage.why(DAG_ID, RUN_ID)
    after = on_stage.books
    (order,) = [order for order in after["orders"] if order not in before["orders"]]
    (invoice,) = [invoice for invoice in after["invoices"] if invoice not in before["invoices"]]
    (line,) = order["lines"]
    assert (line["description"], Decimal(str(line["price"]))) == ("Tømming av sluk", Decimal("450.5"))
    assert (order["referenceNumber"], order["customer"]["name"]) == ("PO-1", "Bjørn Ås Rørleggerservice AS")
    assert (invoice["order_id"], Decimal(str(invoice["gross_amount"]))) == (order["id"], Decimal("1126.25"))
    _follow_the_links(ui, order["id"], invoice["number"])


def _follow_the_links(ui: AirflowUi, order_id: int, invoice_number: int) -> None:
    for task_id, name, title in (
        ("create", "24SevenOffice order", f"Order {order_id}"),
        ("wait", "24SevenOffice invoice", f"Invoice {invoice_number}"),
        ("enrich", "Hypatos document", "Document web-browser-1"),
    ):
        opened = ui.extra_link(DAG_ID, RUN_ID, task_id, name)
        try:
            assert title in opened.locator("h1").inner_text()
            assert "Tømming av sluk" in opened.locator("body").inner_text()
        finally:
            opened.close()


def test_the_same_order_once_more_changes_nothing_in_the_books(ui: AirflowUi, on_stage: stage.Stage) -> None:
    for run_id in ("browser-twice-1", "browser-twice-2"):
        ui.trigger(DAG_ID, run_id, {"Run Parameters": {"Order number": "web-browser-2"}})
        assert ui.ended(DAG_ID, run_id) == "Success", on_stage.why(DAG_ID, run_id)

    first, second = (on_stage.returned(DAG_ID, run_id, "invoice") for run_id in ("browser-twice-1", "browser-twice-2"))
    order_id = first["sales_order_id"]
    assert (second["sales_order_id"], second["invoice_number"]) == (order_id, first["invoice_number"])
    assert len([invoice for invoice in on_stage.books["invoices"] if invoice["order_id"] == order_id]) == 1

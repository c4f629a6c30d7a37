"""The reconciliation from its form to the report that a person opens."""

from __future__ import annotations

from pathlib import Path

from tests.browser import stage
from tests.browser.ui import AirflowUi

ORDER, ORDER_RUN = "order_to_invoice", "browser-reconciled-order"
DAG_ID, RUN_ID = "reconcile_sales_orders", "browser-reconcile"


def test_the_form_leads_to_a_report_that_a_person_can_open(ui: AirflowUi, on_stage: stage.Stage) -> None:
    ui.trigger(ORDER, ORDER_RUN, {"Run Parameters": {"Order number": "web-reconciled", "Order date": "2025-03-04"}})
    assert ui.ended(ORDER, ORDER_RUN) == "Success", on_stage.why(ORDER, ORDER_RUN)

    ui.trigger(
        DAG_ID,
        RUN_ID,
        {
            "Run Parameters": {"Order date from": "2025-03-01", "Order date to": "2025-03-31"},
            "Source": {"Order numbers of the source": "web-reconciled\nweb-lost"},
            "Hypatos": {"External ID format": "{order_key}"},
            "Report": {"Folder for the reports": on_stage.folder.as_uri()},
        },
    )

    assert ui.ended(DAG_ID, RUN_ID) == "Success", on_stage.why(DAG_ID, RUN_ID)
    summary = on_stage.returned(DAG_ID, RUN_ID, "reconcile")
    assert {name: count for name, count in summary["counts"].items() if count} == {"in_order": 1, "not_found": 1}, (
        summary
    )
    shown = _open(ui, on_stage.folder / RUN_ID / "reconciliation.html")
    assert "2025-03-01 to 2025-03-31" in shown
    assert "web-lost" in shown
    assert "web-reconciled" not in shown, "an order in which nothing is the matter is only counted"


def _open(ui: AirflowUi, report: Path) -> str:
    ui.page.goto(report.as_uri())
    return str(ui.page.locator("body").inner_text())

"""Takes the pictures of the documentation anew: python tests/browser/screenshots.py"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.browser import chromium, forms, stage
from tests.browser.pictures import take
from tests.browser.ui import AirflowUi, Values

if TYPE_CHECKING:
    from playwright.sync_api import Page

SANDBOX_PORT = 8780

GRAPHS = {
    "minimal_order": 330,
    "order_to_invoice_approval": 460,
    "orders_to_invoices": 460,
    "orders_from_a_file": 330,
    "invoice_confirmed_orders": 400,
    "reconcile_sales_orders": 330,
    "on_invoice_posted": 330,
    "order_announced": 330,
    "after_invoicing": 330,
    "taskflow_lookups": 400,
}
"""Heights of the pictures of the graphs, by DAG."""


def main() -> int:
    """Take every picture and return the exit status."""
    program = chromium.find()
    if program is None:
        print(chromium.missing(), file=sys.stderr)
        return 1
    tools = stage.tools("environment")
    tools.interrupt_on_termination()
    # The addresses in the pictures are those of make airflow, if nobody is using them.
    port = SANDBOX_PORT if tools.is_free(SANDBOX_PORT) else 0
    with stage.running(port) as running, chromium.blank_page(program) as page:
        ui = AirflowUi(page, running.airflow.url)
        _connections(ui, running)
        _trigger_forms(ui)
        _order(ui, running)
        _approval(ui)
        _many(ui, running)
        for dag_id, height in GRAPHS.items():
            _graph(ui, f"/dags/{dag_id}", f"graph_{dag_id}.png", height)
        _reconciliation(ui, running)
    return 0


def _connections(ui: AirflowUi, running: stage.Stage) -> None:
    for kind, conn_id, (standard, extra), name, heights in (
        (forms.TFSO_TYPE, "tfso_default", forms.tfso_fields(running.sandbox), "connection_form", (1000, 1790)),
        (
            forms.HYPATOS_TYPE,
            "hypatos_default",
            forms.hypatos_fields(running.sandbox),
            "connection_form_hypatos",
            (1000, 1440),
        ),
    ):
        form = ui.begin_connection(kind, conn_id)
        ui.fill(form, "Standard Fields", standard)
        ui.fill(form, "Extra Fields", extra)
        take(ui.page, f"{name}_extra.png", heights[1])
        ui.open_section(form, "Standard Fields")
        take(ui.page, f"{name}.png", heights[0])
        ui.submit(form, "Save")
    ui.test_connection("tfso_default")
    take(ui.page, "connection_test.png", 420, ui.page.get_by_role("status").filter(has_text="Test Connection"))


def _trigger_forms(ui: AirflowUi) -> None:
    ui.begin_trigger("order_to_invoice")
    take(ui.page, "trigger_form.png", 1200)
    form = ui.begin_trigger("invoice_confirmed_orders")
    take(ui.page, "trigger_form_confirmed.png", 780)
    form = ui.begin_trigger("reconcile_sales_orders")
    take(ui.page, "trigger_form_reconciliation.png", 1240)
    ui.open_section(form, "Repair")
    take(ui.page, "trigger_form_repair.png", 1240)


def _order(ui: AirflowUi, running: stage.Stage) -> None:
    dag_id, run_id = "order_to_invoice", "web-10045"
    _run(ui, dag_id, run_id, running)
    _graph(ui, f"/dags/{dag_id}/runs/{run_id}", "order_to_invoice.png", 460)
    ui.page.get_by_role("button", name="Show Grid").click()
    ui.open_task(dag_id, run_id, "invoice", "Details")
    ui.page.get_by_role("link", name="24SevenOffice invoice").wait_for()
    take(ui.page, "extra_links.png", 600)
    ui.page.goto(running.sandbox.url)
    take(ui.page, "sandbox.png", 1100)


def _approval(ui: AirflowUi) -> None:
    dag_id, run_id = "order_to_invoice_approval", "web-10047"
    ui.trigger(dag_id, run_id, {})
    ui.open_required_action(dag_id, run_id, "approve")
    take(ui.page, "approval.png", 780)


def _many(ui: AirflowUi, running: stage.Stage) -> None:
    dag_id, run_id = "orders_to_invoices", "orders-of-friday"
    _run(ui, dag_id, run_id, running)
    ui.go(f"/dags/{dag_id}/runs/{run_id}/tasks/wait/mapped")
    ui.page.get_by_text("web-10052").first.wait_for()
    take(ui.page, "mapped_tasks.png", 560)


def _reconciliation(ui: AirflowUi, running: stage.Stage) -> None:
    # Lazy, for it clears the environment of what concerns Airflow.
    from tests import messy_book

    for name, connection in running.sandbox.connections().items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)
    running.sandbox.reset()
    messy_book.fill(messy_book.Book(running.sandbox))
    dag_id, run_id = "reconcile_sales_orders", "november"
    keys = [order["order_key"] for order in messy_book.expected()]
    sections: dict[str, Values] = {
        "Run Parameters": {"Order date from": "2025-11-01", "Order date to": "2025-11-30"},
        "What counts as late": {"May be in work for (minutes)": 0},
        "Source": {"Order numbers of the source": "\n".join(keys)},
        "Hypatos": {"External ID format": "{order_key}"},
        "Report": {"Folder for the reports": running.folder.as_uri()},
    }
    ui.trigger(dag_id, run_id, sections)
    _ended(ui, dag_id, run_id, running)
    ui.page.goto((running.folder / run_id / "reconciliation.html").as_uri())
    take(ui.page, "reconciliation_report.png", 1300)


def _run(ui: AirflowUi, dag_id: str, run_id: str, running: stage.Stage) -> None:
    ui.trigger(dag_id, run_id, {})
    _ended(ui, dag_id, run_id, running)


def _ended(ui: AirflowUi, dag_id: str, run_id: str, running: stage.Stage) -> None:
    state = ui.ended(dag_id, run_id)
    if state != "Success":
        raise RuntimeError(f"{dag_id}: {state}\n{running.why(dag_id, run_id)}")


def _graph(ui: AirflowUi, path: str, name: str, height: int) -> None:
    page: Page = ui.page
    page.set_viewport_size({"width": chromium.WIDTH, "height": height})
    ui.go(path)
    page.get_by_role("button", name="Show Graph").click()
    # Nothing beside the graph, and no small map over it.
    page.get_by_role("button", name="Collapse Details Panel").click()
    page.add_style_tag(content=".react-flow__minimap, .react-flow__attribution { display: none }")
    page.locator(".react-flow__node").first.wait_for()
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Fit View").click()
    take(page, name, height)
    page.get_by_role("button", name="Show Grid").click()


if __name__ == "__main__":
    sys.exit(main())

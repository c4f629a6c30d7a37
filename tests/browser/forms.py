"""What is filled into the forms: the tests and the pictures of the documentation send the same."""

from __future__ import annotations

from typing import Any

from tests.browser.ui import AirflowUi

from tfso_hypatos.sandbox.server import Sandbox

SETTLE_SECONDS = "0.5"

TFSO_TYPE, HYPATOS_TYPE = "24SevenOffice", "Hypatos"


def tfso_fields(sandbox: Sandbox) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the standard and the extra fields of the connection to 24SevenOffice, by their labels."""
    connection = sandbox.connections()["tfso_default"]
    extra = {
        "Organization ID": connection["extra"]["organization_id"],
        "Token URL": connection["extra"]["token_url"],
        "Settle time": SETTLE_SECONDS,
        "Order link": f"{sandbox.url}/orders/{{organization_id}}/{{sales_order_id}}",
        "Invoice link": f"{sandbox.url}/invoices/{{organization_id}}/{{invoice_number}}",
    }
    return _standard(connection), extra


def hypatos_fields(sandbox: Sandbox) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the standard and the extra fields of the connection to Hypatos, by their labels."""
    extra = {"Region": "eu", "Document link": f"{sandbox.url}/documents/{{external_id}}"}
    return _standard(sandbox.connections()["hypatos_default"]), extra


def _standard(connection: dict[str, Any]) -> dict[str, Any]:
    return {
        "API URL": connection["host"],
        "Client ID": connection["login"],
        "Client secret": connection["password"],
        "Port": "0",
    }


def connect(ui: AirflowUi, sandbox: Sandbox) -> None:
    """Create both connections through their forms."""
    ui.add_connection(TFSO_TYPE, "tfso_default", *tfso_fields(sandbox))
    ui.add_connection(HYPATOS_TYPE, "hypatos_default", *hypatos_fields(sandbox))

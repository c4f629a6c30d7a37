"""What Airflow learns about this provider.

Pure data: an exception here, or in anything imported here, would take down every ``airflow`` command.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": ["string", "null"]}
_SECONDS = {"type": ["number", "null"], "minimum": 0, "exclusiveMinimum": 0}
_REQUESTS_A_SECOND = {"type": ["number", "null"], "minimum": 0.1}
_REQUESTS_AN_HOUR = {"type": ["number", "null"], "minimum": 10}
_FLAG = {"type": ["boolean", "null"]}

_TFSO = "24SevenOffice"
_HYPATOS = "Hypatos"

# Its UI asks to test port 0 if a connection has none, and its API then says that this is another server.
_PORT = "Enter 0: Airflow 3.3 tests no connection without a port"


def _field(label: str, description: str, schema: dict[str, Any], default: Any = None) -> dict[str, Any]:
    shown = schema if default is None else {**schema, "default": default}
    return {"label": label, "description": description, "schema": shown}


def _requests() -> dict[str, Any]:
    text = "Of each process, {} at least. Left empty: no limit but what the API asks for."
    return {
        "requests_per_second": _field("Requests per second", text.format("0.1"), _REQUESTS_A_SECOND),
        "requests_per_hour": _field("Requests per hour", text.format("10"), _REQUESTS_AN_HOUR),
    }


def _tfso_connection() -> dict[str, Any]:
    return {
        "connection-type": "tfso",
        "hook-name": _TFSO,
        "hook-class-name": "tfso_hypatos.hooks.tfso.TfsoHook",
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"host": "API URL", "login": "Client ID", "password": "Client secret", "port": "Port"},
            "placeholders": {
                "host": "https://rest.api.24sevenoffice.com/v1",
                "login": "Application ID from the Developer Admin Panel",
                "port": _PORT,
            },
        },
        "conn-fields": {
            "organization_id": _field(
                "Organization ID",
                "Required. Shown in 24SevenOffice under Administration, Integrations, Connect Application.",
                {"type": "string"},
            ),
            "token_url": _field("Token URL", "Left empty: https://login.24sevenoffice.com/oauth/token", _TEXT),
            "audience": _field("Audience", "Left empty: https://api.24sevenoffice.com", _TEXT),
            "timeout": _field("Time-out", "Seconds for one answer. Left empty: 30.", _SECONDS),
            "settle_seconds": _field(
                "Settle time",
                "Seconds: the longest that a change takes to show after it was sent, and a third more. Left empty: 10.",
                _SECONDS,
            ),
            **_requests(),
            "order_url_template": _field(
                "Order link", "Address of an order for people, with {sales_order_id} and {organization_id}.", _TEXT
            ),
            "invoice_url_template": _field(
                "Invoice link",
                "Address of an invoice for people, with {invoice_number}, {sales_order_id} and {organization_id}.",
                _TEXT,
            ),
            "proxy": _field("Proxy", "URL of an HTTP proxy.", _TEXT),
            "verify": _field("Verify TLS", "Check the server's certificate.", _FLAG, default=True),
        },
    }


def _hypatos_connection() -> dict[str, Any]:
    return {
        "connection-type": "hypatos",
        "hook-name": _HYPATOS,
        "hook-class-name": "tfso_hypatos.hooks.hypatos.HypatosHook",
        "ui-field-behaviour": {
            "hidden-fields": ["schema"],
            "relabeling": {"host": "API URL", "login": "Client ID", "password": "Client secret", "port": "Port"},
            "placeholders": {
                "host": "Left empty: by region",
                "login": "Client ID of the API service account",
                "port": _PORT,
            },
        },
        "conn-fields": {
            "region": _field(
                "Region",
                "Chooses the API URL when none is given.",
                {"type": ["string", "null"], "enum": ["eu", "us", None]},
                "eu",
            ),
            "company_id": _field(
                "Company ID", "Hypatos company of inserted records. Left empty: that of the service account.", _TEXT
            ),
            "timeout": _field("Time-out", "Seconds for one answer. Left empty: 30.", _SECONDS),
            **_requests(),
            "document_url_template": _field(
                "Document link", "Address of a document for people, with {document_id} and {external_id}.", _TEXT
            ),
            "proxy": _field("Proxy", "URL of an HTTP proxy.", _TEXT),
            "verify": _field("Verify TLS", "Check the server's certificate.", _FLAG, default=True),
        },
    }


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as Airflow's provider schema wants it."""
    return {
        "package-name": "airflow-provider-tfso-hypatos",
        "name": "24SevenOffice and Hypatos",
        "description": "Orders become invoices in 24SevenOffice exactly once, and enrich documents in Hypatos.",
        "integrations": [
            {
                "integration-name": _TFSO,
                "external-doc-url": "https://developer.24sevenoffice.com/",
                "tags": ["service"],
            },
            {"integration-name": _HYPATOS, "external-doc-url": "https://hypatos.redocly.app/", "tags": ["service"]},
        ],
        "operators": [
            {
                "integration-name": _TFSO,
                "python-modules": [
                    "tfso_hypatos.operators.sales_order",
                    "tfso_hypatos.operators.sales_order_list",
                    "tfso_hypatos.operators.failed_orders",
                    "tfso_hypatos.operators.approval",
                    "tfso_hypatos.operators.withdrawal",
                    "tfso_hypatos.operators.reconciliation",
                ],
            },
            {
                "integration-name": _HYPATOS,
                "python-modules": ["tfso_hypatos.operators.sales_order", "tfso_hypatos.operators.reconciliation"],
            },
        ],
        "sensors": [{"integration-name": _TFSO, "python-modules": ["tfso_hypatos.sensors.invoice_transaction"]}],
        "hooks": [
            {"integration-name": _TFSO, "python-modules": ["tfso_hypatos.hooks.tfso"]},
            {"integration-name": _HYPATOS, "python-modules": ["tfso_hypatos.hooks.hypatos"]},
        ],
        "triggers": [
            {
                "integration-name": _TFSO,
                "python-modules": [
                    "tfso_hypatos.triggers.invoice_transaction",
                    "tfso_hypatos.triggers.sales_order_invoiced",
                ],
            }
        ],
        "asset-uris": [
            {"schemes": ["tfso"], "handler": "tfso_hypatos.asset_uris.sanitize_tfso_uri"},
            {"schemes": ["hypatos"], "handler": "tfso_hypatos.asset_uris.sanitize_hypatos_uri"},
        ],
        "notifications": ["tfso_hypatos.notifications.order_needs_person.OrderNeedsPersonNotifier"],
        "connection-types": [_tfso_connection(), _hypatos_connection()],
        "extra-links": [
            "tfso_hypatos.links.sales_order.SalesOrderLink",
            "tfso_hypatos.links.sales_order.InvoiceLink",
            "tfso_hypatos.links.sales_order.HypatosDocumentLink",
            "tfso_hypatos.links.sales_order.ReconciliationReportLink",
        ],
    }

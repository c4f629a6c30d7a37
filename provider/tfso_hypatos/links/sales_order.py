"""Links to the order, the invoice, the Hypatos document, and the report of a reconciliation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

ORDER_URL = "tfso_order_url"
INVOICE_URL = "tfso_invoice_url"
DOCUMENT_URL = "hypatos_document_url"
REPORT_URL = "reconciliation_report_url"


def stored_addresses(task: Any) -> dict[str, str]:
    """Return the addresses that a task has stored in this process: Airflow asks for each link when the task ends."""
    addresses: dict[str, str] = getattr(task, "__dict__", {}).setdefault("_link_addresses", {})
    return addresses


class StoredLink(BaseOperatorLink):
    """A link whose address a task has stored as XCom while it ran; it can never break a task."""

    url_key: str

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the address, so that the link works while the task still runs."""
        return self.url_key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty text if there is none."""
        try:
            addresses = stored_addresses(operator)
            if addresses:
                return addresses.get(self.url_key, "")
            # Lazy, for it loads the XCom backend, which the DAG processor has no use for.
            from airflow.sdk.execution_time.xcom import XCom

            return str(XCom.get_value(ti_key=ti_key, key=self.url_key) or "")
        except Exception:  # noqa: BLE001 - a missing link is no reason to fail a task that succeeded
            return ""


class SalesOrderLink(StoredLink):
    """The order in 24SevenOffice."""

    name = "24SevenOffice order"
    url_key = ORDER_URL


class InvoiceLink(StoredLink):
    """The invoice in 24SevenOffice."""

    name = "24SevenOffice invoice"
    url_key = INVOICE_URL


class HypatosDocumentLink(StoredLink):
    """The document in Hypatos."""

    name = "Hypatos document"
    url_key = DOCUMENT_URL


class ReconciliationReportLink(StoredLink):
    """The report of a reconciliation."""

    name = "Reconciliation report"
    url_key = REPORT_URL

"""Addresses for people, made of the URL templates of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfso_hypatos.links.sales_order import DOCUMENT_URL, INVOICE_URL, ORDER_URL

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tfso_hypatos.hooks.settings import Settings

START_PAGE = "https://app.24sevenoffice.com/"
"""No address of a single order or invoice is published, so without a template a link leads to the start page."""


def push_order_addresses(context: Context, settings: Settings, order: Mapping[str, Any]) -> None:
    """Store the addresses of an order and its invoice, before anything is waited for.

    :param context: of the running task.
    :param settings: the connection.
    :param order: the result of a task of this provider.
    """
    fields = {
        "order_id": order.get("sales_order_id"),
        "organization_id": settings.text("organization_id"),
        "invoice_number": order.get("invoice_number"),
    }
    _push(context, ORDER_URL, settings.template("order_url_template", fields) or START_PAGE)
    if fields["invoice_number"] is not None:
        _push(context, INVOICE_URL, settings.template("invoice_url_template", fields) or START_PAGE)


def push_document_address(context: Context, settings: Settings, external_id: str, document_id: str | None) -> None:
    """Store the address of a Hypatos document, if the connection has a template for it."""
    fields = {"external_id": external_id, "document_id": document_id}
    address = settings.template("document_url_template", fields)
    if address is not None:
        _push(context, DOCUMENT_URL, address)


def _push(context: Context, key: str, address: str) -> None:
    instance = context.get("ti")
    if instance is not None:
        instance.xcom_push(key=key, value=address)

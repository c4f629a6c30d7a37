"""Addresses for people, made of the URL templates of a connection."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfso_hypatos.links.sales_order import DOCUMENT_URL, INVOICE_URL, ORDER_URL, REPORT_URL, stored_addresses

if TYPE_CHECKING:
    from airflow.sdk import Context

    from tfso_hypatos.hooks.settings import Settings

log = logging.getLogger(__name__)

START_PAGE = "https://app.24sevenoffice.com/"
"""No address of a single order or invoice is published, so without a template a link leads to the start page."""


def order_address(settings: Settings, order_id: object, invoice_number: object) -> str | None:
    """Return the address of an order, if the connection has a template for it.

    :param settings: the connection.
    :param order_id: the order.
    :param invoice_number: its invoice, or None.
    """
    return settings.template("order_url_template", _fields(settings, order_id, invoice_number))


def push_order_addresses(context: Context, settings: Settings, order: Mapping[str, Any]) -> None:
    """Store the addresses of an order and its invoice, before anything is waited for; never fails.

    :param context: of the running task.
    :param settings: the connection.
    :param order: the result of a task of this provider.
    """
    order_id, invoice_number = order.get("sales_order_id"), order.get("invoice_number")
    addresses = {ORDER_URL: order_address(settings, order_id, invoice_number) or START_PAGE}
    if invoice_number is not None:
        fields = _fields(settings, order_id, invoice_number)
        addresses[INVOICE_URL] = settings.template("invoice_url_template", fields) or START_PAGE
    _push(context, addresses)


def _fields(settings: Settings, order_id: object, invoice_number: object) -> dict[str, object]:
    organization = settings.extra.get("organization_id")
    return {"sales_order_id": order_id, "organization_id": organization, "invoice_number": invoice_number}


def push_document_address(context: Context, settings: Settings, external_id: str, document_id: str | None) -> None:
    """Store the address of a Hypatos document, if the connection has a template for it; never fails."""
    fields = {"external_id": external_id, "document_id": document_id}
    address = settings.template("document_url_template", fields)
    _push(context, {DOCUMENT_URL: address} if address is not None else {})


def push_report_address(context: Context, address: str) -> None:
    """Store the address of a report; never fails."""
    _push(context, {REPORT_URL: address})


def _push(context: Context, addresses: Mapping[str, str]) -> None:
    instance, task = context.get("ti"), context.get("task")
    if task is not None:
        stored_addresses(task).update(addresses)
    if instance is None:
        return
    try:
        for key, address in addresses.items():
            instance.xcom_push(key=key, value=address)
    except Exception:
        log.warning("The links of this task could not be stored", exc_info=True)

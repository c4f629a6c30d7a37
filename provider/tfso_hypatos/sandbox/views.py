"""What the APIs show of the books."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping
from typing import Any

from tfso_hypatos.sandbox import money
from tfso_hypatos.sandbox.settings import Settings
from tfso_hypatos.sandbox.state import Books, Invoice, Order

_SYSTEM_SET = frozenset({"number", "remittanceReference", "transaction"})


class Views:
    """How orders, lines and invoices are written as JSON.

    :param settings: the sandbox's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def order(self, order: Order, now: datetime.datetime, *, whole: bool = True) -> dict[str, Any]:
        """Return an order.

        :param order: the order.
        :param now: time of the answer; decides whether the ledger transaction shows.
        :param whole: with the members that lists leave out.
        """
        amounts = money.totals(order.lines.values())
        shown = {"id": order.id, **copy.deepcopy(order.header)}
        shown["customer"] = self._customer(shown["customer"])
        invoice = self._invoice(order, now)
        if not whole and self._settings.bare_lists:
            invoice.pop("transaction", None)
        if invoice:
            shown["invoice"] = invoice
        if not whole:
            shown.pop("dimensions", None)
        shown["createdAt"] = self.time(order.created)
        shown["modifiedAt"] = self.time(order.modified)
        return {**shown, "netAmount": amounts.net, "taxAmount": amounts.tax, "grossAmount": amounts.gross}

    def time(self, value: datetime.datetime) -> str:
        """Return a date-time.

        :param value: an aware date-time.
        """
        text = value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return text.replace("T", " ") if self._settings.blank_timestamps else text

    def attachment(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata of an attachment.

        :param metadata: as the books hold it.
        """
        return {**metadata, "timestamp": self.time(metadata["timestamp"])}

    def is_posted(self, order: Order, invoice: Invoice, now: datetime.datetime) -> bool:
        """Say whether the ledger transaction of an invoice shows yet.

        :param order: its order.
        :param invoice: the invoice.
        :param now: time of the answer.
        """
        return now >= invoice.posted_at and order.reads >= self._settings.transaction_reads

    def books(self, books: Books, now: datetime.datetime) -> dict[str, Any]:
        """Return everything an organization has in its books, for tests and the page.

        :param books: the books.
        :param now: time of the answer.
        """
        return {
            "orders": [self._order_in_books(order, now) for order in books.orders.values()],
            "deleted_orders": [self._order_in_books(order, now) for order in books.deleted],
            "invoices": [self._invoice_in_books(invoice) for invoice in books.invoices],
        }

    def _customer(self, customer: dict[str, Any]) -> dict[str, Any]:
        street = customer.get("street", "")
        if self._settings.street_as_list and "\n" in street:
            return {**customer, "street": street.split("\n")}
        return customer

    def _invoice(self, order: Order, now: datetime.datetime) -> dict[str, Any]:
        shown = {name: value for name, value in order.header.get("invoice", {}).items() if name not in _SYSTEM_SET}
        if not order.invoices:
            return shown
        invoice = order.invoices[-1]
        shown["number"] = invoice.number
        shown["date"] = invoice.date.isoformat()
        shown["dueDate"] = invoice.due_date.isoformat()
        shown["remittanceReference"] = invoice.reference
        if self.is_posted(order, invoice, now):
            shown["transaction"] = {"id": invoice.transaction_id}
        return shown

    def _order_in_books(self, order: Order, now: datetime.datetime) -> dict[str, Any]:
        return {
            **self.order(order, now),
            "lines": copy.deepcopy(list(order.lines.values())),
            "attachments": [self.attachment(metadata) for metadata in order.attachments],
            "invoice_numbers": [invoice.number for invoice in order.invoices],
        }

    def _invoice_in_books(self, invoice: Invoice) -> dict[str, Any]:
        return {
            "number": invoice.number,
            "order_id": invoice.order_id,
            "issued_at": self.time(invoice.issued),
            "posted_at": self.time(invoice.posted_at),
            "date": invoice.date.isoformat(),
            "due_date": invoice.due_date.isoformat(),
            "remittance_reference": invoice.reference,
            "transaction_id": invoice.transaction_id,
            "customer": copy.deepcopy(invoice.customer),
            "lines": copy.deepcopy(invoice.lines),
            "net_amount": invoice.amounts.net,
            "tax_amount": invoice.amounts.tax,
            "gross_amount": invoice.amounts.gross,
        }

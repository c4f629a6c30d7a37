"""What a report says of one order, and of all of them together."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tfso_hypatos.flows.amounts import total
from tfso_hypatos.flows.expected import Expected
from tfso_hypatos.flows.intent import Holder, Marker
from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.reports.classify import Case, Finding, is_posted

LONGEST_DETAIL = 600
"""Characters; a detail may quote an id that another system made up."""

REPAIR_MODES = ("none", "preview", "apply")

_COLUMNS = (
    "sales_order_id",
    "order_key",
    "external_id",
    "status",
    "order_date",
    "currency",
    "net_amount",
    "tax_amount",
    "gross_amount",
    "invoice_number",
    "invoice_date",
    "transaction_id",
)


def one_line(text: str) -> str:
    """Return a text as one line of bearable length, without control characters."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(plain.split())[:LONGEST_DETAIL]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report; texts only, for it is kept on disk until the report is written.

    :param fields: by column; what is not known is left out.
    :param findings: class and detail of what is the matter; nothing if it is in order.
    :param url: address of the order for people, or None.
    :param repair: what was or would be repaired, or None.
    """

    fields: Mapping[str, str]
    findings: Sequence[tuple[str, str]]
    url: str | None = None
    repair: str | None = None

    @property
    def classes(self) -> list[str]:
        """The classes of the order, the most urgent first."""
        return list(dict.fromkeys(kind for kind, _ in self.findings)) or [OrderClass.IN_ORDER.value]

    @property
    def details(self) -> str:
        """What is the matter, in one line."""
        return "; ".join(detail for _, detail in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return it under the names of the report."""
        return {
            **{name: self.fields.get(name) for name in _COLUMNS},
            "classes": self.classes,
            "details": self.details or None,
            "repair": self.repair,
            "link": self.url,
        }


COLUMNS = (*_COLUMNS, "classes", "details", "repair", "link")
"""Columns of the CSV file and members of an order in the JSON file."""


def row_of(
    case: Case, findings: Sequence[Finding], external_id: str | None, url: str | None, repair: str | None
) -> Row:
    """Return what a report says of an order."""
    order = case.order
    values: dict[str, object] = {
        "sales_order_id": order.order_id,
        "order_key": case.expected.order_key if case.expected else None,
        "external_id": external_id,
        "status": order.status,
        "order_date": order.date,
        "currency": order.currency,
        "net_amount": order.net,
        "tax_amount": order.tax,
        "gross_amount": order.gross,
        "invoice_number": order.invoice_number,
        "invoice_date": order.invoice_date,
        "transaction_id": order.transaction_id,
    }
    return Row(_texts(values), _plain(findings), url, None if repair is None else one_line(repair))


def row_of_missing(expected: Expected, holder: Holder) -> Row:
    """Return what a report says of a business order that no order was found for.

    :param expected: the business order.
    :param holder: stands in the marker that a person may put back; it is that of this task.
    """
    detail = "no order that was looked at carries the marker of this order key"
    if expected.content is not None:
        # A hash of what was asked for and who looked: nothing personal.
        detail += f"; an order of this sale that lost it gets {Marker(expected.key, expected.content, holder)}"
    values = {"order_key": expected.order_key, "external_id": expected.external_id}
    return Row(_texts(values), [(OrderClass.NOT_FOUND.value, detail)])


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    shown = {name: format(value, "f") if isinstance(value, Decimal) else str(value) for name, value in values.items()}
    return {name: one_line(text) for name, text in shown.items() if values[name] is not None}


def _plain(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.kind.value, one_line(finding.detail)) for finding in findings]


@dataclass
class Sums:
    """Totals in one currency: gross amounts of active orders."""

    orders: int = 0
    ordered: Decimal = Decimal(0)
    invoiced: Decimal = Decimal(0)
    posted: Decimal = Decimal(0)
    enriched: Decimal = Decimal(0)

    def as_dict(self) -> dict[str, Any]:
        """Return them with amounts as text."""
        amounts = {name: format(getattr(self, name), "f") for name in ("ordered", "invoiced", "posted", "enriched")}
        return {"orders": self.orders, **amounts}


@dataclass
class Summary:
    """Everything about a report but its orders.

    :param period: first and last order date.
    :param as_of: now, by the server's clock.
    :param notes: what could not be compared, in sentences.
    :param repair_mode: ``none``, ``preview`` or ``apply``.
    """

    period: tuple[datetime.date, datetime.date]
    as_of: datetime.datetime
    notes: list[str] = field(default_factory=list)
    repair_mode: str = "none"
    orders: int = 0
    inactive: int = 0
    ignored: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    sums: dict[str, Sums] = field(default_factory=dict)
    repairs: Counter[str] = field(default_factory=Counter)

    def note(self, case: Case, row: Row) -> None:
        """Count an order."""
        self.orders += 1
        self.counts.update(row.classes)
        order = case.order
        if order.is_inactive:
            self.inactive += 1
            return
        sums = self.sums.setdefault(order.currency or "unknown", Sums())
        sums.orders += 1
        gross = order.gross or Decimal(0)
        sums.ordered = total((sums.ordered, gross))
        if order.is_invoiced:
            sums.invoiced = total((sums.invoiced, gross))
        if is_posted(case):
            sums.posted = total((sums.posted, gross))
            not_enriched = (OrderClass.NOT_ENRICHED, OrderClass.ENRICHMENT_DIFFERS)
            if case.record is not None and not any(kind in not_enriched for kind in row.classes):
                sums.enriched = total((sums.enriched, gross))

    def note_missing(self, row: Row) -> None:
        """Count a business order that no order was found for."""
        self.counts.update(row.classes)

    def as_dict(self) -> dict[str, Any]:
        """Return it with amounts and dates as text."""
        first, last = self.period
        return {
            "date_from": first.isoformat(),
            "date_to": last.isoformat(),
            "as_of": self.as_of.isoformat(timespec="seconds"),
            "orders": self.orders,
            "inactive": self.inactive,
            "ignored": self.ignored,
            "counts": {kind.value: self.counts[kind.value] for kind in OrderClass},
            "totals": {currency: sums.as_dict() for currency, sums in sorted(self.sums.items())},
            "notes": list(self.notes),
            "repair": {"mode": self.repair_mode, **{name: self.repairs[name] for name in REPAIR_OUTCOMES}},
        }


REPAIR_OUTCOMES = ("planned", "done", "left", "failed")
"""What became of a repair: would be done, was done, was left to a person, failed."""

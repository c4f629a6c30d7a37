"""The HTML page: what is in the books, what was asked, and what is set to go wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, unquote

from tfso_hypatos.sandbox import jsontext
from tfso_hypatos.sandbox.markup import (
    Html,
    amount,
    badge,
    document,
    joined,
    link,
    nothing,
    number,
    safe,
    table,
    table_row,
    tag,
)
from tfso_hypatos.sandbox.money import line_totals
from tfso_hypatos.sandbox.traffic import SHOWN_REQUESTS, changed_settings, faults, request_log

_Json: TypeAlias = Mapping[str, Any]
_Item = TypeVar("_Item")
_SHOWN_ITEMS = 50
_HOME = link("/", "Sandbox")
_LINE_COLUMNS = ("!Line", "!Type", "Description", "#Quantity", "#Price", "#Discount", "#VAT", "#Net", "#Tax", "#Gross")
_LINE_KINDS = ("k", "k", "", "n", "n", "n", "n", "n", "n", "n")
_INVOICE_COLUMNS = ("!Invoice", "!Order", "Customer", "!Date", "!Due", "#Gross", "!KID", "Transaction")
_INVOICE_KINDS = ("k", "k", "", "k", "k", "n", "k mono", "mono")


def render(state: _Json, requests: Sequence[_Json], path: str) -> str | None:
    """Return the page at a path, or None when there is none.

    :param state: everything in the books.
    :param requests: the request log, oldest first.
    :param path: path of the page, percent-encoded.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts == [""]:
        return _overview(state, requests)
    match parts:
        case ["orders", organization, order]:
            return _order_page(state, organization, order)
        case ["invoices", organization, invoice]:
            return _invoice_page(state, organization, invoice)
        case ["documents", name]:
            return _document_page(state, name)
    return None


def _overview(state: _Json, requests: Sequence[_Json]) -> str:
    organizations = state["organizations"]
    pending = [fault for fault in state["faults"] if not fault["spent"]]
    content = [_counts(state, pending)]
    for name, books in organizations.items():
        content += [tag("h2", f"24SevenOffice, organization {name}"), *_books(name, books)]
    content += [tag("h2", "Hypatos, enrichment sales orders"), *_records(state)]
    content += [tag("h2", "Faults"), faults(state["faults"]), *changed_settings(state["settings"])]
    content += [tag("h2", f"Requests (last {SHOWN_REQUESTS}, newest first)"), request_log(requests)]
    about = "24SevenOffice and Hypatos on this machine. Nothing here leaves it."
    return document("Sandbox", "Sandbox", about, joined(content))


def _counts(state: _Json, pending: Sequence[_Json]) -> Html:
    books = state["organizations"].values()
    orders = [order for each in books for order in each["orders"]]
    doubles = sum(len(order["invoice_numbers"]) > 1 for order in orders)
    counts = [
        ("orders", len(orders), False),
        ("invoices", sum(len(each["invoices"]) for each in books), False),
        ("invoiced twice", doubles, doubles > 0),
        ("enrichment records", len(state["enrichment"]), False),
        ("pending faults", len(pending), False),
        ("requests", state["requests_total"], False),
    ]
    return tag("div", *(_count(*each) for each in counts), kind="cards")


def _count(label: str, value: int, is_alarm: bool) -> Html:
    return tag("div", tag("b", value), tag("span", label), kind="count alarm" if is_alarm else "count")


def _books(organization: str, books: _Json) -> list[Html]:
    orders = [_order(organization, order) for order in _newest(books["orders"])]
    deleted = ", ".join(str(order["id"]) for order in books["deleted_orders"])
    parts = [tag("h3", "Orders"), *(orders or [nothing("No orders yet.")])]
    if deleted:
        parts.append(tag("p", f"Deleted orders: {deleted}", kind="soft"))
    return [*parts, tag("h3", "Invoices"), _invoices(organization, books)]


def _order(organization: str, order: _Json) -> Html:
    twice = badge("invoiced twice", "bad") if len(order["invoice_numbers"]) > 1 else ""
    address = f"/orders/{quote(organization, safe='')}/{order['id']}"
    head = tag(
        "div",
        link(address, tag("b", f"Order {order['id']}")),
        _status(order["status"]),
        twice,
        tag("span", f"{order['customer'].get('name', '')} (customer {order['customer'].get('id')})"),
        tag("span", _note(order), kind="soft mono"),
        tag("span", f"created {order['createdAt']}", kind="right"),
        kind="head",
    )
    lines = _lines(order) if order["lines"] else tag("p", "No lines.", kind="empty")
    return tag("div", head, lines, kind="card")


def _note(order: _Json) -> str:
    return " · ".join(str(order[name]) for name in ("referenceNumber", "internalMemo") if order.get(name))


def _status(status: str) -> Html:
    return badge(status, {"Invoice": "good", "Inactive": "", "Draft": "warn"}.get(status, "warn"))


def _lines(order: _Json) -> Html:
    rows: list[Any] = [_line(line) for line in order["lines"]]
    sums = (amount(order["netAmount"]), amount(order["taxAmount"]), amount(order["grossAmount"]))
    rows.append(table_row(_LINE_KINDS, ("", "", "Total", "", "", "", "", *sums), kind="sum"))
    return table(_LINE_COLUMNS, rows)


def _line(line: _Json) -> tuple[Any, ...]:
    amounts = line_totals(line)
    discount = f"{line['discountRate']} %" if line.get("discountRate") else ""
    return (
        line["id"],
        line["type"],
        line.get("description", ""),
        number(line.get("quantity")),
        number(line.get("price")),
        discount,
        f"{line['tax'].get('rate')} %",
        amount(amounts.net),
        amount(amounts.tax),
        amount(amounts.gross),
    )


def _invoices(organization: str, books: _Json) -> Html:
    if not books["invoices"]:
        return nothing("No invoices yet.")
    twice = {order["id"] for order in books["orders"] if len(order["invoice_numbers"]) > 1}
    rows = [
        table_row(_INVOICE_KINDS, _invoice(organization, invoice), "alarm" if invoice["order_id"] in twice else "")
        for invoice in _newest(books["invoices"])
    ]
    return tag("div", table(_INVOICE_COLUMNS, rows), kind="card")


def _invoice(organization: str, invoice: _Json) -> tuple[Any, ...]:
    base = quote(organization, safe="")
    return (
        link(f"/invoices/{base}/{invoice['number']}", invoice["number"]),
        link(f"/orders/{base}/{invoice['order_id']}", invoice["order_id"]),
        invoice["customer"].get("name", ""),
        invoice["date"],
        invoice["due_date"],
        amount(invoice["gross_amount"]),
        invoice["remittance_reference"],
        invoice["transaction_id"],
    )


def _records(state: _Json) -> list[Html]:
    deleted = state["enrichment_deleted"]
    shown = [_record(key, record, state) for key, record in _newest(list(state["enrichment"].items()))]
    if deleted:
        shown.append(tag("p", f"Deleted records: {', '.join(deleted)}", kind="soft"))
    return shown or [nothing("No records yet.")]


def _record(key: str, record: _Json, state: _Json) -> Html:
    writes = state["enrichment_writes"].get(key, 0)
    head = tag(
        "div",
        tag("b", key),
        tag("span", "written once" if writes == 1 else f"written {writes} times", kind="right"),
        kind="head",
    )
    return tag("div", head, tag("pre", jsontext.pretty(record)), kind="card")


def _order_page(state: _Json, organization: str, wanted: str) -> str | None:
    books = state["organizations"].get(organization, {"orders": [], "invoices": []})
    for order in books["orders"]:
        if str(order["id"]) == wanted:
            invoices = [invoice for invoice in books["invoices"] if invoice["order_id"] == order["id"]]
            parts = [_order(organization, order), tag("h3", "Invoices")]
            parts += [_invoices(organization, {**books, "invoices": invoices}), tag("h3", "In the books")]
            parts.append(tag("div", tag("pre", jsontext.pretty(order)), kind="card"))
            return _small(f"Order {wanted}", f"organization {organization}", parts)
    return None


def _invoice_page(state: _Json, organization: str, wanted: str) -> str | None:
    books = state["organizations"].get(organization, {"orders": [], "invoices": []})
    for invoice in books["invoices"]:
        if str(invoice["number"]) == wanted:
            sums = {name: invoice[key] for name, key in _SUMS.items()}
            parts = [
                _facts(organization, invoice),
                tag("h3", "Lines"),
                tag("div", _lines({**invoice, **sums}), kind="card"),
            ]
            return _small(f"Invoice {wanted}", f"organization {organization}", parts)
    return None


def _facts(organization: str, invoice: _Json) -> Html:
    names = [column.lstrip("#!") for column in _INVOICE_COLUMNS]
    pairs = zip(names, _invoice(organization, invoice), strict=True)
    return tag("div", tag("dl", *(joined((tag("dt", name), tag("dd", value))) for name, value in pairs)), kind="card")


def _document_page(state: _Json, name: str) -> str:
    records = [
        _record(key, record, state)
        for key, record in state["enrichment"].items()
        if name in {key, record.get("documentId"), *(each.get("id") for each in record.get("documents", ()))}
    ]
    return _small(f"Document {name}", "enrichment records that name it", records or [nothing("No record names it.")])


def _small(title: str, about: str, parts: Iterable[Html]) -> str:
    return document(title, joined((_HOME, " / ", safe(title))), about, joined(parts))


def _newest(items: Sequence[_Item]) -> list[_Item]:
    """Return the newest of them first; a page of thousands would help nobody."""
    return list(items)[: -_SHOWN_ITEMS - 1 : -1]


_SUMS = {"netAmount": "net_amount", "taxAmount": "tax_amount", "grossAmount": "gross_amount"}

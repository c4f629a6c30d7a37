"""A report as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import IO

from tfso_hypatos.reports.classes import MEANINGS, OrderClass
from tfso_hypatos.reports.rows import REPAIR_OUTCOMES, Row, Summary

MOST_SHOWN = 1000
"""Orders of one class that the page shows; a browser would choke on more, and the CSV file has all of them."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@functools.cache
def _style() -> str:
    return resources.files("tfso_hypatos.reports").joinpath("page.css").read_text("utf-8")


def write_html(
    stream: IO[str], summary: Summary, rows_of: Callable[[str, int], Iterable[Row]], repaired: Iterable[Row]
) -> None:
    """Write the page.

    :param stream: a text file.
    :param summary: everything but the orders.
    :param rows_of: returns the first orders of a class.
    :param repaired: the orders that were or would be repaired.
    """
    for part in _page(summary, rows_of, repaired):
        stream.write(part)


def _page(summary: Summary, rows_of: Callable[[str, int], Iterable[Row]], repaired: Iterable[Row]) -> Iterator[str]:
    first, last = summary.period
    period = f"{first} to {last}"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>Sales orders, {period}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
    yield f"<header><h1>Reconciliation of sales orders, {period}</h1>"
    yield f"<p>24SevenOffice and Hypatos, as of {summary.as_of:%Y-%m-%d %H:%M} UTC · {summary.orders} orders</p>"
    yield "</header>\n<main>\n"
    yield from _counts(summary)
    yield from _totals(summary)
    yield from _notes(summary)
    yield from _repairs(summary, repaired)
    for kind in OrderClass:
        if kind is not OrderClass.IN_ORDER and summary.counts[kind.value]:
            yield from _section(kind, summary.counts[kind.value], rows_of(kind.value, MOST_SHOWN))
    yield "</main>\n</body>\n</html>\n"


def _counts(summary: Summary) -> Iterator[str]:
    yield '<div class="cards">\n'
    for kind in OrderClass:
        meaning, count = MEANINGS[kind], summary.counts[kind.value]
        content = f"<b>{count}</b> {html.escape(meaning.title)}"
        shade = meaning.urgency if count else f"{meaning.urgency} none"
        if count and kind is not OrderClass.IN_ORDER:
            yield f'<a class="count {shade}" href="#{kind.value}">{content}</a>\n'
        else:
            yield f'<div class="count {shade}">{content}</div>\n'
    yield "</div>\n"


def _totals(summary: Summary) -> Iterator[str]:
    if not summary.sums:
        return
    yield '<h2>Totals, with VAT</h2>\n<div class="card"><table><thead><tr><th>Currency</th>'
    yield "".join(f'<th class="number">{name}</th>' for name in ("Orders", "Ordered", "Invoiced", "Posted", "Enriched"))
    yield "</tr></thead><tbody>\n"
    for currency, sums in sorted(summary.sums.items()):
        amounts = "".join(_number(str(each)) for each in sums.as_dict().values())
        yield f'<tr><td class="id">{html.escape(currency)}</td>{amounts}</tr>\n'
    yield "</tbody></table></div>\n"


def _notes(summary: Summary) -> Iterator[str]:
    notes = list(summary.notes)
    if summary.inactive:
        notes.append(f"Inactive orders count as in order, and in no total: {summary.inactive}.")
    if summary.ignored:
        notes.append(f"Orders without a marker were left out: {summary.ignored}.")
    if notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        yield f"<h2>What to know</h2>\n<ul>{items}</ul>\n"


def _repairs(summary: Summary, repaired: Iterable[Row]) -> Iterator[str]:
    if summary.repair_mode == "none":
        return
    title = "Repairs that would be made" if summary.repair_mode == "preview" else "Repairs"
    counts = ", ".join(f"{summary.repairs[name]} {name}" for name in REPAIR_OUTCOMES)
    yield f'<h2>{title}</h2>\n<p class="about">{counts}.</p>\n'
    if sum(summary.repairs.values()):
        yield '<div class="card"><table><thead><tr><th>Order</th><th>Repair</th></tr></thead><tbody>\n'
        for row in repaired:
            yield f'<tr>{_order(row)}<td class="text">{html.escape(row.repair or "")}</td></tr>\n'
        yield "</tbody></table></div>\n"


def _section(kind: OrderClass, count: int, rows: Iterable[Row]) -> Iterator[str]:
    meaning = MEANINGS[kind]
    badge = f'<span class="badge {meaning.urgency}">{count}</span>'
    yield f'<section id="{kind.value}">\n<h2>{html.escape(meaning.title)}{badge}</h2>\n'
    yield f'<p class="about">{html.escape(meaning.about)}</p>\n<p class="next">{html.escape(meaning.next_step)}</p>\n'
    yield '<div class="card"><table><thead><tr><th>Order</th><th>Order key</th><th>Status</th><th>Date</th>'
    yield '<th class="number">Gross</th><th>Invoice</th><th>What is the matter</th></tr></thead><tbody>\n'
    for row in rows:
        yield f"<tr>{''.join(_cells(kind, row))}</tr>\n"
    yield "</tbody></table></div>\n"
    if count > MOST_SHOWN:
        yield f'<p class="soft">And {count - MOST_SHOWN} more: the CSV file has all of them.</p>\n'
    yield "</section>\n"


def _cells(kind: OrderClass, row: Row) -> Iterator[str]:
    fields = row.fields
    gross = " ".join(each for each in (fields.get("gross_amount"), fields.get("currency")) if each)
    details = "; ".join(detail for found, detail in row.findings if found == kind.value)
    others = [OrderClass(each) for each in row.classes if each != kind.value]
    badges = "".join(f' <span class="badge {MEANINGS[each].urgency}">{MEANINGS[each].title}</span>' for each in others)
    yield _order(row)
    yield f"<td>{html.escape(fields.get('order_key', ''))}</td>"
    yield f'<td class="id">{html.escape(fields.get("status", ""))}</td>'
    yield f'<td class="id">{html.escape(fields.get("order_date", ""))}</td>'
    yield _number(gross)
    yield f'<td class="id">{html.escape(fields.get("invoice_number", ""))}</td>'
    yield f'<td class="text">{html.escape(details)}{badges}</td>'


def _order(row: Row) -> str:
    text = html.escape(row.fields.get("sales_order_id", "–"))
    # A template of the connection could hold any address; only these open a page.
    if row.url is not None and row.url.startswith(("https://", "http://")):
        text = f'<a href="{html.escape(row.url, quote=True)}" rel="noreferrer">{text}</a>'
    return f'<td class="id">{text}</td>'


def _number(text: str) -> str:
    return f'<td class="number">{html.escape(text)}</td>'

"""A report as text for the log, as CSV, and as JSON."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import IO

from tfso_hypatos.clients.messages import encode
from tfso_hypatos.reports.classes import MEANINGS, OrderClass
from tfso_hypatos.reports.rows import COLUMNS, REPAIR_OUTCOMES, Row, Summary

MOST_IN_LOG = 20
"""Orders that the log names; the files have all of them."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_FORMULA = ("=", "+", "-", "@", "|", "%", "＝", "＋", "－", "＠")


def cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; a plain number stays one."""
    if _NUMBER.fullmatch(text) or not text.lstrip().startswith(_FORMULA):
        return text
    return f"'{text}"


def write_csv(stream: IO[str], rows: Iterable[Row]) -> None:
    """Write every order as one line of CSV, with a mark of UTF-8 in front that spreadsheets look for.

    :param stream: a text file that leaves line ends alone.
    :param rows: the orders.
    """
    stream.write("\ufeff")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = {**row.as_dict(), "classes": " ".join(row.classes)}
        writer.writerow([cell(str(values[name])) if values[name] is not None else "" for name in COLUMNS])


def write_json(stream: IO[str], summary: Summary, rows: Iterable[Row]) -> None:
    """Write the summary and every order as one JSON object, an order in each line.

    :param stream: a text file.
    :param summary: everything but the orders.
    :param rows: the orders.
    """
    stream.write('{\n"summary": ' + encode(summary.as_dict()).decode() + ',\n"orders": [')
    for number, row in enumerate(rows):
        stream.write(("" if number == 0 else ",") + "\n" + encode(row.as_dict()).decode())
    stream.write("\n]\n}\n")


def log_table(summary: Summary, rows: Iterable[Row]) -> Iterator[str]:
    """Return the lines of a table for the log: counts, totals, and the first orders that need somebody.

    Ids and amounts only: an order key or an external id may be anything.

    :param summary: everything but the orders.
    :param rows: the first orders that are not in order, the most urgent first.
    """
    first, last = summary.period
    yield f"Reconciliation of {first} to {last}, as of {summary.as_of:%Y-%m-%d %H:%M} UTC: {summary.orders} orders"
    yield ""
    yield from _aligned(
        [("class", "orders"), *((MEANINGS[kind].title, str(summary.counts[kind.value])) for kind in OrderClass)]
    )
    yield ""
    heads = ("currency", "orders", "ordered", "invoiced", "posted", "enriched")
    sums = [(name, *(str(each) for each in sums.as_dict().values())) for name, sums in sorted(summary.sums.items())]
    yield from _aligned([heads, *sums])
    yield from (f"Note: {note}" for note in summary.notes)
    if summary.repair_mode != "none":
        shown = ", ".join(f"{summary.repairs[name]} {name}" for name in REPAIR_OUTCOMES)
        yield f"Repair ({summary.repair_mode}): {shown}"
    shown_rows = [(row.fields.get("sales_order_id", "-"), ", ".join(row.classes), _for_log(row)) for row in rows]
    if shown_rows:
        yield ""
        yield from _aligned([("order", "class", "what is the matter"), *shown_rows])


def _for_log(row: Row) -> str:
    return row.details[:160]


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Return rows as columns; numbers to the right, all else to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (
            text.rjust(width) if _NUMBER.fullmatch(text) else text.ljust(width)
            for text, width in zip(row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()

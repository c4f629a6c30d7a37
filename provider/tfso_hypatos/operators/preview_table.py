"""What a dry run puts into the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tfso_hypatos.words import counted

COLUMNS = {
    "sales_order_id": "order",
    "customer_id": "customer",
    "gross_amount": "gross",
    "currency": "currency",
    "date": "date",
    "lines": "lines",
    "remark": "",
}


def preview_table(looks: Sequence[Mapping[str, Any]], *, is_whole: bool = True) -> Iterator[str]:
    """Return the lines of a table of what would be invoiced and what would not, with the sums per currency.

    :param looks: what invoicing each order would do; an order that is named twice counts once.
    :param is_whole: whether every order could be looked at.
    """
    rows = list(_with_twins({row["sales_order_id"]: row for row in looks}.values()))
    due = [row for row in rows if row["is_due"]]
    other = [row for row in rows if not row["is_due"]]
    yield f"DRY RUN: nothing was changed. {len(due)} of {counted(len(rows), 'order')} would be invoiced:"
    if not is_whole:
        yield "Not every order could be looked at: the table and the sums lack some"
    yield from _table(due)
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in due:
        sums[row["currency"] or "(no currency shown)"] += Decimal(row["gross_amount"] or 0)
    for currency in sorted(sums):
        yield f"Sum in {currency}: {sums[currency]:f}"
    unknown = sum(row["gross_amount"] is None for row in due)
    if unknown:
        show, them = ("shows", "it") if unknown == 1 else ("show", "them")
        yield f"{counted(unknown, 'order')} {show} no total; the sums lack {them}"
    if other:
        yield f"{counted(len(other), 'order')} would not be invoiced:"
        yield from _table(other)


def _with_twins(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    by_key: dict[str | None, list[int]] = defaultdict(list)
    rows = list(rows)
    for row in rows:
        by_key[row["marker_key"]].append(row["sales_order_id"])
    for row in rows:
        others = [each for each in by_key[row["marker_key"]] if each != row["sales_order_id"]]
        if row["marker_key"] is None or not others or not row["is_due"]:
            yield row
        else:
            named = ", ".join(map(str, others))
            yield {**row, "is_due": False, "remark": f"twin: carries the marker of the same business order as {named}"}


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    cells = [list(COLUMNS.values())]
    cells += [["-" if row[name] is None else str(row[name]) for name in COLUMNS] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS) - 1)]
    for line in cells if rows else ():
        yield "  ".join([*(cell.rjust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()

"""HTML in which every value is escaped."""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable, Sequence
from decimal import Decimal
from importlib import resources
from typing import Any

# Replaced only when something changed, so that a selection or a scrolled table stays while nothing happens.
_REFRESH = """
const shown = () => document.querySelector("main");
setInterval(async () => {
  if (document.hidden || String(getSelection())) return;
  try {
    const answer = await fetch(location.href, {headers: {"X-Refresh": "1"}});
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (fresh && fresh.innerHTML !== shown().innerHTML) shown().replaceWith(fresh);
  } catch (error) { /* The sandbox was stopped; the last picture stays. */ }
}, 2000);
"""


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def safe(value: Any) -> Html:
    """Return a value as HTML.

    :param value: text to escape, or :class:`Html` to keep.
    """
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def tag(name: str, *content: Any, kind: str = "") -> Html:
    """Return an element.

    :param name: its tag.
    :param content: what is in it.
    :param kind: its class.
    """
    opening = f'{name} class="{html.escape(kind)}"' if kind else name
    return Html(f"<{opening}>{joined(content)}</{name}>")


def joined(parts: Iterable[Any]) -> Html:
    """Return parts one after another.

    :param parts: text and HTML.
    """
    return Html("".join(safe(part) for part in parts))


def link(address: str, text: Any) -> Html:
    """Return a link.

    :param address: where it leads.
    :param text: what it says.
    """
    return Html(f'<a href="{html.escape(address)}">{safe(text)}</a>')


def badge(text: Any, kind: str = "") -> Html:
    """Return a small label.

    :param text: what it says.
    :param kind: "good", "warn", "bad" or nothing.
    """
    return tag("span", text, kind=f"badge {kind}".strip())


def table(columns: Sequence[str], rows: Iterable[Any]) -> Html:
    """Return a table.

    :param columns: headings; "#" before one means numbers, "!" means that it is not broken into lines.
    :param rows: cells in the order of the columns, or finished rows.
    """
    kinds = [{"#": "n", "!": "k", "~": "p"}.get(column[:1], "") for column in columns]
    heads = (tag("th", column.lstrip("#!~"), kind=kind) for column, kind in zip(columns, kinds, strict=True))
    return tag("table", tag("tr", *heads), *(row if isinstance(row, Html) else table_row(kinds, row) for row in rows))


def table_row(kinds: Sequence[str], cells: Iterable[Any], kind: str = "") -> Html:
    """Return a row of a table.

    :param kinds: the classes of its cells.
    :param cells: what is in them.
    :param kind: its own class.
    """
    return tag("tr", *(tag("td", cell, kind=each) for each, cell in zip(kinds, cells, strict=True)), kind=kind)


def amount(value: Any) -> str:
    """Return an amount with two places, its thousands set apart.

    :param value: a number.
    """
    return f"{Decimal(str(value)):,.2f}".replace(",", "\N{NO-BREAK SPACE}")


def number(value: Any) -> str:
    """Return a number as it was sent, or nothing.

    :param value: a number or None.
    """
    return "" if value is None else str(value)


def nothing(text: str) -> Html:
    """Return a card that says there is nothing."""
    return tag("div", tag("p", text, kind="empty"), kind="card")


def document(title: str, heading: Any, about: Any, main: Any) -> str:
    """Return a whole page.

    :param title: of the window.
    :param heading: of the page.
    :param about: a line below it.
    :param main: its content.
    """
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{safe(title)}</title>'
    top = tag("header", tag("h1", heading), tag("p", about))
    body = f"{top}<main>{safe(main)}</main><script>{_REFRESH}</script>"
    return f'<!doctype html><html lang="en"><head>{head}<style>{_style()}</style></head><body>{body}</body></html>'


@functools.cache
def _style() -> str:
    return resources.files("tfso_hypatos.sandbox").joinpath("page.css").read_text("utf-8")

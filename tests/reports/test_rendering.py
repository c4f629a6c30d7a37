"""What people read: nothing of it is markup, a formula or a second line."""

from __future__ import annotations

import csv
import datetime
import gc
import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.conftest import NOW, draft, order

from tfso_hypatos.flows.expected import Expected
from tfso_hypatos.flows.reconciliation import LineFacts
from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.reports.classify import Case, Finding
from tfso_hypatos.reports.page import MOST_SHOWN, write_html
from tfso_hypatos.reports.rows import COLUMNS, Row, Summary, row_of
from tfso_hypatos.reports.store import Store
from tfso_hypatos.reports.tables import cell, log_table, write_csv, write_json

PERIOD = (datetime.date(2026, 11, 1), datetime.date(2026, 11, 30))
EVIL = "<script>alert('x')</script>\"><img src=x onerror=y>&amp;"
T = TypeVar("T")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def summary(**changes: Any) -> Summary:
    return Summary(PERIOD, NOW, **changes)


def row(**changes: Any) -> Row:
    given = {"fields": {"sales_order_id": "1001"}, "findings": [("not_invoiced", "9 days old")], **changes}
    return Row(**given)


def page(rows: list[Row], **changes: Any) -> str:
    counts: Counter[str] = Counter(kind for each in rows for kind in each.classes)
    stream = io.StringIO()
    whole = summary(counts=counts, orders=len(rows), **changes)
    write_html(stream, whole, lambda kind, most: [each for each in rows if kind in each.classes][:most], rows)
    return stream.getvalue()


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @classmethod
    def of(cls, text: str) -> Tags:
        parser = cls()
        parser.feed(text)
        parser.close()
        assert parser._open == []
        return parser


def test_a_page_needs_nothing_else_and_runs_nothing() -> None:
    tags = Tags.of(page([row()]))
    assert not {"script", "link", "img", "iframe", "object"} & set(tags.tags)
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name == "src"]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in tags.attributes
    assert "url(" not in page([row()])
    assert "@media print" in page([row()])


def test_whatever_another_system_says_is_text_on_the_page() -> None:
    evil = row(
        fields=dict.fromkeys(COLUMNS, EVIL),
        findings=[("not_invoiced", EVIL)],
        url=f"https://erp.example/{EVIL}",
        repair=EVIL,
    )
    tags = Tags.of(page([evil], notes=[EVIL], repair_mode="apply", repairs=Counter(done=1)))
    assert not {"script", "img"} & set(tags.tags)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert any(EVIL in text for text in tags.texts)


@given(TEXTS)
def test_any_text_is_text_on_the_page(text: str) -> None:
    before = Tags.of(page([row(fields={"order_key": ""}, findings=[("not_invoiced", "")])])).tags
    assert Tags.of(page([row(fields={"order_key": text}, findings=[("not_invoiced", text)])])).tags == before


def test_a_page_shows_a_class_with_its_meaning_and_no_class_without_orders() -> None:
    text = page([row(), row(findings=[])])
    assert '<section id="not_invoiced">' in text
    assert "The order is older than the days allowed and not invoiced." in text
    assert '<section id="not_posted">' not in text
    assert '<section id="in_order">' not in text


def test_a_page_says_how_many_orders_it_leaves_out() -> None:
    text = page([row()] * (MOST_SHOWN + 7))
    assert "And 7 more: the CSV file has all of them." in text
    assert text.count("<td") < (MOST_SHOWN + 30) * 7


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1", "\t=1", "\n=1", "＝1", "|calc", "%0A"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    stream = io.StringIO()
    write_csv(stream, [row(fields={"order_key": text, "gross_amount": "-12.50"}, repair=text)])
    (read,) = csv.DictReader(io.StringIO(stream.getvalue().removeprefix("\ufeff"), newline=""))
    assert read["order_key"] == read["repair"] == f"'{text}"
    assert read["gross_amount"] == "-12.50"


@given(TEXTS)
def test_a_cell_is_the_text_or_the_text_behind_an_apostrophe(text: str) -> None:
    shown = cell(text)
    assert shown in (text, f"'{text}")
    harmless = shown.lstrip()[:1] not in ("=", "+", "-", "@")
    assert harmless or shown.lstrip("-").replace(".", "", 1).isdigit()


@given(st.lists(TEXTS, max_size=5))
def test_csv_and_json_hold_every_order(keys: list[str]) -> None:
    rows = [row(fields={"order_key": key}) for key in keys]
    table, whole = io.StringIO(newline=""), io.StringIO()
    write_csv(table, rows)
    write_json(whole, summary(), rows)
    read = list(csv.DictReader(io.StringIO(table.getvalue().removeprefix("\ufeff"), newline="")))
    assert [each["order_key"] for each in read] == [cell(key) for key in keys]
    assert [each["order_key"] for each in json.loads(whole.getvalue())["orders"]] == keys


def test_a_row_is_one_line_of_bearable_length() -> None:
    case = Case(order(currency="N\r\nOK"), expected=Expected("web\n1", "k"))
    made = row_of(case, [Finding(OrderClass.ENRICHMENT_DIFFERS, "a\x1b[31m\r\nb" + "x" * 900)], None, None, "c\nd")
    assert (made.fields["currency"], made.fields["order_key"], made.repair) == ("N OK", "web 1", "c d")
    assert made.details.startswith("a [31m b")
    assert len(made.details) == 600


def test_the_log_names_orders_by_their_ids_only() -> None:
    shown = "\n".join(log_table(summary(orders=1), [row(fields={"sales_order_id": "1001", "order_key": "Kari"})]))
    assert "1001" in shown
    assert "Kari" not in shown


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    one, two = order(), draft(order_id=1002, rate=order().net, key=None)
    source = Expected("web-1", "k" * 16, "c", order().net, LineFacts(2, order().gross, "l"), "A")
    with Store(tmp_path / "db") as store:
        store.add_orders([one, two, one])
        assert store.add_expected(source)
        assert not store.add_expected(source)
        assert list(store.chunks()) == [[one, two]]
        assert store.expected_for(one) == source
        assert store.expected_for(two) is None
        assert store.invoice_days() == (one.invoice_date, one.invoice_date)
        store.add_row(row(url="u", repair="r"))
        assert list(store.rows()) == list(store.repaired()) == [row(url="u", repair="r")]
        assert list(store.rows_of("not_invoiced", 5)) == list(store.rows())
        assert list(store.rows_of("not_posted", 5)) == []


def test_inactive_orders_are_no_twins(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        store.add_orders(
            [order(), draft(order_id=1002), draft(order_id=1003, status="Inactive"), order(order_id=9, key="o")]
        )
        assert [twin.order_id for twin in store.twins(order())] == [1002]
        assert store.twins(draft(key=None)) == ()


def collecting(items: Iterable[T]) -> Iterator[T]:
    """Return items, and collect what is left of those before: the JSON encoder leaves circles behind."""
    for number, item in enumerate(items):
        if number % 100 == 0:
            gc.collect()
        yield item


def peak_of(count: int, folder: Path) -> int:
    """Return the most bytes that a report of so many orders, none of them in order, takes at a time."""
    whole = summary(orders=count, counts=Counter({"not_invoiced": count}))
    folder.mkdir()
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    with Store(folder / "db") as store, (folder / "out").open("w", encoding="utf-8") as stream:
        for number in collecting(range(count)):
            store.add_orders([draft(order_id=number, key=f"{number:016}")])
        for chunk in store.chunks():
            for facts in collecting(chunk):
                case = Case(facts, store.twins(facts), lines=LineFacts(1, facts.net, "l"))
                store.add_row(row_of(case, [Finding(OrderClass.NOT_INVOICED, "old")], None, None, None))
        write_csv(stream, collecting(store.rows()))
        write_json(stream, whole, collecting(store.rows()))
        write_html(stream, whole, lambda kind, most: collecting(store.rows_of(kind, most)), store.repaired())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    gc.unfreeze()
    return peak


def test_memory_does_not_grow_with_the_orders(tmp_path: Path) -> None:
    peak_of(10, tmp_path / "first")
    # More than two chunks, which are in memory at once while one follows the other, and twice as many.
    few, many = peak_of(410, tmp_path / "few"), peak_of(820, tmp_path / "many")
    # Kept in memory, one order would take a thousand bytes or more.
    assert many - few < 410 * 400, (few, many)

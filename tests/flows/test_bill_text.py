from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from tfso_hypatos.flows.approval import Bill
from tfso_hypatos.flows.bill_text import MOST_LINES, due, markdown, quoted, subject
from tfso_hypatos.models.base import read, validate
from tfso_hypatos.models.tfso import InvoiceDetails
from tfso_hypatos.models.tfso_read import InvoiceRead, SalesOrder, SalesOrderLine


def bill(order: dict[str, Any], *lines: dict[str, Any]) -> Bill:
    read_lines = [read(SalesOrderLine, {"id": n, **line}, "") for n, line in enumerate(lines, 1)]
    return Bill(read(SalesOrder, {"id": 7, "status": "Draft", **order}, ""), read_lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Rørdeler 15 mm", "`Rørdeler 15 mm`"),
        ("<script>alert(1)</script>", "`<script>alert(1)</script>`"),
        ("[pay](https://evil.example)", "`[pay](https://evil.example)`"),
        ("`code` and ``more``", "`'code' and ''more''`"),
        ("a | b \\| c", "`a ¦ b \\¦ c`"),
        ("two\nlines\r\n# heading\x85\u2028x", "`two lines # heading x`"),
        ("\u202e00.1\u200b \x00", "`00.1`"),
        ("\u2066\u202d", "–"),
        ("", "–"),
        (None, "–"),
        ("x" * 301, f"`{'x' * 300}…`"),
    ],
)
def test_a_text_of_somebody_else_is_never_markup(text: str | None, shown: str) -> None:
    assert quoted(text) == shown


def test_every_text_of_an_order_is_quoted() -> None:
    nasty = "|x` <b>\n| y"
    text = markdown(
        bill(
            {"customer": {"id": 1, "name": nasty}, "currency": {"code": "<b>"}, "grossAmount": 1},
            {"description": nasty, "quantity": 1, "price": 1},
        ),
        nasty,
        None,
    )
    assert text.count("`¦x' <b> ¦ y`") == 3
    assert text.replace("`¦x' <b> ¦ y`", "").count("<b>") == 0
    (row,) = [line for line in text.splitlines() if line.startswith("| `")]
    assert row.count("|") == 5


def test_amounts_keep_every_digit() -> None:
    order = {"currency": {"code": "NOK"}, "netAmount": Decimal("1234567.5"), "grossAmount": Decimal("1.005")}
    line = {
        "description": "x",
        "quantity": Decimal("0.10"),
        "price": Decimal("0.333"),
        "discountRate": Decimal("12.50"),
    }
    text = markdown(bill(order, {**line, "tax": {"rate": 15}}), None, None)
    assert "| `x` | 0.1 × 0.333 | 12.5 % | 15 % |" in text
    assert "| Net | 1234567.50 NOK |" in text
    assert "| **Total** | 1.005 NOK |" in text
    assert "| VAT | not shown by 24SevenOffice NOK |" in text


def test_what_is_not_shown_is_said() -> None:
    text = markdown(
        bill({}, {"type": "text", "description": "Takk"}, {"product": {"id": 3}, "quantity": 2}), None, None
    )
    assert "**Customer:** not shown by 24SevenOffice" in text
    assert "| `Takk` |  |  |  |" in text
    assert "| `Product 3` | 2 × 0.00 |  |  |" in text
    assert "(currency not shown)" in text
    assert "**Due:** as 24SevenOffice decides" in text


def test_a_long_bill_says_how_much_is_left_out() -> None:
    lines = [{"description": f"line {n}", "quantity": 1, "price": 1} for n in range(MOST_LINES + 3)]
    text = markdown(bill({}, *lines), None, None)
    assert text.count("| `line ") == MOST_LINES
    assert "**And 3 more lines, which are in the total.**" in text


def test_the_headline_names_the_total() -> None:
    order = bill({"grossAmount": Decimal("688.1"), "currency": {"code": "EUR"}}).order
    assert subject(order) == "Invoice sales order 7: 688.10 EUR?"


DAYS = {"type": "NumberOfDays", "value": 14}


@pytest.mark.parametrize(
    ("of_order", "given", "said"),
    [
        ({}, {"dueDate": "2026-12-24", "paymentTerms": DAYS}, "2026-12-24"),
        ({}, {"paymentTerms": DAYS}, "14 days after the invoice date"),
        ({}, {"paymentTerms": {**DAYS, "value": 1}}, "1 day after the invoice date"),
        ({}, {"paymentTerms": DAYS, "date": "2026-12-20"}, "2027-01-03 (14 days after the invoice date, 2026-12-20)"),
        ({"date": "2026-12-20"}, {"paymentTerms": DAYS}, "2027-01-03 (14 days after the invoice date, 2026-12-20)"),
        ({}, {"paymentTerms": {"type": "FixedDate", "value": "2026-12-31"}}, "2026-12-31"),
        (
            {},
            {"paymentTerms": {"type": "OutMonthPlusDays", "value": 10}},
            "10 days after the end of the month of the invoice date",
        ),
        ({"dueDate": "2026-12-01"}, {}, "2026-12-01"),
        ({"dueDate": "2026-12-01"}, {"paymentTerms": DAYS}, "14 days after the invoice date"),
        (
            {"dueDate": "2026-12-01", "paymentTerms": DAYS},
            {"date": "2026-12-20"},
            "2027-01-03 (14 days after the invoice date, 2026-12-20)",
        ),
        ({"paymentTerms": {"type": "NewMoon"}}, {}, "as 24SevenOffice decides"),
        ({"paymentTerms": {"type": "NumberOfDays", "value": 10**9}, "date": "2026-12-20"}, {}, "1000000000 days after"),
    ],
)
def test_the_due_date_is_told_as_far_as_it_is_known(of_order: Any, given: Any, said: str) -> None:
    details = validate(InvoiceDetails, given, "") if given else None
    assert due(read(InvoiceRead, of_order, ""), details).startswith(said)


def test_without_an_invoice_part_the_due_date_is_not_known() -> None:
    assert due(None, None) == "as 24SevenOffice decides"
    assert due(None, InvoiceDetails(due_date=datetime.date(2026, 12, 1))) == "2026-12-01"

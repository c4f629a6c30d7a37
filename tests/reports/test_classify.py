"""What is the matter with an order, decided by what was read."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.conftest import LONG_AGO, NOW, draft, order, record

from tfso_hypatos.flows.expected import Expected
from tfso_hypatos.flows.reconciliation import LineFacts
from tfso_hypatos.reports.classes import MEANINGS, OrderClass
from tfso_hypatos.reports.classify import Case, Rules, classify

RULES = Rules(NOW)
LINES = LineFacts(1, Decimal(100), "l")
EMPTY = LineFacts(0, Decimal(0), "")
JUST_NOW = NOW - datetime.timedelta(minutes=59)
OTHER = {"order_id": 1002, "invoice_number": 10002}


def kinds(case: Case, rules: Rules = RULES) -> list[str]:
    return [finding.kind.value for finding in classify(case, rules)]


def detail(case: Case, kind: str) -> str:
    (found,) = [finding.detail for finding in classify(case, RULES) if finding.kind == kind]
    return found


def asked(**changes: Any) -> dict[str, Any]:
    return {"record_asked": True, "record": record(**changes)}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case(order()), []),
        (Case(order(), ledger=frozenset({"t-1", "T-9"})), []),
        (Case(order(), **asked()), []),
        (Case(draft(), lines=LINES), ["not_invoiced"]),
        (Case(draft(created_at=NOW - datetime.timedelta(days=7)), lines=LINES), []),
        (Case(draft(created_at=NOW - datetime.timedelta(days=8)), lines=LINES), ["not_invoiced"]),
        (Case(draft(date=NOW.date() + datetime.timedelta(days=90)), lines=LINES), []),
        (Case(draft(date=None, created_at=None), lines=LINES), ["not_invoiced"]),
        (Case(draft(date=None, created_at=None, modified_at=JUST_NOW), lines=LINES), []),
        (Case(draft(status="Confirmed", invoice_number=7), lines=LINES), ["invoicing_unconfirmed"]),
        (Case(draft(status="Confirmed", invoice_number=7, modified_at=JUST_NOW), lines=LINES), []),
        (Case(draft(status="AdvanceInvoice", invoice_number=7, date=NOW.date()), lines=LINES), []),
        (Case(draft(status="Inactive", key=None)), []),
        (Case(draft(status="Inactive"), expected=Expected("web-1", "k" * 16)), ["not_found"]),
        (Case(draft(status="Inactive"), expected=Expected("web-1", "k" * 16), twins=(order(**OTHER),)), []),
        (Case(draft(asked_to_invoice=True), lines=LINES), ["invoicing_unconfirmed"]),
        (Case(draft(asked_to_invoice=True, modified_at=JUST_NOW), lines=LINES), []),
        (Case(draft(status="SomethingNew"), lines=LINES), ["not_invoiced"]),
        (Case(order(transaction_id=None)), ["not_posted"]),
        (Case(order(transaction_id=None), ledger=frozenset()), ["not_posted"]),
        (Case(order(transaction_id=None), ledger=frozenset({"T-1"})), []),
        (Case(order(transaction_id=None, invoice_date=NOW.date())), []),
        (Case(order(transaction_id=None, invoice_date=None, date=None)), ["not_posted"]),
        (Case(order(), ledger=frozenset()), ["ledger_differs"]),
        (Case(order(), ledger=frozenset({"T-9"})), ["ledger_differs"]),
        (Case(order(transaction_id="{T-1}"), ledger=frozenset({"t-1"})), []),
        (Case(order(), record_asked=True), ["not_enriched"]),
        (Case(order(), **asked(transaction_id=None)), ["not_enriched"]),
        (Case(order(), **asked(order_id=None)), []),
        (Case(order(), **asked(order_id="77")), ["enrichment_differs"]),
        (Case(order(), **asked(gross=Decimal("125.01"))), ["enrichment_differs"]),
        (Case(order(), **asked(gross=None, currency=None, invoice_number=None)), []),
        (Case(order(), **asked(currency="SEK")), ["enrichment_differs"]),
        (Case(order(), **asked(invoice_number="9")), ["enrichment_differs"]),
        (Case(order(), **asked(transaction_id="T-9")), ["enrichment_differs"]),
        (Case(order(), lines=LINES, **asked(lines=2)), ["enrichment_differs"]),
        (Case(order(transaction_id=None, invoice_date=NOW.date()), record_asked=True), []),
        (Case(draft(), lines=EMPTY), ["stray_without_lines"]),
        (Case(draft(key=None, rate=Decimal(2)), lines=EMPTY), ["not_invoiced", "marker_missing"]),
        (Case(draft(modified_at=JUST_NOW), lines=EMPTY), []),
        (Case(order(key=None)), ["marker_missing"]),
        (Case(order(), twins=(order(**OTHER),)), ["two_invoices"]),
        (Case(order(modified_at=JUST_NOW), twins=(order(**OTHER),)), ["two_invoices"]),
        (Case(order(), twins=(draft(order_id=1002),)), ["two_orders"]),
        (Case(order(), twins=(draft(order_id=1002, modified_at=JUST_NOW),)), []),
        (Case(order(), twins=(draft(order_id=1002, content="other"),)), ["content_drift", "two_orders"]),
        (Case(order(), lines=LineFacts(2, Decimal("100.02"), "l")), ["content_drift"]),
        (Case(order(), lines=LineFacts(2, Decimal("100.015"), "l")), []),
        (Case(order(rate=Decimal("11.5")), lines=LineFacts(1, Decimal(5), "l")), []),
        (Case(order(rate=Decimal("1.0")), lines=LineFacts(1, Decimal(5), "l")), ["content_drift"]),
        (Case(order(), lines=LineFacts(1, Decimal(125), "l")), []),
        (Case(order(net=None, gross=None), lines=LINES), []),
    ],
)  # fmt: skip
def test_an_order_is_what_was_read_of_it(case: Case, expected: list[str]) -> None:
    assert kinds(case) == expected


SOURCE = Expected("web-1", "k" * 16, "c" * 10, None, LINES)


@pytest.mark.parametrize(
    ("source", "lines", "said"),
    [
        (SOURCE, LINES, None),
        (SOURCE, None, None),
        (replace(SOURCE, content="other"), None, "the fingerprint in the marker is not that of the source"),
        (replace(SOURCE, lines=LineFacts(2, Decimal(100), "l")), LINES, "1 line, in the source 2"),
        (
            replace(SOURCE, lines=LineFacts(1, Decimal(100), "other")),
            LINES,
            "quantities, prices or discounts are not those of the source",
        ),
        (replace(SOURCE, lines=LineFacts(1, Decimal("100.01"), "other")), None, None),
        (
            replace(SOURCE, lines=LineFacts(1, Decimal("100.02"), "other")),
            None,
            "net amount 100.00, the lines of the source come to 100.02",
        ),
        (replace(SOURCE, lines=LineFacts(1, None, None)), LINES, None),
        (replace(SOURCE, lines=None, net=Decimal("100.004")), None, None),
        (replace(SOURCE, customer_id=42, currency="nok", payment_method_id=5), None, None),
        (replace(SOURCE, customer_id=43), None, "customer 42, in the source 43"),
        (replace(SOURCE, currency="EUR"), None, "currency NOK, in the source EUR"),
        (replace(SOURCE, payment_method_id=6), None, "payment method 5, in the source 6"),
        (replace(SOURCE, lines=None, net=Decimal("100.01")), None, "net amount 100.00, in the source 100.01"),
    ],
)
def test_an_order_is_held_against_its_source(source: Expected, lines: LineFacts | None, said: str | None) -> None:
    case = Case(order(), expected=source, lines=lines)
    if said is None:
        assert kinds(case) == []
    else:
        assert detail(case, "content_drift") == said


def test_lines_that_come_one_by_one_are_no_drift_yet() -> None:
    case = Case(draft(modified_at=JUST_NOW, created_at=JUST_NOW), expected=replace(SOURCE, lines=LINES), lines=LINES)
    assert kinds(replace(case, lines=LineFacts(3, Decimal(5), "l"))) == []


def test_the_alarm_of_two_invoices_names_both() -> None:
    case = Case(order(), twins=(order(**OTHER), draft(order_id=1003)))
    assert detail(case, "two_invoices") == "also invoiced: order 1002; invoices 10001, 10002"


@given(
    st.sampled_from(["Draft", "Web", "Confirmed", "Invoice", "AdvanceInvoice", "Inactive", "Unheard", None]),
    st.booleans(),
    st.sampled_from([None, "T-1"]),
    st.sampled_from([None, LINES, LineFacts(0, Decimal(0), "")]),
    st.sampled_from([None, record(), record(gross=Decimal(1)), record(order_id=None, net=None)]),
    st.sampled_from([None, frozenset[str](), frozenset({"T-1"})]),
    st.sampled_from([None, JUST_NOW, LONG_AGO]),
)
def test_whatever_is_read_there_is_an_answer(
    status: Any, sent: bool, transaction: Any, lines: Any, found: Any, ledger: Any, modified: Any
) -> None:
    facts = order(status=status, asked_to_invoice=sent, transaction_id=transaction, modified_at=modified)
    case = Case(facts, lines=lines, record=found, record_asked=found is not None, ledger=ledger)
    urgency = list(OrderClass)
    places = [urgency.index(finding.kind) for finding in classify(case, RULES)]
    assert places == sorted(places)
    assert OrderClass.IN_ORDER not in [urgency[place] for place in places]


def test_every_class_says_what_it_means_and_what_to_do() -> None:
    assert set(MEANINGS) == set(OrderClass)
    sentences: Sequence[str] = [text for each in MEANINGS.values() for text in (each.about, each.next_step)]
    assert all(text.endswith(".") and len(text) > 20 for text in sentences)
    assert {each.urgency for each in MEANINGS.values()} == {"alarm", "act", "note", "good"}


def test_the_advice_never_bills_a_sale_twice() -> None:
    advice = MEANINGS[OrderClass.NOT_FOUND].next_step
    assert advice.startswith("First look among the customer's orders, those without a marker too, for this sale")
    assert advice.endswith("Run the DAG only if there is none.")


@pytest.mark.parametrize(
    ("status", "key", "is_a_persons"),
    [
        ("Draft", None, True),
        ("Proposal", None, True),
        ("Web", None, True),
        ("Confirmed", None, False),
        ("Draft", "k" * 16, False),
    ],
)
def test_nobody_is_told_to_bill_what_a_person_has_not_confirmed(
    status: str, key: str | None, is_a_persons: bool
) -> None:
    said = detail(Case(draft(status=status, key=key), lines=LINES), "not_invoiced")
    assert ("do not bill it unasked" in said) == is_a_persons


def test_an_order_without_any_date_is_late() -> None:
    case = Case(draft(date=None, created_at=None, modified_at=None), lines=LINES)
    assert detail(case, "not_invoiced") == "of unknown date, status Draft"

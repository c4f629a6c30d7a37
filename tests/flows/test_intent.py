from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.player import ME, RETRY, RIVAL, intent

from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.flows.intent import FIELD_LIMITS, Holder, Marker, key_of, marker_change, marker_of
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder

LINES = [{"description": "Coffee", "quantity": 3, "price": 99.90}, {"description": "Cups", "quantity": 1, "price": 10}]
ORDER: dict[str, Any] = {"customer": {"id": 7, "name": "Fjord & Fjell AS"}}


def content(order: Any = None, lines: Any = None, **more: Any) -> str:
    return intent(order or ORDER, lines or LINES, **more).marker.content


def test_one_content_has_one_fingerprint() -> None:
    other = [
        {"quantity": "1.0", "description": "Cups", "price": "10.00"},
        {**LINES[0], "price": "99.9", "quantity": 3.0},
    ]
    assert content(lines=other) == content()
    assert content(holder=RETRY) == content()
    assert content({**ORDER, "status": "Confirmed"}) == content()


@pytest.mark.parametrize(
    ("order", "lines"),
    [
        (None, [LINES[0]]),
        (None, [*LINES, LINES[0]]),
        (None, [{**LINES[0], "price": "99.91"}, LINES[1]]),
        (None, [{**LINES[0], "discountRate": 0}, LINES[1]]),
        (None, [{**LINES[0], "description": "coffee"}, LINES[1]]),
        ({**ORDER, "memo": "x"}, None),
        ({**ORDER, "internalMemo": "x"}, None),
        ({"customer": {"id": 8, "name": "Fjord & Fjell AS"}}, None),
        ({**ORDER, "deliveryDate": "2026-03-01"}, None),
    ],
)
def test_another_content_has_another_fingerprint(order: Any, lines: Any) -> None:
    assert content(order, lines) != content()


def test_the_key_belongs_to_an_organization_and_a_name() -> None:
    assert key_of("1", "23") != key_of("12", "3")
    assert key_of("1", "a") != key_of("2", "a")
    assert intent(organization="2").marker.key != intent().marker.key
    assert intent(holder=RIVAL).marker.key == intent().marker.key
    assert re.fullmatch("[a-z2-7]{16}", key_of("100000000000001", "Bestilling æøå 7"))


def test_the_key_is_the_same_however_it_is_typed() -> None:
    composed, decomposed = "Blåbær", "Bla\u030abær"
    assert composed != decomposed
    assert key_of("1", f" {decomposed}\n") == key_of("1", composed)
    assert intent(key=f"\t{decomposed} ").marker.key == intent(key=composed).marker.key
    assert key_of("1", "web 1") != key_of("1", "web  1")


@pytest.mark.parametrize("key", ["", " ", "None", "null", "nan", "undefined", " NaN\n", "NULL", "Undefined"])
def test_what_a_template_makes_of_a_missing_value_is_no_key(key: str) -> None:
    with pytest.raises(InvalidInput) as error:
        intent(key=key)
    assert [str(problem) for problem in error.value.problems] == [
        "order_key: must not be empty, nor what a template makes of a missing value"
    ]


@pytest.mark.parametrize("key", ["none-7", "0", "nano", "-"])
def test_what_only_begins_like_one_is_a_key(key: str) -> None:
    assert intent(key=key).order_key == key


def test_no_two_processes_are_the_same_holder() -> None:
    holders = {Holder.of("a", "r1", "create", 5, 1) for _ in range(50)}
    assert len({str(holder) for holder in holders}) == 50
    assert len({holder.run for holder in holders}) == 1
    assert {holder.map_index for holder in holders} == {5}
    runs = {Holder.of(dag, run, "create", -1, 1).run for dag in ("a", "b", "ab") for run in ("r", "br")}
    assert len(runs) == 6
    assert RETRY.run == ME.run != RIVAL.run


@pytest.mark.parametrize(
    "text",
    ["", "abc", "A" * 12, "a" * 11, "a" * 12 + "g", "1" * 12, f"{ME} ", f"af:{ME}", str(intent().marker)],
    ids=["empty", "short", "capitals", "one short", "odd index", "digits", "a blank", "a prefix", "a marker"],
)
def test_text_that_is_no_holder_is_none(text: str) -> None:
    assert Holder.parse(text) is None


@given(st.integers(min_value=-1, max_value=2**31))
def test_a_holder_survives_its_text(index: int) -> None:
    holder = Holder.of("orders", "run", "create", index, 1)
    marker = Marker("a" * 16, "b" * 10, holder)
    assert Marker.in_text(f"before {marker} after") == marker
    assert Marker.in_text(f"before {marker.sent()} after") == marker.sent() != marker
    assert Holder.parse(str(holder)) == holder
    assert holder.map_index == index


def test_only_a_mark_right_behind_the_marker_says_that_the_order_is_being_invoiced() -> None:
    marker = intent().marker
    for text, invoicing in ((f"{marker}!", True), (f"{marker}! {marker}", True), (f"{marker} !", False)):
        found = Marker.in_text(text)
        assert found is not None
        assert found.invoicing is invoicing
    assert marker.sent().held_by(RIVAL).invoicing
    assert marker.sent().sent() == marker.sent()


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_a_marker_survives_beside_any_text(text: str) -> None:
    marker = intent().marker
    if Marker.in_text(text) is None:
        both = marker.put_into(text)
        assert Marker.in_text(both) == marker
        assert both.removesuffix(str(marker)).removesuffix("\n") == text
        taken = marker.held_by(RIVAL)
        assert Marker.in_text(taken.put_into(both)) == taken
        assert len(taken.put_into(both)) == len(both)
        sent = marker.sent().put_into(both)
        assert sent == f"{both}!"
        assert marker.put_into(sent) == both


def test_the_marker_stands_behind_the_callers_memo() -> None:
    marked = intent({**ORDER, "internalMemo": "Ring first"})
    assert marked.order.internal_memo == f"Ring first\n{marked.marker}"
    assert intent(ORDER).order.internal_memo == str(intent(ORDER).marker)


def test_memo_and_the_longest_marker_share_three_hundred_characters() -> None:
    longest = Holder.of("orders", "run-2", "create", 0xFFFFF, 1)
    assert len(str(intent(holder=longest).marker.sent())) == 49
    marked = intent({**ORDER, "internalMemo": "m" * 250})
    assert marked.order.internal_memo == "m" * 250 + f"\n{marked.marker}"
    taken = marker_change(seen(internalMemo=marked.order.internal_memo), marked.marker.held_by(longest).sent())
    assert len(taken["internalMemo"]) == FIELD_LIMITS["internalMemo"] == 300
    for holder in (ME, longest):
        with pytest.raises(InvalidInput) as error:
            intent({**ORDER, "internalMemo": "m" * 251}, holder=holder)
        assert str(error.value) == (
            "order.internalMemo: at most 250 characters, because the marker of up to 49 characters is put behind it "
            "(nothing was sent)"
        )


@pytest.mark.parametrize("place", ["internalMemo", "referenceNumber"])
@pytest.mark.parametrize("field", ["internalMemo", "referenceNumber"])
def test_the_marker_of_another_order_is_refused_in_the_callers_own_text(place: str, field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^order\.{place}: holds the marker of another order \(af:\.\.\.\)"):
        intent({**ORDER, place: str(intent(key="web-9").marker)}, marker_field=field)


def test_the_marker_can_stand_in_the_reference_number() -> None:
    longest = Holder.of("orders", "run", "create", 9_999_999, 1)
    marked = intent({**ORDER, "internalMemo": "m" * 300}, holder=longest, marker_field="referenceNumber")
    assert marked.order.reference_number == str(marked.marker)
    assert len(str(marked.marker.sent())) <= 50
    assert marked.order.internal_memo == "m" * 300
    with pytest.raises(InvalidInput, match=r"order\.referenceNumber: must be left out"):
        intent({**ORDER, "referenceNumber": "PO 7"}, marker_field="referenceNumber")


def test_every_broken_rule_is_named() -> None:
    bad = {"customer": {"name": "x"}, "nonsense": 1, "status": "Invoice"}
    with pytest.raises(InvalidInput) as error:
        intent(bad, [{"price": "NaN"}, {}, {"price": 0.1 + 0.2}], key=" ", marker_field="memo")
    places = {problem.place for problem in error.value.problems}
    assert {"order.customer.id", "order.nonsense", "order.status", "order_key", "marker_field"} <= places
    assert {place[:8] for place in places} >= {"lines[0]", "lines[1]", "lines[2]"}


@pytest.mark.parametrize("lines", [[], (), None, "[]", {"description": "x"}])
def test_an_order_needs_a_list_of_lines(lines: Any) -> None:
    with pytest.raises(InvalidInput, match="lines"):
        intent(ORDER, lines)


def seen(**fields: Any) -> SalesOrder:
    return read(SalesOrder, {"id": 5, **fields}, "an order")


def test_a_marker_is_found_and_changed_in_either_field() -> None:
    marker = intent().marker
    for name in FIELD_LIMITS:
        order = seen(**{name: f"PO {marker} x"})
        assert marker_of(order) == (name, marker)
        assert marker_change(order, marker.held_by(RIVAL)) == {name: f"PO {marker.held_by(RIVAL)} x"}
    assert marker_of(seen(internalMemo="af:short/short/short"))[1] is None
    assert marker_change(seen(internalMemo="Hi", referenceNumber="PO"), marker) == {"internalMemo": f"Hi\n{marker}"}
    with pytest.raises(InvalidInput, match="sales order 5 has no room for the marker: at most 300"):
        marker_change(seen(internalMemo="m" * 290), marker)

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfso_hypatos.flows.compare import differences, header_differences, plan_lines
from tfso_hypatos.models.base import read, validate
from tfso_hypatos.models.tfso import Line, SalesOrderCreate
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine


def want(**fields: Any) -> Line:
    return validate(Line, fields, "line")


def have(line_id: int, **fields: Any) -> SalesOrderLine:
    return read(SalesOrderLine, {"id": line_id, **fields}, "a line")


KINDS = [("Coffee", "99.90", "3"), ("Cups", "10", "1"), ("Tea", "0.1", "2.50"), ("Freight", "-5", "1")]
kinds = st.sampled_from(range(len(KINDS)))


def wanted_of(kind: int) -> Line:
    name, price, quantity = KINDS[kind]
    return want(description=name, price=price, quantity=quantity)


def shown_as(kind: int, line_id: int) -> SalesOrderLine:
    name, price, quantity = KINDS[kind]
    numbers = {"price": Decimal(price).normalize(), "quantity": Decimal(quantity) * Decimal("1.000")}
    return have(
        line_id, description=name, **numbers, tax={"id": 1, "rate": 25}, account={"number": 3000}, type="product"
    )


@given(st.data(), st.lists(kinds, min_size=1, max_size=8), st.lists(kinds, max_size=8), st.integers(0, 3))
def test_lines_are_compared_as_multisets(data: st.DataObject, wanted: list[int], there: list[int], odd: int) -> None:
    ids = data.draw(st.permutations(range(1, len(there) + odd + 1)))
    present = [shown_as(kind, line_id) for kind, line_id in zip(there, ids, strict=False)]
    strange = [have(line_id, description="Strange", price=1, quantity=1) for line_id in ids[len(there) :]]
    plan = plan_lines([wanted_of(kind) for kind in wanted], data.draw(st.permutations(present + strange)))

    ours = {
        kind: sorted(line.id for line, is_of in zip(present, there, strict=True) if is_of == kind)
        for kind in set(wanted)
    }
    kept = {kind: found[: wanted.count(kind)] for kind, found in ours.items()}
    missing = {kind: wanted.count(kind) - len(found) for kind, found in kept.items()}
    assert sorted(line.description or "" for line in plan.missing) == sorted(
        KINDS[kind][0] for kind, count in missing.items() for _ in range(count)
    )
    surplus = [line_id for kind, found in ours.items() for line_id in found[wanted.count(kind) :]]
    assert sorted(plan.surplus) == sorted(surplus)
    assert len(plan.foreign) == odd + len([kind for kind in there if kind not in wanted])
    matched = [line_id for line_id in plan.matched if line_id is not None]
    assert sorted(matched) == sorted(line_id for found in kept.values() for line_id in found)
    for kind, line_id in zip(wanted, plan.matched, strict=True):
        assert line_id is None or line_id in ours[kind]
    assert plan.complete == (not plan.missing and not plan.surplus and not plan.foreign)


@pytest.mark.parametrize(
    ("wanted", "present", "found"),
    [
        ({"price": "1.50"}, {"price": Decimal("1.5000")}, []),
        ({"price": "1.50"}, {"price": 1.51}, ["price"]),
        ({"price": 0}, {}, []),
        ({"price": 5}, {}, ["price"]),
        ({"quantity": 1}, {}, ["quantity"]),
        ({"discountRate": "0.00"}, {}, []),
        ({"discountRate": 10}, {}, ["discountRate"]),
        ({"description": "Kaffe  på\nkontoret"}, {"description": " Kaffe på kontoret "}, []),
        ({"description": "Kaffe"}, {}, ["description"]),
        ({"product": {"id": 7}}, {"product": {"id": 7, "number": "A-7"}}, []),
        ({"product": {"id": 7}}, {"product": {"number": "A-7"}}, ["product.id"]),
        ({"product": {"id": 7}}, {}, ["product"]),
        ({"product": {"id": 7, "number": "ignored"}}, {"product": {"id": 7, "number": "A-7"}}, []),
        ({"tax": {"rate": 25}}, {"tax": {"rate": 15}}, ["tax.rate"]),
        ({"tax": {"rate": 25}}, {}, []),
        ({"account": {"name": "Sales"}}, {"account": {"name": "Salg", "number": 3000}}, []),
        ({"isHidden": True}, {"isHidden": False}, []),
        ({"type": "text"}, {"type": "product"}, []),
        ({"product": {"number": "A-7"}}, {"product": {"id": 7, "number": "B-8"}}, []),
        ({"product": {"number": "A-7"}}, {}, []),
        ({"description": 'Fjord & <Fjell> "AS"'}, {"description": "Fjord &amp; &lt;Fjell&gt; &quot;AS&quot;"}, []),
        ({"description": "Fjord &amp; Fjell"}, {"description": "Fjord & Fjell"}, []),
        ({"description": "Fjord & Fjell"}, {"description": "Fjord Fjell"}, ["description"]),
        ({"description": "x"}, {"description": "x", "price": 7, "tax": {"id": 1}, "type": "product"}, []),
    ],
)
def test_what_the_caller_gave_is_compared(wanted: Any, present: Any, found: list[str]) -> None:
    assert differences(want(**wanted).to_wire(), have(1, **present).model_dump(by_alias=True)) == found


def test_lists_are_compared_as_subsets() -> None:
    first, second = ({"dimensionType": 1, "value": "7", "name": "A"}, {"dimensionType": 2, "value": "8", "name": "B"})
    line = want(dimensions=[first, second]).to_wire()
    own = {"dimensionType": 9, "value": "0", "name": "Of the customer"}

    def found(*shown: Any) -> list[str]:
        return differences(line, have(1, dimensions=list(shown)).model_dump(by_alias=True))

    assert found(second, first) == []
    assert found(own, second, first) == []
    assert found(second) == ["dimensions"]
    assert found({**first, "value": "9"}, second) == ["dimensions"]
    assert differences(line, have(1).model_dump(by_alias=True)) == []
    customer = {"id": 7, "name": "A", "invoiceEmailAddresses": ["a@example.com"]}
    wanted = validate(SalesOrderCreate, {"customer": customer}, "order")
    for shown, places in (
        (["b@example.com", "a@example.com"], []),
        (["b@example.com"], ["customer.invoiceEmailAddresses"]),
    ):
        present = read(SalesOrder, {"id": 1, "customer": {**customer, "invoiceEmailAddresses": shown}}, "it")
        assert header_differences(wanted, present, but=frozenset()) == places


def test_what_was_given_as_null_is_not_compared() -> None:
    assert differences({"price": None, "product": None}, {"price": 5, "product": {"id": 7}}) == []
    assert differences({"product": {"id": None}}, {"product": {"id": 7}}) == []


def test_state_and_memo_move_on_and_the_rest_of_the_header_does_not() -> None:
    given = {
        "customer": {"id": 7, "name": "A"},
        "status": "Draft",
        "internalMemo": "m",
        "memo": "x",
        "date": "2026-03-02",
    }
    wanted = validate(SalesOrderCreate, given, "order")
    shown = {"id": 1, **given, "status": "Confirmed", "internalMemo": "other"}
    assert header_differences(wanted, read(SalesOrder, shown, "it"), but=frozenset()) == []
    edited = read(SalesOrder, {**shown, "memo": "y", "customer": {"id": 8, "name": "A"}, "date": "2026-03-03"}, "it")
    assert sorted(header_differences(wanted, edited, but=frozenset({"date"}))) == ["customer.id", "memo"]

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.test_compare import have, want

from tfso_hypatos.flows import compare
from tfso_hypatos.flows.compare import plan_lines


def test_two_equal_lines_may_both_be_wanted() -> None:
    cups = want(description="Cups", price=10)
    plan = plan_lines([cups, cups], [have(4, description="Cups", price="10.00")])
    assert (plan.missing, plan.surplus, plan.matched) == ((cups,), (), (4, None))
    both = [have(9, description="Cups", price=10), have(4, description="Cups", price=10)]
    assert plan_lines([cups, cups], both).complete
    assert plan_lines([cups], both).surplus == (9,)


def test_a_vague_line_leaves_the_exact_one_to_its_match() -> None:
    vague, exact = want(description="Cups"), want(description="Cups", price=10)
    present = [have(1, description="Cups", price=10), have(2, description="Cups", price=20)]
    for wanted in ([vague, exact], [exact, vague]):
        plan = plan_lines(wanted, present)
        assert plan.complete
        assert plan.matched[wanted.index(exact)] == 1


@given(st.lists(st.integers(0, 5), max_size=5, unique=True), st.integers(0, 4), st.integers(0, 6), st.randoms())
def test_as_many_lines_are_matched_as_can_be(prices: list[int], vague: int, count: int, shuffle: Random) -> None:
    wanted = [want(description="x", price=price) for price in prices] + [want(description="x")] * vague
    shuffle.shuffle(wanted)
    plan = plan_lines(wanted, [have(number + 1, description="x", price=number) for number in range(count)])
    exact = len([price for price in prices if price < count])
    assert len(wanted) - len(plan.missing) == exact + min(vague, count - exact)


def test_only_a_line_that_is_the_same_in_everything_shown_is_surplus() -> None:
    cups = want(description="Cups", price=10, quantity=1)
    plain = {"description": "Cups", "price": 10, "quantity": 1, "tax": {"id": 1, "rate": 25}}
    shown = {"description": " Cups", "price": "10.00", "quantity": "1.0", "tax": {"id": 1, "rate": "25.0"}}
    plan = plan_lines([cups], [have(4, **plain), have(9, **shown)])
    assert (plan.missing, plan.surplus, plan.foreign, plan.matched) == ((), (9,), (), (4,))


@pytest.mark.parametrize(
    "more",
    [
        {"tax": {"id": 2}},
        {"account": {"number": 3000}},
        {"costPrice": 3},
        {"discountRate": 10},
        {"isHidden": True},
        {"type": "text"},
        {"product": {"id": 7}},
        {"dimensions": [{"dimensionType": 1, "value": "7"}]},
    ],
)
def test_a_line_that_fits_but_differs_in_what_was_not_asked_for_is_foreign(more: dict[str, Any]) -> None:
    cups = {"description": "Cups", "price": 10, "quantity": 1}
    plan = plan_lines([want(**cups)], [have(4, **cups), have(9, **cups, **more)])
    assert (plan.surplus, plan.foreign) == ((), ("line 9 is one more than wanted",))
    assert plan.matched == (4,)


def test_a_foreign_line_is_described_by_the_nearest_wanted_one() -> None:
    wanted = [want(description="Coffee", price=5), want(description="Cups", price=10)]
    plan = plan_lines(wanted, [have(3, description="Cups", price=11)])
    assert plan.foreign == ("line 3 is none of the wanted lines (the nearest differs in price)",)


@pytest.mark.parametrize("left_out", ["description", "product"])
def test_a_line_shown_without_what_it_sells_is_another_one(left_out: str) -> None:
    line = {"description": "Cups", "product": {"id": 7}, "price": 10, "quantity": 1}
    shown = {name: value for name, value in line.items() if name != left_out}
    plan = plan_lines([want(**line)], [have(3, **shown)])
    assert plan.foreign == (f"line 3 is none of the wanted lines (the nearest differs in {left_out})",)
    assert len(plan.missing) == 1


def test_a_product_given_by_its_number_alone_is_recognized() -> None:
    line = {"description": "Cups", "price": 10, "quantity": 1}
    wanted = [want(**line, product={"number": "A-7"})]
    for shown in ({}, {"product": {"number": "A-7"}}, {"product": {"id": 7, "number": "B-8"}}):
        assert plan_lines(wanted, [have(3, **line, **shown)]).complete


def test_nine_hundred_lines_are_planned_with_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    differences = compare.differences

    def counted(wanted: Any, present: Any, place: str = "") -> list[str]:
        nonlocal compared
        compared += not place
        return differences(wanted, present, place)

    monkeypatch.setattr(compare, "differences", counted)
    lines = [{"description": f"Part {number}", "quantity": number % 7 + 1, "price": number} for number in range(900)]
    present = [have(number + 1, **line) for number, line in enumerate(lines)]
    Random(7).shuffle(present)
    began = time.process_time()
    plan = plan_lines([want(**line) for line in lines], present)
    assert plan.complete
    assert plan.matched == tuple(range(1, 901))
    assert compared == 900
    assert time.process_time() - began < 3


def test_thirteen_hundred_equal_lines_can_be_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "differences", lambda *_: [])
    line = {"description": "Cups", "quantity": 1, "price": 10}
    plan = plan_lines([want(**line)] * 1300, [have(number, **line) for number in range(1, 1002)])
    assert plan.matched == (*range(1, 1002), *[None] * 299)
    assert (len(plan.missing), plan.surplus, plan.foreign) == (299, (), ())
    more = plan_lines([want(**line)] * 1000, [have(number, **line) for number in range(1, 1301)])
    assert more.surplus == tuple(range(1001, 1301))


def test_a_long_chain_of_half_described_lines_is_untangled() -> None:
    # Each line has taken the one after its own, and the last finds its only one taken: all have to move.
    count = 3000
    fits = [*((each + 1, each) for each in range(count)), (count,)]
    taken_by: dict[int, int] = {}
    for each in range(count + 1):
        compare._assign(each, fits, taken_by)
    assert taken_by == {each: each for each in range(count + 1)}

"""Rounding is no difference, and a difference is no rounding."""

from __future__ import annotations

from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfso_hypatos.flows.amounts import is_same, is_total_of, line_amount, rounding_of, total, unit_of

CURRENCIES = st.sampled_from(["NOK", "EUR", "JPY", "KWD", None])
AMOUNTS = st.decimals("-1e12", "1e12", places=4)
NUMBERS = st.decimals("-100000", "100000", places=4)
LINES = st.lists(st.tuples(NUMBERS, NUMBERS, st.decimals(0, 100, places=2)), min_size=0, max_size=40)
NEAREST = st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_HALF_DOWN])


def rounded(amount: Decimal, unit: Decimal, mode: str) -> Decimal:
    with localcontext(prec=60):
        return amount.quantize(unit, rounding=mode)


@given(LINES, NEAREST, CURRENCIES)
def test_a_total_of_rounded_lines_is_the_total(
    lines: list[tuple[Decimal, Decimal, Decimal]], mode: str, currency: str | None
) -> None:
    exact = [line_amount(*line) for line in lines]
    shown = sum((rounded(each, unit_of(currency), mode) for each in exact), Decimal(0))
    assert is_total_of(shown, total(exact), len(lines), currency)


@given(LINES, NEAREST, CURRENCIES)
def test_a_rounded_sum_is_the_total_too(
    lines: list[tuple[Decimal, Decimal, Decimal]], mode: str, currency: str | None
) -> None:
    exact = total(line_amount(*line) for line in lines)
    assert is_total_of(rounded(exact, unit_of(currency), mode), exact, len(lines), currency)


@given(LINES, st.decimals("0.0001", "1e6", places=4), st.sampled_from([1, -1]), CURRENCIES)
def test_what_rounding_cannot_explain_is_a_difference(
    lines: list[tuple[Decimal, Decimal, Decimal]], beyond: Decimal, sign: int, currency: str | None
) -> None:
    exact = total(line_amount(*line) for line in lines)
    with localcontext(prec=60):
        shown = exact + sign * (rounding_of(len(lines), currency) + beyond)
    assert not is_total_of(shown, exact, len(lines), currency)


@given(AMOUNTS, NEAREST, CURRENCIES)
def test_an_amount_is_the_same_as_itself_rounded(amount: Decimal, mode: str, currency: str | None) -> None:
    assert is_same(amount, rounded(amount, unit_of(currency), mode), currency)


@given(st.decimals("-1e9", "1e9", places=2), st.integers(0, 20), CURRENCIES)
def test_the_scale_makes_no_difference(amount: Decimal, zeros: int, currency: str | None) -> None:
    with localcontext(prec=60):
        assert is_same(amount, amount.quantize(Decimal(1).scaleb(-2 - zeros)), currency)
        assert is_same(amount, amount.normalize(), currency)


@given(st.decimals("-1e9", "1e9", places=2))
def test_a_double_in_between_makes_no_difference(amount: Decimal) -> None:
    assert is_same(amount, Decimal(float(amount)), "NOK")


@given(st.decimals("-1e9", "1e9", places=2), st.integers(1, 10_000), CURRENCIES)
def test_one_unit_is_a_difference(amount: Decimal, units: int, currency: str | None) -> None:
    with localcontext(prec=60):
        assert not is_same(amount, amount + units * unit_of(currency), currency)


@given(st.lists(AMOUNTS).flatmap(lambda amounts: st.tuples(st.just(amounts), st.permutations(amounts))))
def test_the_order_of_the_lines_makes_no_difference(pair: tuple[list[Decimal], list[Decimal]]) -> None:
    assert total(pair[0]) == total(pair[1])


@pytest.mark.parametrize(
    ("lines", "currency", "allowed"), [(1, "NOK", "0.01"), (3, "NOK", "0.02"), (1, "JPY", "1"), (0, None, "0.005")]
)
def test_the_tolerance_is_the_one_that_is_stated(lines: int, currency: str | None, allowed: str) -> None:
    assert rounding_of(lines, currency) == Decimal(allowed)

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfso_hypatos.clients.messages import decode, encode
from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.models.base import Sent, validate
from tfso_hypatos.models.hypatos import EnrichmentPatch
from tfso_hypatos.models.tfso import Line

AMOUNTS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.integers(0, 1),
    st.integers(0, 10**28 - 1),
    st.integers(-12, 12),
)


def patch(price: object) -> dict[str, Any]:
    return {"externalId": "SO-1", "salesOrderLines": [{"netAmount": price}]}


def body(model: type[Sent], data: object) -> str:
    return encode(validate(model, data, "p").to_wire()).decode()


@given(AMOUNTS)
def test_an_amount_given_as_text_keeps_every_digit(amount: Decimal) -> None:
    text = body(Line, {"price": str(amount)})
    assert text == f'{{"price":{amount}}}'
    back = Decimal(decode(text)["price"])
    # JSON's integers have no negative zero.
    assert back.as_tuple()[1:] == amount.as_tuple()[1:]
    assert back == amount


@given(AMOUNTS)
def test_the_same_inside_a_list_of_hypatos(amount: Decimal) -> None:
    text = body(EnrichmentPatch, patch(str(amount)))
    assert f'"netAmount":{amount}}}' in text
    assert Decimal(decode(text)["salesOrderLines"][0]["netAmount"]) == amount


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=4, allow_nan=False))
def test_a_float_is_taken_by_its_shortest_text(amount: Decimal) -> None:
    assert Decimal(decode(body(Line, {"price": float(amount)}))["price"]) == amount


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (99.99, "99.99"),
        ("99.990", "99.990"),
        (" 99.990\n", "99.990"),
        (Decimal("99.990"), "99.990"),
        (100, "100"),
        (-3, "-3"),
        (0.1, "0.1"),
        (10**24, str(10**24)),
        ("1e2", "1E+2"),
    ],
)
def test_the_number_that_travels(value: object, number: str) -> None:
    assert body(Line, {"quantity": value}) == f'{{"quantity":{number}}}'


@pytest.mark.parametrize(
    "value",
    [
        "MARKER",
        "words",
        "",
        "1,5",
        "1 000",
        "1_000",
        "NaN",
        "Infinity",
        "-inf",
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        0.1 + 0.2,
        1234567890.123456,
        True,
        [1],
        {"MARKER": 1},
        None,
    ],
)
def test_what_is_no_amount(value: object) -> None:
    for model, data, place in (
        (Line, {"price": value}, "lines[0].price"),
        (EnrichmentPatch, patch(value), "lines[0].salesOrderLines[0].netAmount"),
    ):
        with pytest.raises(InvalidInput) as caught:
            validate(model, data, "lines[0]")
        assert [problem.place for problem in caught.value.problems] == [place]
        assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("999999999999.9999", True),
        ("1000000000000", False),
        ("0.0001", True),
        ("0.00001", False),
        ("1.50000000000000000000000000000000000000", True),
        ("1.50000000000000000000000000000000000001", False),
        ("-1e300", True),
        ("1e300", False),
        ("1e-300", False),
    ],
)
def test_a_cost_price_has_four_decimals(value: str, *, good: bool) -> None:
    if good:
        assert Decimal(decode(body(Line, {"costPrice": value}))["costPrice"]) == Decimal(value)
    else:
        with pytest.raises(InvalidInput):
            validate(Line, {"costPrice": value}, "line")

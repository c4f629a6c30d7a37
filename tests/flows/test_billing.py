"""What is invoiced is what was created: who pays, and each line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.books import Traits
from tests.flows.player import ME, TIMING, Player, after, intent, unanswered
from tests.flows.runs import LINES, ORDER, ORDER_KEY, ORGANIZATION
from tests.flows.test_invoice import GROSS, run

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.exceptions import NoAnswer, OrderDrift
from tfso_hypatos.flows.billing import Payer
from tfso_hypatos.flows.compare import line_hash
from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.invoice import Invoiced
from tfso_hypatos.flows.results import created_result
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

WHOLE_ORDER = {**ORDER, "currency": {"code": "NOK"}, "paymentMethod": {"id": 3}}


def created(order: Any = WHOLE_ORDER, traits: Traits | None = None) -> tuple[Player, dict[str, Any]]:
    """Return a player with an order, and what the create step says of it."""
    player = Player(traits)
    made = player.drive(find_or_create(intent(order), TIMING, ORGANIZATION))
    player.now += 20
    return player, created_result(ORDER_KEY, made)


def bill(player: Player, result: Mapping[str, Any], **more: Any) -> Invoiced:
    given = {
        "payer": Payer(*(result[name] for name in Payer._fields)),
        "created_gross": Decimal(result["gross_amount"]),
        "expected_line_ids": result["line_ids"],
        "line_hashes": result["line_hashes"],
        **more,
    }
    return run(player, ME, **given)


def edit_line(player: Player, result: Mapping[str, Any], index: int, **fields: Any) -> None:
    path = f"/salesorders/1/lines/{result['line_ids'][index]}"
    player.carry_out(Request("PATCH", path, "edit it", body=fields))


def refused_by(player: Player, result: Mapping[str, Any], **more: Any) -> OrderDrift:
    before = player.server.orders, len(player.server.invoices)
    with pytest.raises(OrderDrift) as raised:
        bill(player, result, **more)
    assert (player.server.orders, len(player.server.invoices)) == before
    return raised.value


def test_an_order_that_is_as_it_was_created_is_invoiced() -> None:
    player, result = created()
    assert Payer(*(result[name] for name in Payer._fields)) == Payer(7, "NOK", 3)
    assert bill(player, result).invoiced


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"customer": {"id": 8, "name": "B"}}, "customer: it was created with 7, 24SevenOffice shows 8"),
        ({"currency": {"code": "SEK"}}, "currency: it was created with NOK, 24SevenOffice shows SEK"),
        ({"paymentMethod": {"id": 4}}, "payment method: it was created with 3, 24SevenOffice shows 4"),
    ],
)
def test_another_payer_is_not_billed(change: Mapping[str, Any], said: str) -> None:
    player, result = created()
    player.change(1, **change)
    error = refused_by(player, result)
    assert str(error) == f"Sales order 1 is not what it should be: {said}. It was not invoiced."
    assert error.differences == (said,)
    assert player.server.invoices == []


def test_every_difference_is_named() -> None:
    player, result = created()
    player.change(1, customer={"id": 8, "name": "B"}, currency={"code": "SEK"}, paymentMethod={"id": 4})
    player.add(1, LINES[1])
    places = [difference.split(":")[0] for difference in refused_by(player, result).differences]
    assert places == ["gross amount", "customer", "currency", "payment method"]


@pytest.mark.parametrize("change", [{"customer": {"name": "B"}}, {"currency": {}}, {"paymentMethod": None}])
def test_a_payer_that_is_not_shown_is_not_compared(change: Mapping[str, Any]) -> None:
    player, result = created()
    player.change(1, **change)
    assert bill(player, result).invoiced


def test_a_payer_that_was_not_shown_at_the_creation_is_not_compared() -> None:
    player, result = created()
    player.change(1, customer={"id": 8, "name": "B"}, currency={"code": "SEK"}, paymentMethod={"id": 4})
    assert bill(player, {**result, **dict.fromkeys(Payer._fields)}).invoiced


def test_a_payer_that_comes_as_text_is_the_same_one() -> None:
    player, result = created()
    assert bill(player, {**result, "customer_id": "7", "payment_method_id": "3"}).invoiced


def test_a_change_of_the_header_that_decides_nothing_is_no_drift() -> None:
    player, result = created()
    player.change(1, yourReference="Kari", customer={"id": 7, "name": "Another name", "street": "Elsewhere 1"})
    assert bill(player, result).invoiced


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "Tea"},
        {"quantity": 1, "price": Decimal("299.7")},
        {"product": {"id": 5}},
        {"discountRate": 10},
    ],
)
def test_an_edited_line_is_not_billed(fields: Mapping[str, Any]) -> None:
    player, result = created()
    edit_line(player, result, 0, **fields)
    error = refused_by(player, result)
    assert f"line {result['line_ids'][0]} was edited" in str(error)
    assert player.server.invoices == []


def test_lines_that_changed_places_are_edited_even_if_the_total_is_the_same() -> None:
    player, result = created()
    for index, other in ((0, 1), (1, 0)):
        edit_line(player, result, index, **LINES[other])
    assert refused_by(player, result).differences == tuple(
        f"line {line_id} was edited" for line_id in result["line_ids"][:2]
    )


def test_what_was_added_what_is_gone_and_what_was_edited_are_told_apart() -> None:
    player, result = created()
    edit_line(player, result, 0, description="Tea")
    path = f"/salesorders/1/lines/{result['line_ids'][1]}"
    player.carry_out(Request("DELETE", path, "remove it"))
    added = player.add(1, LINES[1])
    assert refused_by(player, result).differences == (
        f"line {added} was added",
        f"line {result['line_ids'][1]} is gone",
        f"line {result['line_ids'][0]} was edited",
    )


def test_without_hashes_only_the_ids_are_compared() -> None:
    player, result = created()
    edit_line(player, result, 0, description="Tea")
    assert bill(player, result, line_hashes=None).invoiced


def test_an_edit_that_bills_the_same_is_none() -> None:
    player, result = created()
    edit_line(player, result, 0, description=" Coffee ", price=Decimal("99.900"), discountRate=0)
    assert bill(player, result).invoiced


@pytest.mark.parametrize("traits", [Traits(), Traits(stamps=False)])
@pytest.mark.parametrize("place", ["customer", "line"])
def test_an_edit_before_a_request_that_was_held_back_is_seen(place: str, traits: Traits) -> None:
    player, result = created(traits=traits)

    def edit() -> None:
        player.pass_time(3)
        if place == "customer":
            player.change(1, customer={"id": 8, "name": "B"})
        else:
            edit_line(player, result, 0, description="Tea")

    player.on("GET /salesorders", after(edit))
    with pytest.raises(OrderDrift):
        bill(player, result)
    assert player.server.invoices == []


def test_an_invoice_to_somebody_else_is_not_adopted() -> None:
    player, result = created()
    player.change(1, customer={"id": 8, "name": "B"})
    player.change(1, status="Invoice")
    error = refused_by(player, result)
    assert str(error).endswith("customer: it was created with 7, 24SevenOffice shows 8. It is invoiced already.")


@pytest.mark.parametrize("answer", ["clear", "unclear"])
def test_a_difference_that_comes_with_the_invoice_of_this_try_is_only_logged(
    answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    player, result = created()

    def beaten(desk: Player, request: Request) -> Response:
        desk.change(1, customer={"id": 8, "name": "B"})
        return unanswered(NoAnswer("reset"))(desk, request) if answer == "unclear" else desk.answer(request)

    player.on("PATCH /salesorders/1", beaten)
    assert bill(player, result, expected_gross=GROSS).invoiced
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.message == (
        "Sales order 1 was invoiced, but not as it was checked before: customer: it was created with 7, 24SevenOffice "
        "shows 8"
    )


def test_what_was_invoiced_as_it_was_checked_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    player, result = created()
    assert bill(player, result, expected_gross=GROSS).invoiced
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def hashed(**fields: Any) -> str:
    line = {"description": "Coffee", "quantity": 3, "price": 100, "product": {"id": 4}, **fields}
    return line_hash(read(SalesOrderLine, {"id": 1, **line}, "a line"))


@pytest.mark.parametrize(
    "same",
    [
        {"price": Decimal("100.00")},
        {"price": "100.0"},
        {"quantity": Decimal("3.000")},
        {"description": "  Coffee\n"},
        {"discountRate": None},
        {"discountRate": 0},
        {"discountRate": "0.00"},
        {"product": {"id": 4, "number": "A-4", "name": "Coffee, ground"}},
        {"id": 99},
        {"tax": {"id": 1, "rate": 25}, "account": {"number": 3000}, "isHidden": False, "type": "product"},
    ],
)
def test_what_bills_the_same_has_one_hash(same: Mapping[str, Any]) -> None:
    assert hashed(**same) == hashed()
    assert len(hashed()) == 8


def test_texts_have_one_hash_however_they_are_written() -> None:
    assert hashed(description="Fjord &amp; Fjell") == hashed(description="Fjord & Fjell")
    assert hashed(description="Kaffe  på\tkontoret") == hashed(description="Kaffe på kontoret")
    assert hashed(description=None) == hashed(description="")
    assert hashed(quantity=None) == hashed(quantity=0)


@pytest.mark.parametrize(
    "other",
    [
        {"price": "100.01"},
        {"quantity": 4},
        {"quantity": 100, "price": 3},
        {"description": "coffee"},
        {"discountRate": "0.5"},
        {"product": {"id": 5}},
        {"product": None},
    ],
)
def test_what_bills_something_else_has_another_hash(other: Mapping[str, Any]) -> None:
    assert hashed(**other) != hashed()


def test_a_payer_is_read_from_an_order() -> None:
    assert Payer.of(read(SalesOrder, {"id": 1, "customer": {"id": 7}, "currency": {"code": "NOK"}}, "it")) == Payer(
        7, "NOK", None
    )
    assert Payer.of(read(SalesOrder, {"id": 1}, "it")) == Payer()

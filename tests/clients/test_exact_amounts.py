from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.clients import hypatos, tfso
from tfso_hypatos.clients.messages import Unreadable, decode, encode
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentSalesOrder
from tfso_hypatos.models.tfso import Line, SalesOrderCreate

if TYPE_CHECKING:
    from tests.conftest import Driver, Log, Reply, Script, Services

AMOUNTS = [
    "99.99",
    "0.30",
    "0.1",
    "1.10",
    "0.30000000000000004",
    "123456789012345678.901234567",
    "1234567890123456789012345678",
    "-0.0000000000000000000000000001",
    "-150.50",
    "0.00",
]


def exactly(value: Any) -> str:
    return format(value if isinstance(value, Decimal) else Decimal(value), "f")


def number_in(body: str, name: str) -> str:
    """Return a member of a JSON text that stands there as a bare number, without a float in between."""
    found = re.search(rf'"{name}":(-?[0-9.]+(E[+-]?[0-9]+)?)[,}}]', body)
    assert found is not None, body
    return exactly(found[1])


@pytest.mark.parametrize("text", AMOUNTS)
def test_an_amount_keeps_every_digit_on_its_way_to_24sevenoffice_and_back(
    driver: Driver, services: Services, log: Log, text: str
) -> None:
    service = services.tfso()
    order = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
    order_id = driver.run(service, tfso.create_sales_order(order)).id
    line = validate(Line, {"description": "x", "quantity": 1, "price": text}, "line")
    answered = driver.run(service, tfso.add_line(order_id, line))
    (read,) = driver.run(service, tfso.list_lines(order_id))
    assert number_in(log.sent("POST", "/lines")[0]["body"], "price") == text
    assert exactly(log.order["lines"][0]["price"]) == text
    assert {exactly(answered.price), exactly(read.price)} == {text}


@pytest.mark.parametrize("text", AMOUNTS)
def test_an_amount_keeps_every_digit_on_its_way_to_hypatos_and_back(
    driver: Driver, services: Services, log: Log, text: str
) -> None:
    record = validate(EnrichmentSalesOrder, {"externalId": "K"}, "record")
    driver.run(services.hypatos(), hypatos.insert_sales_order(record))
    patch = validate(EnrichmentPatch, {"externalId": "K", "totalNetAmount": Decimal(text)}, "patch")
    patched = driver.run(services.hypatos(), hypatos.patch_sales_order("K", patch))
    assert number_in(log.sent("PATCH")[0]["body"], "totalNetAmount") == text
    assert exactly(log.records["K"]["totalNetAmount"]) == text
    assert exactly(patched.total_net_amount) == text


@pytest.mark.parametrize(
    ("given", "sent"), [(99.99, "99.99"), (0.1, "0.1"), (1e-05, "0.00001"), (3, "3"), (3.0, "3.0")]
)
def test_a_float_travels_as_the_number_it_shows(
    driver: Driver, services: Services, log: Log, given: float, sent: str
) -> None:
    order = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
    order_id = driver.run(services.tfso(), tfso.create_sales_order(order)).id
    line = validate(Line, {"description": "x", "quantity": 1, "price": given}, "line")
    driver.run(services.tfso(), tfso.add_line(order_id, line))
    (price,) = [line["price"] for line in log.order["lines"]]
    assert Decimal(price) == Decimal(sent)
    assert '"price":"' not in log.sent("POST", "/lines")[0]["body"]


def test_totals_come_from_the_server_to_the_last_digit(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(body=b'{"id":7,"netAmount":0.1,"taxAmount":0.2,"grossAmount":0.30}'))
    order = driver.run(script.service(), tfso.get_sales_order(7))
    assert order.net_amount is not None
    assert order.tax_amount is not None
    assert order.net_amount + order.tax_amount == order.gross_amount == Decimal("0.3")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '{"a":NaN}'])
def test_what_json_does_not_know_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        decode(text)


@pytest.mark.parametrize("text", ["1e300000000", "0e-300000000", "1e99999999999999999999", "[" * 100_000])
def test_what_would_take_too_much_memory_is_not_read(text: str) -> None:
    with pytest.raises(Unreadable, match=r"holds a number|nested too deeply"):
        decode(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN")])
def test_what_json_does_not_know_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"price": value})

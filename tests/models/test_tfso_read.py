from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from tfso_hypatos.clients.messages import decode, encode
from tfso_hypatos.exceptions import UnexpectedResponse
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

MODELS: tuple[type[SalesOrder | SalesOrderLine], ...] = (SalesOrder, SalesOrderLine)
TRANSACTION = "c56a4180-65aa-42ec-a945-5fd21dec0538"


def order(**fields: object) -> SalesOrder:
    return read(SalesOrder, {"id": 42, **fields}, "order")


def test_only_an_id_is_needed() -> None:
    bare = order()
    assert bare.id == 42
    assert (bare.status, bare.is_invoiced, bare.is_inactive) == (None, False, False)
    assert (bare.invoice_number, bare.transaction_id, bare.gross_amount) == (None, None, None)


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": "MARKER"}, {"id": True}, {"id": 1.5}, [], "MARKER", None])
def test_without_an_id_nothing_works(fields: object) -> None:
    for model in (SalesOrder, SalesOrderLine):
        with pytest.raises(UnexpectedResponse) as caught:
            read(model, fields, "order")
        assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize("value", ["42", 42.0, Decimal("42.0")])
def test_an_id_in_another_dress(value: object) -> None:
    assert read(SalesOrder, {"id": value}, "order").id == 42


def test_null_is_taken_everywhere() -> None:
    for model in MODELS:
        fields = dict.fromkeys((str(info.alias) for info in model.model_fields.values()), None)
        assert read(model, {**fields, "id": 1}, "it").id == 1


@pytest.mark.parametrize("rubbish", ["rubbish", 1.5, True, [], {}, [None], {"a": [1]}, Decimal("NaN"), 10**400])
def test_a_malformed_field_breaks_nothing(rubbish: object) -> None:
    for model in MODELS:
        for name, info in model.model_fields.items():
            if name != "id":
                assert read(model, {"id": 1, info.alias: rubbish}, "it").id == 1


def test_unknown_fields_and_words_are_kept() -> None:
    found = order(status="Parked", shiny={"new": [1]}, customer={"id": 1, "vip": True}, _embedded={"lines": []})
    assert found.status == "Parked"
    assert not found.is_invoiced
    assert found.to_wire() == {
        "id": 42,
        "status": "Parked",
        "shiny": {"new": [1]},
        "customer": {"id": 1, "vip": True},
        "_embedded": {"lines": []},
    }
    line = read(SalesOrderLine, {"id": 1, "type": "comment", "shiny": 1}, "line")
    assert (line.type, line.model_extra) == ("comment", {"shiny": 1})


def test_there_are_no_limits() -> None:
    found = order(customer={"name": "x" * 999, "countryCode": "NORWAY"}, internalMemo="x" * 999)
    assert found.customer is not None
    assert len(found.customer.name or "") == 999
    assert found.customer.country_code == "NORWAY"


@pytest.mark.parametrize(
    ("street", "expected"),
    [
        ("Vei 1", "Vei 1"),
        (["Vei 1", "Bakgård"], "Vei 1\nBakgård"),
        (["Vei 1", None], "Vei 1"),
        ([], ""),
        (None, None),
        ([{"line": 1}], None),
    ],
)
def test_a_street_is_text_or_lines(street: object, expected: str | None) -> None:
    found = order(customer={"street": street}, deliveryCustomer={"street": street})
    assert found.customer is not None
    assert found.delivery_customer is not None
    assert found.customer.street == found.delivery_customer.street == expected


@pytest.mark.parametrize(
    "text",
    [
        "2023-12-31T18:00:00Z",
        "2023-12-31 18:00:00.000Z",
        "2023-12-31T18:00:00",
        "2023-12-31 18:00:00.0000000",
        "2023-12-31T19:00:00+01:00",
    ],
)
def test_a_time_is_aware(text: str) -> None:
    assert order(createdAt=text).created_at == datetime.datetime(2023, 12, 31, 18, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime.date(2026, 1, 31)),
        ("2026-01-31T00:00:00Z", datetime.date(2026, 1, 31)),
        ("2026-01-31 23:59:59.000Z", datetime.date(2026, 1, 31)),
        ("2026-02-30", None),
        ("20260131", None),
        ("31.01.2026", None),
        (20260131, None),
        ("", None),
    ],
)
def test_a_date_is_the_date_as_written(text: object, expected: datetime.date | None) -> None:
    found = order(date=text, invoice={"dueDate": text})
    assert found.invoice is not None
    assert found.date == found.invoice.due_date == expected


def test_amounts_are_exact_as_number_and_as_text() -> None:
    body = decode(b'{"id":1,"netAmount":100.10,"taxAmount":"25.0250","grossAmount":125}')
    found = read(SalesOrder, body, "order")
    assert (str(found.net_amount), str(found.tax_amount), str(found.gross_amount)) == ("100.10", "25.0250", "125")
    line = read(SalesOrderLine, decode(b'{"id":1,"price":0.1,"quantity":"3","tax":{"rate":25.0}}'), "line")
    assert (line.price, line.quantity) == (Decimal("0.1"), Decimal(3))
    assert line.tax is not None
    assert str(line.tax.rate) == "25.0"


@pytest.mark.parametrize(
    ("invoice", "number", "transaction"),
    [
        (None, None, None),
        ({}, None, None),
        ({"date": "2026-01-31"}, None, None),
        ({"number": 10045}, 10045, None),
        ({"number": 10045, "transaction": None}, 10045, None),
        ({"number": 10045, "transaction": {}}, 10045, None),
        ({"number": 10045, "transaction": {"id": None}}, 10045, None),
        ({"number": 10045, "transaction": {"id": " "}}, 10045, None),
        ({"number": 10045, "transaction": {"id": "00000000-0000-0000-0000-000000000000"}}, 10045, None),
        ({"number": 10045, "transaction": {"id": "{00000000-0000-0000-0000-000000000000}"}}, 10045, None),
        ({"number": "10045", "transaction": {"id": TRANSACTION}}, 10045, TRANSACTION),
    ],
)
def test_number_and_transaction(invoice: Any, number: int | None, transaction: str | None) -> None:
    found = order(status="Invoice", invoice=invoice)
    assert found.is_invoiced
    assert (found.invoice_number, found.transaction_id) == (number, transaction)


def test_an_inactive_order() -> None:
    assert order(status="Inactive").is_inactive


def test_what_was_read_can_be_written_as_json() -> None:
    found = order(createdAt="2023-12-31 18:00:00Z", date="2026-01-31T00:00:00Z", netAmount=Decimal("1.50"))
    assert encode(found.to_wire()) == (
        b'{"id":42,"date":"2026-01-31","createdAt":"2023-12-31T18:00:00+00:00","netAmount":1.50}'
    )

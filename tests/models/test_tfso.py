from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest

from tfso_hypatos.clients.messages import encode
from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.models import tfso
from tfso_hypatos.models.base import Sent, validate

CUSTOMER = {"id": 17, "name": "Kafé Å"}

CUSTOMER_LIMITS = {
    "organizationNumber": 20,
    "gln": 13,
    "name": 200,
    "street": 250,
    "postalCode": 50,
    "postalArea": 50,
    "city": 50,
    "countrySubdivision": 50,
    "countryCode": 2,
}

DELIVERY_LIMITS = {
    "name": 250,
    "street": 250,
    "postalCode": 16,
    "postalArea": 200,
    "city": 50,
    "countrySubdivision": 100,
    "countryCode": 2,
}


def order(**more: Any) -> dict[str, Any]:
    return {"customer": CUSTOMER, **more}


def wire(model: type[Sent], data: object) -> Any:
    return json.loads(encode(validate(model, data, "order").to_wire()))


def refusal(model: type[Sent], data: object, place: str = "order") -> str:
    with pytest.raises(InvalidInput) as caught:
        validate(model, data, place)
    return "; ".join(map(str, caught.value.problems))


@pytest.mark.parametrize(("field", "limit"), CUSTOMER_LIMITS.items())
@pytest.mark.parametrize("model", [tfso.SalesOrderCreate, tfso.SalesOrderPatch])
def test_limits_of_the_customer(model: type[Sent], field: str, limit: int) -> None:
    given = {"customer": {**CUSTOMER, field: "x" * limit}}
    assert wire(model, given) == given
    assert (
        refusal(model, {"customer": {**CUSTOMER, field: "x" * (limit + 1)}})
        == f"order.customer.{field}: at most {limit} characters"
    )


@pytest.mark.parametrize(("field", "limit"), DELIVERY_LIMITS.items())
@pytest.mark.parametrize("model", [tfso.SalesOrderCreate, tfso.SalesOrderPatch])
def test_limits_of_the_delivery_customer(model: type[Sent], field: str, limit: int) -> None:
    given = order(deliveryCustomer={field: "x" * limit})
    assert wire(model, given) == given
    given["deliveryCustomer"][field] += "x"
    assert refusal(model, given) == f"order.deliveryCustomer.{field}: at most {limit} characters"


@pytest.mark.parametrize(("field", "limit"), [("internalMemo", 300), ("referenceNumber", 50)])
def test_limits_of_the_order(field: str, limit: int) -> None:
    assert wire(tfso.SalesOrderPatch, {field: "x" * limit}) == {field: "x" * limit}
    assert refusal(tfso.SalesOrderPatch, {field: "x" * (limit + 1)}) == f"order.{field}: at most {limit} characters"


def test_a_gln_has_thirteen_characters() -> None:
    assert refusal(tfso.CustomerChange, {"gln": "7" * 12}) == "order.gln: at least 13 characters"
    assert wire(tfso.CustomerChange, {"gln": 7080000000001}) == {"gln": "7080000000001"}


@pytest.mark.parametrize("missing", ["id", "name"])
def test_a_new_order_needs_a_customer_with_id_and_name(missing: str) -> None:
    customer = {key: value for key, value in CUSTOMER.items() if key != missing}
    assert refusal(tfso.SalesOrderCreate, {"customer": customer}) == f"order.customer.{missing}: is required"
    assert refusal(tfso.SalesOrderCreate, {}) == "order.customer: is required"


def test_a_patch_needs_nothing() -> None:
    assert wire(tfso.SalesOrderPatch, {}) == {}
    assert wire(tfso.SalesOrderPatch, {"customer": {}, "status": "Invoice"}) == {"customer": {}, "status": "Invoice"}


def test_a_new_order_is_not_an_invoice_yet() -> None:
    expected = "order.status: an order is invoiced after it has lines"
    assert refusal(tfso.SalesOrderCreate, order(status="Invoice")) == expected
    assert refusal(tfso.SalesOrderCreate, order(status=tfso.Status.INVOICE)) == expected
    assert wire(tfso.SalesOrderCreate, order(status=tfso.Status.DRAFT))["status"] == "Draft"


@pytest.mark.parametrize("field", ["id", "createdAt", "modifiedAt", "netAmount", "taxAmount", "grossAmount", "lines"])
def test_what_the_server_owns_is_not_sent(field: str) -> None:
    for model in (tfso.SalesOrderCreate, tfso.SalesOrderPatch):
        assert f"order.{field}: is not a field that can be sent" in refusal(model, order(**{field: 1}))


@pytest.mark.parametrize("field", ["number", "transaction"])
def test_number_and_transaction_of_an_invoice_are_not_sent(field: str) -> None:
    assert f"invoice.{field}: is not a field" in refusal(tfso.SalesOrderPatch, {"invoice": {field: 1}})


def test_an_unknown_field_of_a_line_is_refused_with_its_place() -> None:
    assert refusal(tfso.Line, {"qty": 1}, "lines[2]") == "lines[2].qty: is not a field that can be sent"
    assert refusal(tfso.Line, {"product": {"sku": 1}}, "lines[2]").startswith("lines[2].product.sku: ")
    dimension = {"dimensionType": 1, "value": "1", "name": "A"}
    nested = {"dimensions": [dimension, {**dimension, "extra": 1}]}
    assert refusal(tfso.Line, nested, "lines[0]").startswith("lines[0].dimensions[1].extra: ")


def test_a_line_is_not_empty() -> None:
    assert refusal(tfso.Line, {}, "lines[1]") == "lines[1]: a line needs at least one field"
    assert wire(tfso.Line, {"description": "A"}) == {"description": "A"}


def test_python_names_are_taken_and_become_the_vendors() -> None:
    by_python = {"cost_price": None, "discount_rate": 10, "is_hidden": False, "product": {"id": 3}}
    assert wire(tfso.Line, by_python) == {
        "costPrice": None,
        "discountRate": 10,
        "isHidden": False,
        "product": {"id": 3},
    }
    given = {"delivery_customer": {"postal_code": 650}, "invoice": {"due_date": datetime.date(2026, 2, 14)}}
    expected = {"deliveryCustomer": {"postalCode": "650"}, "invoice": {"dueDate": "2026-02-14"}}
    assert wire(tfso.SalesOrderPatch, given) == expected


def test_a_place_is_spelled_as_the_caller_spelled_it() -> None:
    given = {"delivery_customer": {"postal_code": "x" * 17}}
    assert refusal(tfso.SalesOrderPatch, given).startswith("order.delivery_customer.postal_code: ")


@pytest.mark.parametrize(
    "field", ["status", "customer", "date", "memo", "invoice", "dimensions", "accrual", "currency"]
)
def test_null_is_refused_where_the_api_has_none(field: str) -> None:
    assert refusal(tfso.SalesOrderPatch, {field: None}) == f"order.{field}: null is not allowed; leave the field out"


def test_null_is_taken_where_the_api_has_it() -> None:
    assert wire(tfso.SalesOrderPatch, {"paymentMethod": {"id": None}}) == {"paymentMethod": {"id": None}}
    assert refusal(tfso.SalesOrderPatch, {"paymentMethod": {}}) == "order.paymentMethod.id: is required"
    assert wire(tfso.Line, {"costPrice": None}) == {"costPrice": None}


@pytest.mark.parametrize(
    "terms",
    [
        {"type": "NumberOfDays", "value": 0},
        {"type": "OutMonthPlusDays", "value": 30},
        {"type": "FixedDate", "value": "2026-02-14"},
    ],
)
def test_payment_terms(terms: dict[str, Any]) -> None:
    given = {"invoice": {"paymentTerms": terms}}
    assert wire(tfso.SalesOrderPatch, given) == given
    built = tfso.SalesOrderPatch.model_validate({"invoice": {"paymentTerms": terms}})
    assert validate(tfso.SalesOrderPatch, built, "order") is built


@pytest.mark.parametrize(
    ("terms", "place"),
    [
        ({"type": "NumberOfDays", "value": -1}, ".value: "),
        ({"type": "NumberOfDays", "value": "2026-02-14"}, ".value: "),
        ({"type": "NumberOfDays"}, ".value: is required"),
        ({"type": "FixedDate", "value": 20260214}, ".value: "),
        ({"type": "FixedDate", "value": "2026-02-14", "days": 1}, ".days: "),
        ({"type": "MARKER", "value": 1}, ": type must be"),
        ({"value": 1}, ": type must be"),
        ([], ": "),
    ],
)
def test_wrong_payment_terms(terms: object, place: str) -> None:
    text = refusal(tfso.SalesOrderPatch, {"invoice": {"paymentTerms": terms}})
    assert text.startswith(f"order.invoice.paymentTerms{place}")
    assert "MARKER" not in text


def test_an_accrual_is_empty_or_whole() -> None:
    for accrual in ({}, {"startDate": "2026-01-01", "length": 12}):
        assert wire(tfso.Line, {"accrual": accrual}) == {"accrual": accrual}
    for half in ({"length": 1}, {"startDate": "2026-01-01"}):
        assert "belong together" in refusal(tfso.Line, {"accrual": half})
    assert "accrual.length: " in refusal(tfso.Line, {"accrual": {"startDate": "2026-01-01", "length": 0}})


@pytest.mark.parametrize(
    "day",
    [
        "2026-01-31",
        " 2026-01-31\n",
        datetime.date(2026, 1, 31),
        datetime.datetime(2026, 1, 31),  # noqa: DTZ001
    ],
)
def test_a_date(day: object) -> None:
    assert wire(tfso.SalesOrderPatch, {"date": day}) == {"date": "2026-01-31"}


@pytest.mark.parametrize(
    "day",
    [
        20260131,
        1769817600.0,
        "20260131",
        "2026-02-30",
        "31.01.2026",
        "2026-01-31T00:00:00Z",
        datetime.datetime(2026, 1, 31, 12),  # noqa: DTZ001
        datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC),
        True,
    ],
)
def test_not_a_date(day: object) -> None:
    assert refusal(tfso.SalesOrderPatch, {"date": day}).startswith("order.date: ")


@pytest.mark.parametrize("address", ["MARKER", "MARKER@", "@b.no", "a b@c.no", "a@b@c.no", "", 1, None])
def test_not_an_email_address(address: object) -> None:
    text = refusal(tfso.CustomerChange, {"invoiceEmailAddresses": ["a@b.no", address]})
    assert text.startswith("order.invoiceEmailAddresses[1]: ")
    assert "MARKER" not in text


def test_a_street_of_several_lines() -> None:
    assert wire(tfso.CustomerChange, {"street": ["Vei 1", "Bakgård"]}) == {"street": "Vei 1\nBakgård"}
    assert refusal(tfso.CustomerChange, {"street": ["x" * 125, "x" * 125]}) == "order.street: at most 250 characters"
    assert refusal(tfso.CustomerChange, {"street": ["Vei 1", None]}) == "order.street: text is needed"


@pytest.mark.parametrize(
    ("place", "data"),
    [
        ("order.customer.name", {"customer": {"name": "MARKER" * 100}}),
        ("order.customer.id", {"customer": {"id": "MARKER"}}),
        ("order.customer.countryCode", {"customer": {"countryCode": "MARKER"}}),
        ("order.status", {"status": "MARKER"}),
        ("order.date", {"date": "MARKER"}),
        ("order.currency.code", {"currency": {"code": "MARKER"}}),
        ("order.currency.rate", {"currency": {"rate": "MARKER"}}),
        ("order.invoice.distributionMethod", {"invoice": {"distributionMethod": "MARKER"}}),
        ("order.dimensions", {"dimensions": "MARKER"}),
        ("order.accrual", {"accrual": "MARKER"}),
        ("order.deliveryCustomer", {"deliveryCustomer": ["MARKER"]}),
        ("order.internalMemo", {"internalMemo": {"MARKER": "MARKER"}}),
    ],
)
def test_an_error_names_the_place_and_never_the_value(place: str, data: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(tfso.SalesOrderPatch, data, "order")
    assert [problem.place for problem in caught.value.problems] == [place]
    assert "MARKER" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_every_problem_is_named_at_once() -> None:
    text = refusal(tfso.SalesOrderCreate, {"customer": {"id": True}, "date": 1, "extra": 1})
    for place in ("order.customer.id", "order.customer.name", "order.date", "order.extra"):
        assert f"{place}: " in text


def test_whole_numbers_are_exact() -> None:
    assert wire(tfso.SalesType, {"id": "-100"}) == {"id": -100}
    assert wire(tfso.Product, {"id": 999_999_999_999_999_999}) == {"id": 999_999_999_999_999_999}
    assert wire(tfso.Product, {"id": Decimal("12.00")}) == {"id": 12}
    for value in (10**18, 1e15 + 1, "1" * 19, "٣", "0x1F", "1_000", Decimal("1E+400")):
        assert refusal(tfso.Product, {"id": value}) == "order.id: a whole number is needed"

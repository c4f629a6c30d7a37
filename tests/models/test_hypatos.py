from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tfso_hypatos.clients.messages import decode, encode
from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.models.base import Sent, read, validate
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentRecord, EnrichmentSalesOrder, InsertedRecord

OPTIONAL = [str(info.alias) for info in EnrichmentPatch.model_fields.values() if not info.is_required()]

METADATA: dict[str, Any] = {
    "a": None,
    "b": [1, "2", {"c": Decimal("1.50")}],
    "snake_case": {"x": {}},
    "": True,
    "f": 99.99,
}


def wire(model: type[Sent], data: object) -> Any:
    return decode(encode(validate(model, data, "patch").to_wire()))


def refusal(model: type[Sent], data: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        validate(model, data, "patch")
    return "; ".join(map(str, caught.value.problems))


def patch(**more: object) -> dict[str, Any]:
    return {"externalId": "SO-1", **more}


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_removes_by_patch_and_has_no_place_in_a_whole_record(field: str) -> None:
    assert wire(EnrichmentPatch, patch(**{field: None})) == patch(**{field: None})
    if field == "currency":
        assert wire(EnrichmentSalesOrder, patch(currency=None)) == patch(currency=None)
    else:
        expected = f"patch.{field}: null is not allowed; leave the field out"
        assert refusal(EnrichmentSalesOrder, patch(**{field: None})) == expected


def test_28_members_are_optional_and_what_is_not_given_does_not_travel() -> None:
    assert len(OPTIONAL) == 28
    for model in (EnrichmentPatch, EnrichmentSalesOrder):
        assert wire(model, patch()) == patch()


@pytest.mark.parametrize("model", [EnrichmentPatch, EnrichmentSalesOrder])
def test_the_key(model: type[Sent]) -> None:
    assert refusal(model, {}) == "patch.externalId: is required"
    for key in (None, "", "a b", 1.5):
        assert refusal(model, {"externalId": key}).startswith("patch.externalId: ")
    assert wire(model, {"external_id": 1001}) == {"externalId": "1001"}
    assert wire(model, {"externalId": "UserID#1/%?"}) == {"externalId": "UserID#1/%?"}


def test_nulls_inside_what_a_merge_patch_merges() -> None:
    given = patch(
        paymentTerms={"paymentTermKey": None, "descriptions": None},
        customFields={"a": None},
        customMetadata={"b": None},
    )
    assert wire(EnrichmentPatch, given) == given
    text = refusal(EnrichmentSalesOrder, given)
    for place in ("paymentTerms.paymentTermKey", "paymentTerms.descriptions", "customFields.a"):
        assert f"patch.{place}: " in text


def test_nothing_inside_a_line_merges() -> None:
    given = patch(salesOrderLines=[{}, {}, {"netAmount": None, "taxCode": {"code": None}}])
    text = refusal(EnrichmentPatch, given)
    assert "patch.salesOrderLines[2].netAmount: null is not allowed" in text
    assert "patch.salesOrderLines[2].taxCode.code: null is not allowed" in text


@pytest.mark.parametrize(
    ("place", "data"),
    [
        ("salesOrderLines[2].netAmount", {"salesOrderLines": [{}, {}, {"netAmount": "MARKER"}]}),
        ("salesOrderLines[0].plannedDeliveryDate", {"salesOrderLines": [{"plannedDeliveryDate": 20260131}]}),
        ("salesOrderLines[1].externalId", {"salesOrderLines": [{}, {"externalId": "MARKER"}]}),
        ("documents[1].id", {"documents": [{"id": "a" * 24}, {"id": "MARKER"}]}),
        ("paymentTerms.descriptions[0].language", {"paymentTerms": {"descriptions": [{"language": "MARKER"}]}}),
        ("customFields.a", {"customFields": {"a": ["MARKER"]}}),
        ("customMetadata", {"customMetadata": {"a": {"b": [float("nan")]}}}),
        ("customMetadata", {"customMetadata": {"a": {1: "MARKER"}}}),
        ("customMetadata", {"customMetadata": {"a": {"MARKER"}}}),
        ("currency", {"currency": "MARKER"}),
        ("documentId", {"documentId": "MARKER"}),
        ("totalNetAmount", {"totalNetAmount": "MARKER"}),
        ("status", {"status": "MARKER"}),
    ],
)
@pytest.mark.parametrize("model", [EnrichmentPatch, EnrichmentSalesOrder])
def test_an_error_names_the_place_and_never_the_value(model: type[Sent], place: str, data: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(model, patch(**data), "patch")
    assert [problem.place for problem in caught.value.problems] == [f"patch.{place}"]
    assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize("model", [EnrichmentPatch, EnrichmentSalesOrder])
def test_metadata_is_kept_exactly(model: type[Sent]) -> None:
    text = encode(validate(model, patch(customMetadata=METADATA), "patch").to_wire()).decode()
    assert text == (
        '{"externalId":"SO-1","customMetadata":{"a":null,"b":[1,"2",{"c":1.50}],'
        '"snake_case":{"x":{}},"":true,"f":99.99}}'
    )


def test_numbers_become_text_where_the_api_has_text() -> None:
    given = patch(sales_group=123456, custom_fields={"a": 1}, sales_order_lines=[{"order_line_number": 10}])
    expected = patch(salesGroup="123456", customFields={"a": "1"}, salesOrderLines=[{"orderLineNumber": "10"}])
    assert wire(EnrichmentPatch, given) == expected


def test_codes_that_are_lookalikes() -> None:
    for code in ("nok", "XCG", "ZWG", "NO", ""):
        assert refusal(EnrichmentPatch, patch(currency=code)).startswith("patch.currency: ")
    for language in ("EN", "D", "nor", False):
        wrong = {"descriptions": [{"text": "Netto", "language": language}]}
        assert ".language: " in refusal(EnrichmentPatch, patch(paymentTerms=wrong))
    terms: dict[str, Any] = {"descriptions": [{"text": "Netto", "language": "no"}, {"language": None}]}
    assert wire(EnrichmentPatch, patch(paymentTerms=terms)) == patch(paymentTerms=terms)


def test_a_record_is_read_whatever_it_holds() -> None:
    body = decode(
        b'{"externalId":"SO-1","currency":"XCG","totalNetAmount":"100.10","issuedDate":"2026-01-31T00:00:00Z",'
        b'"isCanceled":null,"shiny":1,"salesOrderLines":[{"netAmount":100.10,"quantity":null,"shiny":2}],"documents":7}'
    )
    record = read(EnrichmentRecord, body, "record")
    assert (record.external_id, record.currency, str(record.total_net_amount)) == ("SO-1", "XCG", "100.10")
    assert str(record.issued_date) == "2026-01-31"
    assert record.model_extra == {"shiny": 1, "documents": 7}
    assert record.sales_order_lines is not None
    assert str(record.sales_order_lines[0].net_amount) == "100.10"
    assert record.sales_order_lines[0].model_extra == {"shiny": 2}


@pytest.mark.parametrize("rubbish", ["rubbish", 1.5, True, [], {}, [None], {"a": [1]}, None])
def test_a_malformed_member_breaks_nothing(rubbish: object) -> None:
    for info in EnrichmentRecord.model_fields.values():
        read(EnrichmentRecord, {info.alias: rubbish}, "record")


def test_the_answer_to_an_insert() -> None:
    assert read(InsertedRecord, {"id": "3a429dc8"}, "record").id == "3a429dc8"
    assert read(InsertedRecord, {}, "record").id is None

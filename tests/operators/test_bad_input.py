"""What is wrong is told in one clear sentence, and nothing is sent."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import AuthenticationFailed, InvalidInput, TfsoHypatosError
from tfso_hypatos.hooks import base
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrderOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections")

LINE: dict[str, Any] = {"description": "Kaffe", "quantity": 1, "price": 10}
ORDER: dict[str, Any] = {"customer": {"id": 42, "name": "K"}}


def refused(operator: BaseOperator, log: Log) -> str:
    with pytest.raises(InvalidInput) as caught:
        operator.execute({})
    assert caught.value.permanent
    assert log.sandbox.requests() == []
    text = str(caught.value)
    assert "\n" not in text
    assert "pydantic" not in text
    assert "(nothing was sent)" in text
    return text


@pytest.mark.parametrize(
    ("order", "place", "rule"),
    [
        (
            {**ORDER, "deliveryCustomer": {"postalCode": "0" * 17}},
            "order.deliveryCustomer.postalCode",
            "at most 16 characters",
        ),
        ({"customer": {"id": 42}}, "order.customer.name", "is required"),
        ({"customer": {"name": "K"}}, "order.customer.id", "is required"),
        ({}, "order.customer", "is required"),
        ({"customer": {"id": 42, "name": "x" * 201}}, "order.customer.name", "at most 200 characters"),
        ({"customer": {"id": 42, "name": None}}, "order.customer.name", "text is needed"),
        ({"customer": {"id": "forty", "name": "K"}}, "order.customer.id", "a whole number is needed"),
        ({"customer": {"id": 4.2, "name": "K"}}, "order.customer.id", "a whole number is needed"),
        ({"customer": {"id": True, "name": "K"}}, "order.customer.id", "a whole number is needed"),
        ({**ORDER, "custommer": 1}, "order.custommer", "is not a field that can be sent"),
        ({**ORDER, "date": "20.11.2026"}, "order.date", "YYYY-MM-DD"),
        ({**ORDER, "date": "2026-02-30"}, "order.date", "there is no such day"),
        ({**ORDER, "date": 20261120}, "order.date", "YYYY-MM-DD"),
        ({**ORDER, "status": "Paid"}, "order.status", "Draft"),
        ({**ORDER, "status": "Invoice"}, "order.status", "invoiced after it has lines"),
        ({**ORDER, "memo": None}, "order.memo", "null is not allowed"),
        ({**ORDER, "internalMemo": "x" * 290}, "order.internalMemo", "because the marker"),
        ({**ORDER, "currency": {"code": "kr"}}, "order.currency.code", "pattern"),
        ({**ORDER, "memo": "\ud800"}, "order.memo", "holds half"),
        ("[]", "order", "an object with named fields is needed, not list"),
        ("{'customer': {}}", "order", "text that is not JSON: end the template with | tojson"),
        ("", "order", "text that is not JSON"),
        ('{"memo": "a", "date": "2026-11-20", "memo": "b"}', "order", "two members of the name 'memo' in one object"),
        ('{"a":' * 100_000, "order", "is nested too deeply"),
        ('{"memo": 1e99999999999999999999}', "order", "holds a number that is too large"),
        ({"customer": {"id": Decimal("1e300000000"), "name": "K"}}, "order.customer.id", "at most 1000 digits"),
        (None, "order", "not NoneType"),
    ],
)
def test_a_wrong_order_is_refused_with_its_field(log: Log, order: Any, place: str, rule: str) -> None:
    text = refused(CreateSalesOrderOperator(task_id="t", order=order, lines=[LINE], order_key="k"), log)
    assert text.startswith(place)
    assert rule in text


@pytest.mark.parametrize(
    ("lines", "place", "rule"),
    [
        ([], "lines", "at least one line is needed"),
        (None, "lines", "a list of lines is needed, not NoneType"),
        (LINE, "lines", "a list of lines is needed, not dict"),
        ("[]", "lines", "at least one line is needed"),
        ("[{]", "lines", "text that is not JSON"),
        ('[{"price": NaN}]', "lines", "not JSON"),
        ([None], "lines[0]", "not NoneType"),
        ([{}], "lines[0]", "at least one field"),
        ([LINE, {**LINE, "price": float("nan")}], "lines[1].price", "finite number"),
        ([{**LINE, "price": float("inf")}], "lines[0].price", "finite number"),
        ([{**LINE, "price": "NaN"}], "lines[0].price", "a number is needed"),
        ([{**LINE, "price": "ten"}], "lines[0].price", "a number is needed"),
        ([{**LINE, "price": "1 000,50"}], "lines[0].price", "a number is needed"),
        ([{**LINE, "price": "1,50"}], "lines[0].price", "a number is needed"),
        ([{**LINE, "price": "1_000"}], "lines[0].price", "a number is needed"),
        ([{**LINE, "price": ""}], "lines[0].price", "a number is needed"),
        ([{**LINE, "price": True}], "lines[0].price", "a number is needed"),
        ([{**LINE, "price": None}], "lines[0].price", "null is not allowed"),
        ([{**LINE, "price": 0.1 + 0.2}], "lines[0].price", "more than 15 significant digits"),
        ([{**LINE, "quantity": 1234567890123456.5}], "lines[0].quantity", "more than 15 significant digits"),
        ('[{"price": 1e300000000}]', "lines[0].price", "a number of at most 1000 digits"),
        ('[{"price": 1e-300000000}]', "lines[0].price", "a number of at most 1000 digits"),
        ([{**LINE, "price": Decimal("0e300000000")}], "lines[0].price", "a number of at most 1000 digits"),
        ([{**LINE, "prize": 1}], "lines[0].prize", "is not a field that can be sent"),
        ([{**LINE, "discountRate": 101}], "lines[0].discountRate", "less than or equal to 100"),
        ([{**LINE, "type": "gift"}], "lines[0].type", "product"),
        ([{**LINE, "description": "x" * 301}], "lines[0].description", "at most 300 characters"),
        ([LINE, {**LINE, "description": "\ud800"}], "lines[1].description", "holds half"),
        ([{**LINE, "description": ""}], "lines[0].description", "at least 1 characters"),
        ([{**LINE, "dimensions": [{"value": "1"}]}], "lines[0].dimensions[0].dimensionType", "is required"),
    ],
)
def test_wrong_lines_are_refused_with_their_place(log: Log, lines: Any, place: str, rule: str) -> None:
    text = refused(CreateSalesOrderOperator(task_id="t", order=ORDER, lines=lines, order_key="k"), log)
    assert text.startswith(place)
    assert rule in text


def test_everything_that_is_wrong_is_told_at_once(log: Log) -> None:
    operator = CreateSalesOrderOperator(task_id="t", order={}, lines=[{"prize": 1}], order_key=" ", marker_field="x")
    text = refused(operator, log)
    for place in ("order.customer", "lines[0].prize", "order_key", "marker_field"):
        assert place in text


def test_no_value_of_the_caller_is_in_the_text(log: Log) -> None:
    order = {"customer": {"id": "hemmelig", "name": ["Kari Nordmann"]}, "deliveryCustomer": {"street": {"a": "Gata"}}}
    text = refused(CreateSalesOrderOperator(task_id="t", order=order, lines=[LINE], order_key="k"), log)
    for private in ("hemmelig", "Kari", "Gata"):
        assert private not in text


def test_a_reference_number_beside_the_marker_is_refused(log: Log) -> None:
    order = {**ORDER, "referenceNumber": "PO-1"}
    operator = CreateSalesOrderOperator(
        task_id="t", order=order, lines=[LINE], order_key="k", marker_field="referenceNumber"
    )
    assert refused(operator, log).startswith("order.referenceNumber: must be left out")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"sales_order_id": "web-1"}, "sales_order_id"),
        ({"sales_order_id": ""}, "sales_order_id"),
        ({"sales_order_id": None}, "sales_order_id"),
        ({"sales_order_id": 0}, "sales_order_id"),
        ({"sales_order_id": -1}, "sales_order_id"),
        ({"sales_order_id": True}, "sales_order_id"),
        ({"sales_order_id": 7.0}, "sales_order_id"),
        ({"sales_order_id": "²"}, "sales_order_id"),
        ({"sales_order_id": {"other": 1}}, "sales_order_id"),
        ({"sales_order_id": "{'sales_order_id': 7}"}, "sales_order_id"),
        ({"invoice_date": "today"}, "invoice_date"),
        ({"due_date": "2026-13-01"}, "due_date"),
        ({"payment_terms": "two weeks"}, "payment_terms"),
        ({"payment_terms": {"type": "Weeks", "value": 2}}, "payment_terms"),
        ({"payment_terms": {"type": "NumberOfDays", "value": -1}}, "payment_terms.value"),
        ({"payment_terms": {"type": "NumberOfDays"}}, "payment_terms.value"),
        ({"distribution_method": "pigeon"}, "distribution_method"),
        ({"expected_gross_amount": "ten"}, "expected_gross_amount"),
        ({"expected_gross_amount": float("nan")}, "expected_gross_amount"),
        ({"expected_gross_amount": "1 234,50"}, "expected_gross_amount"),
    ],
)
def test_a_wrong_argument_of_the_invoice_is_refused_with_its_name(
    log: Log, arguments: dict[str, Any], place: str
) -> None:
    operator = InvoiceSalesOrderOperator(task_id="t", **{"sales_order_id": 7, **arguments})
    assert refused(operator, log).startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"patch": None}, "patch"),
        ({"patch": {}}, "patch"),
        ({"patch": ""}, "patch"),
        ({"patch": []}, "patch"),
        ({"patch": "no json"}, "patch"),
        ({"patch": {"externalId": "other"}}, "patch.externalId"),
        ({"patch": {"headertext": "x"}}, "patch.headertext"),
        ({"patch": {"totalNetAmount": "ten"}}, "patch.totalNetAmount"),
        ({"patch": {"totalNetAmount": float("inf")}}, "patch.totalNetAmount"),
        ({"patch": {"currency": "kr"}}, "patch.currency"),
        ({"patch": {"documentId": "x"}}, "patch.documentId"),
        ({"patch": {"salesOrderLines": [{"netAmount": 0.1 + 0.2}]}}, "patch.salesOrderLines[0].netAmount"),
        ({"patch": {"customMetadata": {"a": float("nan")}}}, "patch.customMetadata"),
        ({"external_id": "a b"}, "patch.externalId"),
        ({"external_id": ""}, "external_id"),
        ({"external_id": None}, "external_id"),
        ({"on_missing": "ignore"}, "on_missing"),
        ({"sales_order_id": "x"}, "sales_order_id"),
    ],
)
def test_a_wrong_argument_of_the_enrichment_is_refused_with_its_name(
    log: Log, arguments: dict[str, Any], place: str
) -> None:
    given = {"external_id": "K", "patch": {"headerText": "x"}, **arguments}
    assert refused(EnrichSalesOrderOperator(task_id="t", **given), log).startswith(place)


def operators() -> list[Any]:
    return [
        pytest.param(
            lambda: CreateSalesOrderOperator(task_id="t", order=ORDER, lines=[LINE], order_key="k"), id="create"
        ),
        pytest.param(lambda: InvoiceSalesOrderOperator(task_id="t", sales_order_id=7), id="invoice"),
        pytest.param(
            lambda: EnrichSalesOrderOperator(task_id="t", external_id="K", patch={"headerText": "x"}), id="enrich"
        ),
        pytest.param(
            lambda: EnrichSalesOrderOperator(task_id="t", external_id="K", sales_order_id=7), id="enrich from order"
        ),
        pytest.param(
            lambda: CreateSalesOrdersOperator(
                task_id="t", orders=[{"order_key": "k", "order": ORDER, "lines": [LINE]}]
            ),
            id="create many",
        ),
        pytest.param(lambda: InvoiceSalesOrdersOperator(task_id="t", orders=[7]), id="invoice many"),
        pytest.param(
            lambda: EnrichSalesOrdersOperator(task_id="t", orders=[{"external_id": "K", "sales_order_id": 7}]),
            id="enrich many",
        ),
    ]


@pytest.mark.parametrize("make", operators())
def test_a_wrong_secret_is_told_and_only_a_token_was_asked_for(connections: Connections, log: Log, make: Any) -> None:
    connections.tfso(password="feil")
    connections.hypatos(password="feil")
    with pytest.raises(AuthenticationFailed, match="Check client id and client secret"):
        make().execute({})
    assert log.sent() == []
    assert len(log.token_requests) == 1


@pytest.mark.parametrize("make", operators()[:2])
def test_an_unknown_organization_is_told_and_only_a_token_was_asked_for(
    connections: Connections, log: Log, make: Any
) -> None:
    connections.tfso(extra={"organization_id": "999"})
    with pytest.raises(AuthenticationFailed, match="organization 999"):
        make().execute({})
    assert log.sent() == []


@pytest.mark.parametrize("make", operators())
def test_a_missing_field_of_the_connection_is_told(connections: Connections, log: Log, make: Any) -> None:
    connections.tfso(password=None)
    connections.hypatos(password=None)
    with pytest.raises(TfsoHypatosError, match=r"lacks password \(client secret\)"):
        make().execute({})
    assert log.sandbox.requests() == []


@pytest.mark.parametrize("make", operators())
def test_a_host_that_cannot_be_reached_is_told_with_the_step(
    connections: Connections, log: Log, make: Any, free_port_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "Patience", lambda **_: Patience(attempts=2, longest_wait=0.01))
    connections.tfso(host=f"{free_port_url}/v1", extra={"token_url": f"{free_port_url}/token"})
    connections.hypatos(host=f"{free_port_url}/v2")
    with pytest.raises(TfsoHypatosError, match=f"{free_port_url} to get an access token") as caught:
        make().execute({})
    assert "nothing was sent" in str(caught.value)
    assert not caught.value.permanent
    assert log.sandbox.requests() == []


def test_json_texts_are_taken_as_they_come_from_a_template(log: Log) -> None:
    operator = CreateSalesOrderOperator(
        task_id="t", order=json.dumps(ORDER), lines=json.dumps([LINE]), order_key="web-1"
    )
    assert operator.execute({})["created"] is True
    assert log.order["customer"] == ORDER["customer"]

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from tfso_hypatos.clients import hypatos, tfso, tfso_lists
from tfso_hypatos.exceptions import BadRequest, NotFound, PermissionDenied, UnexpectedResponse
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentSalesOrder
from tfso_hypatos.models.tfso import Line, SalesOrderCreate, SalesOrderPatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Asked, Driver, Log, Reply, Script, Services

LINE = validate(Line, {"product": {"id": 7}, "description": "Kaffe", "quantity": 3, "price": "99.99"}, "line")


def new_order(number: int = 42, **fields: Any) -> SalesOrderCreate:
    return validate(SalesOrderCreate, {"customer": {"id": number, "name": "Bjørn Ås AS"}, **fields}, "order")


def test_a_sales_order_is_created_with_what_was_given_and_nothing_else(
    driver: Driver, services: Services, log: Log
) -> None:
    created = driver.run(services.tfso(), tfso.create_sales_order(new_order(date="2026-11-20", memo="Takk!")))
    assert created.id == log.order["id"]
    (request,) = log.sent("POST", "/salesorders")
    sent = {"customer": {"id": 42, "name": "Bjørn Ås AS"}, "date": "2026-11-20", "memo": "Takk!"}
    assert json.loads(request["body"]) == sent
    assert request["headers"]["content-type"] == "application/json"


def test_a_sales_order_is_read(driver: Driver, services: Services, log: Log) -> None:
    created = driver.run(services.tfso(), tfso.create_sales_order(new_order()))
    read = driver.run(services.tfso(), tfso.get_sales_order(created.id))
    assert read == created
    assert read.customer is not None
    assert read.customer.name == "Bjørn Ås AS"


def test_a_sight_says_as_of_when(driver: Driver, services: Services) -> None:
    created = driver.run(services.tfso(), tfso.create_sales_order(new_order()))
    sight = driver.run(services.tfso(), tfso.see_sales_order(created.id))
    assert sight.seen_at < sight.answered_at
    assert sight.server_time is not None
    assert abs(sight.server_time - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=5)


def test_a_sales_order_is_changed_in_the_given_fields_only(driver: Driver, services: Services, log: Log) -> None:
    created = driver.run(services.tfso(), tfso.create_sales_order(new_order(memo="bleibt")))
    change = validate(SalesOrderPatch, {"status": "Confirmed"}, "change")
    changed = driver.run(services.tfso(), tfso.update_sales_order(created.id, change))
    assert changed.status == "Confirmed"
    assert log.order["memo"] == "bleibt"
    assert log.sent("PATCH")[0]["body"] == '{"status":"Confirmed"}'


def test_a_mapping_changes_an_order_as_it_is(driver: Driver, services: Services, log: Log) -> None:
    created = driver.run(services.tfso(), tfso.create_sales_order(new_order()))
    driver.run(services.tfso(), tfso.update_sales_order(created.id, {"internalMemo": "ring først"}))
    assert log.order["internalMemo"] == "ring først"


def test_a_sales_order_is_deleted(driver: Driver, services: Services, log: Log) -> None:
    created = driver.run(services.tfso(), tfso.create_sales_order(new_order()))
    driver.run(services.tfso(), tfso.delete_sales_order(created.id))
    assert log.orders == []
    with pytest.raises(NotFound, match=f"refused to read sales order {created.id}: HTTP 404"):
        driver.run(services.tfso(), tfso.get_sales_order(created.id))


def test_lines_are_added_read_changed_and_deleted(driver: Driver, services: Services, log: Log) -> None:
    service = services.tfso()
    order_id = driver.run(service, tfso.create_sales_order(new_order())).id
    added = [driver.run(service, tfso.add_line(order_id, LINE)) for _ in range(2)]
    assert [line.id for line in driver.run(service, tfso.list_lines(order_id))] == [line.id for line in added]
    assert driver.run(service, tfso.get_line(order_id, added[0].id)) == added[0]
    change = validate(Line, {"quantity": "4.5"}, "line")
    changed = driver.run(service, tfso.update_line(order_id, added[0].id, change))
    assert (changed.quantity, changed.price, changed.description) == (Decimal("4.5"), Decimal("99.99"), "Kaffe")
    assert log.sent("PATCH")[0]["body"] == '{"quantity":4.5}'
    driver.run(service, tfso.delete_line(order_id, added[1].id))
    assert [line["id"] for line in log.order["lines"]] == [added[0].id]


def test_a_hypatos_record_is_inserted_patched_and_deleted(driver: Driver, services: Services, log: Log) -> None:
    service = services.hypatos()
    record = validate(EnrichmentSalesOrder, {"externalId": "SO-1", "headerText": "hei", "totalNetAmount": 100}, "r")
    headers = {"X-Hy-Meta-Internal-Company-Id": "c1"}
    assert driver.run(service, hypatos.insert_sales_order(record, headers)) != ""
    patch = validate(EnrichmentPatch, {"externalId": "SO-1", "headerText": None, "totalGrossAmount": "125.50"}, "p")
    patched = driver.run(service, hypatos.patch_sales_order("SO-1", patch))
    assert patched.total_gross_amount == Decimal("125.50")
    assert log.records == {"SO-1": {"externalId": "SO-1", "totalNetAmount": 100, "totalGrossAmount": Decimal("125.50")}}
    inserted, changed = log.sent()
    assert inserted["headers"]["x-hy-meta-internal-company-id"] == "c1"
    assert changed["headers"]["content-type"] == "application/merge-patch+json"
    assert json.loads(changed["body"]) == {"externalId": "SO-1", "headerText": None, "totalGrossAmount": 125.5}
    assert '"totalGrossAmount":125.50' in changed["body"]
    driver.run(service, hypatos.delete_sales_order("SO-1"))
    assert log.records == {}
    with pytest.raises(NotFound, match="delete the Hypatos sales order 'SO-1'"):
        driver.run(service, hypatos.delete_sales_order("SO-1"))


@pytest.mark.parametrize("key", ["UserID#1234", "a/b", "50%", "q?x=1", "a+b", "å-ø", "a%2Fb", "a;b=c&d"])
def test_a_hypatos_key_of_any_characters_reaches_the_record(
    driver: Driver, services: Services, log: Log, key: str
) -> None:
    record = validate(EnrichmentSalesOrder, {"externalId": key}, "record")
    patch = validate(EnrichmentPatch, {"externalId": key, "headerText": "x"}, "patch")
    driver.run(services.hypatos(), hypatos.insert_sales_order(record))
    driver.run(services.hypatos(), hypatos.patch_sales_order(key, patch))
    assert log.records == {key: {"externalId": key, "headerText": "x"}}
    driver.run(services.hypatos(), hypatos.delete_sales_order(key))
    assert log.records == {}


def test_every_request_carries_the_bearer_and_asks_for_json(driver: Driver, services: Services, log: Log) -> None:
    driver.run(services.tfso(), tfso_lists.list_page(tfso_lists.SalesOrderFilter()))
    (request,) = log.sent()
    assert request["headers"]["authorization"].startswith("Bearer #")
    assert request["headers"]["accept"] == "application/json"


def test_an_order_with_another_id_than_asked_for_is_not_believed(
    driver: Driver, script: Script, reply: type[Reply]
) -> None:
    script.gives(lambda _: reply(body=b'{"id":8}'))
    with pytest.raises(UnexpectedResponse, match="answered sales order 8 to the request to read sales order 7"):
        driver.run(script.service(), tfso.get_sales_order(7))


@pytest.mark.parametrize("body", [b"{}", b"null", b"17", b'"text"', b"", b'[{"no":"id"}]', b"[null]"])
def test_a_list_of_another_shape_is_unexpected(driver: Driver, script: Script, reply: type[Reply], body: bytes) -> None:
    script.gives(lambda _: reply(body=body))
    with pytest.raises(UnexpectedResponse):
        driver.run(script.service(), tfso_lists.list_sales_orders(tfso_lists.SalesOrderFilter()))


def test_what_is_not_documented_is_kept_and_does_no_harm(driver: Driver, script: Script, reply: type[Reply]) -> None:
    body = b'{"id":7,"status":"Ascended","novelty":{"deep":[1,2.5]},"street":["a","b"],"invoice":null}'
    script.gives(lambda _: reply(body=body))
    order = driver.run(script.service(), tfso.get_sales_order(7))
    assert order.status == "Ascended"
    assert order.model_extra is not None
    assert order.model_extra["novelty"] == {"deep": [1, Decimal("2.5")]}


def test_an_unclear_answer_to_a_creation_is_ambiguous(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(body=b'{"status":"Draft"}'))
    with pytest.raises(UnexpectedResponse, match="answer of another shape") as caught:
        driver.run(script.service(), tfso.create_sales_order(new_order()))
    assert caught.value.ambiguous
    assert len(script.calls()) == 1


def test_a_refusal_names_the_field_and_the_vendors_ids(driver: Driver, services: Services, sandbox: Any) -> None:
    sandbox.configure(known_customers=[1])
    with pytest.raises(BadRequest, match="CustomerNotFound; Customer 42 not found") as caught:
        driver.run(services.tfso(), tfso.create_sales_order(new_order()))
    error = caught.value
    assert (error.status, error.error_types) == (400, ("CustomerNotFound",))
    assert error.tracking_id is not None
    assert error.tracking_id.startswith("tracking-")
    assert error.trace_id is not None
    assert error.trace_id.startswith("trace-")
    assert error.tracking_id in str(error)
    assert error.trace_id in str(error)


def test_a_missing_scope_is_named_as_such(driver: Driver, services: Services, sandbox: Any) -> None:
    sandbox.configure(delete_forbidden=True, empty_error_bodies=True)
    order_id = driver.run(services.tfso(), tfso.create_sales_order(new_order())).id
    with pytest.raises(PermissionDenied, match="the token lacks the scope"):
        driver.run(services.tfso(), tfso.delete_sales_order(order_id))


def echo(reply: type[Reply]) -> Callable[[Asked], Reply]:
    return lambda _: reply(body=b"[]")


def test_filters_travel_as_the_api_names_them(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(echo(reply))
    oslo = datetime.timezone(datetime.timedelta(hours=1))
    filters = tfso_lists.SalesOrderFilter(
        date_from=datetime.date(2026, 1, 1),
        status="Draft",
        customer_id=42,
        reference_number="PO 7 & Co+",
        created_from=datetime.datetime(2026, 1, 1, 1, 30, tzinfo=oslo),
    )
    driver.run(script.service(), tfso_lists.list_page(filters, limit=10))
    (asked,) = script.calls()
    path, _, query = asked.path.partition("?")
    assert path == "/v1/salesorders"
    assert dict(parse_qsl(query, strict_parsing=True)) == {
        "limit": "10",
        "dateFrom": "2026-01-01",
        "status": "Draft",
        "customerId": "42",
        "referenceNumber": "PO 7 & Co+",
        "createdFrom": "2026-01-01T00:30:00.000Z",
    }

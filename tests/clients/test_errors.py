from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.clients import hypatos, tfso
from tfso_hypatos.clients.failures import seconds_to_wait
from tfso_hypatos.clients.messages import Request, ask
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    TimedOut,
    UnexpectedResponse,
)
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentSalesOrder
from tfso_hypatos.models.tfso import Line, SalesOrderCreate

if TYPE_CHECKING:
    from tests.conftest import Driver, Log, Reply, Script, Services

ONCE = Patience(attempts=1)
READ = Request("GET", "/salesorders/7", "read sales order 7")


def business(kind: str, message: str, argument: str) -> dict[str, Any]:
    error = {"type": kind, "message": message, "arguments": [argument]}
    return {"error": {"name": "BadRequestError", "payload": {"errors": [error]}}, "trackingId": "t-1"}


INVALID = [{"path": "customer.name", "keyword": "required"}, {"path": "date", "keyword": "format"}]
SCHEMA = {"error": {"name": "ValidationError", "payload": {"validationErrors": INVALID}}, "trackingId": "t-2"}
GENERIC = {"error": {"name": "NotFoundError", "message": "Sales order 7 not found"}, "trackingId": "t-3"}
DETAILS = [
    {"loc": ["body", "salesOrderLines", 0, "netAmount"], "msg": "Input should be a number", "type": "float_type"},
    {"loc": ["body", "currency"], "msg": "Input should be a code", "type": "enum"},
]
PROBLEM = {"type": "about:blank", "title": "Not found", "status": 404, "instance": "/x"}


def fail(driver: Driver, script: Script) -> ApiError:
    with pytest.raises(ApiError) as caught:
        driver.run(script.service(patience=ONCE), ask(READ))
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "kind", "said", "error_types"),
    [
        (400, business("NoLines", "No lines in the sales order", "lineItems"), BadRequest, "No lines in", ["NoLines"]),
        (400, business("DepartmentMissing", "d", "a"), BadRequest, "DepartmentMissing", ["DepartmentMissing"]),
        (400, business("ProjectMissing", "p", "a"), BadRequest, "ProjectMissing", ["ProjectMissing"]),
        (400, SCHEMA, BadRequest, "customer.name: required; date: format", []),
        (401, GENERIC, AuthenticationFailed, "NotFoundError; Sales order 7 not found", []),
        (403, GENERIC, PermissionDenied, "HTTP 403", []),
        (404, GENERIC, NotFound, "Sales order 7 not found", []),
        (409, GENERIC, Conflict, "HTTP 409", []),
        (405, GENERIC, BadRequest, "HTTP 405", []),
        (500, GENERIC, ServerError, "failed to read sales order 7: HTTP 500", []),
        (400, {"detail": DETAILS}, BadRequest, "body.salesOrderLines.0.netAmount: Input should be a number", []),
        (422, {"detail": DETAILS}, BadRequest, "body.currency: Input should be a code", []),
        (415, {"detail": DETAILS[:1]}, BadRequest, "HTTP 415", []),
        (404, PROBLEM, NotFound, "HTTP 404: Not found", []),
        (404, {}, NotFound, "HTTP 404", []),
        (401, {"title": "Unauthorized", "detail": "expired", "status": 401}, AuthenticationFailed, "expired", []),
        (400, {"error": "invalid_request", "error_description": "why"}, BadRequest, "invalid_request; why", []),
        (500, {"title": "Oops", "detail": "sorry", "status": 500}, ServerError, "Oops; sorry", []),
    ],
)
def test_every_documented_error_body_becomes_a_typed_error(
    driver: Driver,
    script: Script,
    reply: type[Reply],
    status: int,
    body: dict[str, Any],
    kind: type[ApiError],
    said: str,
    error_types: list[str],
) -> None:
    headers = [("X-Trace-Id", "trace-9"), ("Content-Type", "application/json")]
    script.gives(lambda _: reply(status, json.dumps(body).encode(), headers))
    error = fail(driver, script)
    assert type(error) is kind
    assert (error.status, error.trace_id, list(error.error_types)) == (status, "trace-9", error_types)
    assert error.tracking_id == body.get("trackingId")
    assert said in str(error)
    assert "trace id trace-9" in str(error)
    assert error.tracking_id is None or f"trackingId {error.tracking_id}" in str(error)
    assert error.ambiguous is (status >= 500)
    assert error.permanent is (status < 500)


def test_field_paths_of_24sevenoffice_are_kept(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(400, json.dumps(SCHEMA).encode()))
    assert fail(driver, script).problems == (("customer.name", "required"), ("date", "format"))


def test_field_paths_of_hypatos_are_kept(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(400, json.dumps({"detail": DETAILS}).encode()))
    assert fail(driver, script).problems == (
        ("body.salesOrderLines.0.netAmount", "Input should be a number"),
        ("body.currency", "Input should be a code"),
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><h1>502 Bad Gateway</h1></html>",
        b'{"error":{"name":"Bad',
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"17",
        b'"text"',
        b'{"error":null}',
        b'{"error":{}}',
        b'{"error":{"payload":null}}',
        b'{"error":{"payload":{"errors":null,"validationErrors":{}}}}',
        b'{"error":{"payload":{"errors":[null,7],"validationErrors":["x"]}}}',
        b'{"error":{"name":7,"message":["x"]},"trackingId":{"a":1}}',
        b'{"detail":null}',
        b'{"detail":[null,7,{"loc":null,"msg":null},{"loc":"body","msg":7}]}',
        b'{"detail":{"a":1},"title":7}',
    ],
)
@pytest.mark.parametrize(("status", "kind"), [(400, BadRequest), (404, NotFound), (502, ServerError)])
def test_an_error_body_of_any_shape_becomes_the_error_of_its_status(
    driver: Driver, script: Script, reply: type[Reply], body: bytes, status: int, kind: type[ApiError]
) -> None:
    script.gives(lambda _: reply(status, body))
    error = fail(driver, script)
    assert type(error) is kind
    assert error.status == status
    assert "<html>" not in str(error)


@pytest.mark.parametrize("body", [b"<html></html>", b'{"id":7', b"\xff\xfe", b'{"id":NaN}'])
def test_a_success_that_cannot_be_read_is_ambiguous(
    driver: Driver, script: Script, reply: type[Reply], body: bytes
) -> None:
    script.gives(lambda _: reply(200, body, [("Content-Type", "text/html")]))
    with pytest.raises(UnexpectedResponse, match="cannot be read as JSON") as caught:
        driver.run(script.service(patience=ONCE), ask(READ))
    assert caught.value.ambiguous
    assert "text/html" in str(caught.value)


def test_a_deeply_nested_body_is_an_unexpected_response(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(200, b"[" * 100_000))
    with pytest.raises(UnexpectedResponse):
        driver.run(script.service(patience=ONCE), ask(READ))


def test_a_long_text_of_the_vendor_is_cut(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(400, json.dumps({"title": "x" * 5000}).encode()))
    assert len(str(fail(driver, script))) < 500


def test_the_sandbox_refuses_an_order_with_field_paths(driver: Driver, services: Services, log: Log) -> None:
    flow = ask(Request("POST", "/salesorders", "create the sales order", body={"customer": {"id": 42}}))
    with pytest.raises(BadRequest) as caught:
        driver.run(services.tfso(), flow)
    assert caught.value.problems == (("customer.name", "required"),)
    assert log.orders == []


def test_the_sandbox_refuses_a_record_with_field_paths(driver: Driver, services: Services, log: Log) -> None:
    body = {"externalId": "K", "salesOrderLines": [{"netAmount": "ten"}]}
    with pytest.raises(BadRequest) as caught:
        driver.run(services.hypatos(), ask(Request("POST", "/enrichment/sales-orders", "insert", body=body)))
    assert [problem.place for problem in caught.value.problems] == ["body.salesOrderLines.0.netAmount"]


def test_a_wrong_media_type_is_a_bad_request(driver: Driver, services: Services) -> None:
    flow = ask(Request("PATCH", "/enrichment/sales-orders/K", "patch", body={"externalId": "K"}))
    with pytest.raises(BadRequest, match="415") as caught:
        driver.run(services.hypatos(), flow)
    assert caught.value.problems[0].place == "header.content-type"


def test_a_change_of_an_invoiced_order_is_a_conflict(driver: Driver, services: Services) -> None:
    service = services.tfso()
    order = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
    order_id = driver.run(service, tfso.create_sales_order(order)).id
    line = validate(Line, {"description": "x", "quantity": 1, "price": 1}, "line")
    driver.run(service, tfso.add_line(order_id, line))
    driver.run(service, tfso.update_sales_order(order_id, {"status": "Invoice"}))
    for flow in (tfso.add_line(order_id, line), tfso.delete_sales_order(order_id)):
        with pytest.raises(Conflict, match="already invoiced"):
            driver.run(service, flow)


def test_an_order_without_lines_is_not_invoiced(driver: Driver, services: Services) -> None:
    order = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
    order_id = driver.run(services.tfso(), tfso.create_sales_order(order)).id
    with pytest.raises(BadRequest, match="NoLines; No lines in the sales order") as caught:
        driver.run(services.tfso(), tfso.update_sales_order(order_id, {"status": "Invoice"}))
    assert caught.value.error_types == ("NoLines",)


def test_an_unknown_record_is_not_found(driver: Driver, services: Services) -> None:
    patch = validate(EnrichmentPatch, {"externalId": "K"}, "patch")
    with pytest.raises(NotFound, match="refused to patch the Hypatos sales order 'K': HTTP 404: Not found"):
        driver.run(services.hypatos(), hypatos.patch_sales_order("K", patch))


def test_a_server_that_cannot_be_reached_is_a_connection_failure(
    driver: Driver, services: Services, free_port_url: str
) -> None:
    service = services.tfso(base_url=free_port_url, patience=ONCE)
    with pytest.raises(ConnectionFailed, match=f"cannot be reached at {free_port_url} to read sales order 7") as caught:
        driver.run(service, ask(READ))
    assert not caught.value.ambiguous
    assert not caught.value.permanent


def test_a_host_that_does_not_exist_is_a_connection_failure(driver: Driver, services: Services) -> None:
    service = services.tfso(base_url="http://does-not-exist.invalid/v1", patience=ONCE)
    with pytest.raises(ConnectionFailed, match=r"does-not-exist\.invalid"):
        driver.run(service, ask(READ))


def test_a_url_that_is_none_is_named(driver: Driver, services: Services) -> None:
    service = services.tfso(base_url="http://[::1/v1", patience=ONCE)
    with pytest.raises((ConnectionFailed, ConfigurationError)) as caught:
        driver.run(service, ask(READ))
    assert "read sales order 7" in str(caught.value)


def test_a_server_that_does_not_answer_in_time_is_ambiguous(driver: Driver, services: Services, sandbox: Any) -> None:
    sandbox.add_fault(action="hang_before", seconds=1, path="/salesorders/7")
    with pytest.raises(TimedOut, match="did not answer the request to read sales order 7 in time") as caught:
        driver.run(services.tfso(timeout=0.2, patience=ONCE), ask(READ))
    assert caught.value.ambiguous


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ([("Retry-After", "17")], 17.0),
        ([("Retry-After", "0.5")], 0.5),
        ([("Retry-After", "-3")], 0.0),
        ([("Retry-After", "soon")], None),
        ([("Retry-After", "")], None),
        ([("x-ratelimit-reset", "21")], 21.0),
        ([("x-ratelimit-reset", "later")], None),
        ([("Retry-After", "5"), ("x-ratelimit-reset", "21")], 5.0),
        ([("Retry-After", "Fri, 20 Nov 2026 10:00:30 GMT"), ("Date", "Fri, 20 Nov 2026 10:00:00 GMT")], 30.0),
        ([("Retry-After", "Fri, 20 Nov 2020 10:00:30 GMT"), ("Date", "Fri, 20 Nov 2026 10:00:00 GMT")], 0.0),
        ([], None),
    ],
)
def test_the_wait_that_the_server_asks_for_is_read(headers: list[tuple[str, str]], wait: float | None) -> None:
    assert seconds_to_wait({name.lower(): value for name, value in headers}) == wait


@pytest.mark.parametrize(
    "value",
    ["Fri, 20 Nov 2026 10:00:30", "Fri, 20 Nov 2026 10:00:30 -0000", "inf", "nan", "1e999", "99999999999999999999"],
)
def test_an_odd_wait_is_still_a_rate_limit_that_a_retry_can_wait_for(
    driver: Driver, script: Script, reply: type[Reply], value: str
) -> None:
    headers = [("Retry-After", value), ("Date", "Fri, 20 Nov 2026 10:00:00 GMT")]
    script.gives(lambda _: reply(429, b"", headers))
    error = fail(driver, script)
    assert isinstance(error, RateLimited)
    assert error.retry_after is None or 0 <= error.retry_after < 1e9


def test_an_insert_refused_with_422_is_a_bad_request(driver: Driver, services: Services, sandbox: Any) -> None:
    sandbox.configure(hypatos_insert_error=422, hypatos_strict=True)
    record = EnrichmentSalesOrder.model_construct(external_id="a b")
    with pytest.raises(BadRequest, match="422"):
        driver.run(services.hypatos(), hypatos.insert_sales_order(record))

from __future__ import annotations

import datetime
import socket
import threading
import time
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.clients import hypatos, tfso
from tfso_hypatos.clients.messages import Flow, Request, ask
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import (
    BadRequest,
    ConnectionFailed,
    NoAnswer,
    RateLimited,
    ServerError,
    TfsoHypatosError,
)
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentSalesOrder
from tfso_hypatos.models.tfso import Line, SalesOrderCreate

if TYPE_CHECKING:
    from tests.conftest import Asked, Driver, Log, Reply, Script, Services

ORDER = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
LINE = validate(Line, {"description": "Kaffe", "quantity": 1, "price": 10}, "line")

PASSING: list[dict[str, Any]] = [
    {"action": "status_before", "status": 500},
    {"action": "status_before", "status": 502, "html": True},
    {"action": "status_before", "status": 503},
    {"action": "status_before", "status": 504},
    {"action": "rate_limit"},
    {"action": "drop_before"},
    {"action": "reset_body"},
    {"action": "truncate"},
    {"action": "hang_before", "seconds": 600},
]
AMBIGUOUS: list[dict[str, Any]] = [
    {"action": "drop_after"},
    {"action": "drop_before"},
    {"action": "status_after", "status": 500},
    {"action": "status_after", "status": 502, "html": True},
    {"action": "status_after", "status": 503},
    {"action": "status_after", "status": 504},
    {"action": "hang_after", "seconds": 600},
    {"action": "reset_body"},
    {"action": "truncate"},
    {"action": "commit_late", "seconds": 0.05},
]


def named(faults: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(fault, id=f"{fault['action']} {fault.get('status', '')}".strip()) for fault in faults]


def patience_with(fault: dict[str, Any]) -> float:
    """Return how long to wait for an answer: not long for one that never comes."""
    return 1.5 if fault["action"].startswith("hang") else 30.0


def existing(driver: Driver, services: Services, *, with_line: bool = True) -> int:
    order_id = driver.run(services.tfso(), tfso.create_sales_order(ORDER)).id
    if with_line:
        driver.run(services.tfso(), tfso.add_line(order_id, LINE))
    return order_id


@pytest.mark.parametrize("fault", named(PASSING))
def test_a_read_is_repeated_until_it_succeeds(
    driver: Driver, services: Services, sandbox: Any, log: Log, fault: dict[str, Any]
) -> None:
    order_id = existing(driver, services)
    times = 1 if fault["action"].startswith("hang") else 2
    sandbox.add_fault(**fault, method="GET", times=times)
    found = driver.run(services.tfso(timeout=patience_with(fault)), tfso.get_sales_order(order_id))
    assert found.id == order_id
    assert len(log.sent("GET")) == times + 1


def creation(_: int) -> Flow[Any]:
    return tfso.create_sales_order(ORDER)


def addition(order_id: int) -> Flow[Any]:
    return tfso.add_line(order_id, LINE)


def invoicing(order_id: int) -> Flow[Any]:
    return tfso.update_sales_order(order_id, {"status": "Invoice"})


UNREPEATABLE = [
    pytest.param(creation, "POST", r"/salesorders$", id="create order"),
    pytest.param(addition, "POST", r"/lines$", id="add line"),
    pytest.param(invoicing, "PATCH", r"/salesorders/\d+$", id="invoice"),
]


@pytest.mark.parametrize("fault", named(AMBIGUOUS))
@pytest.mark.parametrize(("call", "method", "path"), UNREPEATABLE)
def test_what_may_have_been_carried_out_is_never_sent_again(
    driver: Driver,
    services: Services,
    sandbox: Any,
    log: Log,
    call: Any,
    method: str,
    path: str,
    fault: dict[str, Any],
) -> None:
    order_id = existing(driver, services)
    sandbox.add_fault(**fault, method=method, path=path)
    with pytest.raises((NoAnswer, ServerError)) as caught:
        driver.run(services.tfso(timeout=patience_with(fault)), call(order_id))
    assert caught.value.ambiguous
    # Looked at once: what is carried out late changes its line in the log.
    sent = log.sent(method)
    assert [each for each in sent if each["fault"]] == sent[-1:]


@pytest.mark.parametrize(("call", "method", "path"), UNREPEATABLE)
def test_a_change_is_sent_again_after_a_rate_limit(
    driver: Driver, services: Services, sandbox: Any, log: Log, call: Any, method: str, path: str
) -> None:
    order_id = existing(driver, services)
    before = len(log.sent(method))
    sandbox.add_fault(action="rate_limit", method=method, path=path, times=2)
    driver.run(services.tfso(), call(order_id))
    assert [each["status"] for each in log.sent(method)[before:]] == [429, 429, 200]


def test_a_creation_is_sent_again_after_a_refused_connection(driver: Driver, services: Services, log: Log) -> None:
    # Something that only listens from the second attempt on.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.settimeout(60)
    address = listener.getsockname()
    seen: list[bytes] = []

    def serve() -> None:
        time.sleep(0.15)
        listener.listen()
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(65536))
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"id":7}')

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        patience = Patience(attempts=10_000, budget=60.0, longest_wait=0.05)
        service = services.tfso(base_url=f"http://{address[0]}:{address[1]}", patience=patience)
        assert driver.run(service, tfso.create_sales_order(ORDER)).id == 7
    finally:
        thread.join()
        listener.close()
    assert len(seen) == 1


def test_a_refused_connection_is_given_up_after_the_last_attempt(
    driver: Driver, services: Services, free_port_url: str
) -> None:
    with pytest.raises(ConnectionFailed):
        driver.run(services.tfso(base_url=free_port_url), tfso.create_sales_order(ORDER))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_a_refusal_is_not_repeated(driver: Driver, script: Script, reply: type[Reply], status: int) -> None:
    script.gives(lambda _: reply(status, b"{}"))
    with pytest.raises(TfsoHypatosError):
        driver.run(script.service(), tfso.get_sales_order(7))
    # A 401 is answered by a fresh token and another try, twice.
    assert len(script.calls()) == (3 if status == 401 else 1)


def test_attempts_are_limited(driver: Driver, services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="status_before", status=503, times=100, method="GET")
    patience = Patience(attempts=3, budget=5, longest_wait=0.01)
    with pytest.raises(ServerError, match="503"):
        driver.run(services.tfso(patience=patience), tfso.get_sales_order(7))
    assert len(log.sent("GET")) == 3


def test_the_budget_is_respected(driver: Driver, services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="rate_limit", retry_after=0.2, times=100, method="GET")
    patience = Patience(attempts=100, budget=0.5, longest_wait=0.01)
    with pytest.raises(RateLimited):
        driver.run(services.tfso(patience=patience), tfso.get_sales_order(7))
    assert len(log.sent("GET")) <= 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_beyond_the_budget_ends_the_attempt_at_once(
    driver: Driver, script: Script, reply: type[Reply], status: int
) -> None:
    script.gives(lambda _: reply(status, b"", [("Retry-After", "3600")]))
    with pytest.raises((RateLimited, ServerError)) as caught:
        driver.run(script.service(patience=Patience()), tfso.get_sales_order(7))
    assert caught.value.retry_after == 3600
    assert len(script.calls()) == 1


@pytest.mark.parametrize("kind", ["seconds", "date", "reset"])
def test_the_wait_that_was_asked_for_is_honoured(driver: Driver, script: Script, reply: type[Reply], kind: str) -> None:
    sent_at: list[float] = []
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    later = now + datetime.timedelta(seconds=1)
    headers = {
        "seconds": [("Retry-After", "0.2")],
        "date": [("Retry-After", format_datetime(later, usegmt=True)), ("Date", format_datetime(now, usegmt=True))],
        "reset": [("x-ratelimit-reset", "0.2")],
    }[kind]

    def answer(_: Asked) -> Reply:
        sent_at.append(time.monotonic())
        return reply(429, b"", headers) if len(sent_at) == 1 else reply(200, b'{"id":7}')

    script.gives(answer)
    assert driver.run(script.service(), tfso.create_sales_order(ORDER)).id == 7
    first, second = sent_at
    assert second - first >= (1.0 if kind == "date" else 0.2)


@pytest.mark.parametrize("fault", named([*PASSING, *AMBIGUOUS]))
def test_writing_to_hypatos_is_repeated_because_it_does_no_harm(
    driver: Driver, services: Services, sandbox: Any, log: Log, fault: dict[str, Any]
) -> None:
    sandbox.configure(hypatos_window=0)  # or every 503 would ask to wait for the next window
    record = validate(EnrichmentSalesOrder, {"externalId": "K"}, "record")
    patch = validate(EnrichmentPatch, {"externalId": "K", "headerText": "x"}, "patch")
    for method in ("POST", "PATCH"):
        sandbox.add_fault(**fault, api="hypatos", method=method, path="enrichment")
    service = services.hypatos(timeout=patience_with(fault))
    driver.run(service, hypatos.insert_sales_order(record))
    driver.run(service, hypatos.patch_sales_order("K", patch))
    assert log.records == {"K": {"externalId": "K", "headerText": "x"}}
    assert len(log.sent()) == 4


def test_a_harmless_change_of_an_order_is_repeated(driver: Driver, services: Services, sandbox: Any, log: Log) -> None:
    order_id = existing(driver, services)
    sandbox.add_fault(action="drop_after", method="PATCH")
    driver.run(services.tfso(), tfso.update_sales_order(order_id, {"internalMemo": "x"}))
    assert log.order["internalMemo"] == "x"
    assert len(log.sent("PATCH")) == 2


@pytest.mark.parametrize("status", ["Invoice", "AdvanceInvoice"])
def test_invoicing_is_not_repeated_even_if_the_caller_says_so(
    driver: Driver, services: Services, sandbox: Any, log: Log, status: str
) -> None:
    order_id = existing(driver, services)
    sandbox.add_fault(action="drop_after", method="PATCH")
    with pytest.raises(NoAnswer):
        driver.run(services.tfso(), tfso.update_sales_order(order_id, {"status": status}, repeatable=True))
    assert len(log.sent("PATCH")) == 1


def test_every_repeat_is_logged_with_its_reason(
    driver: Driver, services: Services, sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.add_fault(action="status_before", status=503, method="GET")
    order_id = existing(driver, services)
    driver.run(services.tfso(), tfso.get_sales_order(order_id))
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "HTTP 503" in record.getMessage()
    assert "trying again in" in record.getMessage()
    assert "(attempt 2)" in record.getMessage()


def test_a_bad_request_is_never_asked_twice(driver: Driver, services: Services, log: Log) -> None:
    request = Request("POST", "/salesorders", "create", body={}, repeatable=True, changes=True)
    with pytest.raises(BadRequest):
        driver.run(services.tfso(), ask(request))
    assert len(log.sent()) == 1

"""The list of transaction lines, page after page."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from tfso_hypatos.clients import tfso
from tfso_hypatos.clients.tfso_ledger import walk_transaction_lines
from tfso_hypatos.clients.transport import Service
from tfso_hypatos.exceptions import PermissionDenied, UnexpectedResponse
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import Line, SalesOrderCreate
from tfso_hypatos.models.tfso_ledger import TransactionLine
from tfso_hypatos.sandbox.server import Sandbox

if TYPE_CHECKING:
    from tests.conftest import Asked, Driver, Log, Reply, Script, Services

TODAY = datetime.datetime.now(datetime.UTC).date()
DAY = datetime.timedelta(days=1)


def walked(driver: Driver, service: Service, limit: int = 100, last: datetime.date = TODAY + DAY) -> list[str | None]:
    found: list[str | None] = []

    def visit(lines: Sequence[TransactionLine]) -> None:
        found.extend(line.invoice_number for line in lines)

    driver.run(service, walk_transaction_lines(TODAY - DAY, last + DAY, visit, limit=limit))
    return found


def bill(driver: Driver, services: Services, count: int) -> None:
    order = validate(SalesOrderCreate, {"customer": {"id": 1, "name": "K"}}, "order")
    line = validate(Line, {"description": "A", "quantity": 1, "price": 1}, "line")
    for _ in range(count):
        made = driver.run(services.tfso(), tfso.create_sales_order(order))
        driver.run(services.tfso(), tfso.add_line(made.id, line))
        driver.run(services.tfso(), tfso.update_sales_order(made.id, {"status": "Invoice"}))


def test_every_page_is_read(driver: Driver, services: Services, log: Log) -> None:
    bill(driver, services, 5)
    numbers = ["10001", "10002", "10003", "10004", "10005"]
    assert walked(driver, services.tfso(), limit=2) == numbers
    assert [each["query"]["page"] for each in log.sent("GET", "/transactionlines")] == ["1", "2", "3"]
    assert walked(driver, services.tfso(), limit=5) == numbers
    assert walked(driver, services.tfso(), last=TODAY - 2 * DAY) == []


def test_a_missing_scope_is_an_error_of_its_own(driver: Driver, services: Services, sandbox: Sandbox) -> None:
    sandbox.configure(missing_scopes=["api.accounting.transaction:read"])
    with pytest.raises(PermissionDenied):
        walked(driver, services.tfso())


def lines(*numbers: int) -> bytes:
    return json.dumps([{"id": number, "invoice": {"number": str(number)}} for number in numbers]).encode()


def test_a_server_without_links_has_pages_all_the_same(driver: Driver, script: Script, reply: type[Reply]) -> None:
    pages = {"1": lines(1, 2), "2": lines(3)}
    script.gives(lambda asked: reply(body=pages[asked.path.rpartition("page=")[2]]))
    assert walked(driver, script.service(), limit=2) == ["1", "2", "3"]


def test_a_server_that_repeats_itself_ends_the_walk(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(body=lines(1, 2)))
    with pytest.raises(UnexpectedResponse, match="in a circle"):
        walked(driver, script.service(), limit=2)


def test_links_that_lead_in_a_circle_end_the_walk(driver: Driver, script: Script, reply: type[Reply]) -> None:
    def answer(asked: Asked) -> Reply:
        other = "a" if "at=b" in asked.path else "b"
        link = f'<{script.url}/v1/transactionlines?at={other}>; rel="next"'
        return reply(body=lines(ord(other)), headers=[("Link", link)])

    script.gives(answer)
    with pytest.raises(UnexpectedResponse, match="in a circle"):
        walked(driver, script.service())


def test_a_refused_page_size_is_left_to_the_server(driver: Driver, script: Script, reply: type[Reply]) -> None:
    def answer(asked: Asked) -> Reply:
        if "limit=" in asked.path:
            return reply(status=400, body=b'{"error":{"name":"ValidationError","message":"limit is too large"}}')
        return reply(body=lines(1), headers=[("Link", '<x>; rel="first"')])

    script.gives(answer)
    assert walked(driver, script.service()) == ["1"]


def test_another_host_gets_no_token(driver: Driver, script: Script, other_host: Script, reply: type[Reply]) -> None:
    link = f'<{other_host.url}/v1/transactionlines?page=2>; rel="next"'
    script.gives(lambda _: reply(body=lines(1), headers=[("Link", link)]))
    with pytest.raises(UnexpectedResponse):
        walked(driver, script.service())
    assert other_host.asked == []

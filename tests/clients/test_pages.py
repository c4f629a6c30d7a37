from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tfso_hypatos.clients import tfso, tfso_lists
from tfso_hypatos.clients.messages import Request
from tfso_hypatos.clients.token import Credentials
from tfso_hypatos.clients.transport import Service
from tfso_hypatos.exceptions import BadRequest, UnexpectedResponse
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import SalesOrderCreate

if TYPE_CHECKING:
    from tests.conftest import Asked, Driver, Log, Reply, Script, Services

EVERYTHING = tfso_lists.SalesOrderFilter()


def fill(driver: Driver, services: Services, customers: list[int]) -> list[int]:
    flows = [
        tfso.create_sales_order(validate(SalesOrderCreate, {"customer": {"id": number, "name": "K"}}, "order"))
        for number in customers
    ]
    return [order.id for order in driver.run_all(services.tfso(), flows)]


def listed(
    driver: Driver, service: Service, filters: tfso_lists.SalesOrderFilter = EVERYTHING, limit: int = 100
) -> list[int]:
    return [order.id for order in driver.run(service, tfso_lists.list_sales_orders(filters, limit=limit))]


def body_of(*ids: int) -> bytes:
    return json.dumps([{"id": number} for number in ids]).encode()


def test_every_page_is_read(driver: Driver, services: Services, log: Log) -> None:
    ids = fill(driver, services, [42] * 7)
    assert listed(driver, services.tfso(), limit=2) == ids
    assert len(log.sent("GET")) == 4


def test_filters_hold_on_every_page(driver: Driver, services: Services, log: Log) -> None:
    ids = fill(driver, services, [42, 7, 42, 7, 42])
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    filters = tfso_lists.SalesOrderFilter(customer_id=42, created_from=since, status="Draft")
    assert listed(driver, services.tfso(), filters, limit=1) == ids[::2]
    first = log.sent("GET")[0]["query"]
    assert first.keys() == {"limit", "customerId", "createdFrom", "status"}


def test_a_page_size_that_the_server_cuts_loses_nothing(driver: Driver, services: Services, sandbox: Any) -> None:
    sandbox.configure(page_maximum=3)
    ids = fill(driver, services, [42] * 7)
    assert listed(driver, services.tfso()) == ids


def test_an_order_that_moves_between_pages_is_listed_once(driver: Driver, script: Script, reply: type[Reply]) -> None:
    def answer(asked: Asked) -> Reply:
        if "token=2" in asked.path:
            return reply(body=body_of(2, 3))
        return reply(body=body_of(1, 2), headers=[("Link", f'<{script.url}/v1/salesorders?token=2>; rel="next"')])

    script.gives(answer)
    assert listed(driver, script.service()) == [1, 2, 3]


@pytest.mark.parametrize(
    "link",
    [
        '</v1/salesorders?token=2>; rel="next"',
        '<salesorders?token=2>; rel="next"',
        '<?token=2>; rel="next"',
        "<{url}/v1/salesorders?token=2>; rel=next",
        '<{url}/v1/salesorders?token=1>; rel="first", <{url}/v1/salesorders?token=2>; rel="next"',
    ],
    ids=["absolute path", "relative path", "query only", "unquoted", "after another relation"],
)
def test_a_link_of_any_documented_form_is_followed(
    driver: Driver, script: Script, reply: type[Reply], link: str
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/v1/salesorders?token=2":
            return reply(body=body_of(2))
        if asked.path.startswith("/v1/salesorders?limit="):
            return reply(body=body_of(1), headers=[("Link", link.format(url=script.url))])
        return reply(status=404, body=b"{}")

    script.gives(answer)
    assert listed(driver, script.service()) == [1, 2]


def test_links_in_several_headers_are_all_seen(driver: Driver, script: Script, reply: type[Reply]) -> None:
    def answer(asked: Asked) -> Reply:
        if "token=2" in asked.path:
            return reply(body=body_of(2))
        links = [f'<{script.url}/v1/salesorders?token=2>; rel="next"', f'<{script.url}/v1/salesorders>; rel="first"']
        return reply(body=body_of(1), headers=[("Link", link) for link in links])

    script.gives(answer)
    assert listed(driver, script.service()) == [1, 2]


def test_an_opaque_page_token_is_sent_back_unchanged(driver: Driver, script: Script, reply: type[Reply]) -> None:
    token = "a%2Bb%2Fc%3D%3D%26d%25"

    def answer(asked: Asked) -> Reply:
        if "continuationToken" in asked.path:
            return reply(body=body_of(2))
        link = f'<{script.url}/v1/salesorders?continuationToken={token}>; rel="next"'
        return reply(body=body_of(1), headers=[("Link", link)])

    script.gives(answer)
    assert listed(driver, script.service()) == [1, 2]
    query = parse_qs(urlsplit(script.calls()[1].path).query, strict_parsing=True)
    assert query == {"continuationToken": ["a+b/c==&d%"]}


def test_an_empty_page_in_the_middle_does_not_end_the_list(driver: Driver, script: Script, reply: type[Reply]) -> None:
    def answer(asked: Asked) -> Reply:
        if "token=3" in asked.path:
            return reply(body=body_of(3))
        following = 3 if "token=2" in asked.path else 2
        link = f'<{script.url}/v1/salesorders?token={following}>; rel="next"'
        return reply(body=body_of() if following == 3 else body_of(1), headers=[("link", link)])

    script.gives(answer)
    assert listed(driver, script.service()) == [1, 3]


def test_a_list_without_a_link_header_has_one_page(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(body=body_of(1, 2)))
    assert listed(driver, script.service()) == [1, 2]
    assert len(script.calls()) == 1


def test_a_link_to_another_host_is_refused_and_gets_no_token(
    driver: Driver, script: Script, other_host: Script, reply: type[Reply]
) -> None:
    other_host.gives(lambda _: reply(body=body_of(2)))
    link = f'<{other_host.url}/v1/salesorders?token=2>; rel="next"'
    script.gives(lambda _: reply(body=body_of(1), headers=[("Link", link)]))
    with pytest.raises(UnexpectedResponse, match="link to another host"):
        listed(driver, script.service())
    assert other_host.asked == []


@pytest.mark.parametrize(
    "link",
    [
        "http://api.example.com/v1/salesorders",
        "https://api.example.com.evil.example/v1",
        "https://api.example.com@evil.example/v1",
        "//evil.example/v1/salesorders",
        "https://api.example.com:8443/v1",
        "ftp://api.example.com/v1",
    ],
)
def test_a_link_that_leaves_the_origin_is_refused(link: str) -> None:
    service = Service("24SevenOffice", "https://api.example.com/v1", Credentials("https://login.example", "a", "b"))
    with pytest.raises(UnexpectedResponse, match="another host"):
        service.url(Request("GET", link, "list", is_link=True))


def test_a_link_that_names_the_default_port_stays_on_the_host() -> None:
    service = Service("24SevenOffice", "https://api.example.com/v1", Credentials("https://login.example", "a", "b"))
    link = "https://api.example.com:443/v1/salesorders?token=2"
    assert service.url(Request("GET", link, "list", is_link=True)) == link


@pytest.mark.parametrize("length", [1, 2])
def test_links_that_lead_in_a_circle_end_in_an_error(
    driver: Driver, script: Script, reply: type[Reply], length: int
) -> None:
    def answer(asked: Asked) -> Reply:
        link = f"<{script.url}/v1/salesorders?token={len(script.calls()) % length}>"
        return reply(body=body_of(len(script.calls())), headers=[("Link", f'{link}; rel="next"')])

    script.gives(answer)
    with pytest.raises(UnexpectedResponse, match="lead in a circle"):
        listed(driver, script.service())
    assert len(script.calls()) <= length + 1


def test_a_link_that_expired_is_an_error_and_not_a_shorter_list(
    driver: Driver, services: Services, sandbox: Any
) -> None:
    fill(driver, services, [42] * 3)
    sandbox.configure(page_token_lifetime=0)
    with pytest.raises(BadRequest, match="continuationToken"):
        listed(driver, services.tfso(), limit=1)


def test_a_link_that_expired_once_begins_the_list_anew(driver: Driver, script: Script, reply: type[Reply]) -> None:
    def answer(asked: Asked) -> Reply:
        if "continuationToken" not in asked.path:
            link = f'<{script.url}/v1/salesorders?continuationToken=a>; rel="next"'
            return reply(200, body_of(1), [("Link", link)])
        expired = len(script.calls()) == 2
        return reply(400, b'{"error": "the continuationToken has expired"}') if expired else reply(200, body_of(2))

    script.gives(answer)
    assert listed(driver, script.service()) == [1, 2]
    assert len(script.calls()) == 4


def test_a_page_size_that_is_refused_is_left_to_the_server(driver: Driver, script: Script, reply: type[Reply]) -> None:
    def answer(asked: Asked) -> Reply:
        if "limit=" in asked.path:
            return reply(400, b'{"type": "Limit", "detail": "limit must be at most 50"}')
        return reply(200, body_of(1, 2))

    script.gives(answer)
    assert listed(driver, script.service()) == [1, 2]


def test_a_page_that_fails_once_is_read_again(driver: Driver, services: Services, sandbox: Any) -> None:
    ids = fill(driver, services, [42] * 5)
    sandbox.add_fault(action="status_before", status=503, method="GET", skip=1)
    sandbox.add_fault(action="truncate", method="GET", skip=2)
    assert listed(driver, services.tfso(), limit=2) == ids

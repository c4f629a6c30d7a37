from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import aiohttp
import pytest
import requests

from tfso_hypatos.clients import clock, tfso, tfso_lists
from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.clients.token import TOKENS, Credentials
from tfso_hypatos.exceptions import AuthenticationFailed, ServerError, TfsoHypatosError, TokenUnavailable
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import SalesOrderCreate

if TYPE_CHECKING:
    from tests.conftest import Asked, Driver, Log, Reply, Script, Services

ORDER = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
FIRST_PAGE = tfso_lists.SalesOrderFilter()


def test_one_token_serves_every_request(driver: Driver, services: Services, log: Log) -> None:
    for _ in range(3):
        driver.run(services.tfso(), tfso_lists.list_page(FIRST_PAGE))
    assert len(log.token_requests) == 1


def test_twenty_threads_fetch_one_token(services: Services, log: Log) -> None:
    def read(_: int) -> None:
        with requests.Session() as session:
            SyncTransport(services.tfso(), session).drive(tfso_lists.list_page(FIRST_PAGE))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(read, range(20)))
    assert len(log.token_requests) == 1
    assert len(log.sent("GET")) == 20


def test_fifty_coroutines_fetch_one_token(services: Services, log: Log) -> None:
    async def read_all() -> None:
        async with aiohttp.ClientSession() as session:
            transport = AsyncTransport(services.tfso(), session)
            await asyncio.gather(*(transport.drive(tfso_lists.list_page(FIRST_PAGE)) for _ in range(50)))

    asyncio.run(read_all())
    assert len(log.token_requests) == 1
    assert len(log.sent("GET")) == 50


def test_coroutines_that_repeat_at_once_do_not_disturb_each_other(services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="status_before", status=503, method="GET", times=30)

    async def read_all() -> list[int]:
        async with aiohttp.ClientSession() as session:
            transport = AsyncTransport(services.tfso(), session)
            order = await transport.drive(tfso.create_sales_order(ORDER))
            flows = [tfso.get_sales_order(order.id) for _ in range(20)]
            found = await asyncio.gather(*map(transport.drive, flows), return_exceptions=True)
            assert all(isinstance(each, ServerError) or getattr(each, "id", None) == order.id for each in found)
            return [1 for each in found if not isinstance(each, BaseException)]

    assert len(asyncio.run(read_all())) >= 10
    assert len(log.sent("GET")) <= 80


def test_tokens_work_on_one_event_loop_after_the_other(services: Services, log: Log) -> None:
    async def read() -> None:
        async with aiohttp.ClientSession() as session:
            await AsyncTransport(services.tfso(), session).drive(tfso_lists.list_page(FIRST_PAGE))

    asyncio.run(read())
    TOKENS._tokens.clear()
    asyncio.run(read())
    assert len(log.token_requests) == 2


def test_a_token_is_renewed_before_it_ends(
    driver: Driver, services: Services, sandbox: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.configure(token_lifetime=3600)
    driver.run(services.tfso(), tfso_lists.list_page(FIRST_PAGE))
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + 3540)
    driver.run(services.tfso(), tfso_lists.list_page(FIRST_PAGE))
    assert len(log.token_requests) == 2
    assert {each["status"] for each in log.sent("GET")} == {200}


@pytest.mark.parametrize(("lifetime", "early"), [(86400, 120), (3600, 120), (100, 20)])
def test_a_token_is_renewed_two_minutes_or_a_fifth_early(
    driver: Driver, script: Script, reply: type[Reply], lifetime: int, early: int
) -> None:
    def answer(asked: Asked) -> Reply:
        text = f'{{"access_token":"t","token_type":"Bearer","expires_in":{lifetime}}}'
        return reply(body=text.encode() if asked.path == "/token" else b"[]")

    script.answer = answer
    service = script.service()
    driver.run(service, tfso_lists.list_page(FIRST_PAGE))
    token = TOKENS.get(service.credentials)
    assert token is not None
    assert token.renew_at - clock.now() == pytest.approx(lifetime - early, abs=10)


def test_a_401_in_mid_run_is_answered_with_one_fresh_token(
    driver: Driver, services: Services, sandbox: Any, log: Log
) -> None:
    driver.run(services.tfso(), tfso_lists.list_page(FIRST_PAGE))
    sandbox.expire_tokens()
    driver.run(services.tfso(), tfso_lists.list_page(FIRST_PAGE))
    assert [each["status"] for each in log.sent("GET")] == [200, 401, 200]
    assert len(log.token_requests) == 2


def test_a_401_on_a_creation_creates_one_order(driver: Driver, services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="unauthorized", method="POST", path="salesorders")
    created = driver.run(services.tfso(), tfso.create_sales_order(ORDER))
    assert log.order["id"] == created.id


def test_a_second_401_may_be_the_doing_of_another_process(
    driver: Driver, services: Services, sandbox: Any, log: Log
) -> None:
    sandbox.add_fault(action="unauthorized", method="POST", path="salesorders", times=2)
    created = driver.run(services.tfso(), tfso.create_sales_order(ORDER))
    assert log.order["id"] == created.id
    assert len(log.token_requests) == 3


def test_a_third_401_is_the_end(driver: Driver, services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="unauthorized", method="POST", path="salesorders", times=10)
    with pytest.raises(AuthenticationFailed, match="create the sales order") as caught:
        driver.run(services.tfso(), tfso.create_sales_order(ORDER))
    assert caught.value.permanent
    assert not caught.value.ambiguous
    assert len(log.sent("POST")) == 3
    assert len(log.token_requests) == 3
    assert log.orders == []


def test_a_wrong_secret_names_id_and_secret_and_sends_nothing_else(
    driver: Driver, services: Services, log: Log
) -> None:
    for service in (services.tfso(client_secret="hemmelig-feil"), services.hypatos(client_secret="hemmelig-feil")):
        with pytest.raises(AuthenticationFailed, match="Check client id and client secret") as caught:
            driver.run(service, tfso.create_sales_order(ORDER))
        assert "hemmelig-feil" not in str(caught.value)
        assert caught.value.permanent
        assert not caught.value.ambiguous
    assert log.sent() == []
    assert len(log.token_requests) == 2


def test_an_unknown_organization_is_named(driver: Driver, services: Services, log: Log) -> None:
    with pytest.raises(AuthenticationFailed, match="organization 999 has connected the application"):
        driver.run(services.tfso(organization="999"), tfso.create_sales_order(ORDER))
    assert log.sent() == []


FAULTS: list[dict[str, Any]] = [
    {"action": "status_before", "status": 503},
    {"action": "status_before", "status": 502, "html": True},
    {"action": "drop_before"},
    {"action": "truncate"},
    {"action": "reset_body"},
    {"action": "rate_limit"},
    {"action": "hang_before", "seconds": 600},
]


def patience_with(fault: dict[str, Any]) -> float:
    """Return how long to wait for an answer: not long for one that never comes."""
    return 1.0 if fault["action"] == "hang_before" else 30.0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["action"])
def test_a_token_url_that_fails_never_looks_like_an_unclear_creation(
    driver: Driver, services: Services, sandbox: Any, log: Log, fault: dict[str, Any]
) -> None:
    sandbox.add_fault(**fault, path="token", times=100)
    with pytest.raises(TokenUnavailable, match="No access token, so nothing was sent") as caught:
        driver.run(services.tfso(timeout=patience_with(fault)), tfso.create_sales_order(ORDER))
    assert not caught.value.ambiguous
    assert not caught.value.permanent
    assert log.sent() == []
    assert len(log.token_requests) == 4


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["action"])
def test_a_token_request_is_repeated(
    driver: Driver, services: Services, sandbox: Any, log: Log, fault: dict[str, Any]
) -> None:
    sandbox.add_fault(**fault, path="token", times=2)
    driver.run(services.tfso(timeout=patience_with(fault)), tfso.create_sales_order(ORDER))
    assert len(log.orders) == 1


def test_a_token_url_that_cannot_be_reached_is_not_an_unclear_creation(
    driver: Driver, services: Services, free_port_url: str, log: Log
) -> None:
    with pytest.raises(TokenUnavailable, match=f"cannot be reached at {free_port_url} to get an access token"):
        driver.run(services.tfso(token_url=f"{free_port_url}/token"), tfso.create_sales_order(ORDER))
    assert log.sent() == []


def test_the_wait_that_the_token_url_asks_for_reaches_the_task(
    driver: Driver, services: Services, sandbox: Any
) -> None:
    sandbox.add_fault(action="rate_limit", path="token", retry_after=900, times=10)
    with pytest.raises(TokenUnavailable) as caught:
        driver.run(services.tfso(), tfso.create_sales_order(ORDER))
    assert caught.value.retry_after == 900


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b"",
        b'{"access_token":""}',
        b'{"access_token":7}',
        b'{"access_token":"t","token_type":"mac"}',
        b"<html>hemmelig</html>",
    ],
)
def test_a_token_answer_of_another_shape_is_unavailable_and_not_repeated_in_the_text(
    driver: Driver, script: Script, reply: type[Reply], body: bytes
) -> None:
    script.answer = lambda _: reply(body=body)
    with pytest.raises(TokenUnavailable) as caught:
        driver.run(script.service(), tfso.create_sales_order(ORDER))
    assert "hemmelig" not in str(caught.value)
    assert script.calls() == []


@pytest.mark.parametrize("status", [302, 307])
def test_a_token_url_that_redirects_gives_no_secret_away(
    driver: Driver, script: Script, other_host: Script, reply: type[Reply], status: int
) -> None:
    script.answer = lambda _: reply(status, b"", [("Location", f"{other_host.url}/token")])
    with pytest.raises(TfsoHypatosError):
        driver.run(script.service(), tfso.create_sales_order(ORDER))
    assert other_host.asked == []
    assert script.calls() == []


@pytest.mark.parametrize("extra", ['"expires_in":"soon"', '"expires_in":null', '"scope":null', '"token_type":"bearer"'])
def test_a_token_without_a_readable_lifetime_still_works(
    driver: Driver, script: Script, reply: type[Reply], extra: str
) -> None:
    def answer(asked: Asked) -> Reply:
        return reply(body=f'{{"access_token":"t",{extra}}}'.encode() if asked.path == "/token" else b"[]")

    script.answer = answer
    driver.run(script.service(), tfso_lists.list_page(FIRST_PAGE))
    assert script.calls()[0].headers["authorization"] == "Bearer t"


def test_24sevenoffice_is_asked_with_a_form(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(body=b"[]"))
    driver.run(script.service(client_secret="p&å=%", audience="https://a.example"), tfso_lists.list_page(FIRST_PAGE))
    asked = script.asked[0]
    assert parse_qs(asked.body.decode(), strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "client_id": ["sandbox-client"],
        "client_secret": ["p&å=%"],
        "audience": ["https://a.example"],
        "login_organization": ["100000000000001"],
    }
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in asked.headers


def test_hypatos_is_asked_with_basic_and_the_grant_alone(driver: Driver, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(body=b"[]"))
    service = script.service(basic=True, organization=None, client_id="ærlig", client_secret="a:b c")
    driver.run(service, tfso_lists.list_page(FIRST_PAGE))
    asked = script.asked[0]
    assert asked.body == b"grant_type=client_credentials"
    scheme, _, pair = asked.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"%C3%A6rlig:a%3Ab+c")


def test_tokens_of_two_organizations_are_kept_apart(driver: Driver, services: Services, log: Log) -> None:
    driver.run(services.tfso(), tfso_lists.list_page(FIRST_PAGE))
    driver.run(services.tfso(organization="100000000000002"), tfso.create_sales_order(ORDER))
    assert log.orders == []
    assert len(log.token_requests) == 2


def test_secrets_and_tokens_are_in_no_repr(services: Services) -> None:
    service = services.tfso()
    with requests.Session() as session:
        token = SyncTransport(service, session).token()
    shown = repr([service, service.credentials, token, service.credentials.request(), TOKENS])
    assert "sandbox-secret" not in shown
    assert token.value not in shown
    basic = Credentials("u", "id", "sandbox-secret", basic=True)
    assert basic.basic_value not in repr([basic, basic.request()])

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import certifi
import pytest
import requests
from aiohttp.helpers import get_env_proxy_for_url
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from yarl import URL

from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook

if TYPE_CHECKING:
    from tests.conftest import Connections, Log, Reply, Script


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect the options of every send; the requests themselves go out as ever."""
    seen: list[dict[str, Any]] = []
    send = HTTPAdapter.send

    def watched(self: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        seen.append({"url": request.url, **options})
        return send(self, request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", watched)
    return seen


def options_of_sends(connections: Connections, sends: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    connections.tfso(extra=extra)
    with TfsoHook() as hook:
        hook.list_sales_orders()
    assert len(sends) == 2
    assert {name: sends[0][name] for name in ("verify", "cert")} == {
        name: sends[1][name] for name in ("verify", "cert")
    }
    return sends[1]


@pytest.mark.parametrize(
    ("extra", "verify"),
    [
        ({}, True),
        ({"verify": None}, True),
        ({"verify": False}, False),
        ({"verify": "false"}, False),
        ({"verify": "true"}, True),
        ({"verify_ssl": False}, False),
        ({"verify": certifi.where()}, certifi.where()),
    ],
)
def test_verify_reaches_every_request(
    connections: Connections, sends: list[dict[str, Any]], extra: dict[str, Any], verify: Any
) -> None:
    assert options_of_sends(connections, sends, **extra)["verify"] == verify


def test_verify_of_the_connection_wins_over_the_environment(
    connections: Connections, sends: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert options_of_sends(connections, sends, verify=False)["verify"] is False


def test_the_authorities_of_the_environment_are_taken_when_the_connection_names_none(
    connections: Connections, sends: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert options_of_sends(connections, sends)["verify"] == certifi.where()


def test_without_trust_env_the_environment_is_ignored(
    connections: Connections, sends: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, free_port_url: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    monkeypatch.setenv("http_proxy", free_port_url)
    options = options_of_sends(connections, sends, trust_env=False)
    assert options["verify"] is True
    assert not options["proxies"]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_client_certificate_reaches_the_session(connections: Connections, tmp_path: Path, parts: int) -> None:
    files = [tmp_path / name for name in ("client.crt", "client.key")][:parts]
    for file in files:
        file.write_text("read when a connection is made")
    paths = [str(file) for file in files]
    connections.tfso(extra={"cert": paths[0] if parts == 1 else paths})
    with TfsoHook() as hook:
        assert hook.transport.session.cert == (paths[0] if parts == 1 else tuple(paths))


@pytest.mark.parametrize("name", ["proxy", "proxies"])
@pytest.mark.parametrize("per_scheme", [False, True], ids=["one", "per scheme"])
async def test_a_proxy_carries_every_request(
    connections: Connections, script: Script, reply: type[Reply], name: str, per_scheme: bool
) -> None:
    script.gives(lambda _: reply(body=b"[]"))
    value = {"http": script.url, "https": script.url} if per_scheme else script.url
    extra = {name: value, "token_url": "http://login.example.com/token"}
    connections.tfso(host="http://api.example.com/v1", extra=extra)
    with TfsoHook() as hook:
        assert hook.list_sales_orders() == []
    async with TfsoHook() as hook:
        assert await hook.alist_sales_orders() == []
    paths = [asked.path.partition("?")[0] for asked in script.asked]
    assert paths[:2] == ["http://login.example.com/token", "http://api.example.com/v1/salesorders"]
    assert set(paths[2:]) == {"http://api.example.com/v1/salesorders"}


def test_a_proxy_of_the_connection_wins_over_the_environment(
    connections: Connections, script: Script, reply: type[Reply], monkeypatch: pytest.MonkeyPatch, free_port_url: str
) -> None:
    monkeypatch.setenv("http_proxy", free_port_url)
    script.gives(lambda _: reply(body=b"[]"))
    extra = {"proxy": script.url, "token_url": "http://login.example.com/token"}
    connections.tfso(host="http://api.example.com/v1", extra=extra)
    with TfsoHook() as hook:
        assert hook.list_sales_orders() == []


async def test_on_the_event_loop_a_proxy_of_the_environment_is_looked_up_once_for_each_host(
    connections: Connections, script: Script, reply: type[Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", script.url)
    monkeypatch.setenv("no_proxy", "elsewhere.example.com")
    looked_up: list[str] = []

    def look_up(url: URL) -> tuple[URL, aiohttp.BasicAuth | None]:
        looked_up.append(str(url.host))
        return get_env_proxy_for_url(url)

    monkeypatch.setattr("tfso_hypatos.clients.async_transport.get_env_proxy_for_url", look_up)
    script.gives(lambda _: reply(body=b"[]"))
    extra = {"token_url": "http://login.example.com/token"}
    connections.tfso(host="http://api.example.com/v1", extra=extra)
    async with TfsoHook() as hook:
        assert [await hook.alist_sales_orders() for _ in range(3)] == [[], [], []]
    assert sorted(looked_up) == ["api.example.com", "login.example.com"]
    assert len(script.asked) == 4


@pytest.mark.parametrize(("name", "value"), [("no_proxy", "127.0.0.1"), ("trust_env", "")])
async def test_on_the_event_loop_the_environment_can_be_left_out(
    connections: Connections,
    script: Script,
    reply: type[Reply],
    monkeypatch: pytest.MonkeyPatch,
    free_port_url: str,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv("http_proxy", free_port_url)
    monkeypatch.setenv(name, value)
    script.gives(lambda _: reply(body=b"[]"))
    extra = {"token_url": f"{script.url}/token", "trust_env": name != "trust_env"}
    connections.tfso(host=f"{script.url}/v1", extra=extra)
    async with TfsoHook() as hook:
        assert await hook.alist_sales_orders() == []


def test_the_session_keeps_connections_alive(connections: Connections) -> None:
    with TfsoHook() as hook:
        adapter = hook.transport.session.get_adapter("https://rest.api.24sevenoffice.com")
        assert type(adapter).__name__ == "TCPKeepAliveAdapter"


async def test_one_connection_serves_many_requests(
    connections: Connections, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    connect = HTTPConnection.connect

    def counted(self: HTTPConnection) -> None:
        opened.append("sync")
        connect(self)

    monkeypatch.setattr(HTTPConnection, "connect", counted)
    with TfsoHook() as hook:
        for _ in range(5):
            hook.list_sales_orders()
    assert opened == ["sync"]
    async with TfsoHook() as hook:
        for _ in range(5):
            await hook.alist_sales_orders()
        connector = (await hook.atransport()).session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        assert sum(len(pool) for pool in connector._conns.values()) == 1
    assert len(log.sent()) == 10


async def test_extra_fields_never_become_headers(connections: Connections, script: Script, reply: type[Reply]) -> None:
    script.gives(lambda _: reply(body=b"[]"))
    extra = {"client_secret": "geheim", "number": 7, "X-Note": "oh", "list": [1], "token_url": f"{script.url}/token"}
    connections.tfso(host=f"{script.url}/v1", extra=extra)
    with TfsoHook() as hook:
        hook.list_sales_orders()
        assert "geheim" not in str(hook.transport.session.headers)
    async with TfsoHook() as hook:
        await hook.alist_sales_orders()
    with TfsoHook().get_conn() as session:
        session.get(f"{script.url}/v1/salesorders", timeout=2)
    for asked in script.asked:
        assert "geheim" not in str(asked)
        assert not asked.headers.keys() & {"client_secret", "number", "x-note", "list", "organization_id"}


@pytest.mark.parametrize("hook_class", [TfsoHook, HypatosHook])
def test_the_session_of_a_user_carries_the_bearer(
    connections: Connections, log: Log, hook_class: type[TfsoHook | HypatosHook]
) -> None:
    hook = hook_class()
    with hook, hook.get_conn() as session:
        for _ in range(2):
            session.get(f"{hook.settings.url}/anything", timeout=2)
    assert [each["headers"]["authorization"].split()[0] for each in log.sent()] == ["Bearer", "Bearer"]
    assert len(log.token_requests) == 1


def test_the_session_of_a_user_takes_the_bearer_to_no_other_host(
    connections: Connections, script: Script, other_host: Script, reply: type[Reply]
) -> None:
    other_host.answer = lambda _: reply()
    script.gives(lambda _: reply(302, b"", [("Location", f"{other_host.url}/v1/x")]))
    connections.tfso(host=f"{script.url}/v1", extra={"token_url": f"{script.url}/token"})
    hook = TfsoHook()
    with hook, hook.get_conn() as session:
        session.get(f"{script.url}/v1/x", timeout=2)
    assert script.calls()[0].headers["authorization"] == "Bearer scripted-token"
    assert [asked.headers.get("authorization") for asked in other_host.asked] == [None]


async def test_tls_options_reach_the_async_session(connections: Connections, tmp_path: Path) -> None:
    connections.tfso(extra={"verify": False})
    async with TfsoHook() as hook:
        connector = (await hook.atransport()).session.connector
        context = getattr(connector, "_ssl", None)
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_NONE
    connections.tfso(extra={"verify": certifi.where()})
    async with TfsoHook() as hook:
        context = getattr((await hook.atransport()).session.connector, "_ssl", None)
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("extra", [{"verify": "/does/not/exist.pem"}, {"cert": "/does/not/exist.pem"}])
async def test_a_file_that_is_not_there_is_a_configuration_error(
    connections: Connections, sandbox: Any, extra: dict[str, Any]
) -> None:
    connections.tfso(host="https://127.0.0.1:9/v1", extra={**extra, "token_url": "https://127.0.0.1:9/token"})
    with TfsoHook() as hook, pytest.raises(TfsoHypatosError, match=r"exist\.pem"):
        hook.list_sales_orders()
    async with TfsoHook() as hook:
        with pytest.raises(TfsoHypatosError, match=r"exist\.pem"):
            await hook.alist_sales_orders()

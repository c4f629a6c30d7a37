from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.hooks import base
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook

if TYPE_CHECKING:
    from tests.conftest import Connections, Log, Reply, Script


def outcome(hook: TfsoHook | HypatosHook) -> tuple[bool, str]:
    started = time.monotonic()
    works, message = hook.test_connection()
    assert time.monotonic() - started < 30
    assert "sandbox-secret" not in message
    assert "hemmelig" not in message
    return works, message


@pytest.mark.usefixtures("connections")
def test_a_connection_that_works_says_what_it_reached(log: Log) -> None:
    assert outcome(TfsoHook()) == (True, "24SevenOffice answered: organization 100000000000001 can read sales orders")
    assert outcome(HypatosHook()) == (True, "Hypatos issued an access token")
    assert [(each["method"], each["query"]) for each in log.sent()] == [("GET", {"limit": "1"})]


def test_a_missing_field_is_the_failing_step(connections: Connections, log: Log) -> None:
    connections.tfso(password=None)
    connections.hypatos(login=None)
    works, message = outcome(TfsoHook())
    assert (works, message) == (False, "connection fields: connection 'tfso_default' lacks password (client secret)")
    works, message = outcome(HypatosHook())
    assert (works, message) == (False, "connection fields: connection 'hypatos_default' lacks login (client id)")
    assert log.sandbox.requests() == []


@pytest.mark.usefixtures("sandbox")
def test_a_connection_that_is_not_there_is_the_failing_step() -> None:
    works, message = outcome(TfsoHook("no_such_connection"))
    assert not works
    assert message.startswith("connection fields: ")


def test_a_wrong_secret_fails_at_the_token(connections: Connections, log: Log) -> None:
    connections.tfso(password="hemmelig-feil")
    connections.hypatos(password="hemmelig-feil")
    for hook in (TfsoHook(), HypatosHook()):
        works, message = outcome(hook)
        assert not works
        assert message.startswith("access token: ")
        assert "client id and client secret" in message
    assert log.sent() == []


def test_an_unknown_organization_fails_at_the_token(connections: Connections) -> None:
    connections.tfso(extra={"organization_id": "999"})
    works, message = outcome(TfsoHook())
    assert not works
    assert message.startswith("access token: ")
    assert "organization 999" in message


def test_a_token_url_that_cannot_be_reached_fails_at_the_token(connections: Connections, free_port_url: str) -> None:
    connections.tfso(extra={"token_url": f"{free_port_url}/token"})
    connections.hypatos(host=f"{free_port_url}/v2")
    for hook in (TfsoHook(), HypatosHook()):
        works, message = outcome(hook)
        assert not works
        assert message.startswith("access token: ")
        assert free_port_url in message


def test_an_api_that_cannot_be_reached_fails_at_the_api(connections: Connections, free_port_url: str) -> None:
    connections.tfso(host=f"{free_port_url}/v1")
    works, message = outcome(TfsoHook())
    assert not works
    assert message.startswith("API: ")
    assert free_port_url in message


def test_a_missing_scope_fails_at_the_api(connections: Connections, sandbox: Any) -> None:
    sandbox.configure(missing_scopes=["api.invoicing.salesorder:read"])
    works, message = outcome(TfsoHook())
    assert not works
    assert message.startswith("API: ")
    assert "403" in message


@pytest.mark.parametrize("path", ["token", "salesorders"])
@pytest.mark.parametrize("action", ["status_before", "drop_before", "truncate", "hang_before", "rate_limit"])
def test_a_service_in_trouble_is_told_at_once(
    connections: Connections, sandbox: Any, monkeypatch: pytest.MonkeyPatch, path: str, action: str
) -> None:
    if action == "hang_before":
        monkeypatch.setattr(base, "TEST_TIMEOUT", 1.5)
    sandbox.add_fault(action=action, path=path, seconds=600, times=9, retry_after=60)
    works, message = outcome(TfsoHook())
    assert not works
    assert message.startswith("access token: " if path == "token" else "API: ")
    assert len([each for each in sandbox.requests() if each["fault"]]) == 1


def test_a_page_of_something_else_is_told(connections: Connections, script: Script, reply: type[Reply]) -> None:
    script.answer = lambda _: reply(body=b"<html>hemmelig</html>")
    connections.tfso(extra={"token_url": f"{script.url}/token"})
    works, message = outcome(TfsoHook())
    assert not works
    assert message.startswith("access token: ")


def test_nothing_that_goes_wrong_is_raised(connections: Connections) -> None:
    every: list[dict[str, Any]] = [
        {"host": "http://[::1/v1"},
        {"host": "http://\x00/"},
        {"host": "ftp://x/"},
        {"login": "a\nb"},
    ]
    for fields in every:
        connections.tfso(**fields)
        works, message = outcome(TfsoHook())
        assert not works or fields == {"login": "a\nb"}
        assert message


def test_a_wrong_option_is_a_matter_of_the_fields(connections: Connections) -> None:
    connections.tfso(extra={"timeout": "soon"})
    works, message = outcome(TfsoHook())
    assert not works
    assert message.startswith("connection fields: ")
    assert "'timeout'" in message

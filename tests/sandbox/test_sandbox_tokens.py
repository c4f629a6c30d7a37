from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tfso_hypatos.sandbox import tokens
from tfso_hypatos.sandbox.server import Sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Hypatos, Tfso

REQUEST = {
    "grant_type": "client_credentials",
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "audience": "https://api.24sevenoffice.com",
    "login_organization": "100000000000001",
}
LOGIN = ("sandbox-client", "sandbox-secret")


def ask(sandbox: Sandbox, **options: Any) -> requests.Response:
    return requests.post(sandbox.tfso_token_url, timeout=30, **options)


def test_tfso_token_as_json_form_and_basic(sandbox: Sandbox) -> None:
    without_client = {name: value for name, value in REQUEST.items() if not name.startswith("client_")}
    answers = [
        ask(sandbox, json=REQUEST),
        ask(sandbox, data=REQUEST),
        ask(sandbox, data=without_client, auth=LOGIN),
        ask(sandbox, json={**REQUEST, "login_organization": 100000000000001}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.json()["token_type"] for answer in answers} == {"Bearer"}
    assert {answer.json()["expires_in"] for answer in answers} == {86400}
    assert len({answer.json()["access_token"] for answer in answers}) == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "x"),
        ("client_secret", "x"),
        ("login_organization", "100000000000009"),
        ("audience", "https://example.com"),
    ],
)
def test_tfso_refuses_a_wrong_client(sandbox: Sandbox, name: str, value: str) -> None:
    answer = ask(sandbox, json={**REQUEST, name: value})
    assert answer.status_code == 403
    assert answer.json() == {"error": "access_denied", "error_description": "Unauthorized"}


@pytest.mark.parametrize("name", ["grant_type", "client_id", "audience", "login_organization"])
def test_tfso_token_needs_every_field(sandbox: Sandbox, name: str) -> None:
    fields = {key: value for key, value in REQUEST.items() if key != name}
    assert ask(sandbox, json=fields).status_code == 400
    assert ask(sandbox, data="[]", headers={"Content-Type": "application/json"}).status_code == 400


def test_token_is_bound_to_organization_and_api(sandbox: Sandbox, tfso: Tfso, hypatos: Hypatos) -> None:
    number = tfso.order()
    form = {**REQUEST, "login_organization": "100000000000002"}
    other = ask(sandbox, json=form).json()["access_token"]
    address = f"{sandbox.tfso_url}/salesorders/{number}"
    assert requests.get(address, headers={"Authorization": f"Bearer {other}"}, timeout=30).status_code == 404
    foreign = {"Authorization": str(hypatos.session.headers["Authorization"])}
    assert requests.get(address, headers=foreign, timeout=30).status_code == 401
    assert requests.get(address, timeout=30).status_code == 401


def test_token_expires(sandbox: Sandbox, tfso: Tfso, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.configure(token_lifetime=3600)
    tfso.sign_in()
    assert tfso.call("GET", "/salesorders").status_code == 200
    with monkeypatch.context() as later:
        later.setattr(tokens, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 3601))
        answer = tfso.call("GET", "/salesorders")
    assert answer.status_code == 401
    assert answer.json()["error"]["name"] == "Unauthorized"
    assert answer.headers["X-Trace-Id"] != answer.json()["trackingId"]
    sandbox.configure(token_lifetime=60)
    tfso.sign_in()
    sandbox.expire_tokens()
    assert tfso.call("GET", "/salesorders").status_code == 401


def test_scope_lacking(sandbox: Sandbox, tfso: Tfso, hypatos: Hypatos) -> None:
    sandbox.configure(missing_scopes=["api.invoicing.salesorder:write", "enrichment.write"])
    assert tfso.call("GET", "/salesorders").status_code == 200
    answer = tfso.change(1, memo="x")
    assert (answer.status_code, answer.json()["error"]["name"]) == (403, "Forbidden")
    assert hypatos.insert(externalId="A").json()["status"] == 403


def test_hypatos_token_takes_basic_only(sandbox: Sandbox) -> None:
    address = f"{sandbox.hypatos_url}/auth/token"
    form = {"grant_type": "client_credentials"}
    granted = requests.post(address, data=form, auth=LOGIN, timeout=30)
    assert granted.status_code == 200
    assert granted.headers["Cache-Control"] == "no-store"
    assert granted.headers["x-ratelimit-limit"]
    in_body = {**form, "client_id": LOGIN[0], "client_secret": LOGIN[1]}
    for options in ({"data": in_body}, {"data": form, "auth": (LOGIN[0], "x")}):
        refused = requests.post(address, timeout=30, **options)
        assert refused.status_code == 401
        assert refused.json()["title"] == "Invalid client credentials"
        assert refused.json()["status"] == 401
    wrong = requests.post(address, data={"grant_type": "password"}, auth=LOGIN, timeout=30)
    assert wrong.status_code == 400
    assert requests.post(address, json=form, auth=LOGIN, timeout=30).status_code == 400


@pytest.mark.parametrize("how", ["data", "json"])
def test_a_secret_is_in_no_log(sandbox: Sandbox, how: str) -> None:
    secret = 'of the "real" service & more'
    form = {**REQUEST, "client_secret": secret, "last": "stays"}
    ask(sandbox, **{how: form})
    body = sandbox.requests()[-1]["body"]
    assert "client_secret" in body
    assert "stays" in body
    for word in ("real", "service", "more"):
        assert word not in body
    assert "real" not in requests.get(sandbox.url, timeout=30).text

from __future__ import annotations

import email.utils
import json
import socket
import struct
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tfso_hypatos.sandbox.server import Sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Held, Hypatos, Tfso

CUSTOMER = {"id": 7, "name": "Fjord & Fjell AS"}
LINE = {"description": "Coffee", "quantity": 3, "price": 99.99}
POST_ORDER: dict[str, Any] = {"api": "tfso", "method": "POST", "path": "^/salesorders$"}
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def post(tfso: Tfso, **options: Any) -> requests.Response:
    return tfso.call("POST", "/salesorders", {"customer": CUSTOMER}, **options)


def last(sandbox: Sandbox) -> dict[str, Any]:
    return sandbox.requests()[-1]


@pytest.mark.parametrize(
    ("action", "committed"),
    [
        ("drop_before", False),
        ("drop_after", True),
        ("hang_before", False),
        ("hang_after", True),
        ("reset_body", True),
    ],
)
def test_no_readable_answer(tfso: Tfso, sandbox: Sandbox, action: str, committed: bool) -> None:
    sandbox.add_fault(action=action, seconds=0.05, **POST_ORDER)
    with pytest.raises(BROKEN):
        post(tfso)
    assert len(tfso.books["orders"]) == committed
    entry = last(sandbox)
    assert (entry["fault"], entry["committed"]) == (action, committed)
    assert entry["status"] == (200 if action == "reset_body" else None)
    assert post(tfso).status_code == 200
    assert last(sandbox)["fault"] is None


def test_drop_is_a_reset(sandbox: Sandbox) -> None:
    sandbox.add_fault(action="drop_before")
    address = urlsplit(sandbox.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30) as connection:
        connection.sendall(b"GET /tfso/v1/salesorders HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(100)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(("action", "committed"), [("status_before", False), ("status_after", True)])
def test_server_error(tfso: Tfso, sandbox: Sandbox, action: str, committed: bool, status: int) -> None:
    sandbox.add_fault(action=action, status=status, **POST_ORDER)
    answer = post(tfso)
    assert answer.status_code == status
    assert answer.json()["error"]["name"]
    assert len(tfso.books["orders"]) == committed
    assert (last(sandbox)["status"], last(sandbox)["committed"]) == (status, committed)


def test_html_error(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.add_fault(action="status_after", status=502, html=True, **POST_ORDER)
    answer = post(tfso)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<h1>502</h1>" in answer.text


def test_truncated_json(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.add_fault(action="truncate", **POST_ORDER)
    answer = post(tfso)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r".+"):
        json.loads(answer.text)
    assert len(tfso.books["orders"]) == 1


@pytest.mark.parametrize("hold", [0, 600])
def test_commit_after_the_client_gave_up(tfso: Tfso, sandbox: Sandbox, held: Held, hold: float) -> None:
    sandbox.add_fault(action="commit_late", hold=hold, **POST_ORDER)
    with pytest.raises((*BROKEN, requests.Timeout)):
        post(tfso, timeout=1)
    assert tfso.books["orders"] == []
    assert last(sandbox)["committed"] is False
    held.release()
    assert len(tfso.books["orders"]) == 1
    assert last(sandbox)["committed"] is True


def test_commit_late_behind_a_gateway(tfso: Tfso, sandbox: Sandbox, held: Held) -> None:
    sandbox.add_fault(action="commit_late", status=504, html=True, **POST_ORDER)
    assert post(tfso).status_code == 504
    assert tfso.books["orders"] == []
    held.release()
    assert len(tfso.books["orders"]) == 1


def test_unauthorized_takes_the_token(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.add_fault(action="unauthorized", **POST_ORDER)
    assert post(tfso).status_code == 401
    assert post(tfso).status_code == 401
    tfso.sign_in()
    assert post(tfso).status_code == 200
    assert len(tfso.books["orders"]) == 1


def test_rate_limit(tfso: Tfso, hypatos: Hypatos, sandbox: Sandbox) -> None:
    sandbox.add_fault(action="rate_limit", retry_after=3, **POST_ORDER)
    assert post(tfso).headers["Retry-After"] == "3"
    sandbox.add_fault(action="rate_limit", retry_after=60, as_date=True, **POST_ORDER)
    when = email.utils.parsedate_to_datetime(post(tfso).headers["Retry-After"])
    assert 55 < when.timestamp() - time.time() < 65
    sandbox.add_fault(action="rate_limit", **POST_ORDER)
    answer = post(tfso)
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, False)
    assert tfso.books["orders"] == []
    sandbox.add_fault(action="rate_limit", api="hypatos", reset=2)
    limited = hypatos.insert(externalId="A")
    assert (limited.status_code, limited.content) == (429, b"")
    assert (limited.headers["x-ratelimit-reset"], limited.headers["x-ratelimit-remaining"]) == ("2", "0")
    assert "Retry-After" not in limited.headers


def test_commit_late_is_not_before_its_time(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.add_fault(action="commit_late", seconds=0.2, status=504, **POST_ORDER)
    began = time.monotonic()
    assert post(tfso).status_code == 504
    while not tfso.books["orders"]:
        time.sleep(0.01)
    assert time.monotonic() - began >= 0.2


def test_restart_answers_and_then_refuses_connections_for_a_while(tfso: Tfso, sandbox: Sandbox, held: Held) -> None:
    sandbox.add_fault(action="restart", **POST_ORDER)
    assert post(tfso).status_code == 200
    with pytest.raises(requests.ConnectionError, match="Connection refused"):
        post(tfso)
    held.release()
    assert post(tfso).status_code == 200
    assert len(tfso.books["orders"]) == 2


def test_restarts_that_overlap_end_with_the_last(tfso: Tfso, sandbox: Sandbox, held: Held) -> None:
    clients = (tfso, type(tfso)(sandbox))
    for client in clients:
        assert client.call("GET", "/salesorders").status_code == 200
    for client in clients:
        sandbox.add_fault(action="restart", method="GET", path="/salesorders$")
        assert client.call("GET", "/salesorders").status_code == 200
    held.release()
    for client in clients:
        with pytest.raises(requests.ConnectionError, match="Connection refused"):
            post(client)
    held.release()
    sandbox.add_fault(action="restart", **POST_ORDER)
    assert post(tfso).status_code == 200
    for _ in range(8):
        with pytest.raises(requests.ConnectionError, match="Connection refused"):
            post(tfso)
    held.release()
    assert post(tfso).status_code == 200


def test_a_sandbox_that_refuses_connections_can_be_stopped() -> None:
    with Sandbox() as sandbox:
        sandbox.add_fault(action="restart", seconds=60)
        assert requests.get(f"{sandbox.tfso_url}/", timeout=30).status_code in {401, 404}
    with Sandbox(port=int(sandbox.url.rpartition(":")[2])) as other:
        assert other.state()


def test_slow(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.add_fault(action="slow", seconds=0.1, **POST_ORDER)
    began = time.monotonic()
    assert post(tfso).status_code == 200
    assert time.monotonic() - began >= 0.1
    sandbox.add_fault(action="slow", seconds=1.5, **POST_ORDER)
    with pytest.raises(requests.Timeout):
        post(tfso, timeout=0.5)
    while len(tfso.books["orders"]) < 2:
        time.sleep(0.01)
    assert (last(sandbox)["status"], last(sandbox)["committed"]) == (None, True)


def test_which_requests_are_hit(tfso: Tfso, sandbox: Sandbox) -> None:
    number = tfso.order(LINE)
    sandbox.add_fault(action="status_before", method="patch", path=r"^/salesorders/\d+$", body=r'"status": *"Invoice"')
    sandbox.add_fault(action="status_before", path="/lines$", method="POST", skip=1, times=2, status=500)
    assert tfso.change(number, memo="x").status_code == 200
    assert tfso.change(number, status="Invoice").status_code == 503
    path = f"/salesorders/{number}/lines"
    assert [tfso.call("POST", path, LINE).status_code for _ in range(4)] == [200, 500, 500, 200]
    assert tfso.change(number, status="Invoice").status_code == 200
    faults = sandbox.state()["faults"]
    assert [(fault["hits"], fault["spent"]) for fault in faults] == [(1, True), (2, True)]


def test_token_request_can_fail(sandbox: Sandbox) -> None:
    sandbox.add_fault(action="status_before", path="^/oauth/token$")
    sandbox.add_fault(action="status_before", path="^/auth/token$", api="hypatos", status=500)
    assert requests.post(sandbox.tfso_token_url, timeout=30).status_code == 503
    assert requests.post(f"{sandbox.hypatos_url}/auth/token", timeout=30).json()["status"] == 500


@pytest.mark.parametrize(
    "spec",
    [
        {"action": "explode"},
        {"action": "slow", "api": "sap"},
        {"action": "slow", "path": "("},
        {"action": "slow", "when": 1},
        {"action": "slow", "times": -1},
        {"action": "status_after", "status": 404},
        {},
    ],
)
def test_wrong_faults(sandbox: Sandbox, spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        sandbox.add_fault(**spec)
    assert sandbox.state()["faults"] == []


def test_client_that_resets_itself(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.add_fault(action="hang_after", seconds=30)
    address = urlsplit(sandbox.url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30)
    connection.sendall(b"GET /tfso/v1/salesorders HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.05)
    connection.close()
    assert post(tfso).status_code == 200

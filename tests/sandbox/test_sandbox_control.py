from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import requests

from tfso_hypatos.sandbox import service
from tfso_hypatos.sandbox.server import Sandbox, is_loopback

if TYPE_CHECKING:
    from tests.sandbox.conftest import Held, Hypatos, Tfso

ROOT = Path(__file__).parents[2]
ORGANIZATION = "100000000000001"
CUSTOMER = {"id": 7, "name": "<script>alert(1)</script>"}
LINE = {"description": "<b>Coffee</b>", "quantity": 3, "price": 99.99}


def control(sandbox: Sandbox, method: str, name: str, value: Any = None) -> requests.Response:
    return requests.request(method, f"{sandbox.url}/__sandbox__/{name}", json=value, timeout=30)


def test_control_over_http(tfso: Tfso, sandbox: Sandbox) -> None:
    assert control(sandbox, "POST", "settings", {"page_default": 5, "list_lag": 0.5}).json()["page_default"] == 5
    assert control(sandbox, "GET", "settings").json()["list_lag"] == 0.5
    fault = control(sandbox, "POST", "faults", {"action": "slow", "seconds": 0.01}).json()
    assert (fault["id"], fault["spent"]) == (1, False)
    assert control(sandbox, "GET", "faults").json() == [fault]
    assert control(sandbox, "DELETE", "faults").json() == []
    tfso.order(LINE)
    books = control(sandbox, "GET", "state").json()["organizations"][ORGANIZATION]
    assert len(books["orders"][0]["lines"]) == 1
    log = control(sandbox, "GET", "requests").json()
    assert (log["total"], [entry["method"] for entry in log["requests"]]) == (3, ["POST"] * 3)
    assert control(sandbox, "POST", "reset").status_code == 200
    assert control(sandbox, "GET", "requests").json() == {"total": 0, "requests": []}
    assert control(sandbox, "GET", "settings").json()["page_default"] == 25
    assert tfso.call("GET", "/salesorders").json() == []
    assert control(sandbox, "POST", "expire-tokens").status_code == 200
    assert tfso.call("GET", "/salesorders").status_code == 401


def test_control_refuses_nonsense(sandbox: Sandbox) -> None:
    nonsense: tuple[Any, ...] = (
        {"page_default": 0},
        {"reinvoice": "maybe"},
        {"unheard_of": 1},
        {"hypatos_strict": 1},
        [],
    )
    for value in nonsense:
        assert control(sandbox, "POST", "settings", value).status_code == 400, value
    assert control(sandbox, "POST", "faults", {"action": "explode"}).status_code == 400
    assert control(sandbox, "GET", "reset").status_code == 405
    assert control(sandbox, "GET", "unheard-of").status_code == 404
    with pytest.raises(ValueError, match="page_default"):
        sandbox.configure(list_lag=1, page_default=1.5)
    assert sandbox.configure()["list_lag"] == 0


def test_log_hides_secrets(tfso: Tfso, sandbox: Sandbox) -> None:
    tfso.call("GET", "/salesorders?limit=3&limit=4")
    entry = sandbox.requests()[-1]
    token = str(tfso.session.headers["Authorization"]).removeprefix("Bearer ")
    assert token not in str(entry)
    assert entry["headers"]["authorization"].startswith("Bearer #")
    assert entry["query"] == {"limit": "3"}
    assert (entry["api"], entry["path"], entry["status"]) == ("tfso", "/salesorders", 200)


def test_state_keeps_decimals_and_is_a_copy(tfso: Tfso, sandbox: Sandbox) -> None:
    tfso.order(LINE)
    order = sandbox.state()["organizations"][ORGANIZATION]["orders"][0]
    assert order["netAmount"] == Decimal("299.97")
    assert order["lines"][0]["price"] == Decimal("99.99")
    order["customer"]["name"] = order["lines"][0]["price"] = "changed"
    again = sandbox.state()["organizations"][ORGANIZATION]["orders"][0]
    assert (again["customer"]["name"], again["lines"][0]["price"]) == ("Fjord & Fjell AS", Decimal("99.99"))


def test_pages_escape_everything(tfso: Tfso, hypatos: Hypatos, sandbox: Sandbox) -> None:
    number = tfso.order(LINE, customer=CUSTOMER, internalMemo="<i>", referenceNumber='"><img src=x>')
    tfso.invoice(number)
    hypatos.insert(externalId="<u>", documentId="63cac12c37bb02accb396cae", headerText="</pre><script>")
    sandbox.add_fault(action="slow", path="<em>|x")
    sandbox.configure(page_default=7)
    paths = (
        "/",
        f"/orders/{ORGANIZATION}/{number}",
        f"/invoices/{ORGANIZATION}/10001",
        "/documents/63cac12c37bb02accb396cae",
        "/documents/%3Cu%3E",
    )
    for path in paths:
        answer = requests.get(sandbox.url + path, timeout=30)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "script-src" in answer.headers["Content-Security-Policy"]
        for bad in ("<script>alert", "<b>Coffee", "<i>", "<img", "<u>", "</pre><script>", "<em>"):
            assert bad not in answer.text
    home = requests.get(sandbox.url, timeout=30).text
    for good in ("&lt;b&gt;Coffee&lt;/b&gt;", "10001", "299.97", "374.96", "page_default = 7", "pending"):
        assert good in home
    assert requests.get(f"{sandbox.url}/orders/{ORGANIZATION}/99", timeout=30).status_code == 404
    assert requests.get(f"{sandbox.url}/orders/x/99", timeout=30).status_code == 404
    assert requests.get(f"{sandbox.url}/favicon.ico", timeout=30).status_code == 404


def test_log_is_bounded(tfso: Tfso, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_LOGGED", 2)
    sandbox.reset()
    for _ in range(3):
        tfso.call("GET", "/salesorders")
    assert sandbox.state()["requests_total"] == 3
    assert [entry["n"] for entry in sandbox.requests()] == [2, 3]


def test_reset_forgets_what_was_asked_before(tfso: Tfso, sandbox: Sandbox, held: Held) -> None:
    sandbox.add_fault(action="commit_late", status=504)
    assert tfso.call("POST", "/salesorders", {"customer": CUSTOMER}).status_code == 504
    sandbox.reset()
    held.release()
    assert tfso.books["orders"] == []


def test_start_and_stop_leave_nothing() -> None:
    threads = threading.active_count()
    began = time.monotonic()
    with Sandbox(page_default=2) as sandbox:
        assert time.monotonic() - began < 10
        assert requests.get(sandbox.url, timeout=30).status_code == 200
        assert sandbox.connections()["tfso_default"]["host"] == sandbox.tfso_url
    assert threading.active_count() == threads
    assert sandbox.state()["settings"]["page_default"] == 2
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.url, timeout=1)
    sandbox.stop()


def test_stops_while_a_client_waits() -> None:
    with Sandbox() as sandbox:
        sandbox.add_fault(action="hang_before", seconds=600)
        outcome: list[str] = []

        def wait() -> None:
            with pytest.raises(requests.ConnectionError):
                requests.get(f"{sandbox.tfso_url}/salesorders", timeout=60)
            outcome.append("cut off")

        client = threading.Thread(target=wait)
        client.start()
        while not sandbox.requests():
            time.sleep(0.01)
        began = time.monotonic()
    client.join(60)
    assert outcome == ["cut off"]
    assert time.monotonic() - began < 20


async def test_parallel_requests_are_single_steps(sandbox: Sandbox) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "audience": "https://api.24sevenoffice.com",
        "login_organization": ORGANIZATION,
    }
    async with aiohttp.ClientSession() as session:
        async with session.post(sandbox.tfso_token_url, data=form) as answer:
            headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}

        async def create() -> int:
            body = {"customer": CUSTOMER}
            async with session.post(f"{sandbox.tfso_url}/salesorders", json=body, headers=headers) as answer:
                number: int = (await answer.json())["id"]
                return number

        numbers = await asyncio.gather(*(create() for _ in range(50)))
    assert sorted(numbers) == list(range(1001, 1051))


def test_stays_on_loopback() -> None:
    for host in ("0.0.0.0", "192.168.1.2", "example.com", "::"):  # noqa: S104 - refused
        assert not is_loopback(host)
        with pytest.raises(ValueError, match="loopback"):
            Sandbox(host=host)
    assert all(is_loopback(host) for host in ("127.0.0.1", "localhost", "::1"))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_command_line(ending: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "tfso_hypatos.sandbox",
        "--port",
        "0",
        "--transaction-delay",
        "2.5",
        "--newest-first",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "provider")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - ours
        output = process.stdout
        assert output is not None
        url = output.readline().split()[-1]
        settings = requests.get(f"{url}__sandbox__/settings", timeout=30).json()
        assert (settings["transaction_delay"], settings["newest_first"]) == (2.5, True)
        process.send_signal(ending)
        rest = output.read()
        assert process.wait(60) == 0
    assert "AIRFLOW_CONN_TFSO_DEFAULT=" in rest
    assert "AIRFLOW_CONN_HYPATOS_DEFAULT=" in rest

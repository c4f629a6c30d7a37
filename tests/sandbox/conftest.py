from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tfso_hypatos.sandbox.delivery import Later
from tfso_hypatos.sandbox.server import Sandbox

ORGANIZATION = "100000000000001"
CUSTOMER = {"id": 7, "name": "Fjord & Fjell AS"}
LINE = {"description": "Coffee", "quantity": 3, "price": 99.99}
TOKEN_REQUEST = {
    "grant_type": "client_credentials",
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "audience": "https://api.24sevenoffice.com",
    "login_organization": ORGANIZATION,
}


class Tfso:
    """A plain client of 24SevenOffice, which knows nothing of this project."""

    def __init__(self, sandbox: Sandbox, organization: str = ORGANIZATION) -> None:
        self.sandbox = sandbox
        self.organization = organization
        self.session = requests.Session()
        self.sign_in()

    def sign_in(self) -> None:
        form = {**TOKEN_REQUEST, "login_organization": self.organization}
        answer = requests.post(self.sandbox.tfso_token_url, json=form, timeout=30)
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, value: Any = None, **options: Any) -> requests.Response:
        if value is not None:
            options["json"] = value
        address = path if path.startswith("http") else self.sandbox.tfso_url + path
        return self.session.request(method, address, timeout=options.pop("timeout", 30), **options)

    def order(self, *lines: dict[str, Any], **header: Any) -> int:
        answer = self.call("POST", "/salesorders", {"customer": CUSTOMER, **header})
        assert answer.status_code == 200, answer.text
        number: int = answer.json()["id"]
        for line in lines:
            assert self.call("POST", f"/salesorders/{number}/lines", line).status_code == 200
        return number

    def read(self, number: int) -> dict[str, Any]:
        order: dict[str, Any] = self.call("GET", f"/salesorders/{number}").json()
        return order

    def change(self, number: int, **members: Any) -> requests.Response:
        return self.call("PATCH", f"/salesorders/{number}", members)

    def invoice(self, number: int) -> dict[str, Any]:
        answer = self.change(number, status="Invoice")
        assert answer.status_code == 200, answer.text
        order: dict[str, Any] = answer.json()
        return order

    @property
    def books(self) -> dict[str, Any]:
        books: dict[str, Any] = self.sandbox.state()["organizations"][self.organization]
        return books


class Hypatos:
    """A plain client of Hypatos."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        form = {"grant_type": "client_credentials"}
        login = ("sandbox-client", "sandbox-secret")
        answer = requests.post(f"{sandbox.hypatos_url}/auth/token", data=form, auth=login, timeout=30)
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.sandbox.hypatos_url + path, timeout=30, **options)

    def insert(self, **record: Any) -> requests.Response:
        return self.call("POST", "/enrichment/sales-orders", json=record)

    def patch(self, key: str, body: str, media_type: str = "application/merge-patch+json") -> requests.Response:
        headers = {"Content-Type": media_type}
        return self.call("PATCH", f"/enrichment/sales-orders/{key}", data=body.encode(), headers=headers)


class Held:
    """What the sandbox would do after a while; it does it when a test says so."""

    def __init__(self) -> None:
        self._works: list[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = []

    def keep(self, _later: Later, _seconds: float, work: Callable[[], object]) -> None:
        """Stand in for :meth:`Later.start`."""
        self._works.append((asyncio.get_running_loop(), work))

    def release(self) -> None:
        """Do what was to be done first."""
        loop, work = self._works.pop(0)

        async def do() -> None:
            done = work()
            if inspect.isawaitable(done):
                await done

        asyncio.run_coroutine_threadsafe(do(), loop).result(60)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Hold what the sandbox would do after a while."""
    held = Held()
    monkeypatch.setattr(Later, "start", lambda later, seconds, work: held.keep(later, seconds, work))
    return held


@pytest.fixture(scope="session")
def _running() -> Iterator[Sandbox]:
    with Sandbox(organizations=[ORGANIZATION, "100000000000002"]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_running: Sandbox) -> Sandbox:
    _running.reset()
    return _running


@pytest.fixture
def tfso(sandbox: Sandbox) -> Iterator[Tfso]:
    client = Tfso(sandbox)
    yield client
    client.session.close()


@pytest.fixture
def hypatos(sandbox: Sandbox) -> Iterator[Hypatos]:
    client = Hypatos(sandbox)
    yield client
    client.session.close()

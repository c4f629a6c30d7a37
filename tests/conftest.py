"""What all tests share: an Airflow that touches nothing of this machine, the sandbox, and connections to it."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeVar

import aiohttp
import hypothesis
import pytest
import requests
from tests.skipped_time import skip_pauses

from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.budget import BUDGETS
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.clients.token import TOKENS, Credentials
from tfso_hypatos.clients.transport import Service
from tfso_hypatos.sandbox.server import Sandbox

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# Before anything imports Airflow: it reads its configuration once, and would otherwise take that of this machine.
_HOME = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ.update(
    # Airflow 3.2 wants one even where dag.test() asks its own API in the same process.
    AIRFLOW__API_AUTH__JWT_SECRET="of no use outside of these tests; " * 2,
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=f"{_HOME}/dags",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=f"{_HOME}/logs",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)
for _name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)

from tfso_hypatos.operators import retry  # noqa: E402 - it imports Airflow

T = TypeVar("T")

ORGANIZATION = "100000000000001"
OTHER_ORGANIZATION = "100000000000002"
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"
AUDIENCE = "https://api.24sevenoffice.com"

HURRIED = Patience(attempts=4, budget=60.0, longest_wait=0.02)
"""Repeats like the product, but hardly waits between two sends."""


SETTLE_SECONDS = 0.4
"""Short, for tests wait for it; a quarter of it is time enough for a look and a change on a slow machine."""

SLOW_FIRST = ("tests/faults/", "tests/dags/", "tests/benchmarks/", "tests/kills/", "tests/test_")
"""What takes long begins first, so that no process is left with it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long before the rest."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW_FIRST))


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    """Forget every token of this process, and what it has learned of limits."""
    yield
    TOKENS._tokens.clear()
    TOKENS._locks.clear()
    BUDGETS.clear()


@pytest.fixture(autouse=True)
def _errors_keep_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let permanent errors be told apart on Airflow 3.2 too, where tasks raise Airflow's own error instead."""
    if not retry.HAS_RETRY_POLICIES:
        monkeypatch.setattr(retry, "must_end_the_task", lambda _: False)


@pytest.fixture(scope="session")
def _running() -> Iterator[Sandbox]:
    with Sandbox(organizations=[ORGANIZATION, OTHER_ORGANIZATION]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_running: Sandbox) -> Sandbox:
    """Return both services, with empty books."""
    _running.reset()
    return _running


class Log:
    """The sandbox's books and request log, as questions that tests ask."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def books(self) -> dict[str, Any]:
        """The books of the organization."""
        books: dict[str, Any] = self.sandbox.state()["organizations"][ORGANIZATION]
        return books

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Every order that was not deleted."""
        orders: list[dict[str, Any]] = self.books["orders"]
        return orders

    @property
    def order(self) -> dict[str, Any]:
        """The only order."""
        (order,) = self.orders
        return order

    @property
    def invoices(self) -> list[dict[str, Any]]:
        """Every invoice that was issued."""
        invoices: list[dict[str, Any]] = self.books["invoices"]
        return invoices

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Every enrichment record."""
        records: dict[str, dict[str, Any]] = self.sandbox.state()["enrichment"]
        return records

    def sent(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Return the requests with this method and this text in their path, token requests left out."""
        return [
            each
            for each in self.sandbox.requests()
            if not each["path"].endswith("/token") and method in ("", each["method"]) and path in each["path"]
        ]

    @property
    def token_requests(self) -> list[dict[str, Any]]:
        """The requests for a token."""
        return [each for each in self.sandbox.requests() if each["path"].endswith("/token")]

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The requests that ask for a change."""
        return [each for each in self.sent() if each["method"] != "GET"]


@pytest.fixture
def log(sandbox: Sandbox) -> Log:
    """Return what the sandbox has seen and holds."""
    return Log(sandbox)


@pytest.fixture
def order() -> dict[str, Any]:
    """Return an order as a user gives it."""
    return {
        "customer": {"id": 42, "name": "Bjørn Ås AS", "invoiceEmailAddresses": ["faktura@bjornas.example"]},
        "deliveryCustomer": {"name": "Kari Nordmann", "street": "Storgata 1", "postalCode": "0155", "city": "Oslo"},
        "date": "2026-11-20",
        "currency": {"code": "NOK"},
    }


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    """Return lines as a user gives them; two of them equal; 688.09 gross."""
    return [
        {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
        {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99, "tax": {"number": 3}},
        {"type": "text", "description": "Frakt", "quantity": "1", "price": "150.50"},
    ]


class Connections:
    """Sets Airflow connections in the environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
        self._monkeypatch = monkeypatch
        self._sandbox = sandbox

    def tfso(self, conn_id: str = "tfso_default", extra: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Set a connection to 24SevenOffice: the sandbox's, with other fields where given; None leaves one out."""
        given = {
            "organization_id": ORGANIZATION,
            "token_url": self._sandbox.tfso_token_url,
            "settle_seconds": SETTLE_SECONDS,
            "timeout": 10,
            **(extra or {}),
        }
        self._set(conn_id, {"conn_type": "tfso", "host": self._sandbox.tfso_url}, given, fields)

    def hypatos(self, conn_id: str = "hypatos_default", extra: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Set a connection to Hypatos: the sandbox's, with other fields where given; None leaves one out."""
        given = {"timeout": 10, **(extra or {})}
        self._set(conn_id, {"conn_type": "hypatos", "host": self._sandbox.hypatos_url}, given, fields)

    def _set(self, conn_id: str, base: dict[str, Any], extra: dict[str, Any], fields: dict[str, Any]) -> None:
        whole = {**base, "login": CLIENT_ID, "password": CLIENT_SECRET, **fields}
        whole = {name: value for name, value in whole.items() if value is not None}
        whole["extra"] = {name: value for name, value in extra.items() if value is not None}
        self.text(conn_id, json.dumps(whole))

    def text(self, conn_id: str, text: str) -> None:
        """Set a connection to a text: JSON or a URI."""
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Connections:
    """Set the two default connections to the sandbox; call the fixture's methods for other ones."""
    connections = Connections(monkeypatch, sandbox)
    connections.tfso()
    connections.hypatos()
    return connections


@pytest.fixture
def skipped_pauses(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a connection with the settle time of the product, and let it pass at once: for one flow at a time."""
    skip_pauses(monkeypatch)
    connections.tfso(extra={"settle_seconds": None})


@dataclass
class Services:
    """The sandbox's two services, as the transports know them."""

    sandbox: Sandbox

    def tfso(self, **changes: Any) -> Service:
        """Return 24SevenOffice; with other credentials where their names are given."""
        credentials = Credentials(
            self.sandbox.tfso_token_url, CLIENT_ID, CLIENT_SECRET, organization=ORGANIZATION, audience=AUDIENCE
        )
        return _changed(Service("24SevenOffice", self.sandbox.tfso_url, credentials, 30.0, HURRIED), changes)

    def hypatos(self, **changes: Any) -> Service:
        """Return Hypatos; with other credentials where their names are given."""
        url = self.sandbox.hypatos_url
        credentials = Credentials(f"{url}/auth/token", CLIENT_ID, CLIENT_SECRET, basic=True)
        return _changed(Service("Hypatos", url, credentials, 30.0, HURRIED), changes)


def _changed(service: Service, changes: dict[str, Any]) -> Service:
    of_credentials = {name: changes.pop(name) for name in list(changes) if hasattr(service.credentials, name)}
    return replace(service, credentials=replace(service.credentials, **of_credentials), **changes)


@pytest.fixture
def services(sandbox: Sandbox) -> Services:
    """Return the sandbox's services."""
    return Services(sandbox)


@dataclass
class Driver:
    """One of the two drivers; each run opens and closes a session."""

    name: str
    trust_env: bool = False
    connector: Callable[[], aiohttp.TCPConnector] | None = None
    verify: bool | str = True
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, service: Service, flow: Flow[T], *, stopped: bool = False) -> T:
        """Run a flow to its end and return its result."""
        (result,) = self.run_all(service, [flow], stopped=stopped)
        return result

    def run_all(self, service: Service, flows: Sequence[Flow[T]], *, stopped: bool = False) -> list[T]:
        """Run flows one after the other on one session and return their results."""
        if self.name == "async":
            return asyncio.run(self._run_async(service, flows, stopped))
        with requests.Session() as session:
            session.trust_env = self.trust_env
            session.verify = self.verify
            if proxy := self.options.get("proxy"):
                session.proxies = {"http": proxy, "https": proxy}
            transport = SyncTransport(service, session)
            if stopped:
                transport.stop()
            return [transport.drive(flow) for flow in flows]

    async def _run_async(self, service: Service, flows: Sequence[Flow[T]], stopped: bool) -> list[T]:
        connector = self.connector() if self.connector else None
        async with aiohttp.ClientSession(trust_env=self.trust_env, connector=connector) as session:
            transport = AsyncTransport(service, session, self.options)
            if stopped:
                transport.stop()
            return [await transport.drive(flow) for flow in flows]


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Return each of the two drivers in turn."""
    return Driver(request.param)


@dataclass
class Reply:
    """What a :class:`Script` answers; ``drop`` closes the connection instead."""

    status: int = 200
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()
    drop: bool = False


@dataclass
class Asked:
    """One request that a :class:`Script` got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Script:
    """A server that answers whatever a test tells it to, for what no real service and no sandbox does."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda _: Reply()
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, self.rfile.read(size))
                script.asked.append(asked)
                reply = script.answer(asked)
                self.close_connection = True
                if reply.drop:
                    return
                # Without the Date and Server of send_response(): tests send their own.
                self.send_response_only(reply.status)
                for name, value in (*reply.headers, ("Content-Length", str(len(reply.body))), ("Connection", "close")):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = do_PATCH = do_DELETE = do_CONNECT = handle_any  # noqa: N815 - the base class's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def service(self, **changes: Any) -> Service:
        """Return 24SevenOffice at this server; its tokens come from ``/token``."""
        credentials = Credentials(f"{self.url}/token", CLIENT_ID, CLIENT_SECRET, organization=ORGANIZATION)
        return _changed(Service("24SevenOffice", f"{self.url}/v1", credentials, 30.0, HURRIED), changes)

    def gives(self, answer: Callable[[Asked], Reply]) -> None:
        """Answer requests by a function, and token requests with a token."""

        def answer_all(asked: Asked) -> Reply:
            if asked.path.endswith("/token"):
                return Reply(body=b'{"access_token":"scripted-token","token_type":"Bearer","expires_in":3600}')
            return answer(asked)

        self.answer = answer_all

    def calls(self) -> list[Asked]:
        """Return the requests without those for tokens."""
        return [asked for asked in self.asked if not asked.path.endswith("/token")]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def script() -> Iterator[Script]:
    """Return a server that a test scripts."""
    with Script() as script:
        yield script


@pytest.fixture
def other_host() -> Iterator[Script]:
    """Return a second scripted server: the host that must not get a token."""
    with Script() as script:
        yield script


@pytest.fixture
def reply() -> type[Reply]:
    """Return the class of what a scripted server answers."""
    return Reply


@pytest.fixture(scope="session")
def free_port_url() -> str:
    """Return a URL at which nothing listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_port
    server.server_close()
    return f"http://127.0.0.1:{port}"

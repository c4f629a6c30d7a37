"""The HTTP server on loopback, and :class:`Sandbox`, which runs it in a thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web

from tfso_hypatos.sandbox import control, jsontext, page
from tfso_hypatos.sandbox.delivery import Exchange, Later, deliver
from tfso_hypatos.sandbox.door import Door
from tfso_hypatos.sandbox.messages import Call
from tfso_hypatos.sandbox.service import Service

_ROOTS = {"tfso": "/tfso/v1", "hypatos": "/hypatos/v2"}
_TFSO_TOKEN = "/tfso/oauth/token"  # noqa: S105 - a path
_CONTROL = "/__sandbox__/"
_LARGEST_BODY = 6 * 1024 * 1024
_PATIENCE = 10.0

T = TypeVar("T")


class Sandbox:
    """Both APIs on loopback, in a thread of their own; a context manager.

    :param host: loopback address to listen on.
    :param port: port to listen on; 0 picks a free one.
    :param settings: settings by name, see :class:`tfso_hypatos.sandbox.settings.Settings`.
    :raises ValueError: the host is not a loopback address, or a setting is wrong.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> None:
        if not is_loopback(host):
            raise ValueError(f"{host} is not a loopback address: the sandbox has fixed credentials and stays here")
        self._service = Service(settings)
        self._address = (host, port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    @property
    def tfso_url(self) -> str:
        """The API URL of 24SevenOffice."""
        return self.url + _ROOTS["tfso"]

    @property
    def tfso_token_url(self) -> str:
        """The token URL of 24SevenOffice."""
        return self.url + _TFSO_TOKEN

    @property
    def hypatos_url(self) -> str:
        """The API URL of Hypatos."""
        return self.url + _ROOTS["hypatos"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, and answer until :meth:`stop`.

        :raises OSError: the port is taken.
        """
        door = Door(*self._address)
        self.url = door.url
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(door, started), name="sandbox", daemon=True)
        self._thread.start()
        started.result(_PATIENCE)

    def stop(self) -> None:
        """Stop answering; the books can still be read."""
        loop, thread, stopping = self._loop, self._thread, self._stopping
        if loop is None or thread is None or stopping is None:
            return
        loop.call_soon_threadsafe(stopping.set)
        thread.join(_PATIENCE)
        self._loop = self._thread = None

    def state(self) -> dict[str, Any]:
        """Return everything in the books, as ``GET /__sandbox__/state`` does."""
        return self._ask(self._service.state)

    def requests(self) -> list[dict[str, Any]]:
        """Return the request log, oldest first."""
        return self._ask(self._service.requests)

    def reset(self) -> None:
        """Empty the books, the faults and the log, and return to the settings it was made with."""
        self._ask(self._service.reset)

    def add_fault(self, **spec: Any) -> dict[str, Any]:
        """Add a fault and return it.

        :param spec: the arguments of :class:`tfso_hypatos.sandbox.faults.Fault`.
        """
        return self._ask(lambda: self._service.faults.add(spec).as_dict())

    def clear_faults(self) -> None:
        """Remove every fault."""
        self._ask(self._service.faults.clear)

    def expire_tokens(self) -> None:
        """Make every token given out so far invalid."""
        self._ask(self._service.tokens.withdraw_all)

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings and return all of them.

        :param settings: settings by name.
        """
        self._ask(lambda: self._service.settings.change(settings))
        return self._ask(self._service.settings.as_dict)

    def connections(self) -> dict[str, dict[str, Any]]:
        """Return the Airflow connections that work with this sandbox, by connection id."""
        settings = self.configure()
        organization = settings["organizations"][0]
        login = {"login": settings["client_id"], "password": settings["client_secret"]}
        tfso_extra = {
            "organization_id": organization,
            "token_url": self.tfso_token_url,
            "order_url_template": f"{self.url}/orders/{organization}/{{sales_order_id}}",
            "invoice_url_template": f"{self.url}/invoices/{organization}/{{invoice_number}}",
        }
        hypatos_extra = {"document_url_template": f"{self.url}/documents/{{document_id}}"}
        return {
            "tfso_default": {"conn_type": "tfso", "host": self.tfso_url, **login, "extra": tfso_extra},
            "hypatos_default": {"conn_type": "hypatos", "host": self.hypatos_url, **login, "extra": hypatos_extra},
        }

    def _ask(self, question: Callable[[], T]) -> T:
        """Run a function between two requests, so that it sees no half-done step."""
        loop = self._loop
        if loop is None:
            return question()
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
                answer.set_exception(error)

        loop.call_soon_threadsafe(run)
        return answer.result(_PATIENCE)

    def _run(self, door: Door, started: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._serve(door, started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            door.close()

    async def _serve(self, door: Door, started: concurrent.futures.Future[None]) -> None:
        later = Later()

        async def go_away(seconds: float) -> None:
            await door.shut()
            later.start(seconds, lambda: door.open(runner))

        application = _application(self._service, later, go_away)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await door.open(runner)
        stopping = self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        started.set_result(None)
        await stopping.wait()
        await later.close()
        await runner.cleanup()


def is_loopback(host: str) -> bool:
    """Say whether an address reaches this machine only.

    :param host: host name or address.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _application(service: Service, later: Later, go_away: Callable[[float], Awaitable[None]]) -> web.Application:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path, _, query = request.raw_path.partition("?")
        call = _call(request, path, query, body)
        if call is not None:
            return await deliver(Exchange(request, service.enter(call), service, later, go_away))
        if path.startswith(_CONTROL):
            answer = control.answer(service, request.method, path.removeprefix(_CONTROL), body)
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return _page(service, request.method, path)

    application = web.Application(client_max_size=_LARGEST_BODY)
    application.router.add_route("*", "/{path:.*}", handle)
    return application


def _call(request: web.Request, path: str, query: str, body: bytes) -> Call | None:
    api = path.split("/")[1]
    root = _ROOTS.get(api)
    if root is None:
        return None
    is_token = path == _TFSO_TOKEN
    below = path.removeprefix("/tfso" if is_token else root)
    pairs = reversed(parse_qsl(query, keep_blank_values=True))
    headers = {name.lower(): value for name, value in request.headers.items()}
    address = f"http://{request.host}{root}"
    # A path outside the API root keeps its full form, which no operation has.
    return Call(api, request.method, below, dict(pairs), headers, body, address, 0)


def _page(service: Service, method: str, path: str) -> web.Response:
    text = page.render(service.state(), service.requests(), path) if method == "GET" else None
    if text is None:
        return web.Response(status=404, body=jsontext.write({"error": "not found"}), content_type="application/json")
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

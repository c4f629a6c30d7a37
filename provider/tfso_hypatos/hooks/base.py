"""What both hooks share: an Airflow connection becomes a session, a token and a driver of flows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeVar

import requests
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret
from requests.auth import AuthBase

from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.clients.transport import Service, ignore
from tfso_hypatos.exceptions import ConfigurationError, TfsoHypatosError
from tfso_hypatos.hooks.http_options import HttpOptions
from tfso_hypatos.hooks.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Connection

T = TypeVar("T")

TEST_TIMEOUT = 10.0
"""Seconds for one answer while a connection is tested: somebody is waiting at the form."""


class BearerAuth(AuthBase):
    """Puts the access token of a hook on a request of ``requests``, if it goes to the API.

    :param hook: the hook whose token it is.
    """

    def __init__(self, hook: ApiHook) -> None:
        self._hook = hook

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request with the bearer on it."""
        if request.url is not None and request.url.startswith(f"{self._hook.settings.url}/"):
            request.headers["Authorization"] = f"Bearer {self._hook.transport.token().value}"
        return request


class ApiHook(HttpHook):
    """A hook on one of the two APIs; its session is Airflow's, its requests are driven by our flows.

    :param conn_id: the connection.
    """

    service_name: ClassVar[str]

    def __init__(self, conn_id: str) -> None:
        super().__init__(method="GET", http_conn_id=conn_id)
        self._settings: Settings | None = None
        self._transport: SyncTransport | None = None
        self._async_transport: AsyncTransport | None = None
        self._hurried = False
        self._stopped = False
        self._outlasts = False
        self._before_change: Callable[[], None] | None = None

    @classmethod
    @abstractmethod
    def read_settings(cls, conn_id: str, connection: Connection, extra: Mapping[str, Any]) -> Settings:
        """Read and check a connection.

        :raises ConfigurationError: naming the field that is missing or wrong.
        """

    @abstractmethod
    def service(self, settings: Settings) -> Service:
        """Return the API as a connection reaches it."""

    @abstractmethod
    def test_flow(self) -> Flow[str]:
        """Return the flow that tests the connection once there is a token; it returns what it found out."""

    @property
    def settings(self) -> Settings:
        """The connection, read and checked; looked up once."""
        if self._settings is None:
            try:
                connection = self.get_connection(self.http_conn_id)
            except AirflowNotFoundException as error:
                raise ConfigurationError(str(error)) from None
            self._settings = self.read_settings(self.http_conn_id, connection, connection.extra_dejson)
        return self._settings

    async def asettings(self) -> Settings:
        """Return the connection, read and checked, without blocking the event loop."""
        if self._settings is None:
            try:
                connection = await self.aget_connection(self.http_conn_id)
            except AirflowNotFoundException as error:
                raise ConfigurationError(str(error)) from None
            # Airflow 3.3 decrypts without blocking; 3.2 has only the blocking way.
            extra = (
                await connection.aextra_dejson() if hasattr(connection, "aextra_dejson") else connection.extra_dejson
            )
            self._settings = self.read_settings(self.http_conn_id, connection, extra)
        return self._settings

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> requests.Session:
        """Return a session with the connection's proxies, TLS options and keep-alive, which bears the access token.

        The base class would send client id and secret as HTTP Basic, and every extra field that it does not know as a
        header.

        :param headers: headers of every request of the session.
        :param extra_options: not used; the connection's options are.
        """
        self.base_url = self.settings.url
        self.merged_extra = dict(extra_options or {})
        session = self._configure_session_from_mount_adapters(requests.Session())
        HttpOptions.read(self.settings).configure(session)
        session.auth = BearerAuth(self)
        session.headers.update(headers or {})
        return session

    @property
    def transport(self) -> SyncTransport:
        """The driver of flows on ``requests``; made once."""
        if self._transport is None:
            service = self._masked(self.service(self.settings))
            self._transport = SyncTransport(service, self.get_conn())
            self._transport.before_change = self._before_change
            if self._stopped:
                self._transport.stop()
        return self._transport

    async def atransport(self) -> AsyncTransport:
        """Return the driver of flows on ``aiohttp``; made once, closed by :meth:`aclose`."""
        if self._async_transport is None:
            settings = await self.asettings()
            options = HttpOptions.read(settings)
            service = self._masked(self.service(settings))
            self._async_transport = AsyncTransport(
                service, options.session(), options.request_options(settings.url), trust_env=options.trust_env
            )
            self._async_transport.before_change = self._before_change
            if self._stopped:
                self._async_transport.stop()
        return self._async_transport

    def drive(self, flow: Flow[T], remember: Callable[[int], None] = ignore) -> T:
        """Run a flow to its end and return its result.

        :param flow: the flow.
        :param remember: given the id of an order that a retry should know of.
        :raises TfsoHypatosError: whatever the flow raises.
        """
        return self.transport.drive(flow, remember)

    async def adrive(self, flow: Flow[T]) -> T:
        """Run a flow to its end on the running event loop and return its result.

        :raises TfsoHypatosError: whatever the flow raises.
        """
        transport = await self.atransport()
        return await transport.drive(flow)

    def before_change(self, ask: Callable[[], None]) -> None:
        """Let somebody be asked before each change whether it may be sent; before the first request.

        :param ask: raises if not; may block, and may be called in another thread.
        """
        self._before_change = ask

    def stop(self) -> None:
        """Send no further change: the task was killed."""
        self._stopped = True
        if self._transport is not None:
            self._transport.stop()
        if self._async_transport is not None:
            self._async_transport.stop()

    def close(self) -> None:
        """Close the session of ``requests``."""
        if self._transport is not None:
            self._transport.session.close()
            self._transport = None

    async def aclose(self) -> None:
        """Close the session of ``aiohttp``."""
        if self._async_transport is not None:
            await self._async_transport.session.close()
            self._async_transport = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def test_connection(self) -> tuple[bool, str]:
        """Test the connection step by step: its fields, a token, one read; never raises.

        :return: whether it works, and one sentence that names the step that failed.
        """
        step = "connection fields"
        self._hurried = True
        try:
            with self:
                _ = self.transport
                step = "access token"
                self.transport.fetch_token()
                step = "API"
                return True, self.drive(self.test_flow())
        except TfsoHypatosError as error:
            return False, f"{step}: {error}"
        except Exception as error:  # noqa: BLE001 - the form shows whatever this returns, and nothing that is raised
            return False, f"{step}: {type(error).__name__}"
        finally:
            self._hurried = False

    def patience(self, settings: Settings) -> tuple[float, Patience]:
        """Return the seconds for one answer, and how long a request is repeated."""
        timeout = settings.number("timeout", 30.0)
        if self._hurried:
            return min(timeout, TEST_TIMEOUT), Patience(attempts=1, budget=TEST_TIMEOUT)
        return timeout, Patience(outlasts=self._outlasts)

    def outlast(self) -> None:
        """Let requests wait until the budget lets them through, however long that takes, instead of failing.

        For those who have many orders to do, and no retry for each; before the first request.
        """
        self._outlasts = True

    def _masked(self, service: Service) -> Service:
        # A header carries the secret in a form that the masker would not know.
        mask_secret(service.credentials.client_secret)
        mask_secret(service.credentials.basic_value)
        return service

    def run(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse what the base class offers: it knows no time-out, and repeats and logs what must not be."""
        raise NotImplementedError(
            f"{type(self).__name__} has a method for every call of the API; run() would bypass their guards"
        )

"""Hook for the sales-order API of 24SevenOffice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from tfso_hypatos.clients import tfso, tfso_lists
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.tfso_lists import SalesOrderFilter
from tfso_hypatos.clients.token import Credentials
from tfso_hypatos.clients.transport import Service
from tfso_hypatos.exceptions import ConfigurationError
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.hooks.base import ApiHook
from tfso_hypatos.hooks.settings import Settings
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import Line, SalesOrderCreate, SalesOrderPatch
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

if TYPE_CHECKING:
    from airflow.sdk import Connection

DEFAULT_URL = "https://rest.api.24sevenoffice.com/v1"
DEFAULT_TOKEN_URL = "https://login.24sevenoffice.com/oauth/token"  # noqa: S105 - an address, not a token
DEFAULT_AUDIENCE = "https://api.24sevenoffice.com"


class TfsoHook(ApiHook):
    """Reads and changes sales orders and their lines in 24SevenOffice.

    Every method has an asynchronous twin with an ``a`` in front, for triggers. Payloads take the names of the API
    (``internalMemo``) and the Python names (``internal_memo``).

    Rests on https://rest-api.developer.24sevenoffice.com/doc/v1

    :param tfso_conn_id: connection of type ``tfso``.
    """

    conn_name_attr = "tfso_conn_id"
    default_conn_name = "tfso_default"
    conn_type = "tfso"
    hook_name = "24SevenOffice"
    service_name = "24SevenOffice"

    def __init__(self, tfso_conn_id: str = default_conn_name) -> None:
        super().__init__(tfso_conn_id)
        self.tfso_conn_id = tfso_conn_id

    @classmethod
    def read_settings(cls, conn_id: str, connection: Connection, extra: Mapping[str, Any]) -> Settings:
        """Read and check a connection of type ``tfso``.

        :raises ConfigurationError: naming the field that is missing or wrong.
        """
        settings = Settings.read(conn_id, connection, extra, DEFAULT_URL)
        settings.required_text("organization_id")
        for name in ("order_url_template", "invoice_url_template"):
            settings.check_template(name, ("sales_order_id", "organization_id", "invoice_number"))
        return settings

    @property
    def organization(self) -> str:
        """The organization id."""
        return self.settings.required_text("organization_id")

    def timing(self, settle_seconds: float | None = None) -> Timing:
        """Return the waits of the exactly-once protocol.

        :param settle_seconds: overrides the connection's ``settle_seconds``.
        :raises ConfigurationError: if it is no number above zero.
        """
        of_connection = self.settings.number("settle_seconds", 10.0)
        if settle_seconds is None:
            return Timing(of_connection)
        if not isinstance(settle_seconds, int | float) or not 0 < settle_seconds < float("inf"):
            raise ConfigurationError("settle_seconds must be a number of seconds above zero")
        return Timing(float(settle_seconds), shortest_settle=of_connection)

    def service(self, settings: Settings) -> Service:
        """Return the API as a connection reaches it."""
        timeout, patience = self.patience(settings)
        credentials = Credentials(
            token_url=settings.text("token_url") or DEFAULT_TOKEN_URL,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            organization=settings.required_text("organization_id"),
            audience=settings.text("audience") or DEFAULT_AUDIENCE,
        )
        limits = settings.limits()
        return Service(self.service_name, settings.url, credentials, timeout, patience, limits, mask_secret)

    def test_flow(self) -> Flow[str]:
        """Return the flow that tests the connection: it needs no scope that the operators do not need."""
        yield from tfso_lists.list_page(SalesOrderFilter(), limit=1)
        return f"24SevenOffice answered: organization {self.organization} can read sales orders"

    def create_sales_order(self, order: SalesOrderCreate | Mapping[str, Any]) -> SalesOrder:
        """Create an order without lines, as one plain call: run twice, it makes two orders.

        Use :class:`~tfso_hypatos.operators.sales_order.CreateSalesOrderOperator` to create a business order once.

        :param order: the order; customer id and name are required.
        :raises InvalidInput: if a rule is broken; nothing was sent.
        """
        return self.drive(tfso.create_sales_order(validate(SalesOrderCreate, order, "order")))

    async def acreate_sales_order(self, order: SalesOrderCreate | Mapping[str, Any]) -> SalesOrder:
        """Do what :meth:`create_sales_order` does, asynchronously."""
        return await self.adrive(tfso.create_sales_order(validate(SalesOrderCreate, order, "order")))

    def get_sales_order(self, sales_order_id: int) -> SalesOrder:
        """Read one order.

        :raises NotFound: if there is none.
        """
        return self.drive(tfso.get_sales_order(sales_order_id))

    async def aget_sales_order(self, sales_order_id: int) -> SalesOrder:
        """Do what :meth:`get_sales_order` does, asynchronously."""
        return await self.adrive(tfso.get_sales_order(sales_order_id))

    def list_sales_orders(self, filters: SalesOrderFilter | None = None) -> list[SalesOrder]:
        """Read every order that the filters let through, all pages.

        :param filters: which orders; None for all.
        """
        return self.drive(tfso_lists.list_sales_orders(filters or SalesOrderFilter()))

    async def alist_sales_orders(self, filters: SalesOrderFilter | None = None) -> list[SalesOrder]:
        """Do what :meth:`list_sales_orders` does, asynchronously."""
        return await self.adrive(tfso_lists.list_sales_orders(filters or SalesOrderFilter()))

    def update_sales_order(self, sales_order_id: int, change: SalesOrderPatch | Mapping[str, Any]) -> SalesOrder:
        """Change the given fields of an order, as one plain call.

        Use :class:`~tfso_hypatos.operators.sales_order.InvoiceSalesOrderOperator` to invoice an order once.

        :raises InvalidInput: if a rule is broken; nothing was sent.
        """
        return self.drive(tfso.update_sales_order(sales_order_id, validate(SalesOrderPatch, change, "change")))

    async def aupdate_sales_order(self, sales_order_id: int, change: SalesOrderPatch | Mapping[str, Any]) -> SalesOrder:
        """Do what :meth:`update_sales_order` does, asynchronously."""
        return await self.adrive(tfso.update_sales_order(sales_order_id, validate(SalesOrderPatch, change, "change")))

    def delete_sales_order(self, sales_order_id: int) -> None:
        """Delete an order.

        :raises Conflict: if it is invoiced.
        """
        self.drive(tfso.delete_sales_order(sales_order_id))

    async def adelete_sales_order(self, sales_order_id: int) -> None:
        """Do what :meth:`delete_sales_order` does, asynchronously."""
        await self.adrive(tfso.delete_sales_order(sales_order_id))

    def list_lines(self, sales_order_id: int) -> list[SalesOrderLine]:
        """Read every line of an order."""
        return self.drive(tfso.list_lines(sales_order_id))

    async def alist_lines(self, sales_order_id: int) -> list[SalesOrderLine]:
        """Do what :meth:`list_lines` does, asynchronously."""
        return await self.adrive(tfso.list_lines(sales_order_id))

    def add_line(self, sales_order_id: int, line: Line | Mapping[str, Any]) -> SalesOrderLine:
        """Add one line to an order, as one plain call: run twice, it makes two lines.

        :raises InvalidInput: if a rule is broken; nothing was sent.
        """
        return self.drive(tfso.add_line(sales_order_id, validate(Line, line, "line")))

    async def aadd_line(self, sales_order_id: int, line: Line | Mapping[str, Any]) -> SalesOrderLine:
        """Do what :meth:`add_line` does, asynchronously."""
        return await self.adrive(tfso.add_line(sales_order_id, validate(Line, line, "line")))

    def get_line(self, sales_order_id: int, line_id: int) -> SalesOrderLine:
        """Read one line."""
        return self.drive(tfso.get_line(sales_order_id, line_id))

    async def aget_line(self, sales_order_id: int, line_id: int) -> SalesOrderLine:
        """Do what :meth:`get_line` does, asynchronously."""
        return await self.adrive(tfso.get_line(sales_order_id, line_id))

    def update_line(self, sales_order_id: int, line_id: int, line: Line | Mapping[str, Any]) -> SalesOrderLine:
        """Change the given fields of a line.

        :raises InvalidInput: if a rule is broken; nothing was sent.
        """
        return self.drive(tfso.update_line(sales_order_id, line_id, validate(Line, line, "line")))

    async def aupdate_line(self, sales_order_id: int, line_id: int, line: Line | Mapping[str, Any]) -> SalesOrderLine:
        """Do what :meth:`update_line` does, asynchronously."""
        return await self.adrive(tfso.update_line(sales_order_id, line_id, validate(Line, line, "line")))

    def delete_line(self, sales_order_id: int, line_id: int) -> None:
        """Delete one line of an order.

        :raises Conflict: if the order is invoiced.
        """
        self.drive(tfso.delete_line(sales_order_id, line_id))

    async def adelete_line(self, sales_order_id: int, line_id: int) -> None:
        """Do what :meth:`delete_line` does, asynchronously."""
        await self.adrive(tfso.delete_line(sales_order_id, line_id))

"""Hook for the enrichment API of Hypatos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from tfso_hypatos.clients import hypatos
from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.clients.token import Credentials
from tfso_hypatos.clients.transport import Service
from tfso_hypatos.hooks.base import ApiHook
from tfso_hypatos.hooks.settings import Settings
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentRecord, EnrichmentSalesOrder

if TYPE_CHECKING:
    from airflow.sdk import Connection

URL_BY_REGION: Mapping[str, str] = {
    "eu": "https://api.cloud.hypatos.ai/v2",
    "us": "https://api.cloud.hypatos.com/v2",
}


class HypatosHook(ApiHook):
    """Writes sales orders into the enrichment data of Hypatos.

    Every method has an asynchronous twin with an ``a`` in front, for triggers. Payloads take the names of the API
    (``totalNetAmount``) and the Python names (``total_net_amount``).

    Rests on https://hypatos.redocly.app/openapi/enrichment/patchsalesorder

    :param hypatos_conn_id: connection of type ``hypatos``.
    """

    conn_name_attr = "hypatos_conn_id"
    default_conn_name = "hypatos_default"
    conn_type = "hypatos"
    hook_name = "Hypatos"
    service_name = "Hypatos"

    def __init__(self, hypatos_conn_id: str = default_conn_name) -> None:
        super().__init__(hypatos_conn_id)
        self.hypatos_conn_id = hypatos_conn_id

    @classmethod
    def read_settings(cls, conn_id: str, connection: Connection, extra: Mapping[str, Any]) -> Settings:
        """Read and check a connection of type ``hypatos``.

        :raises ConfigurationError: naming the field that is missing or wrong.
        """
        settings = Settings.read(conn_id, connection, extra, URL_BY_REGION["eu"])
        settings.check_template("document_url_template", ("document_id", "external_id"))
        by_region = settings.choice("region", URL_BY_REGION, "eu")
        return settings if connection.host else Settings.read(conn_id, connection, extra, by_region)

    def service(self, settings: Settings) -> Service:
        """Return the API as a connection reaches it."""
        timeout, patience = self.patience(settings)
        credentials = Credentials(
            token_url=f"{settings.url}/auth/token",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            basic=True,
        )
        limits = settings.limits()
        return Service(self.service_name, settings.url, credentials, timeout, patience, limits, mask_secret)

    def test_flow(self) -> Flow[str]:
        """Return the flow that tests the connection: a token is enough, for an account may have nothing to read."""
        yield from ()
        return "Hypatos issued an access token"

    def insert_headers(self, settings: Settings) -> dict[str, str]:
        """Return the header that chooses the Hypatos company, if the connection names one."""
        company_id = settings.text("company_id")
        return {"X-Hy-Meta-Internal-Company-Id": company_id} if company_id else {}

    def patch_sales_order(self, external_id: str, patch: EnrichmentPatch | Mapping[str, Any]) -> EnrichmentRecord:
        """Change part of a record by JSON Merge Patch (RFC 7396); repeating it is harmless.

        :param external_id: key of the record.
        :param patch: given members replace, null removes, arrays are replaced whole.
        :raises InvalidInput: if a rule is broken; nothing was sent.
        :raises NotFound: if there is no such record.
        """
        return self.drive(hypatos.patch_sales_order(external_id, validate(EnrichmentPatch, patch, "patch")))

    async def apatch_sales_order(
        self, external_id: str, patch: EnrichmentPatch | Mapping[str, Any]
    ) -> EnrichmentRecord:
        """Do what :meth:`patch_sales_order` does, asynchronously."""
        return await self.adrive(hypatos.patch_sales_order(external_id, validate(EnrichmentPatch, patch, "patch")))

    def insert_sales_order(self, record: EnrichmentSalesOrder | Mapping[str, Any]) -> str:
        """Create a record, or overwrite the one with the same key as a whole; repeating it is harmless.

        :param record: the whole record.
        :return: Hypatos' own id of the record.
        :raises InvalidInput: if a rule is broken; nothing was sent.
        """
        whole = validate(EnrichmentSalesOrder, record, "record")
        return self.drive(hypatos.insert_sales_order(whole, self.insert_headers(self.settings)))

    async def ainsert_sales_order(self, record: EnrichmentSalesOrder | Mapping[str, Any]) -> str:
        """Do what :meth:`insert_sales_order` does, asynchronously."""
        whole = validate(EnrichmentSalesOrder, record, "record")
        return await self.adrive(hypatos.insert_sales_order(whole, self.insert_headers(await self.asettings())))

    def delete_sales_order(self, external_id: str) -> None:
        """Mark a record as deleted.

        :raises NotFound: if there is none.
        """
        self.drive(hypatos.delete_sales_order(external_id))

    async def adelete_sales_order(self, external_id: str) -> None:
        """Do what :meth:`delete_sales_order` does, asynchronously."""
        await self.adrive(hypatos.delete_sales_order(external_id))

"""The calls of Hypatos for sales orders, once: what to send, how to read the answer.

PATCH rests on https://hypatos.redocly.app/openapi/enrichment/patchsalesorder; POST and DELETE follow the sibling
record types, for no page of their own was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from tfso_hypatos.clients.messages import MERGE_PATCH, Flow, Request, ask
from tfso_hypatos.models.base import read
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentRecord, EnrichmentSalesOrder, InsertedRecord

_RECORDS = "/enrichment/sales-orders"


def _path(external_id: str) -> str:
    # Keys may hold "#" or "/", which would otherwise end or split the path.
    return f"{_RECORDS}/{quote(external_id, safe='')}"


def patch_sales_order(external_id: str, patch: EnrichmentPatch) -> Flow[EnrichmentRecord]:
    """Change part of a record by JSON Merge Patch (RFC 7396).

    :param external_id: key of the record.
    :param patch: given members replace, null removes, arrays are replaced whole.
    :raises NotFound: if there is no such record.
    """
    doing = f"patch the Hypatos sales order {external_id!r}"
    request = Request("PATCH", _path(external_id), doing, body=patch.to_wire(), content_type=MERGE_PATCH, changes=True)
    response = yield from ask(request)
    return read(EnrichmentRecord, response.value, doing)


def see_sales_order(external_id: str) -> Flow[EnrichmentRecord]:
    """Read a record, by a merge patch that sets nothing.

    No call that reads is published. A patch that names the key and no other member changes nothing (RFC 7396), and its
    answer is the whole record.

    :param external_id: key of the record.
    :raises NotFound: if there is no such record.
    """
    doing = f"read the Hypatos sales order {external_id!r}"
    body = {"externalId": external_id}
    response = yield from ask(Request("PATCH", _path(external_id), doing, body=body, content_type=MERGE_PATCH))
    return read(EnrichmentRecord, response.value, doing)


def insert_sales_order(record: EnrichmentSalesOrder, headers: Mapping[str, str] | None = None) -> Flow[str]:
    """Create a record, or overwrite the one with the same key as a whole; repeating it is harmless.

    :param record: the whole record.
    :param headers: extra headers, such as ``X-Hy-Meta-Internal-Company-Id``.
    :return: Hypatos' own id of the record, or an empty text if it said none.
    """
    doing = f"insert the Hypatos sales order {record.external_id!r}"
    response = yield from ask(
        Request("POST", _RECORDS, doing, headers=dict(headers or {}), body=record.to_wire(), changes=True)
    )
    return read(InsertedRecord, response.value or {}, doing).id or ""


def delete_sales_order(external_id: str) -> Flow[None]:
    """Mark a record as deleted."""
    yield from ask(
        Request("DELETE", _path(external_id), f"delete the Hypatos sales order {external_id!r}", changes=True)
    )

"""The URIs of what this provider writes, checked as Airflow asks for it. Pure functions: DAG files load this module."""

from __future__ import annotations

from urllib.parse import SplitResult, quote

ORDERS = "salesorders"


def sales_order_uri(organization: str, order_id: int | None = None) -> str:
    """Return the URI of a sales order in 24SevenOffice, or of all.

    :param organization: organization id.
    :param order_id: the order; None: all.
    """
    whole = f"tfso://{quote(organization, safe='')}/{ORDERS}"
    return whole if order_id is None else f"{whole}/{order_id}"


def hypatos_sales_order_uri(scope: str, external_id: str | None = None) -> str:
    """Return the URI of a sales order in the enrichment data of Hypatos, or of all.

    :param scope: Hypatos company, or the region if the connection names none.
    :param external_id: key of the record; None: all.
    """
    whole = f"hypatos://{quote(scope, safe='')}/{ORDERS}"
    return whole if external_id is None else f"{whole}/{quote(external_id, safe='')}"


def sanitize_tfso_uri(uri: SplitResult) -> SplitResult:
    """Check a URI ``tfso://<organization>/salesorders/<id>``, with or without the id.

    :raises ValueError: if it is none.
    """
    rest = _rest(uri, "tfso://<organization>/salesorders/<id>")
    if rest and not (rest.isascii() and rest.isdigit()):
        raise ValueError(f"URI format tfso:// must end with the id of a sales order, not with {rest!r}")
    return uri._replace(path=f"/{ORDERS}/{int(rest)}" if rest else f"/{ORDERS}", query="", fragment="")


def sanitize_hypatos_uri(uri: SplitResult) -> SplitResult:
    """Check a URI ``hypatos://<company or region>/salesorders/<external id>``, with or without the external id.

    :raises ValueError: if it is none.
    """
    _rest(uri, "hypatos://<company or region>/salesorders/<external id>")
    return uri._replace(query="", fragment="")


def _rest(uri: SplitResult, form: str) -> str:
    head, _, rest = uri.path.strip("/").partition("/")
    if not uri.netloc or head != ORDERS or "/" in rest:
        raise ValueError(f"URI format must be {form}")
    return rest

"""Operator that writes a sales order into Hypatos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tfso_hypatos.assets import ENRICHED_SALES_ORDERS, announce
from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.links.addresses import push_document_address, push_order_addresses
from tfso_hypatos.links.sales_order import HypatosDocumentLink, InvoiceLink, SalesOrderLink
from tfso_hypatos.operators.arguments import given, sales_order_reference, structured
from tfso_hypatos.operators.base import ApiOperator
from tfso_hypatos.operators.retry import ending_at_once, with_retry_policy

# Hooks, flows and models are imported where they are used, as in tfso_hypatos.operators.sales_order.
if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from tfso_hypatos.flows.enrich import OnMissing
    from tfso_hypatos.hooks.hypatos import HypatosHook
    from tfso_hypatos.models.hypatos import EnrichmentPatch


class EnrichSalesOrderOperator(ApiOperator):
    """Write a sales order into the enrichment data of Hypatos, by JSON Merge Patch; repeating it is harmless.

    Returns ``external_id`` and ``outcome`` (``patched``, ``inserted`` or ``skipped``).

    Rests on https://hypatos.redocly.app/openapi/enrichment/patchsalesorder

    :param external_id: key of the record in Hypatos. (templated)
    :param patch: the patch, with the field names of the API: given members replace, null removes, arrays are replaced
        whole. A dict or JSON text. (templated)
    :param sales_order_id: build the patch from this order of 24SevenOffice and merge ``patch`` over it; an id or the
        result of an earlier task. (templated)
    :param on_missing: what to do if Hypatos has no such record: ``fail``, ``skip`` or ``insert``. (templated)
    :param hypatos_conn_id: connection of type ``hypatos``. (templated)
    :param tfso_conn_id: connection of type ``tfso``, used only with ``sales_order_id``. (templated)
    :raises InvalidInput: if a value breaks a rule of the API; nothing was sent.
    :raises NotFound: if Hypatos has no such record and ``on_missing`` is ``fail``.
    """

    template_fields: Sequence[str] = (
        "external_id",
        "patch",
        "sales_order_id",
        "on_missing",
        "hypatos_conn_id",
        "tfso_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"patch": "json"}
    operator_extra_links = (SalesOrderLink(), InvoiceLink(), HypatosDocumentLink())
    ui_color = "#e5e6f5"

    def __init__(
        self,
        *,
        external_id: str | XComArg,
        patch: Mapping[str, Any] | str | XComArg | None = None,
        sales_order_id: int | str | Mapping[str, Any] | XComArg | None = None,
        on_missing: str = "fail",
        hypatos_conn_id: str = "hypatos_default",
        tfso_conn_id: str = "tfso_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.external_id = external_id
        self.patch = patch
        self.sales_order_id = sales_order_id
        self.on_missing = on_missing
        self.hypatos_conn_id = hypatos_conn_id
        self.tfso_conn_id = tfso_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the patch."""
        from tfso_hypatos.hooks.hypatos import HypatosHook

        with ending_at_once(), self._stoppable(HypatosHook(self.hypatos_conn_id)) as hook:
            return self._enrich(context, hook)

    def _enrich(self, context: Context, hook: HypatosHook) -> dict[str, Any]:
        from tfso_hypatos.flows.enrich import enrich
        from tfso_hypatos.models.base import validate
        from tfso_hypatos.models.hypatos import EnrichmentPatch

        wanted = enrichment_of(self.external_id, self.patch, self.sales_order_id)
        on_missing = on_missing_of(self.on_missing)
        if wanted.order_id is None:
            patch = validate(EnrichmentPatch, wanted.over, "patch")
        else:
            patch = self._patch_over_order(context, wanted, wanted.order_id)
        outcome = hook.drive(enrich(wanted.external_id, patch, on_missing, hook.insert_headers(hook.settings)))
        push_document_address(context, hook.settings, wanted.external_id, patch.document_id)
        self.log.info("Hypatos sales order %r: %s", wanted.external_id, outcome)
        result = {"external_id": wanted.external_id, "outcome": outcome}
        announce(context, self, ENRICHED_SALES_ORDERS, hook.settings, result)
        return result

    def _patch_over_order(self, context: Context, wanted: Enrichment, order_id: int) -> EnrichmentPatch:
        from tfso_hypatos.flows.enrich import patch_over_order
        from tfso_hypatos.hooks.tfso import TfsoHook

        with self._stoppable(TfsoHook(self.tfso_conn_id)) as hook:
            order, patch = hook.drive(patch_over_order(wanted.external_id, order_id, wanted.over))
            push_order_addresses(
                context, hook.settings, {"sales_order_id": order_id, "invoice_number": order.invoice_number}
            )
            return patch


class Enrichment(NamedTuple):
    """What is to be written into Hypatos.

    :param external_id: key of the record.
    :param over: the caller's patch, checked, under the names of the API.
    :param order_id: the order that the patch is built from and merged over, or None.
    """

    external_id: str
    over: dict[str, Any]
    order_id: int | None


def enrichment_of(external_id: Any, patch: Any, sales_order_id: Any) -> Enrichment:
    """Check what is to be written, so that nothing is read or sent for a wrong argument.

    :param external_id: key of the record, as it was given.
    :param patch: the caller's patch, as it was given.
    :param sales_order_id: the order that the patch is built from, as it was given.
    :raises InvalidInput: if one breaks a rule; it is named.
    """
    from tfso_hypatos.models.base import validate
    from tfso_hypatos.models.hypatos import EnrichmentPatch

    if not given(external_id) or str(external_id) == "None":
        raise InvalidInput([Problem("external_id", "must not be empty, nor what a template makes of a missing value")])
    external_id = str(external_id)
    own = structured(patch, "patch") if given(patch) else {}
    if not isinstance(own, Mapping):
        raise InvalidInput([Problem("patch", f"an object with named fields is needed, not {type(own).__name__}")])
    own = dict(own)
    named = [own.pop(name) for name in ("externalId", "external_id") if name in own]
    if any(str(name) != external_id for name in named):
        raise InvalidInput([Problem("patch.externalId", "must be the same as external_id, or left out")])
    if not given(sales_order_id) and not own:
        raise InvalidInput([Problem("patch", "is required when sales_order_id is not given")])
    # Checked by itself, before it is merged over the order's, so that it is merged under the names of the API.
    over = validate(EnrichmentPatch, {**own, "externalId": external_id}, "patch").to_wire()
    return Enrichment(external_id, over, sales_order_reference(sales_order_id)[0] if given(sales_order_id) else None)


def on_missing_of(value: object) -> OnMissing:
    """Return what to do if Hypatos has no such record.

    :raises InvalidInput: if it is none of the choices.
    """
    from tfso_hypatos.flows.enrich import ON_MISSING

    for choice in ON_MISSING:
        if choice == value:
            return choice
    raise InvalidInput([Problem("on_missing", f"one of {', '.join(ON_MISSING)}")])

"""What is done with one order of a batch: create, invoice, enrich, by the same flows as in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tfso_hypatos.clients import clock
from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.flows.billing import InvoiceOrder
from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.digests import canonical, digest
from tfso_hypatos.flows.enrich import OnMissing, enrich, patch_over_order
from tfso_hypatos.flows.intent import Holder, Intent
from tfso_hypatos.flows.invoice import invoice
from tfso_hypatos.flows.preview import preview
from tfso_hypatos.flows.results import RESULT_FIELDS, created_result, invoiced_result, preview_result
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.hooks.base import ApiHook
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import EnrichmentPatch
from tfso_hypatos.models.sendable import refuse_unsendable
from tfso_hypatos.operators.arguments import given, sales_order_reference, structured
from tfso_hypatos.operators.batch.items import Job
from tfso_hypatos.operators.enrichment import Enrichment, enrichment_of
from tfso_hypatos.operators.external_ids import filled_format
from tfso_hypatos.operators.invoice_arguments import DETAILS, invoice_order

EARLIER = RESULT_FIELDS | {"input_hash"}
"""Members of the results of earlier tasks, which may be handed on as they are."""


def members(item: Any, allowed: frozenset[str]) -> Mapping[str, Any]:
    """Return an item's members.

    :param item: the item.
    :param allowed: the names that it may have; another one would be ignored silently.
    :raises InvalidInput: if it is no object, or has others.
    """
    if not isinstance(item, Mapping):
        raise InvalidInput([Problem("item", f"an object with named fields is needed, not {type(item).__name__}")])
    unknown = sorted(str(name) for name in item if name not in allowed)
    if unknown:
        raise InvalidInput([Problem(name, "is not a field of an item") for name in unknown])
    return item


def _origin(earlier: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    known = earlier.get("input_hash")
    return digest(16, canonical([known, asked])) if isinstance(known, str) and known else ""


@dataclass
class Creation:
    """Creates the sales order of each item.

    :param hook: the hook.
    :param timing: the waits.
    :param holder: the running try of the task.
    :param created_from: how far back an earlier order with the same key is looked for.
    :param marker_field: the field that carries the marker.
    :param again: whether this is not the first try of the task.
    """

    hook: TfsoHook
    timing: Timing
    holder: Holder
    created_from: datetime
    marker_field: str
    again: bool
    _began: float = field(default_factory=clock.now)

    @property
    def hooks(self) -> Sequence[ApiHook]:
        """The hooks that requests go through."""
        return (self.hook,)

    def job(self, item: Any) -> Job:
        """Check an item: ``order_key``, ``order`` and ``lines``."""
        fields = members(item, frozenset({"order_key", "order", "lines"}))
        order_key = fields.get("order_key")
        if not given(order_key) or isinstance(order_key, bool) or not isinstance(order_key, str | int):
            rule = "is required, as text: a place in a list is no name, for the list may be another one next time"
            raise InvalidInput([Problem("order_key", rule)])
        intent = Intent.build(
            organization=self.hook.organization,
            order_key=str(order_key),
            order=structured(fields.get("order"), "order"),
            lines=structured(fields.get("lines"), "lines"),
            holder=self.holder,
            created_from=self.created_from,
            marker_field=self.marker_field,
        )
        labels = {"order_key": intent.order_key}
        return Job(intent.order_key, intent.marker.key, intent.marker.content, labels, lambda: self._create(intent))

    async def _create(self, intent: Intent) -> dict[str, Any]:
        # What an earlier try had sent when it was killed has settled for the orders that are begun later than that.
        again = self.again and clock.now() - self._began <= self.timing.settle
        flow = find_or_create(intent, self.timing, self.hook.organization, again=again)
        return created_result(intent.order_key, await self.hook.adrive(flow))


@dataclass
class Invoicing:
    """Invoices the sales order of each item.

    :param hook: the hook.
    :param timing: the waits.
    :param me: the running try of the task.
    :param created_by: returns the holder under which this task may go on, given the result of the create task.
    :param defaults: what holds for an order whose item says nothing else.
    :param expected_status: status that each order must have, whatever its item says, or None.
    :param may_begin: asked before each order; raises if a person has stopped invoicing.
    :param looks: what is found is put here, and nothing is changed; None to invoice.
    """

    hook: TfsoHook
    timing: Timing
    me: Holder
    created_by: Callable[[Mapping[str, Any]], Holder | None]
    defaults: Mapping[str, Any]
    expected_status: Any = None
    may_begin: Callable[[], None] | None = None
    looks: list[dict[str, Any]] | None = None

    @property
    def hooks(self) -> Sequence[ApiHook]:
        """The hooks that requests go through."""
        return (self.hook,)

    def job(self, item: Any) -> Job:
        """Check an item: an id, the result of an earlier task, or an object with either as ``sales_order_id``."""
        if not isinstance(item, Mapping):
            item = {"sales_order_id": item}
        fields = members(item, EARLIER | DETAILS.keys() | {"expected_gross_amount", "expected_status"})
        # All of them are written into its content, those that nothing else looks at, too.
        refuse_unsendable(fields, "item")
        inner = fields.get("sales_order_id")
        is_result = isinstance(inner, Mapping) or (isinstance(inner, str) and inner.strip().startswith("{"))
        arguments = {
            "sales_order_id": inner if is_result else fields,
            "order_key": fields.get("order_key"),
            "expected_gross_amount": fields.get("expected_gross_amount"),
            "expected_status": self.expected_status,
            "item_status": fields.get("expected_status"),
            **{name: fields[name] if given(fields.get(name)) else each for name, each in self.defaults.items()},
        }
        task, earlier = invoice_order(self.hook.organization, arguments, arguments["item_status"])
        order_key = arguments["order_key"] if given(arguments["order_key"]) else earlier.get("order_key")
        labels: dict[str, Any] = {"order_key": str(order_key)} if given(order_key) else {}
        holder = self.created_by(earlier)
        name = labels.get("order_key", str(task.order_id))
        content = digest(16, canonical(arguments))
        asked = {name: each for name, each in arguments.items() if name != "sales_order_id"}
        return Job(
            name,
            str(task.order_id),
            content,
            {**labels, "sales_order_id": task.order_id},
            lambda: self._invoice(task, holder),
            origin=_origin(earlier, asked),
            held=given(earlier.get("holder")),
        )

    async def _invoice(self, task: InvoiceOrder, holder: Holder | None) -> dict[str, Any]:
        if self.looks is not None:
            look = await self.hook.adrive(preview(task, self.hook.organization, self.me))
            self.looks.append(preview_result(task.order_id, look))
            return self.looks[-1]
        if self.may_begin is not None:
            await asyncio.to_thread(self.may_begin)
        flow = invoice(task, self.timing, self.hook.organization, self.me, holder)
        return invoiced_result(await self.hook.adrive(flow))


@dataclass
class Enriching:
    """Writes the record of each item into Hypatos.

    :param hypatos: the hook on Hypatos.
    :param tfso: the hook on 24SevenOffice, for patches that are built from an order.
    :param on_missing: what to do if there is no such record.
    :param external_id_format: the key of an item that has neither one nor an order key, or None.
    """

    hypatos: HypatosHook
    tfso: TfsoHook
    on_missing: OnMissing
    external_id_format: str | None = None

    @property
    def hooks(self) -> Sequence[ApiHook]:
        """The hooks that requests go through."""
        return (self.hypatos, self.tfso)

    def job(self, item: Any) -> Job:
        """Check an item: ``external_id`` (left out: its ``order_key``), ``patch`` and ``sales_order_id``."""
        fields = members(item, EARLIER | {"external_id", "patch"})
        order_key = fields.get("order_key")
        external_id = fields.get("external_id") if given(fields.get("external_id")) else order_key
        if not given(external_id) and self.external_id_format is not None and given(fields.get("sales_order_id")):
            order_id, _ = sales_order_reference(fields.get("sales_order_id"))
            external_id = filled_format(self.external_id_format, {"sales_order_id": order_id})
        wanted = enrichment_of(external_id, fields.get("patch"), fields.get("sales_order_id"))
        if wanted.order_id is not None:
            # Looked up here, for it blocks; and before anything is sent.
            _ = self.tfso.settings
        labels = {"order_key": str(order_key)} if given(order_key) else {}
        labels["external_id"] = wanted.external_id
        content = digest(16, canonical([wanted.over, wanted.order_id, self.on_missing]))
        return Job(wanted.external_id, wanted.external_id, content, labels, lambda: self._enrich(wanted))

    async def _enrich(self, wanted: Enrichment) -> dict[str, Any]:
        if wanted.order_id is None:
            patch = validate(EnrichmentPatch, wanted.over, "patch")
        else:
            _, patch = await self.tfso.adrive(patch_over_order(wanted.external_id, wanted.order_id, wanted.over))
        headers = self.hypatos.insert_headers(self.hypatos.settings)
        outcome = await self.hypatos.adrive(enrich(wanted.external_id, patch, self.on_missing, headers))
        return {"external_id": wanted.external_id, "outcome": outcome}

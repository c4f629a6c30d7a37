"""What one business order means to be: its key, its content, who works on it, and the marker that carries all three."""

from __future__ import annotations

import datetime
import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.flows.digests import canonical, digest
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.tfso import Line, SalesOrderCreate
from tfso_hypatos.models.tfso_read import SalesOrder

MarkerField = Literal["internalMemo", "referenceNumber"]

FIELD_LIMITS: Mapping[str, int] = {"internalMemo": 300, "referenceNumber": 50}
"""Characters that each field may hold, the marker included."""

_KEY, _CONTENT, _RUN, _INSTANCE = 16, 10, 6, 6
_MAP_INDEX = 5
"""Hexadecimal digits of a map index: any run must have room to take an order over, whatever its map index."""
_HOLDER = rf"[a-z2-7]{{{_RUN + _INSTANCE}}}[0-9a-f]*"
_SENT = "!"
_MARKER = re.compile(rf"af:([a-z2-7]{{{_KEY}}})/([a-z2-7]{{{_CONTENT}}})/({_HOLDER})({_SENT}?)")
_NO_KEY = frozenset({"", "none", "null", "nan", "undefined"})
"""What a template renders when there is no order number: all such orders would become one."""


@dataclass(frozen=True)
class Holder:
    """Who is working on an order: one try of one task instance.

    :param run: short hash of dag and run.
    :param instance: short hash that no other process has, with the map index behind it in hexadecimal if there is one.
    """

    run: str
    instance: str

    @classmethod
    def of(cls, dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> Holder:
        """Return a new holder for this process, which runs a try of a task instance."""
        mapped = f"{map_index:x}" if map_index >= 0 else ""
        # Two deployments, or a run deleted and made again, can have the same names: they must not be the same holder.
        instance = digest(_INSTANCE, dag_id, run_id, task_id, map_index, try_number, secrets.token_hex(8))
        return cls(digest(_RUN, dag_id, run_id), instance + mapped)

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Return the holder that a text names, or None if it names none."""
        return cls(text[:_RUN], text[_RUN:]) if re.fullmatch(_HOLDER, text) else None

    @property
    def map_index(self) -> int:
        """The map index of the task instance, -1 without one."""
        mapped = self.instance[_INSTANCE:]
        return int(mapped, 16) if mapped else -1

    def __str__(self) -> str:
        return self.run + self.instance


@dataclass(frozen=True)
class Marker:
    """What stands in a field of the order: which business order it is, with which content, and who works on it.

    :param key: short hash of organization and order key.
    :param content: fingerprint of order and lines.
    :param holder: who works on it.
    :param invoicing: whether 24SevenOffice was asked to invoice it; written by that very request.
    """

    key: str
    content: str
    holder: Holder
    invoicing: bool = False

    def __str__(self) -> str:
        return f"af:{self.key}/{self.content}/{self.holder}{_SENT if self.invoicing else ''}"

    def held_by(self, holder: Holder) -> Marker:
        """Return the same marker with another holder."""
        return replace(self, holder=holder)

    def sent(self) -> Marker:
        """Return the same marker, saying that 24SevenOffice was asked to invoice the order."""
        return replace(self, invoicing=True)

    @classmethod
    def in_text(cls, text: str | None) -> Marker | None:
        """Return the marker that a text carries, or None."""
        match = _MARKER.search(text or "")
        holder = Holder.parse(match[3]) if match else None
        return cls(match[1], match[2], holder, bool(match[4])) if match and holder else None

    def put_into(self, text: str | None) -> str:
        """Return the text with this marker in the place of the one it carries, or behind it."""
        if not text:
            return str(self)
        if _MARKER.search(text):
            return _MARKER.sub(str(self), text, count=1)
        return f"{text}\n{self}"


def marker_of(order: SalesOrder) -> tuple[MarkerField, Marker | None]:
    """Return the marker of an order and the field it stands in; without one, the field where one would be put."""
    for field, text in _marker_texts(order).items():
        marker = Marker.in_text(text)
        if marker is not None:
            return field, marker
    return "internalMemo", None


def is_being_invoiced(order: SalesOrder) -> bool:
    """Say whether 24SevenOffice was asked to invoice an order and does not show it as invoiced yet."""
    marker = marker_of(order)[1]
    return marker is not None and marker.invoicing and not order.is_invoiced and not order.is_inactive


def is_billed(order: SalesOrder) -> bool:
    """Say whether an order is invoiced, or about to be."""
    return order.is_invoiced or is_being_invoiced(order)


def _marker_texts(order: SalesOrder) -> dict[MarkerField, str | None]:
    return {"internalMemo": order.internal_memo, "referenceNumber": order.reference_number}


def marker_change(order: SalesOrder, marker: Marker) -> dict[str, str]:
    """Return the change that puts a marker on an order, leaving the rest of the field as it is.

    :raises InvalidInput: if the field has no room for it.
    """
    field, _ = marker_of(order)
    # A server that answers line ends of two characters stores them as one.
    text = marker.put_into((_marker_texts(order)[field] or "").replace("\r\n", "\n"))
    if len(text) > FIELD_LIMITS[field]:
        rule = f"sales order {order.id} has no room for the marker: at most {FIELD_LIMITS[field]} characters"
        raise InvalidInput([Problem(field, rule)])
    return {field: text}


def without_marker(order: SalesOrder) -> SalesOrder:
    """Return an order as if it carried no marker."""
    field, _ = marker_of(order)
    text = _MARKER.sub("", _marker_texts(order)[field] or "", count=1).rstrip("\n")
    name = "internal_memo" if field == "internalMemo" else "reference_number"
    return order.model_copy(update={name: text})


def key_of(organization: str, order_key: str) -> str:
    """Return the short hash of a business order's name within an organization; white space around it does not count."""
    return digest(_KEY, organization, unicodedata.normalize("NFC", order_key.strip()))


def key_by_hand(organization: str, order_id: int) -> str:
    """Return the short hash of an order that nobody gave a name; no order key has the same.

    :param organization: organization id.
    :param order_id: the order.
    """
    # Three parts, where a name has two: each part is kept apart from the next, so no name can be hashed like this.
    return digest(_KEY, organization, "made by hand", order_id)


def fingerprint(order: SalesOrderCreate, lines: Sequence[Line]) -> str:
    """Return a short hash of what was asked for; equal numbers and reordered lines have the same.

    The status is no part of it: an order that was confirmed meanwhile is still the same order.
    """
    header = canonical({name: value for name, value in order.to_wire().items() if name != "status"})
    return digest(_CONTENT, header, *sorted(canonical(line.to_wire()) for line in lines))


@dataclass(frozen=True)
class Intent:
    """One business order as a task means it.

    :param order_key: the caller's name for it.
    :param order: what is sent, marker included.
    :param lines: the lines, in the caller's order.
    :param marker: key, content and holder.
    :param marker_field: where the marker stands.
    :param created_from: how far back an earlier order with the same key is looked for.
    :param any_customer: look for it among the orders of all customers, for the key may have meant another one before.
    """

    order_key: str
    order: SalesOrderCreate
    lines: tuple[Line, ...]
    marker: Marker
    marker_field: MarkerField
    created_from: datetime.datetime
    any_customer: bool = False

    @property
    def customer_id(self) -> int | None:
        """The customer among whose orders an earlier one is looked for, or None for all."""
        return None if self.any_customer else self.order.customer.id

    @classmethod
    def build(
        cls,
        *,
        organization: str,
        order_key: str,
        order: object,
        lines: object,
        holder: Holder,
        created_from: datetime.datetime,
        marker_field: str = "internalMemo",
        any_customer: bool = False,
    ) -> Intent:
        """Check everything that can be checked without the API, and return the intent.

        :raises InvalidInput: naming every broken rule with its place.
        """
        found: list[Problem] = []
        checked_order, checked_lines = _check(order, lines, found)
        if order_key.strip().lower() in _NO_KEY:
            found.append(Problem("order_key", "must not be empty, nor what a template makes of a missing value"))
        if marker_field not in FIELD_LIMITS:
            found.append(Problem("marker_field", f"one of {', '.join(FIELD_LIMITS)}"))
        if found or checked_order is None:
            raise InvalidInput(found)
        field: MarkerField = "referenceNumber" if marker_field == "referenceNumber" else "internalMemo"
        marker = Marker(key_of(organization, order_key), fingerprint(checked_order, checked_lines), holder)
        marked = _with_marker(checked_order, marker, field)
        return cls(order_key, marked, checked_lines, marker, field, created_from, any_customer)


def _check(order: object, lines: object, found: list[Problem]) -> tuple[SalesOrderCreate | None, tuple[Line, ...]]:
    checked_order: SalesOrderCreate | None = None
    checked_lines: list[Line] = []
    try:
        checked_order = validate(SalesOrderCreate, order, "order")
    except InvalidInput as error:
        found.extend(error.problems)
    if not isinstance(lines, Sequence) or isinstance(lines, str | bytes):
        found.append(Problem("lines", f"a list of lines is needed, not {type(lines).__name__}"))
        return checked_order, ()
    if not lines:
        found.append(Problem("lines", "at least one line is needed: an order without lines cannot be invoiced"))
    for index, line in enumerate(lines):
        try:
            checked_lines.append(validate(Line, line, f"lines[{index}]"))
        except InvalidInput as error:
            found.extend(error.problems)
    return checked_order, tuple(checked_lines)


def _with_marker(order: SalesOrderCreate, marker: Marker, field: MarkerField) -> SalesOrderCreate:
    name = "internal_memo" if field == "internalMemo" else "reference_number"
    own = getattr(order, name)
    for place, text in (("internalMemo", order.internal_memo), ("referenceNumber", order.reference_number)):
        if Marker.in_text(text):
            rule = "holds the marker of another order (af:...): leave it out"
            raise InvalidInput([Problem(f"order.{place}", rule)])
    if field == "referenceNumber" and own:
        rule = 'must be left out, because marker_field = "referenceNumber" puts the marker there'
        raise InvalidInput([Problem("order.referenceNumber", rule)])
    text = marker.put_into(own)
    longest = len(str(marker.held_by(Holder("", "")).sent())) + _RUN + _INSTANCE + _MAP_INDEX
    if len(text) - len(str(marker)) + longest > FIELD_LIMITS[field]:
        room = FIELD_LIMITS[field] - longest - 1
        rule = f"at most {room} characters, because the marker of up to {longest} characters is put behind it"
        raise InvalidInput([Problem(f"order.{field}", rule)])
    return order.model_copy(update={name: text})

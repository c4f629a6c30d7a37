"""Does 24SevenOffice hold what the caller asked for? Field by field, numbers as numbers, lines as multisets."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tfso_hypatos.flows.digests import digest
from tfso_hypatos.models.base import plain_number
from tfso_hypatos.models.tfso import Line, SalesOrderCreate
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

_ZERO_IF_LEFT_OUT = frozenset({"quantity", "price", "discountRate"})
"""What decides the amount: left out of an answer it means zero."""

_NAMES_WHAT_IS_SOLD = frozenset({"product", "product.id", "description"})
"""Left out of an answer it is another line: taking it for ours could remove what a person has added."""

_NOT_COMPARED = frozenset({"product.number", "account.name", "isHidden", "type", "dimensions.name"})
"""Ignored or rewritten by the server when sent."""

_LINE_HASH = 8
"""Characters: enough to notice an edit, which nobody makes in order to be overlooked."""

_STATE = frozenset({"status", "internalMemo"})
"""Header fields that move on after the order was created: its state, and the memo that carries the marker."""

DECISIVE = frozenset({"customer.id", "currency.code", "currency.rate", "paymentMethod.id"})
"""Header fields that decide who pays what. The other ones a person may correct by hand before invoicing."""


class LinePlan(NamedTuple):
    """What is to be done so that an order has each line once.

    :param missing: lines to add, in the caller's order.
    :param surplus: ids of lines that repeat one of ours.
    :param foreign: lines that are not ours, described.
    :param matched: ids of the lines that are ours, in the caller's order; None where missing.
    """

    missing: tuple[Line, ...]
    surplus: tuple[int, ...]
    foreign: tuple[str, ...]
    matched: tuple[int | None, ...]

    @property
    def complete(self) -> bool:
        """Whether each line stands there once, and nothing else."""
        return not (self.missing or self.surplus or self.foreign)


def plan_lines(wanted: Sequence[Line], present: Sequence[SalesOrderLine]) -> LinePlan:
    """Compare lines as multisets.

    Two equal lines may both be wanted. The lowest ids are kept; a line that is the same as one of ours in everything
    but its id is surplus, any other line is foreign.
    """
    lines = sorted(present, key=lambda line: line.id)
    shown = [line.model_dump(by_alias=True) for line in lines]
    given = [line.to_wire() for line in wanted]
    fits = _fits(given, shown)
    taken_by: dict[int, int] = {}
    for want in range(len(wanted)):
        _assign(want, fits, taken_by)
    matched: list[int | None] = [None] * len(wanted)
    for have, want in taken_by.items():
        matched[want] = lines[have].id
    ours = {_plain({**shown[have], "id": None}) for have in taken_by}
    left = [have for have in range(len(lines)) if have not in taken_by]
    surplus = [have for have in left if _plain({**shown[have], "id": None}) in ours]
    return LinePlan(
        missing=tuple(line for line, line_id in zip(wanted, matched, strict=True) if line_id is None),
        surplus=tuple(lines[have].id for have in surplus),
        foreign=tuple(_describe(lines[have].id, shown[have], given) for have in left if have not in surplus),
        matched=tuple(matched),
    )


def _fits(given: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> list[tuple[int, ...]]:
    """Return for each wanted line which of those present it may be; equal pairs are compared once."""
    by_amount: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {}
    fits = []
    texts = [_plain({**line, "id": None}) for line in shown]
    known: dict[tuple[str, str], bool] = {}
    for want in given:
        text = _plain(want)
        names = tuple(sorted((_ZERO_IF_LEFT_OUT | {"description"}) & want.keys()))
        if names not in by_amount:
            index: dict[tuple[str, ...], list[int]] = {}
            for have, line in enumerate(shown):
                index.setdefault(tuple(_plain(line.get(name) or 0) for name in names), []).append(have)
            by_amount[names] = index
        alike = by_amount[names].get(tuple(_plain(want[name]) for name in names), [])
        for have in alike:
            if (text, texts[have]) not in known:
                known[text, texts[have]] = not differences(want, shown[have])
        fits.append(tuple(have for have in alike if known[text, texts[have]]))
    return fits


def _assign(want: int, fits: Sequence[tuple[int, ...]], taken_by: dict[int, int]) -> None:
    """Give a wanted line one of those present, moving others if need be (an augmenting path, breadth first)."""
    holds = {taker: have for have, taker in taken_by.items()}
    reached_from: dict[int, int] = {}
    takers = [want]
    for taker in takers:
        free = next((have for have in fits[taker] if have not in taken_by), None)
        if free is not None:
            reached_from[free] = taker
            _move(free, want, reached_from, holds, taken_by)
            return
        for have in fits[taker]:
            # A line with the same choices as this one has nowhere else to go either.
            if have not in reached_from and fits[taken_by[have]] != fits[taker]:
                reached_from[have] = taker
                takers.append(taken_by[have])


def _move(
    have: int, want: int, reached_from: Mapping[int, int], holds: Mapping[int, int], taken_by: dict[int, int]
) -> None:
    """Let every taker on the way take the line it was reached for, back to the one that had none."""
    while (taker := reached_from[have]) != want:
        taken_by[have] = taker
        have = holds[taker]
    taken_by[have] = want


def _describe(line_id: int, have: Mapping[str, Any], given: Sequence[Mapping[str, Any]]) -> str:
    nearest = min((differences(want, have) for want in given), key=len, default=[])
    if not nearest:
        return f"line {line_id} is one more than wanted"
    return f"line {line_id} is none of the wanted lines (the nearest differs in {', '.join(nearest)})"


def line_hash(line: SalesOrderLine) -> str:
    """Return a short hash of what a line bills; its VAT shows in the total, and its account bills nothing."""
    product = line.product.id if line.product else None
    numbers = (_plain(number or 0) for number in (line.quantity, line.price, line.discount_rate))
    return digest(_LINE_HASH, product, _plain(line.description or ""), *numbers)


def header_differences(wanted: SalesOrderCreate, present: SalesOrder, *, but: frozenset[str]) -> list[str]:
    """Return the places where an order differs from what the caller gave.

    :param wanted: what the caller gave.
    :param present: what 24SevenOffice holds.
    :param but: further fields that are not compared.
    """
    left_out = _STATE | but
    given = {name: value for name, value in wanted.to_wire().items() if name not in left_out}
    return differences(given, present.model_dump(by_alias=True))


def differences(wanted: Any, present: Any, place: str = "") -> list[str]:
    """Return the places at which something present differs from what is wanted; what was not given is not compared."""
    if wanted is None or place in _NOT_COMPARED:
        return []
    if present is None:
        # Anything else was just not shown.
        not_zero = place in _ZERO_IF_LEFT_OUT and wanted != 0
        named = place in _NAMES_WHAT_IS_SOLD and not (isinstance(wanted, Mapping) and "id" not in wanted)
        return [place] if not_zero or named else []
    if isinstance(wanted, Mapping):
        if not isinstance(present, Mapping):
            return [place]
        below = f"{place}." if place else ""
        return [
            found for name, value in wanted.items() for found in differences(value, present.get(name), f"{below}{name}")
        ]
    if isinstance(wanted, list | tuple):
        shown = present if isinstance(present, list | tuple) else ()
        # 24SevenOffice may add members of its own, such as a dimension that follows from the customer.
        return [] if all(any(not differences(item, have, place) for have in shown) for item in wanted) else [place]
    return [] if _plain(wanted) == _plain(present) else [place]


def _plain(value: Any) -> str:
    """Return a value in a form in which equal things are equal text: 1.50 and 1.5, and texts up to white space."""
    if isinstance(value, Mapping):
        return str(sorted((name, _plain(member)) for name, member in value.items() if member is not None))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return plain_number(value)
    if isinstance(value, list | tuple):
        return str(sorted(map(_plain, value)))
    return " ".join(html.unescape(str(value)).split())

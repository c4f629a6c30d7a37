"""Does 24SevenOffice hold what the caller asked for? Field by field, numbers as numbers, lines as multisets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tfso_hypatos.models.base import plain_number
from tfso_hypatos.models.tfso import Line, SalesOrderCreate
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

_ZERO_IF_LEFT_OUT = frozenset({"quantity", "price", "discountRate"})
"""What decides the amount: left out of an answer it means zero."""

_NAMES_WHAT_IS_SOLD = frozenset({"product", "product.id", "description"})
"""Left out of an answer it is another line: taking it for ours could remove what a person has added."""

_NOT_COMPARED = frozenset({"product.number", "account.name", "isHidden"})
"""Ignored or rewritten by the server when sent."""

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

    Two equal lines may both be wanted. The lowest ids are kept; what repeats one of ours is surplus, any other line
    is foreign.
    """
    lines = sorted(present, key=lambda line: line.id)
    shown = [line.model_dump(by_alias=True) for line in lines]
    fits = [[not differences(want, have) for have in shown] for want in (line.to_wire() for line in wanted)]
    taken_by: dict[int, int] = {}
    for want in range(len(wanted)):
        _assign(want, fits, taken_by, set())
    matched: list[int | None] = [None] * len(wanted)
    for have, want in taken_by.items():
        matched[want] = lines[have].id
    left = [have for have in range(len(lines)) if have not in taken_by]
    ours = [have for have in left if any(row[have] for row in fits)]
    return LinePlan(
        missing=tuple(line for line, line_id in zip(wanted, matched, strict=True) if line_id is None),
        surplus=tuple(lines[have].id for have in ours),
        foreign=tuple(_describe(lines[have], wanted) for have in left if have not in ours),
        matched=tuple(matched),
    )


def _assign(want: int, fits: Sequence[Sequence[bool]], taken_by: dict[int, int], tried: set[int]) -> bool:
    """Give a wanted line one of those present, moving others if need be (an augmenting path)."""
    fitting = [have for have, fit in enumerate(fits[want]) if fit]
    free = next((have for have in fitting if have not in taken_by), None)
    if free is not None:
        taken_by[free] = want
        return True
    for have in fitting:
        if have not in tried:
            tried.add(have)
            if _assign(taken_by[have], fits, taken_by, tried):
                taken_by[have] = want
                return True
    return False


def _describe(line: SalesOrderLine, wanted: Sequence[Line]) -> str:
    have = line.model_dump(by_alias=True)
    nearest = min((differences(want.to_wire(), have) for want in wanted), key=len, default=[])
    return f"line {line.id} is none of the wanted lines (the nearest differs in {', '.join(nearest) or 'everything'})"


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
    if place in _NOT_COMPARED:
        return []
    if present is None:
        # Anything else was just not shown.
        not_zero = place in _ZERO_IF_LEFT_OUT and wanted != 0
        return [place] if not_zero or place in _NAMES_WHAT_IS_SOLD else []
    if isinstance(wanted, Mapping):
        if not isinstance(present, Mapping):
            return [place]
        below = f"{place}." if place else ""
        return [
            found for name, value in wanted.items() for found in differences(value, present.get(name), f"{below}{name}")
        ]
    if isinstance(wanted, list | tuple):
        same = isinstance(present, list | tuple) and len(present) == len(wanted)
        same = same and sorted(map(_plain, wanted)) == sorted(map(_plain, present))
        return [] if same else [place]
    return [] if _plain(wanted) == _plain(present) else [place]


def _plain(value: Any) -> str:
    """Return a value in a form in which equal things are equal text: 1.50 and 1.5, and texts up to white space."""
    if isinstance(value, Mapping):
        return str(sorted((name, _plain(member)) for name, member in value.items() if member is not None))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return plain_number(value)
    return " ".join(str(value).split())

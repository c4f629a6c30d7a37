"""What Python can hold and must not be sent: half a character, and what would take too much time or memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from pydantic import BaseModel

from tfso_hypatos.exceptions import InvalidInput, Problem

MOST_DIGITS = 1000
"""Digits that a number may have on either side of its decimal point, however short it is written."""

DEEPEST = 100
"""Objects and lists inside each other, each of which costs a few calls inside each other."""

TOO_LONG = f"a number of at most {MOST_DIGITS} digits before and after the decimal point is needed"

TOO_DEEP = f"is nested more than {DEEPEST} levels deep"


def is_long(number: Decimal) -> bool:
    """Say whether a number has too many digits once it is written without an exponent."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and (number.adjusted() >= MOST_DIGITS or -exponent > MOST_DIGITS)


def refuse_unsendable(value: object, place: str) -> None:
    """Refuse what cannot be sent.

    :param value: what a caller gave.
    :param place: what the caller calls it.
    :raises InvalidInput: naming every place and rule.
    """
    found = [Problem(place, TOO_DEEP)] if _is_deeper(value, DEEPEST) else list(_unsendable(value, place))
    if found:
        raise InvalidInput(found)


def _is_deeper(value: object, levels: int) -> bool:
    members: Iterable[object]
    match value:
        case Mapping():
            members = value.values()
        case list() | tuple():
            members = value
        case _:
            return False
    return levels == 0 or any(_is_deeper(member, levels - 1) for member in members)


def _unsendable(value: object, place: str) -> Iterator[Problem]:
    match value:
        case BaseModel():
            yield from _unsendable(value.model_dump(by_alias=True, exclude_unset=True), place)
        case Mapping():
            for name, member in value.items():
                yield from _unsendable(name, place)
                yield from _unsendable(member, f"{place}.{name}")
        case list() | tuple():
            for index, member in enumerate(value):
                yield from _unsendable(member, f"{place}[{index}]")
        case str() if not value.isascii() and re.search("[\ud800-\udfff]", value):
            yield Problem(place, "holds half of a surrogate pair, which is no character and cannot be sent")
        case Decimal() if is_long(value):
            yield Problem(place, TOO_LONG)
        case _:
            pass

"""JSON in and out with every decimal digit kept."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import simplejson

_LARGEST_EXPONENT = 40


def read(text: bytes) -> Any:
    """Return the value of a JSON text; a number with a fraction or an exponent becomes a Decimal.

    :param text: JSON in UTF-8.
    :raises ValueError: the text is not JSON, or holds a number no amount could be.
    """
    try:
        value = simplejson.loads(text.decode("utf-8"), parse_float=_decimal, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if b"\\ud" in text.lower():
        # Half of a surrogate pair can be read but never written; it fails here instead of in every later answer.
        write(value)
    return value


def write(value: Any) -> bytes:
    """Return JSON bytes; a Decimal becomes a number.

    :param value: what to write.
    """
    text: str = simplejson.dumps(value, use_decimal=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def pretty(value: Any) -> str:
    """Return indented JSON for a reader.

    :param value: what to write.
    """
    text: str = simplejson.dumps(value, use_decimal=True, allow_nan=False, ensure_ascii=False, indent=2)
    return text


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    # Arithmetic on 1e999999 would build a million digits, and stop the server for everybody.
    if abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def _refuse(name: str) -> Decimal:
    raise ValueError(f"{name} is not JSON")

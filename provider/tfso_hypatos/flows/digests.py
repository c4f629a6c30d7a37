"""Short hashes of values, the same for what is equal."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tfso_hypatos.clients.messages import encode
from tfso_hypatos.models.base import plain_number


def digest(length: int, *parts: object) -> str:
    """Return a short hash of parts, each kept apart from the next.

    :param length: characters of base 32.
    :param parts: what is hashed, as text.
    """
    hashed = hashlib.sha256(encode([str(part) for part in parts])).digest()
    return base64.b32encode(hashed).decode().lower()[:length]


def canonical(value: Any) -> str:
    """Return a text that is the same for equal values: equal numbers, and objects whatever the order of their names."""
    match value:
        case Mapping():
            return "{" + ",".join(f"{name}:{canonical(value[name])}" for name in sorted(value)) + "}"
        case list() | tuple():
            return "[" + ",".join(map(canonical, value)) + "]"
        case bool() | None:
            return str(value)
        case int() | Decimal():
            return plain_number(value)
        case datetime.date():
            return value.isoformat()
        case _:
            return repr(str(value))

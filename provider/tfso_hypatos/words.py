"""Words for yes and no, and names between braces, wherever people write them; and counts with their nouns."""

from __future__ import annotations

import re
from collections.abc import Collection

TRUE_WORDS = frozenset({"true", "t", "yes", "y", "on", "1"})
"""What means yes."""

FALSE_WORDS = frozenset({"false", "f", "no", "n", "off", "0"})
"""What means no."""

PLACE = re.compile(r"{(\w+)}")
"""A name between braces that a value takes the place of; nothing of str.format beyond it, for people write it."""


def normal(value: object) -> str:
    """Return a value as the word that it is compared by."""
    return str(value).strip().lower()


def truth_of(value: object) -> bool | None:
    """Return what a value means, or None if it means neither yes nor no.

    :param value: true, false, or a word for one of them.
    """
    word = normal(value)
    if word in TRUE_WORDS:
        return True
    return False if word in FALSE_WORDS else None


def in_braces(names: Collection[str]) -> str:
    """Return names as they are written in a text that values are filled into."""
    return ", ".join(f"{{{name}}}" for name in names)


def has_only(text: str, names: Collection[str]) -> bool:
    """Say whether nothing but some of these names is in braces, and no brace is left over.

    :param text: such as ``https://example.com/{sales_order_id}``.
    :param names: what may stand between braces.
    """
    return not {"{", "}"} & set(PLACE.sub(lambda match: "" if match[1] in names else match[0], text))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    :param count: how many there are.
    :param noun: the noun in its singular; its plural ends with an s.
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def is_or_are(count: int) -> str:
    """Return the verb that agrees with a count."""
    return "is" if count == 1 else "are"


def was_or_were(count: int) -> str:
    """Return the verb that agreed with a count."""
    return "was" if count == 1 else "were"

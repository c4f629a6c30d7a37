"""Words for yes and no, wherever people and templates write them; and counts with their nouns."""

from __future__ import annotations

TRUE_WORDS = frozenset({"true", "t", "yes", "y", "on", "1"})
"""What means yes."""

FALSE_WORDS = frozenset({"false", "f", "no", "n", "off", "0"})
"""What means no."""


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


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    :param count: how many there are.
    :param noun: the noun in its singular; its plural ends with an s.
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def is_or_are(count: int) -> str:
    """Return the verb that agrees with a count."""
    return "is" if count == 1 else "are"

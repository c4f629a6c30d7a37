"""Keys of records in Hypatos, made of a text with fields of an order between braces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfso_hypatos.words import PLACE, has_only, in_braces


def rule_of_format(text: str, fields: Sequence[str]) -> str | None:
    """Return the rule that a text breaks, or None.

    :param text: such as ``sales-order-{sales_order_id}``.
    :param fields: what may stand between braces; one of them has to, or all orders would have the same key.
    """
    # A brace that stayed would be part of the key.
    if PLACE.search(text) and has_only(text, fields):
        return None
    some = "one or more of " * (len(fields) > 1)
    return f"a text with {some}{in_braces(fields)} in it is needed, and nothing else in braces"


def filled_format(text: str, values: Mapping[str, object]) -> str | None:
    """Return a text with its fields filled in, or None if one of them is not known.

    :param text: one that breaks no rule.
    :param values: the fields of an order; None for one that it does not have.
    """
    if any(values[name] is None for name in PLACE.findall(text)):
        return None
    return PLACE.sub(lambda match: str(values[match[1]]), text)

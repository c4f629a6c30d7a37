"""The marker of an order that a person made in 24SevenOffice: it names the order itself, for nobody gave it a key."""

from __future__ import annotations

import functools

from tfso_hypatos.flows.intent import Holder, Marker, key_by_hand, marker_of, without_marker
from tfso_hypatos.models.tfso_read import SalesOrder

_BASE_32 = "abcdefghijklmnopqrstuvwxyz234567"
_BEGIN = "aaa"
"""What stands before the id of the order, in the place of a content that nobody knows."""

_DIGITS = 7
"""Digits of an id: the API declares it as int32."""


def marker_by_hand(organization: str, order_id: int, holder: Holder) -> Marker:
    """Return the marker of an order that a person made.

    :param organization: organization id.
    :param order_id: the order.
    :param holder: who works on it.
    """
    return Marker(key_by_hand(organization, order_id), _content(order_id), holder)


def is_by_hand(organization: str, order: SalesOrder) -> bool:
    """Say whether the marker of an order is that of one that a person made.

    :param organization: organization id.
    :param order: the order.
    """
    marker = marker_of(order)[1]
    if marker is None or marker.content != _content(order.id):
        return False
    return marker.key == key_by_hand(organization, order.id)


def without_copied_marker(organization: str, order: SalesOrder) -> SalesOrder:
    """Return an order without a marker that says that it belongs to another order which a person made.

    A copy of that order, made for another sale, carries it along; nothing that it says is true of the copy.

    :param organization: organization id.
    :param order: the order.
    """
    marker = marker_of(order)[1]
    if marker is None or not marker.content.startswith(_BEGIN):
        return order
    named = functools.reduce(_append, marker.content.removeprefix(_BEGIN), 0)
    # The key proves it: the content alone could be the fingerprint of an order that was created by a task.
    if named == order.id or marker.key != key_by_hand(organization, named):
        return order
    return without_marker(order)


def _content(order_id: int) -> str:
    return _BEGIN + _digits(order_id)


def _digits(number: int) -> str:
    digits = ""
    for _ in range(_DIGITS):
        number, digit = divmod(number, len(_BASE_32))
        digits = _BASE_32[digit] + digits
    return digits


def _append(number: int, digit: str) -> int:
    return number * len(_BASE_32) + _BASE_32.index(digit)

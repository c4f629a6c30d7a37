"""What a reconciliation is told of the business orders that should be there, reduced in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.flows.intent import fingerprint, key_of
from tfso_hypatos.flows.reconciliation import LineFacts, facts_of_lines
from tfso_hypatos.models.base import amount, validate
from tfso_hypatos.models.tfso import Line, SalesOrderCreate

LONGEST_KEY = 200
"""Characters of an order key: what is longer is a whole order, or a file of another kind."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A business order that the caller knows of.

    :param order_key: the caller's name for it.
    :param key: short hash of organization and order key, as a marker carries it.
    :param content: fingerprint of what was asked for, as a marker carries it; None if it was not given.
    :param net: its total before tax; None if it was not given.
    :param lines: its lines, or None if they were not given.
    :param external_id: key of its record in Hypatos, or None if it was not given.
    :param customer_id: who is to pay; None if it was not given.
    :param currency: code of its currency; None if it was not given.
    :param payment_method_id: how it is to be paid; None if it was not given.
    """

    order_key: str
    key: str
    content: str | None = None
    net: Decimal | None = None
    lines: LineFacts | None = None
    external_id: str | None = None
    customer_id: int | None = None
    currency: str | None = None
    payment_method_id: int | None = None


def expected_of(item: Any, organization: str) -> Expected:
    """Return a business order that the caller knows of.

    :param item: an object with ``order_key``, and perhaps ``order`` and ``lines`` as they were created, ``net_amount``,
        ``customer_id``, ``currency`` and ``payment_method_id`` as the create task returned them, and ``external_id``;
        or the order key alone.
    :param organization: organization id.
    :raises InvalidInput: naming the broken rule with its place.
    """
    given: Mapping[str, Any] = item if isinstance(item, Mapping) else {"order_key": item}
    order_key = given.get("order_key")
    if isinstance(order_key, bool) or not isinstance(order_key, str | int) or not str(order_key).strip():
        raise InvalidInput([Problem("order_key", "your name for the business order is required")])
    if len(str(order_key)) > LONGEST_KEY or not str(order_key).isprintable():
        rule = f"at most {LONGEST_KEY} characters, without control characters, are needed: it stands in the report"
        raise InvalidInput([Problem("order_key", rule)])
    if str(order_key).lstrip().startswith(("[", "{")):
        raise InvalidInput([Problem("order_key", "must not be JSON")])
    external_id = given.get("external_id")
    net = given.get("net_amount")
    content, lines = _asked_for(given)
    customer_id, currency, payment_method_id = _payer(given)
    return Expected(
        order_key=str(order_key),
        key=key_of(organization, str(order_key)),
        content=content,
        net=None if net is None else amount(net, "net_amount"),
        lines=lines,
        external_id=None if external_id is None else str(external_id),
        customer_id=customer_id,
        currency=currency,
        payment_method_id=payment_method_id,
    )


def _payer(given: Mapping[str, Any]) -> tuple[int | None, str | None, int | None]:
    """Return who is to pay what was asked for, how, and in which currency: of the order, else of a task's result."""
    customer, currency, method = (given.get(name) for name in ("customer_id", "currency", "payment_method_id"))
    if isinstance(given.get("order"), Mapping):
        order = validate(SalesOrderCreate, given["order"], "order").to_wire()
        customer = order.get("customer", {}).get("id", customer)
        currency = order.get("currency", {}).get("code", currency)
        method = order.get("paymentMethod", {}).get("id", method)
    if currency is not None and not isinstance(currency, str):
        raise InvalidInput([Problem("currency", f"the code of a currency is needed, not {type(currency).__name__}")])
    return _id(customer, "customer_id"), currency, _id(method, "payment_method_id")


def _id(value: Any, place: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and value.strip().isascii() and value.strip().lstrip("-").isdecimal():
        return int(value)
    raise InvalidInput([Problem(place, "a whole number is needed")])


def _asked_for(given: Mapping[str, Any]) -> tuple[str | None, LineFacts | None]:
    order, lines = given.get("order"), given.get("lines")
    if lines is None:
        return None, None
    if not isinstance(lines, Sequence) or isinstance(lines, str | bytes):
        raise InvalidInput([Problem("lines", f"a list of lines is needed, not {type(lines).__name__}")])
    checked = [validate(Line, line, f"lines[{index}]") for index, line in enumerate(lines)]
    content = None if order is None else fingerprint(validate(SalesOrderCreate, order, "order"), checked)
    if any(line.quantity is None or line.price is None for line in checked):
        # 24SevenOffice fills in what was left out, from the product.
        return content, LineFacts(len(checked), None, None)
    return content, facts_of_lines([(line.quantity, line.price, line.discount_rate) for line in checked])

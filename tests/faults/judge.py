"""What the books say about the promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.chain import Passed
from tests.faults.orders import BusinessOrder
from tests.faults.rejected import REJECTED_BROKEN
from tests.faults.results import results_of

BROKEN = ("duplicate order", "duplicate line", "double invoice", "lost order", *REJECTED_BROKEN)
CRASH = "crash"

Broken = dict[str, str]
"""Promises that were broken, each with what is in the books."""


def judge(
    books: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    wanted: Sequence[BusinessOrder],
    passes: Sequence[Passed],
    *,
    final: bool,
) -> Broken:
    """Judge the books.

    :param books: of 24SevenOffice.
    :param records: in Hypatos.
    :param wanted: the business orders.
    :param passes: what was played so far.
    :param final: whether nothing more is played, so that what was left has been put right.
    """
    broken: Broken = {}
    for business in wanted:
        mine = [order for order in active(books) if order["memo"] == business.key]
        ids = {order["id"] for order in books["orders"] if order["memo"] == business.key}
        invoices = [each for each in books["invoices"] if each["order_id"] in ids]
        broken |= _of_orders(business, mine, invoices, passes, final=final)
        broken |= _of_invoices(business, invoices, passes, final=final)
        for each in passes:
            broken |= _of_results(business, mine, invoices, records.get(business.key, {}), each)
    if strange := [order["id"] for order in books["orders"] if order["memo"] not in {each.key for each in wanted}]:
        broken["duplicate order"] = f"orders {strange} are nobody's"
    for each in passes:
        for crash in each.crashes:
            broken[CRASH] = crash
    return broken


def active(books: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the orders that could be billed if they have lines."""
    return [order for order in books["orders"] if order["status"] != "Inactive"]


def _of_orders(
    business: BusinessOrder,
    mine: Sequence[Mapping[str, Any]],
    invoices: Sequence[Mapping[str, Any]],
    passes: Sequence[Passed],
    *,
    final: bool,
) -> Broken:
    broken: Broken = {}
    filled = [order for order in mine if order["lines"]]
    # What a pass that failed leaves on an order is for the next one to put right; what is billed is billed.
    done = final or not any(each.failed for each in passes)
    if (done and len(filled) > 1) or (final and len(mine) > 1):
        broken["duplicate order"] = f"{business.key}: orders {[order['id'] for order in mine]} are left"
    surplus = [each for each in (*(filled if done else ()), *invoices) if business.surplus(each["lines"])]
    if surplus:
        broken["duplicate line"] = f"{business.key}: {len(surplus[0]['lines'])} lines"
    return broken


def _of_invoices(
    business: BusinessOrder, invoices: Sequence[Mapping[str, Any]], passes: Sequence[Passed], *, final: bool
) -> Broken:
    broken: Broken = {}
    if len(invoices) > 1:
        broken["double invoice"] = f"{business.key}: invoices {[each['number'] for each in invoices]}"
    for each in invoices:
        if business.missing(each["lines"]):
            broken["lost order"] = f"{business.key}: invoice {each['number']} lacks a line"
    if final and not invoices and not all(each.failed for each in passes):
        broken["lost order"] = f"{business.key}: a run succeeded and nothing is invoiced"
    return broken


def _of_results(
    business: BusinessOrder,
    mine: Sequence[Mapping[str, Any]],
    invoices: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any],
    passed: Passed,
) -> Broken:
    """What a task says it has done must be in the books, and it must say so once."""
    broken: Broken = {}
    own = {name: _own(business, results_of(returned)) for name, returned in passed.results.items()}
    if odd := {name: len(results) for name, results in own.items() if len(results) != 1}:
        broken["lost order"] = f"{business.key}: results handed on: {odd}"
    order_ids, numbers = [order["id"] for order in mine], [each["number"] for each in invoices]
    for created in own.get("create", ()):
        if created["sales_order_id"] not in order_ids or len(created["line_ids"]) < len(business.lines):
            broken["lost order"] = f"{business.key}: order {created['sales_order_id']} was reported and is not there"
    for invoiced in own.get("invoice", ()):
        if invoiced["invoice_number"] not in numbers or not invoiced["transaction_id"]:
            broken["lost order"] = f"{business.key}: invoice {invoiced['invoice_number']} was reported and is not there"
    if "enrich" in passed.results:
        told = record.get("customMetadata", {}).get("tfso", {}).get("invoiceNumber")
        if told not in map(str, numbers) or len(record.get("salesOrderLines", ())) < len(business.lines):
            broken["lost order"] = f"{business.key}: Hypatos was reported to know the invoice and knows {told!r}"
    return broken


def _own(business: BusinessOrder, results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    # The result of a task for one order need not say which one.
    return [result for result in results if result.get("order_key", business.key) == business.key]

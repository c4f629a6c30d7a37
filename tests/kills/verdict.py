"""What the sandbox's books say about the promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from tests.faults.results import results_of

from tfso_hypatos.flows.intent import Marker, key_of

ORGANIZATION = "100000000000001"
WANTED = Counter({("Rørdeler", "2", "99.99"): 2, ("Frakt", "1", "150.5"): 1})
"""Description, quantity and price of the lines that every order here has, and how often."""


class Verdict(NamedTuple):
    """How often the promise was broken.

    :param runs: cells that were judged.
    :param orders: further orders of a business order that could be billed.
    :param lines: lines that stand there once too often, or are none of ours.
    :param invoices: further invoices of a business order.
    :param lost: business orders that Airflow takes for done and that lack order, line, invoice or record.
    :param results: results that the next task gets not at all, or twice.
    :param taken_back: orders taken back though they are invoiced, or reported as taken back and still there.
    :param strays: further orders without lines, which cannot be billed.
    :param person: cells in which a person is needed.
    """

    runs: int = 0
    orders: int = 0
    lines: int = 0
    invoices: int = 0
    lost: int = 0
    results: int = 0
    taken_back: int = 0
    strays: int = 0
    person: int = 0

    def __add__(self, other: object) -> Self:
        if not isinstance(other, Verdict):
            return NotImplemented
        return type(self)(*(mine + its for mine, its in zip(self, other, strict=True)))

    @property
    def broken(self) -> int:
        """How often the promise itself was broken."""
        return self.orders + self.lines + self.invoices + self.lost + self.results + self.taken_back

    def __str__(self) -> str:
        return (
            f"{self.runs:5} runs, {self.orders} duplicate orders, {self.lines} duplicate lines, {self.invoices} double "
            f"invoices, {self.lost} lost, {self.results} results missing or repeated, {self.taken_back} taken back "
            f"wrongly, {self.strays} empty orders left, {self.person} handed to a person"
        )


HEADER = Verdict()


def judge(books: Mapping[str, Any], keys: Sequence[str], *, finished: bool) -> Verdict:
    """Judge the books.

    :param books: what the sandbox holds.
    :param keys: the business orders.
    :param finished: whether Airflow takes every task for done.
    """
    verdict = Verdict(runs=1, person=0 if finished else 1)
    organization = books["organizations"][ORGANIZATION]
    for key in keys:
        mine = [order for order in organization["orders"] if _carries(order, key) and order["status"] != "Inactive"]
        filled = [order for order in mine if order["lines"]]
        counts = [_lines(order) for order in filled]
        invoices = sum(len(order["invoice_numbers"]) for order in mine)
        short = sum(1 for found in counts if WANTED - found)
        complete = len(filled) >= 1 and not short and invoices >= 1 and key in books["enrichment"]
        verdict += Verdict(
            orders=max(0, len(filled) - 1),
            lines=sum((found - WANTED).total() for found in counts),
            invoices=max(0, invoices - 1),
            lost=1 if finished and not complete else 0,
            strays=len(mine) - max(1, len(filled)) if mine else 0,
        )
    others = sum(1 for order in organization["orders"] if not any(_carries(order, key) for key in keys))
    return verdict + Verdict(orders=others)


def judge_rejected(
    books: Mapping[str, Any], keys: Sequence[str], told: Sequence[Mapping[str, Any]], *, finished: bool
) -> Verdict:
    """Judge the books where somebody takes the orders back.

    :param books: what the sandbox holds.
    :param keys: the business orders.
    :param told: what the tasks returned that took one back.
    :param finished: whether Airflow takes every task for done that could be.
    """
    verdict = Verdict(runs=1, person=0 if finished else 1)
    organization = books["organizations"][ORGANIZATION]
    orders = {order["id"]: order for order in organization["orders"]}
    for key in keys:
        mine = [order for order in orders.values() if _carries(order, key) and order["status"] != "Inactive"]
        gone = [order for order in organization["deleted_orders"] if _carries(order, key)]
        filled = [order for order in mine if order["lines"]]
        everything = [*(order for order in orders.values() if _carries(order, key)), *gone]
        verdict += Verdict(
            orders=max(0, len(filled) - 1),
            lines=sum((_lines(order) - WANTED).total() for order in filled),
            invoices=max(0, sum(len(order["invoice_numbers"]) for order in everything) - 1),
            taken_back=sum(bool(order["invoice_numbers"]) for order in everything if _is_set_aside(order, gone)),
            strays=len(mine) - max(1, len(filled)) if mine else 0,
        )
    return verdict + Verdict(taken_back=sum(not _is_so(each, orders) for each in told))


def _is_set_aside(order: Mapping[str, Any], gone: Sequence[Mapping[str, Any]]) -> bool:
    return order in gone or order["status"] != "Invoice"


def _is_so(told: Mapping[str, Any], orders: Mapping[int, Mapping[str, Any]]) -> bool:
    order = orders.get(told["sales_order_id"])
    if told["outcome"] in ("deleted", "was gone"):
        return order is None
    return order is not None and order["status"] == {"inactive": "Inactive", "draft": "Draft"}[told["outcome"]]


def judge_results(returned: Any, keys: Sequence[str], *, overlapped: bool = False) -> Verdict:
    """Judge what a batch hands on.

    :param returned: what the task returned.
    :param keys: the business orders.
    :param overlapped: whether several of its tries were at work at once: in files, they may leave a result each.
    """
    counts = Counter(str(result["order_key"]) for result in results_of(returned))
    may_repeat = overlapped and not isinstance(returned, list)
    return Verdict(results=sum(not counts[key] or (counts[key] > 1 and not may_repeat) for key in keys))


def _carries(order: Mapping[str, Any], key: str) -> bool:
    markers = [Marker.in_text(order.get(field)) for field in ("internalMemo", "referenceNumber")]
    return any(marker is not None and marker.key == key_of(ORGANIZATION, key) for marker in markers)


def _lines(order: Mapping[str, Any]) -> Counter[tuple[str, str, str]]:
    return Counter(
        (str(line["description"]), f"{line['quantity']:g}", f"{float(line['price']):g}") for line in order["lines"]
    )

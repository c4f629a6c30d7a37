"""One trial: faults hit requests of a chain, then the chain is cleared and run a second time; the books decide."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from tests.faults.bench import ORGANIZATION, Bench, Target
from tests.faults.chain import LINES, ORDER, ORDER_KEY, Chain, Passed, Way
from tests.faults.classes import CLASSES

from tfso_hypatos.flows.intent import Holder, Intent

MODES = ("once", "twice", "next")
BROKEN = ("duplicate order", "duplicate line", "double invoice", "lost order")
CRASH = "crash"


@dataclass(frozen=True)
class Cell:
    """One field of the matrix.

    :param way: how the DAG is written.
    :param target: the request that is hit.
    :param fault: fault class.
    :param mode: hit ``once``; ``twice``: the next request like it too; ``next``: the next request, whatever it is, by
        a second class.
    :param second: that class.
    """

    way: Way
    target: Target
    fault: str
    mode: str = "once"
    second: str = ""

    def __str__(self) -> str:
        way = "handed-on" if self.way.handed_on else "taken-over"
        where = f"{self.target}@{self.target.before}"
        return ";".join([way, self.way.marker_field, where, self.fault, self.mode, self.second]).rstrip(";")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cell that :meth:`__str__` wrote."""
        way, marker_field, where, fault, mode, *second = text.split(";")
        request, _, before = where.partition("@")
        method, path, number = request.split(" ")
        target = Target(method, path, int(number.removeprefix("#")), int(before or 0))
        return cls(Way(way == "handed-on", marker_field), target, fault, mode, *second)

    @property
    def classes(self) -> list[str]:
        """The fault classes in it."""
        return [self.fault, self.second] if self.second else [self.fault]

    @property
    def beyond(self) -> bool:
        """Whether the promise does not cover it."""
        return any(CLASSES[name].beyond for name in self.classes)


@dataclass
class Verdict:
    """What the books say about one trial.

    :param cell: the trial.
    :param broken: promises that were broken, with what is in the books.
    :param tries: tries of tasks in the first pass.
    :param hits: requests that were hit.
    :param handed: how the first pass ended, if it was handed to a person.
    :param unsolved: how clearing it, and a second run, ended, if that did not succeed.
    :param strays: orders without lines that the first pass left.
    :param seconds: how long it took.
    """

    cell: Cell
    broken: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    hits: int = 0
    handed: str = ""
    unsolved: str = ""
    strays: int = 0
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)


def plain_targets(bench: Bench, way: Way) -> list[Target]:
    """Play a chain without any fault and return its requests."""
    bench.clear()
    passed = Chain("run-1", bench.name, way).play()
    if passed.failed:
        raise passed.failed
    return bench.targets()


def play(bench: Bench, cell: Cell) -> Verdict:
    """Play one trial and judge it."""
    bench.clear()
    began = time.monotonic()
    _prepare(bench, cell)
    first = Chain("run-1", bench.name, cell.way)
    passed = first.play()
    verdict = Verdict(cell, tries=passed.tries, hits=bench.hits())
    # Faults that hit nothing must not disturb what follows; what was asked for late must have happened.
    bench.sandbox.clear_faults()
    time.sleep(max(CLASSES[name].lasts for name in cell.classes))
    _judge(verdict, bench, [passed], final=False)
    before = _bare(bench.books())
    later = [first.play(), Chain("run-2", bench.name, cell.way).play()]
    verdict.handed = passed.ending() if passed.failed else ""
    verdict.unsolved = ", ".join(each.ending() for each in later if each.failed)
    verdict.said = [f"{type(each.failed).__name__}: {each.failed}" for each in (passed, *later) if each.failed]
    _judge(verdict, bench, [passed, *later], final=True)
    if not passed.failed:
        _compare(verdict, before, _bare(bench.books()))
    verdict.seconds = time.monotonic() - began
    return verdict


def _prepare(bench: Bench, cell: Cell) -> None:
    fault, sandbox = CLASSES[cell.fault], bench.sandbox
    if fault.twin:
        holder = Holder.of("orders", "run-0", "create", -1, 1)
        now = datetime.datetime.now(datetime.UTC)
        intent = Intent.build(
            organization=ORGANIZATION,
            order_key=ORDER_KEY,
            order=ORDER,
            lines=LINES,
            holder=holder,
            created_from=now,
            marker_field=cell.way.marker_field,
        )
        bench.leave_twin(cell.way.marker_field, str(intent.marker), fault.lasts)
        bench._forget()
    sandbox.add_fault(**fault.spec, **cell.target.spec(), times=2 if cell.mode == "twice" else 1)
    if cell.mode == "next":
        # A request that the first fault hits is not counted by the second one.
        sandbox.add_fault(**CLASSES[cell.second].spec, skip=cell.target.before)


def _judge(verdict: Verdict, bench: Bench, passes: Iterable[Passed], *, final: bool) -> None:
    books, passes = bench.books(), list(passes)
    wanted = Counter(_content(line) for line in LINES)
    active = [order for order in books["orders"] if order["status"] != "Inactive"]
    filled = [order for order in active if order["lines"]]
    invoices = books["invoices"]
    # What a pass that failed leaves on an order is for the next one to put right; what is billed is billed.
    done = final or not any(each.failed for each in passes)
    verdict.strays = verdict.strays if final else len(active) - len(filled)
    if (done and len(filled) > 1) or (final and len(active) > 1):
        verdict.broken["duplicate order"] = f"orders {[order['id'] for order in active]} are left"
    surplus = [
        each for each in (*(filled if done else ()), *invoices) if Counter(map(_content, each["lines"])) - wanted
    ]
    if surplus:
        verdict.broken["duplicate line"] = f"{len(surplus[0]['lines'])} lines"
    if len(invoices) > 1:
        verdict.broken["double invoice"] = f"invoices {[each['number'] for each in invoices]}"
    for each in invoices:
        if wanted - Counter(map(_content, each["lines"])):
            verdict.broken["lost order"] = f"invoice {each['number']} lacks a line"
    if final and not invoices and not all(each.failed for each in passes):
        verdict.broken["lost order"] = "a run succeeded and nothing is invoiced"
    for each in passes:
        _judge_results(verdict, bench, books, each)
        if each.crashed:
            verdict.broken[CRASH] = repr(each.failed)


def _judge_results(verdict: Verdict, bench: Bench, books: Mapping[str, Any], passed: Passed) -> None:
    """What a task says it has done must be in the books."""
    orders = {order["id"]: order for order in books["orders"]}
    created, invoiced = passed.results.get("create"), passed.results.get("invoice")
    if created and (created["sales_order_id"] not in orders or len(created["line_ids"]) < len(LINES)):
        verdict.broken["lost order"] = f"order {created['sales_order_id']} was reported and is not there"
    numbers = [each["number"] for each in books["invoices"]]
    if invoiced and (invoiced["invoice_number"] not in numbers or not invoiced["transaction_id"]):
        verdict.broken["lost order"] = f"invoice {invoiced['invoice_number']} was reported and is not there"
    if "enrich" in passed.results:
        record = bench.records().get(ORDER_KEY, {})
        told = record.get("customMetadata", {}).get("tfso", {}).get("invoiceNumber")
        if told not in map(str, numbers) or len(record.get("salesOrderLines", ())) < len(LINES):
            verdict.broken["lost order"] = f"Hypatos was reported to know the invoice and knows {told!r}"


def _compare(verdict: Verdict, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """After a success, clearing the run and running the DAG again must bring nothing new."""
    if after["orders"].keys() - before["orders"].keys():
        verdict.broken["duplicate order"] = "a second run made another order"
    if any(lines != before["orders"].get(number) for number, lines in after["orders"].items()):
        verdict.broken["duplicate line"] = "a second run changed the lines"
    if after["invoices"] != before["invoices"]:
        verdict.broken["double invoice"] = "a second run made another invoice"


def _bare(books: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "orders": {order["id"]: [line["id"] for line in order["lines"]] for order in books["orders"]},
        "invoices": [each["number"] for each in books["invoices"]],
    }


def _content(line: Mapping[str, Any]) -> tuple[str, Decimal, Decimal]:
    return line["description"], Decimal(str(line["quantity"])), Decimal(str(line["price"]))

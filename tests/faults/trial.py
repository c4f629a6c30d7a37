"""One trial: faults hit requests of a chain, then the chain is cleared and run a second time; the books decide."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tests.faults.bench import ORGANIZATION, Bench, Target
from tests.faults.chain import Passed
from tests.faults.classes import CLASSES
from tests.faults.judge import Broken, active, judge
from tests.faults.orders import ONE
from tests.faults.rejected import is_in_the_right, judge_rejected
from tests.faults.tasks import chain
from tests.faults.ways import Way

from tfso_hypatos.flows.intent import Holder, Intent

MODES = ("once", "twice", "next")


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
        where = f"{self.target}@{self.target.before}"
        return ";".join([str(self.way), where, self.fault, self.mode, self.second]).rstrip(";")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cell that :meth:`__str__` wrote."""
        how, marker_field, where, fault, mode, *second = text.split(";")
        request, _, before = where.partition("@")
        method, path, number = request.split(" ")
        target = Target(method, path, int(number.removeprefix("#")), int(before or 0))
        return cls(Way.parse(f"{how};{marker_field}"), target, fault, mode, *second)

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
    bench.sandbox.configure(delete_forbidden=way.rejected == "inactive")
    passed = chain("run-1", bench, way).play()
    if passed.failed and not (way.rejected and is_in_the_right(bench.books(), passed)):
        raise passed.failed
    return bench.targets()


def play(bench: Bench, cell: Cell) -> Verdict:
    """Play one trial and judge it."""
    bench.clear()
    began = time.monotonic()
    _prepare(bench, cell)
    first = chain("run-1", bench, cell.way)
    passed = first.play()
    verdict = Verdict(cell, tries=passed.tries, hits=bench.hits())
    # Faults that hit nothing must not disturb what follows; what was asked for late must have happened.
    bench.sandbox.clear_faults()
    time.sleep(max(CLASSES[name].lasts for name in cell.classes))
    verdict.broken |= _judged(bench, cell, [passed], final=False)
    before = _bare(bench.books())
    verdict.strays = sum(not order["lines"] for order in active(bench.books()))
    later = [first.play(), chain("run-2", bench, cell.way).play()]
    verdict.handed = passed.ending() if passed.failed else ""
    unsolved = [each for each in later if each.failed and not _is_expected(bench, cell, each)]
    verdict.unsolved = ", ".join(each.ending() for each in unsolved)
    verdict.said = [f"{type(each.failed).__name__}: {each.failed}" for each in (passed, *later) if each.failed]
    verdict.broken |= _judged(bench, cell, [passed, *later], final=True)
    if not passed.failed and not cell.way.rejected:
        _compare(verdict, before, _bare(bench.books()))
    verdict.seconds = time.monotonic() - began
    return verdict


def _is_expected(bench: Bench, cell: Cell, passed: Passed) -> bool:
    return bool(cell.way.rejected) and is_in_the_right(bench.books(), passed)


def _judged(bench: Bench, cell: Cell, passes: Sequence[Passed], *, final: bool) -> Broken:
    if cell.way.rejected:
        return judge_rejected(bench.books(), ONE, passes, final=final)
    return judge(bench.books(), bench.records(), cell.way.orders, passes, final=final)


def _prepare(bench: Bench, cell: Cell) -> None:
    fault, sandbox = CLASSES[cell.fault], bench.sandbox
    sandbox.configure(delete_forbidden=cell.way.rejected == "inactive")
    if fault.twin:
        holder = Holder.of("orders", "run-0", "create", -1, 1)
        now = datetime.datetime.now(datetime.UTC)
        intent = Intent.build(
            organization=ORGANIZATION,
            order_key=ONE.key,
            order=ONE.order,
            lines=ONE.lines,
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

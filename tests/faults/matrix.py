"""The fault matrix: every request of a chain times every fault, played with the real operators against the sandbox.

One order in each task: all of it, also of an order that is rejected and withdrawn. Several orders in each: every kind
of request times every fault.

python tests/faults/matrix.py [--quick] [--beyond] [--orders one|several|rejected] [--class NAME]
                               [--jobs 2] [--threads 24] [--seed 1]
python tests/faults/matrix.py --cell CELL      one cell, as a failure names it
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).parents[2]))

import tests.conftest  # noqa: F401 - an Airflow that touches nothing of this machine
from tests.faults.bench import Bench, Target, hurried
from tests.faults.cells import batch_cells, every_cell, rejected_targets, sample
from tests.faults.classes import CLASSES
from tests.faults.judge import BROKEN, CRASH
from tests.faults.orders import SEVERAL
from tests.faults.trial import Cell, Verdict, plain_targets, play
from tests.faults.ways import BATCH, REJECTED, SINGLE, Way

QUICK = 400
_Report: TypeAlias = "Verdict | float | None"


def cells_of(orders: str | None, seed: int) -> list[Cell]:
    """Return the matrix.

    :param orders: ``one`` or ``several`` in each task, or ``rejected`` ones; None: all.
    :param seed: decides what is left to chance.
    """

    def targets(ways: Sequence[Way]) -> dict[Way, list[Target]]:
        return {way: plain_targets(bench, way) for way in ways}

    with hurried(), Bench("plain") as bench:
        one = every_cell(targets(SINGLE), seed) if orders in (None, "one") else []
        several = batch_cells(targets(BATCH), seed) if orders in (None, "several") else []
        rejected = every_cell(rejected_targets(targets(REJECTED)), seed) if orders in (None, "rejected") else []
    return one + several + rejected


def work(cells: Sequence[Cell], threads: int, reports: Queue[_Report]) -> None:
    """Play cells in one process; report each verdict, and at the end the longest time this process stood still."""
    waiting: queue.SimpleQueue[Cell | None] = queue.SimpleQueue()
    for cell in (*cells, *[None] * threads):
        waiting.put(cell)

    def one(name: str) -> None:
        with Bench(name) as bench:
            while (cell := waiting.get()) is not None:
                reports.put(play(bench, cell))

    ended = threading.Event()
    stalls = [0.0]

    def watch() -> None:
        while not ended.is_set():
            began = time.monotonic()
            time.sleep(0.01)
            stalls[0] = max(stalls[0], time.monotonic() - began - 0.01)

    with hurried():
        workers = [threading.Thread(target=one, args=(f"w{number}",)) for number in range(threads)]
        watcher = threading.Thread(target=watch)
        for thread in (*workers, watcher):
            thread.start()
        for thread in workers:
            thread.join()
        ended.set()
        watcher.join()
    reports.put(stalls[0])
    reports.put(None)


def play_all(cells: Sequence[Cell], jobs: int, threads: int, stalls: list[float]) -> Iterator[Verdict]:
    """Play cells in several processes and yield the verdicts as they come."""
    jobs = min(jobs, len(cells))
    context = multiprocessing.get_context("spawn")
    reports: Queue[_Report] = context.Queue()
    processes = [context.Process(target=work, args=(cells[job::jobs], threads, reports)) for job in range(jobs)]
    for process in processes:
        process.start()
    running = jobs
    while running:
        report = reports.get()
        if report is None:
            running -= 1
        elif isinstance(report, float):
            stalls.append(report)
        else:
            yield report
    for process in processes:
        process.join()


def main(arguments: Sequence[str]) -> int:
    """Play the matrix, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description="Every request of a chain times every fault.")
    parser.add_argument("--quick", action="store_true", help=f"a sample of {QUICK} cells")
    parser.add_argument(
        "--beyond", action="store_true", help="also changes that come later than the settle time allows"
    )
    parser.add_argument("--orders", choices=["one", "several", "rejected"], help="in each task")
    parser.add_argument("--class", dest="only", choices=list(CLASSES), help="one fault class")
    parser.add_argument("--cell", help="one cell, as a failure names it")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--threads", type=int, default=24, help="trials at once in each process")
    parser.add_argument("--seed", type=int, default=1, help="decides the second fault, and the sample")
    given = parser.parse_args(arguments)
    if given.cell:
        return _one(Cell.parse(given.cell))
    every = cells_of(given.orders, given.seed)
    beyond = given.beyond or (given.only is not None and CLASSES[given.only].beyond)
    cells = [cell for cell in every if given.only in (None, cell.fault) and (beyond or not cell.beyond)]
    # What takes long comes first, and every process gets some of each.
    cells = sorted(sample(cells, QUICK, given.seed) if given.quick else cells, key=_length)
    began = time.monotonic()
    stalls: list[float] = []
    verdicts = []
    one, several = ([cell for cell in cells if bool(cell.way.batch) is batch] for batch in (False, True))
    # So many orders at once are so many times the work: with as many trials at once, answers would come too late.
    fewer = max(1, given.threads // len(SEVERAL))
    for verdict in itertools.chain(
        play_all(several, given.jobs, fewer, stalls), play_all(one, given.jobs, given.threads, stalls)
    ):
        verdicts.append(verdict)
        if verdict.broken and not verdict.cell.beyond:
            print(f"BROKEN {verdict.broken}: --cell '{verdict.cell}'", flush=True)
    failed = _summary(verdicts, time.monotonic() - began, max(stalls, default=0.0))
    if len(verdicts) != len(cells):
        print(f"{len(cells) - len(verdicts)} runs were not judged: what went wrong stands above")
        return 1
    return failed


def _length(cell: Cell) -> float:
    return -10.0 * CLASSES[cell.fault].twin - max(CLASSES[name].lasts for name in cell.classes)


def _one(cell: Cell) -> int:
    with hurried(), Bench("one") as bench:
        verdict = play(bench, cell)
        for request in bench.sandbox.requests():
            shown = [request[name] for name in ("time", "method", "path", "status", "fault", "committed", "body")]
            print(*shown)
    print(*verdict.said, sep="\n")
    print(verdict)
    return 1 if verdict.broken else 0


def _summary(verdicts: Sequence[Verdict], seconds: float, stall: float) -> int:
    print(f"{'class':20} {'runs':>6} {'hits':>6} {'tries':>6} {'handed over':>12} {'broken':>7} {'seconds':>8}")
    for name in CLASSES:
        mine = [each for each in verdicts if each.cell.fault == name]
        if mine:
            handed, broken = sum(bool(each.handed) for each in mine), sum(bool(each.broken) for each in mine)
            numbers = len(mine), sum(each.hits for each in mine), sum(each.tries for each in mine), handed, broken
            wide = " ".join(f"{number:>{width}}" for number, width in zip(numbers, (6, 6, 6, 12, 7), strict=True))
            title = f"{name} *" if CLASSES[name].beyond else name
            print(f"{title:20} {wide} {sum(each.seconds for each in mine):8.0f}")
    covered = [each for each in verdicts if not each.cell.beyond]
    beyond = [each for each in verdicts if each.cell.beyond]
    if beyond:
        print("* later than the settle time assumes")
    print(f"\n{len(verdicts)} runs in {seconds:.0f} s; longest standstill of a process {stall:.2f} s")
    failed = _tell(f"within what the settle time assumes: {len(covered)} runs", covered)
    if beyond:
        _tell(f"later than the settle time assumes, for which nothing is promised: {len(beyond)} runs", beyond)
    return 1 if failed else 0


def _tell(title: str, verdicts: Sequence[Verdict]) -> bool:
    print(f"\n{title}")
    failed = False
    for what in (*BROKEN, CRASH):
        found = [each for each in verdicts if what in each.broken]
        failed = failed or bool(found)
        print(f"  {what:34} {len(found):>6}")
        for each in found[:5]:
            print(f"    {each.broken[what]}: --cell '{each.cell}'")
    uncertain = ("OutcomeUncertain", "InvoicingUnconfirmed")
    _count("uncertain, handed to a person", [each for each in verdicts if each.handed in uncertain], "handed")
    _count("other errors, handed over", [each for each in verdicts if each.handed not in ("", *uncertain)], "handed")
    _count("not solved by clearing", [each for each in verdicts if each.unsolved], "unsolved")
    print(f"  {'strays of the first pass':34} {sum(each.strays for each in verdicts):>6}")
    idle = [each for each in verdicts if not each.hits]
    print(f"  {'faults that hit nothing':34} {len(idle):>6}")
    for each in idle[:5]:
        print(f"    --cell '{each.cell}'")
    print(f"  {'both faults of two hit':34} {sum(each.hits > 1 for each in verdicts):>6}")
    return failed or any(each.unsolved for each in verdicts)


def _count(title: str, verdicts: Sequence[Verdict], attribute: str) -> None:
    print(f"  {title:34} {len(verdicts):>6}")
    for kind, count in Counter(getattr(each, attribute) for each in verdicts).most_common():
        example = next(each for each in verdicts if getattr(each, attribute) == kind)
        said = example.said[0 if attribute == "handed" else -1]
        print(f"    {count} {kind}: --cell '{example.cell}'\n      {said[:200]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

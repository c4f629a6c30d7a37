"""Kills a real process at every boundary of every request of create, invoice, enrich and withdraw; judges the books.

python tests/kills/matrix.py                      every boundary; pairs of kills sampled
python tests/kills/matrix.py --quick              a sample
python tests/kills/matrix.py --orders several     tasks with several orders only (one: with one; rejected: withdrawals)
python tests/kills/matrix.py --cell NAME          one cell, with its logs and requests
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.boundaries import FILES, REPORTS, REQUESTS
from tests.kills.rig import CHAIN, LATE, REJECTED_CHAIN, SETTLE, Instance, Kill, Rig, Shop
from tests.kills.verdict import Verdict

REQUESTS_OF = {"create": 9, "invoice": 5, "enrich": 6}
REQUESTS_OF_WITHDRAWAL = {"withdraw": 7, "inactive": 9, "draft": 6}
"""Requests of an ordinary try, tokens included."""

REQUESTS_OF_BATCH = {"create": 25, "invoice": 13, "enrich": 14}
FILES_OF_BATCH = 4
REPORTS_OF_BATCH = ("unpushed", "pushed")

REPORTS_OF = {"create": tuple(REPORTS), "invoice": ("unpushed", "pushed"), "enrich": ("unpushed", "pushed")}
WORLDS: Mapping[str, Mapping[str, Any]] = {
    "memo": {},
    "reference": {"marker_field": "referenceNumber"},
    "lagging": {"list_lag": 0.5 * SETTLE},
    "list": {"batch": "list"},
    "files": {"batch": "files"},
    "withdraw": {"rejected": "withdraw"},
    "inactive": {"rejected": "inactive", "marker_field": "referenceNumber"},
    "draft": {"rejected": "draft"},
}
"""Where the marker stands, whether the list lags, how batches hand on their results, how an order is taken back."""

PAIRS = 3
"""Second kills that are sampled for each first one."""


@dataclass(frozen=True)
class Cell:
    """One run of the chain in which tries of one task are killed.

    :param task_id: the task.
    :param kills: where its first tries are killed, one after the other.
    :param keep: whether the state store is still there for the next try.
    :param world: one of ``WORLDS``.
    """

    task_id: str
    kills: tuple[Kill, ...]
    keep: bool = True
    world: str = "memo"

    def __str__(self) -> str:
        return "/".join([self.task_id, *map(str, self.kills), "kept" if self.keep else "forgotten", self.world])

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the cell that a name means."""
        task_id, *kills, memory, world = name.split("/")
        parts = (kill.partition(":") for kill in kills)
        at_each = tuple(Kill(boundary, int(at or 0)) for boundary, _, at in parts)
        return cls(task_id, at_each, memory == "kept", world)

    @property
    def kind(self) -> str:
        """Which line of the table it counts in."""
        boundaries = " then ".join(kill.boundary for kill in self.kills[:1])
        return f"{boundaries}, then any" if len(self.kills) > 1 else boundaries


class Outcome(NamedTuple):
    """What a cell came to.

    :param cell: the cell.
    :param verdict: what the books say.
    :param killed: how many of its kills were reached.
    :param requests: how many requests the try after the first kill made.
    """

    cell: Cell
    verdict: Verdict
    killed: int
    requests: int


def play(shop: Shop, cell: Cell) -> Outcome:
    """Run the chain of a cell."""
    killed = requests = 0
    finished = True
    for task_id in REJECTED_CHAIN if shop.rejected else CHAIN:
        kills = cell.kills if task_id == cell.task_id else ()
        tries = shop.finish(Instance(task_id), kills=kills, keep=cell.keep)
        if kills:
            killed = sum(each.state == "killed" for each in tries)
            requests = tries[1].requests if len(tries) > 1 else 0
        if tries[-1].state != "success":
            finished = False
            break
    return Outcome(cell, shop.verdict(finished=finished), killed, requests)


def single_kills() -> list[Cell]:
    """Return a cell for every boundary, with what the task keeps and without."""
    cells = []
    for task_id in CHAIN:
        kills = [Kill(boundary, at + 1) for at in range(REQUESTS_OF[task_id]) for boundary in REQUESTS]
        kills += [Kill(boundary) for boundary in REPORTS_OF[task_id]]
        cells += [Cell(task_id, (kill,), keep) for kill in kills for keep in ((True, False))]
        # What a try does once it knows the order is the same wherever the marker stands.
        worlds = ("reference", "lagging") if task_id == "create" else ("reference",)
        cells += [Cell(task_id, (kill,), world == "reference", world) for kill in kills for world in worlds]
    return cells


def batch_kills() -> list[Cell]:
    """Return a cell for every boundary of a task with several orders; results are handed on in a list or in files."""
    cells = []
    for task_id in CHAIN:
        requests = [Kill(boundary, at + 1) for at in range(REQUESTS_OF_BATCH[task_id]) for boundary in REQUESTS]
        # There are five boundaries to a request, so that each comes with either.
        worlds = itertools.cycle(("list", "files"))
        cells += [Cell(task_id, (kill,), world=world) for kill, world in zip(requests, worlds, strict=False)]
        files = [Kill(boundary, at + 1) for at in range(FILES_OF_BATCH) for boundary in FILES]
        cells += [Cell(task_id, (kill,), world="files") for kill in files]
        cells += [Cell(task_id, (Kill(each),), world=world) for each in REPORTS_OF_BATCH for world in ("list", "files")]
    return cells


def withdrawal_kills() -> list[Cell]:
    """Return a cell for every boundary of the task that takes an order back, in each way to do so."""
    kills = {
        world: [
            *(Kill(boundary, at + 1) for at in range(requests) for boundary in REQUESTS),
            *map(Kill, REPORTS_OF_BATCH),
        ]
        for world, requests in REQUESTS_OF_WITHDRAWAL.items()
    }
    return [Cell("withdraw", (kill,), world=world) for world, each in kills.items() for kill in each]


def pairs(outcomes: Iterable[Outcome], chance: random.Random, count: int = PAIRS) -> list[Cell]:
    """Return cells with a second kill in the try after the first one: so many for each, and one for a batch."""
    cells = []
    for cell, _, killed, requests in outcomes:
        if killed and requests:
            # Of batches, with all their requests, there are enough first kills.
            for _ in range(1 if "batch" in WORLDS[cell.world] else count):
                second = Kill(chance.choice(list(REQUESTS)), chance.randint(1, requests))
                cells.append(replace(cell, kills=(*cell.kills, second)))
    return list(dict.fromkeys(cells))


_rig: Rig | None = None
_late = LATE


def _start(late: float) -> None:
    global _rig, _late
    _rig, _late = Rig().__enter__(), late


def _play(cell: Cell) -> Outcome:
    assert _rig is not None
    with _rig.shop(late=_late, **WORLDS[cell.world]) as shop:
        return play(shop, cell)


def _close(_: object) -> None:
    if _rig is not None:
        _rig.__exit__()
    time.sleep(0.2)


def _run(pool: multiprocessing.pool.Pool, cells: Sequence[Cell], broken: list[Outcome]) -> list[Outcome]:
    outcomes = []
    for outcome in pool.imap_unordered(_play, cells):
        outcomes.append(outcome)
        if outcome.verdict.broken or outcome.verdict.person or outcome.verdict.strays:
            broken.append(outcome)
    return outcomes


def _table(outcomes: Iterable[Outcome]) -> None:
    sums: dict[str, Verdict] = defaultdict(Verdict)
    reached: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        sums[outcome.cell.kind] += outcome.verdict
        reached[outcome.cell.kind] += outcome.killed >= len(outcome.cell.kills)
    for kind, total in sums.items():
        print(f"{kind:18} {total}; all kills reached in {reached[kind]}", flush=True)


def main() -> int:
    """Run the matrix; return 1 if the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sample of the cells")
    parser.add_argument("--orders", choices=["one", "several", "rejected"], help="in each task")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time")
    parser.add_argument("--seed", type=int, default=1, help="of the sample and of the second kills")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="second kills for each first one")
    parser.add_argument("--late", type=float, default=LATE, help="seconds after which a late request is carried out")
    parser.add_argument("--cell", help="play one cell, and show its logs and requests")
    options = parser.parse_args()
    if options.cell:
        return _show(Cell.parse(options.cell), options.late)
    started, chance = time.monotonic(), random.Random(options.seed)
    kinds = {"one": single_kills, "several": batch_kills, "rejected": withdrawal_kills}
    cells = [cell for kind, make in kinds.items() if options.orders in (None, kind) for cell in make()]
    if options.quick:
        cells = chance.sample(cells, 40)
    broken: list[Outcome] = []
    with multiprocessing.get_context("spawn").Pool(options.jobs, _start, (options.late,)) as pool:
        single = _run(pool, cells, broken)
        _table(single)
        double = _run(pool, pairs(single, chance, 1 if options.quick else options.pairs), broken)
        _table(double)
        pool.map(_close, range(options.jobs), chunksize=1)
    total = sum((outcome.verdict for outcome in (*single, *double)), Verdict())
    print(f"{'all':18} {total} ({time.monotonic() - started:.0f} s)")
    for outcome in broken:
        print(f"  {outcome.verdict}\n    python tests/kills/matrix.py --cell {outcome.cell}")
    return 1 if total.broken or total.person else 0


def _show(cell: Cell, late: float) -> int:
    with Rig() as rig, rig.shop(late=late, **WORLDS[cell.world]) as shop:
        outcome = play(shop, cell)
        shop.show()
    print(outcome)
    return 1 if outcome.verdict.broken else 0


if __name__ == "__main__":
    sys.exit(main())

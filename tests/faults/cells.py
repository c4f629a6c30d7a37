"""Which cells the matrix has."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.faults.bench import Target
from tests.faults.classes import CLASSES
from tests.faults.rejected import of_the_withdrawal
from tests.faults.trial import Cell
from tests.faults.ways import Way


def every_cell(targets: Mapping[Way, Sequence[Target]], seed: int) -> list[Cell]:
    """Return every request with every class: once, twice in a row, and followed by a fault at the next request.

    What follows is a fault of the same class, and one of another class that the seed decides.
    """
    chance = random.Random(seed)
    cells = []
    for way, requests in targets.items():
        for target in requests:
            for name in CLASSES:
                if not _means_something(name, target):
                    continue
                cells += [Cell(way, target, name, "once"), Cell(way, target, name, "twice")]
                cells += [Cell(way, target, name, "next", second) for second in _seconds(name, chance)]
    return cells


def rejected_targets(targets: Mapping[Way, Sequence[Target]]) -> dict[Way, Sequence[Target]]:
    """Return every request of the first way, and of the others those of the withdrawal: all create alike."""
    first = next(iter(targets))
    return {way: found if way == first else of_the_withdrawal(found) for way, found in targets.items()}


def batch_cells(targets: Mapping[Way, Sequence[Target]], seed: int) -> list[Cell]:
    """Return every kind of request with every class, twice: hit once, and in one of the ways to be hit by two faults.

    Which of the requests of its kind, in which way to write the DAG, goes round: none is left out.
    """
    chance = random.Random(seed)
    kinds: dict[tuple[str, str], list[tuple[Way, Target]]] = {}
    for way, requests in targets.items():
        for target in requests:
            kinds.setdefault(_kind(target), []).append((way, target))
    cells = []
    for number, requests_alike in enumerate(kinds.values()):
        chance.shuffle(requests_alike)
        places = itertools.cycle(requests_alike)
        pairs = itertools.islice(itertools.cycle(range(3)), number % 3, None)
        for name in CLASSES:
            if _means_something(name, requests_alike[0][1]):
                cells += [
                    Cell(*next(places), name),
                    _with_two_faults(*next(places), name, next(pairs), chance),
                ]
    return cells


def _kind(target: Target) -> tuple[str, str]:
    return target.method, re.sub("web-[0-9]+", "{key}", target.path)


def _with_two_faults(way: Way, target: Target, name: str, which: int, chance: random.Random) -> Cell:
    if which == 0:
        return Cell(way, target, name, "twice")
    # The last one is of another class.
    *_, other = seconds = list(_seconds(name, chance))
    return Cell(way, target, name, "next", seconds[0] if which == 1 else other)


def _means_something(name: str, target: Target) -> bool:
    return CLASSES[name].only in f"{target.path} #"


def _seconds(name: str, chance: random.Random) -> Iterator[str]:
    others = [other for other in CLASSES if other != name and not CLASSES[other].twin and not CLASSES[other].only]
    if not CLASSES[name].twin:
        yield name
    # Beyond the assumption there is nothing to be learnt from a second fault.
    yield chance.choice([other for other in others if CLASSES[other].beyond == CLASSES[name].beyond])


def sample(cells: Iterable[Cell], size: int, seed: int) -> list[Cell]:
    """Return some of the cells, every class and every request among them if there is room."""
    chance = random.Random(seed)
    mixed = list(cells)
    chance.shuffle(mixed)
    # A twin takes ten times as long as anything else: one of each kind is enough. On a busy machine it may be there
    # before our creation is due, so that only what follows is sure to be hit.
    twins = {
        cell.fault: cell
        for cell in mixed
        if CLASSES[cell.fault].twin and cell.mode == "once" and cell.target.path.endswith("/lines")
    }
    others = [cell for cell in mixed if not CLASSES[cell.fault].twin]
    picked: dict[str, Cell] = {}
    for cell in others:
        for trait in (cell.fault, str(cell.target)):
            picked.setdefault(trait, cell)
    first = list(dict.fromkeys([*twins.values(), *picked.values()]))
    return (first + [cell for cell in others if cell not in first])[:size]


def batch_sample(cells: Iterable[Cell], seed: int) -> list[Cell]:
    """Return one cell of every kind of request, each of another class; no way is left out, nor often repeated."""
    chance = random.Random(seed)
    mixed = [cell for cell in cells if not CLASSES[cell.fault].twin and not cell.beyond]
    chance.shuffle(mixed)
    picked: list[Cell] = []
    for kind in dict.fromkeys(_kind(cell.target) for cell in mixed):
        ways, faults = Counter(cell.way for cell in picked), {cell.fault for cell in picked}
        fitting = [cell for cell in mixed if _kind(cell.target) == kind and cell.fault not in faults]
        picked.append(min(fitting, key=lambda cell: ways[cell.way]))
    for way in dict.fromkeys(cell.way for cell in mixed):
        if all(cell.way != way for cell in picked):
            faults = {cell.fault for cell in picked}
            picked.append(next(cell for cell in mixed if cell.way == way and cell.fault not in faults))
    return picked

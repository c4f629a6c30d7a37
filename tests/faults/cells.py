"""Which cells the matrix has."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.faults.bench import Target
from tests.faults.chain import Way
from tests.faults.classes import CLASSES
from tests.faults.trial import Cell

WAYS = tuple(Way(handed_on, field) for handed_on in (True, False) for field in ("internalMemo", "referenceNumber"))


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

"""Times several contestants in turn, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Times:
    """Seconds for one call, round by round."""

    rounds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The fastest round: the one that others disturbed least."""
        return min(self.rounds)

    @property
    def middle(self) -> float:
        """The round in the middle."""
        return statistics.median(self.rounds)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the garbage collector out of what is timed, and all that is there already out of its collections."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def in_turn(
    contestants: Mapping[str, Callable[[int], None]],
    *,
    rounds: int,
    calls: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Let each contestant make its calls in every round, and return what they took.

    :param contestants: by name, what makes a number of calls one after the other.
    :param rounds: how often everyone has a turn; another one begins each time.
    :param calls: calls in a turn: few, so that a turn is soon over and its neighbours see the same machine.
    :param clock: what is looked at before and after.
    """
    for run in contestants.values():
        run(max(1, calls // 4))
    times = {name: Times() for name in contestants}
    names = list(contestants)
    with undisturbed():
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                began = clock()
                contestants[name](calls)
                times[name].rounds.append((clock() - began) / calls)
                gc.collect()
    return times


def milliseconds(seconds: float) -> str:
    """Return a time as text."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"

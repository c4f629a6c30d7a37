"""One race of each kind; ``races.py`` repeats them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kills.races import RACES, play
from tests.kills.rig import Rig


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


LONG = {"five-runs", "eight-runs"}
OF_BATCHES = {name for name, race in RACES.items() if race.orders == "several"} - {"batch-lost-create"}


@pytest.mark.parametrize("name", sorted(RACES.keys() - LONG - OF_BATCHES))
def test_a_race_breaks_no_promise(rig: Rig, name: str) -> None:
    verdict = play(rig, name, seed=1)
    assert (verdict.broken, verdict.person) == (0, 0), verdict

"""One race of each kind; ``races.py`` repeats them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from tests.kills.races import RACES
from tests.kills.rig import Rig


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.mark.parametrize("name", sorted(RACES.keys() - {"five-runs", "eight-runs"}))
def test_a_race_breaks_no_promise(rig: Rig, name: str) -> None:
    with rig.shop() as shop:
        verdict = RACES[name].play(shop, random.Random(1))
    assert (verdict.broken, verdict.person) == (0, 0), verdict

"""With a rule switched off the simulation breaks a promise: so it can see what the rule is for."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flows.rules import RULES, Rule
from tests.flows.simulation import try_out

TRIALS = 400
PAGE = Path(__file__).parents[2] / "docs" / "exactly-once.md"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_promise_breaks_without(monkeypatch: pytest.MonkeyPatch, rule: Rule) -> None:
    rule.switch_off(monkeypatch)
    found: set[str] = set()
    for seed in range(TRIALS):
        verdict = try_out(rule.setting, f"needed/{seed}")
        found |= (verdict.broken | verdict.notes) & rule.broken
        if found:
            return
    pytest.fail(f"{TRIALS} trials without {rule.switch_off.__name__}, and no promise was broken")


def test_the_table_in_the_documents_names_every_rule_and_a_test_that_fails_without_it() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [0-9.]+ % \| `(\w+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    assert [name for name, _ in rows] == [rule.name for rule in RULES]
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for _, test in rows:
        assert re.search(rf"\b{test}\b", tests), test

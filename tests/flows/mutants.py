"""Runs the tests of the flows with a rule of the protocol switched off, until one notices.

python tests/flows/mutants.py [RULE ...]     by the rules' names; without any: all of them
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
from tests.flows.rules import RULES, Rule

SWITCH = "TESTS_WITHOUT_RULE"
FLOWS = Path(__file__).parent.relative_to(Path(__file__).parents[2])
NOT_THESE = FLOWS / "test_rules_are_needed.py"
"""Switches rules off itself, so it says nothing about a flow that lacks one."""


def pytest_configure() -> None:
    """Switch the rule off that the environment names; called by pytest, which loads this as a plugin."""
    named = os.environ.get(SWITCH)
    for rule in RULES:
        if rule.name == named:
            rule.switch_off(pytest.MonkeyPatch())


def first_to_fail(rule: Rule) -> str | None:
    """Return the name of the first test that fails without a rule; None if none does.

    :param rule: the rule.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "tests.flows.mutants", str(FLOWS)]
    ended = subprocess.run(  # noqa: S603 - our own interpreter
        [*command, f"--ignore={NOT_THESE}"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, SWITCH: rule.name},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode not in (0, 1):
        raise RuntimeError(ended.stdout + ended.stderr)
    failed = re.search(r"^FAILED [^:]+::([^\s:\[]+)", ended.stdout, flags=re.MULTILINE)
    return failed[1] if failed else None


def main(names: list[str]) -> int:
    """Print which test fails without each rule; return 1 if none does."""
    noticed = True
    for rule in RULES:
        if not names or rule.name in names:
            name = first_to_fail(rule)
            noticed = noticed and name is not None
            print(f"{rule.name}: {name or 'NO TEST FAILS'}", flush=True)
    return 0 if noticed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

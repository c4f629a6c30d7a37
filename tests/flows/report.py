"""What the documents show of the simulation: a table of rules switched off, and a plot over the settle time.

python tests/flows/report.py [TRIALS]     writes both into docs/; needs matplotlib
"""

from __future__ import annotations

import logging
import multiprocessing
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pytest
from tests.flows.mutants import first_to_fail
from tests.flows.rules import RULES
from tests.flows.settings import UNKIND, Setting
from tests.flows.simulation import try_out

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "exactly-once.md"
PLOT = DOCS / "images" / "settle_time.svg"
SETTLE_TIMES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0)
COURSES = {"1 run": Setting(), "3 runs": Setting(runs=(None,) * 3)}
HARM = frozenset({"invoiced twice", "wrong lines billed", "two orders with lines", "never invoiced", "no end"})
"""What the books must never show; a run that a person has to clear is no harm."""


def without_rule(task: tuple[int, int]) -> float:
    """Return how often a promise broke with a rule switched off, in percent."""
    number, trials = task
    logging.disable(logging.CRITICAL)
    rule = RULES[number]
    with pytest.MonkeyPatch.context() as patch:
        rule.switch_off(patch)
        verdicts = (try_out(rule.setting, f"report/{seed}") for seed in range(trials))
        broken = sum(bool((verdict.broken | verdict.notes) & rule.broken) for verdict in verdicts)
    return 100 * broken / trials


def with_settle_time(task: tuple[str, float, int]) -> float:
    """Return how often the books showed harm with a settle time, in percent."""
    name, settle, trials = task
    logging.disable(logging.CRITICAL)
    setting = replace(COURSES[name], settle=settle)
    return 100 * sum(bool(try_out(setting, f"report/{seed}").broken & HARM) for seed in range(trials)) / trials


def write_table(rates: Sequence[float], tests: Sequence[str | None]) -> None:
    """Put the table into the page, between its marks."""
    rows = [f"| {rule.name} | {rate:.1f} % | `{test}` |" for rule, rate, test in zip(RULES, rates, tests, strict=True)]
    heads = ["| Rule switched off | Trials in which that shows | The first test to fail |", "| --- | --- | --- |"]
    table = "\n".join([*heads, *rows])
    page = PAGE.read_text()
    text = re.sub(r"(<!-- rules -->\n).*?(<!-- /rules -->)", rf"\g<1>{table}\n\g<2>", page, flags=re.DOTALL)
    PAGE.write_text(text)


def draw(rates: dict[str, list[float]]) -> None:
    """Draw how often the books show harm, over the settle time."""
    from matplotlib import pyplot  # here, for only this command needs it

    pyplot.rcParams["svg.hashsalt"] = "settle"
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for name, course in rates.items():
        axes.plot(SETTLE_TIMES, course, marker="o", label=name)
    axes.axvline(UNKIND.late, color="gray", linestyle="--", linewidth=1)
    axes.annotate(
        f"a change may come {UNKIND.late} s late", (UNKIND.late + 0.15, axes.get_ylim()[1] * 0.9), color="gray"
    )
    axes.set_xlabel("settle time, seconds")
    axes.set_ylabel("trials with harm, %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})


def main(trials: int) -> None:
    """Try everything out, and write what it came to."""
    with multiprocessing.Pool() as pool:
        rates = pool.map(without_rule, [(number, trials) for number in range(len(RULES))], 1)
        write_table(rates, pool.map(first_to_fail, RULES, 1))
        tasks = [(name, settle, trials) for name in COURSES for settle in SETTLE_TIMES]
        harm = dict(zip(tasks, pool.map(with_settle_time, tasks, 1), strict=True))
    draw({name: [harm[name, settle, trials] for settle in SETTLE_TIMES] for name in COURSES})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)

"""The tables that the benchmarks write into docs/benchmarks.md, each between two marks of its own."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PACKAGES = ("apache-airflow", "apache-airflow-providers-http", "requests", "aiohttp", "httpx", "pydantic", "simplejson")
HEADS = ("What", "Ours", "The peer", "Ours / peer", "Goal", "")


class Scale(IntEnum):
    """How much is measured: TINY shows only that a benchmark works."""

    TINY = 0
    QUICK = 1
    FULL = 2


@dataclass(frozen=True)
class Row:
    """One line of a table.

    :param name: what was measured.
    :param ours: our figure, with its unit.
    :param peer: the figure of whom we are compared with, and who that is.
    :param ratio: ours over the peer's; None where a ratio says nothing.
    :param goal: what it should be.
    :param held: whether it is; None: there is no goal.
    """

    name: str
    ours: str
    peer: str
    ratio: float | None = None
    goal: str = ""
    held: bool | None = None

    def text(self) -> str:
        """Return the line as Markdown."""
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}" if self.ratio < 1 else f"{self.ratio:.2f}"
        held = {None: "", True: "held", False: "**missed**"}[self.held]
        return f"| {self.name} | {self.ours} | {self.peer} | {ratio} | {self.goal} | {held} |"


def over(name: str, ours: tuple[float, str], peer: tuple[float, str], most: float | None = None) -> Row:
    """Return the line of two figures of which the smaller is the better.

    :param ours: our figure, and as it is to be shown.
    :param peer: the peer's.
    :param most: what the ratio may be at most.
    """
    ratio = ours[0] / peer[0]
    goal = "" if most is None else f"ratio ≤ {most:g}"
    return Row(name, ours[1], peer[1], ratio, goal, None if most is None else ratio <= most)


def table(rows: Sequence[Row]) -> str:
    """Return a table as Markdown."""
    heads = [f"| {' | '.join(HEADS)} |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*heads, *(row.text() for row in rows)])


def machine() -> str:
    """Return what the figures were taken with; without a date, so that a page changes only when a figure does."""
    parts = [f"Python {platform.python_version()}", *(f"{package} {version(package)}" for package in PACKAGES)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = f"{os.cpu_count()} shared {platform.machine()} cores, {memory:.0f} GiB of memory"
    return f"{platform.system()} on {kind}. {', '.join(parts)}."


def write(name: str, text: str) -> None:
    """Put a text into the page, between the marks of a name."""
    page = PAGE.read_text()
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", flags=re.DOTALL)
    if not marked.search(page):
        raise ValueError(f"{PAGE.name} has no marks for {name!r}")
    PAGE.write_text(marked.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page))


def names_in_page(name: str) -> list[str]:
    """Return the first column of the table between the marks of a name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE.read_text(), flags=re.DOTALL)
    lines = found[1].splitlines()[2:] if found else []
    return [line.split("|")[1].strip() for line in lines if line.startswith("|")]

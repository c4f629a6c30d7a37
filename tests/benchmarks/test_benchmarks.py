"""Every benchmark works, in its smallest form; what it measures is not judged here."""

from __future__ import annotations

import pytest
from tests.benchmarks import run, tables
from tests.benchmarks.processes import quiet
from tests.benchmarks.tables import Row, Scale


@pytest.mark.parametrize("name", run.NAMES)
def test_a_benchmark_measures_what_it_names(name: str) -> None:
    benchmark = run.benchmark(name)
    with quiet():
        rows: list[Row] = benchmark.measure(Scale.TINY)
    assert rows
    assert {row.name for row in rows} <= set(benchmark.ROWS)
    assert all(row.ours for row in rows)


@pytest.mark.parametrize("name", run.NAMES)
def test_the_page_shows_every_line(name: str) -> None:
    assert tables.names_in_page(name) == list(run.benchmark(name).ROWS)


def test_the_page_says_what_it_was_measured_with() -> None:
    assert "Python 3." in tables.PAGE.read_text().partition("<!-- machine -->")[2].partition("<!-- /machine -->")[0]

"""Measures, and writes the tables of docs/benchmarks.md.

python tests/benchmarks/run.py [NAMES] [--quick] [--no-write]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.processes import prepare, quiet, tidy_up
from tests.benchmarks.tables import Scale, machine, table, write

if TYPE_CHECKING:
    from types import ModuleType

NAMES = ("one_call", "imports", "waits", "throughput", "growth")


def benchmark(name: str) -> ModuleType:
    """Return a benchmark: ``ROWS``, the names of its lines, and ``measure``."""
    return import_module(f"tests.benchmarks.{name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print it, and write it down."""
    parser = argparse.ArgumentParser(description="Measures, and writes the tables of docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)} (all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, within a minute; not written down")
    parser.add_argument("--no-write", action="store_true", help="only print")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    prepare()
    try:
        for name in options.names or NAMES:
            began = time.monotonic()
            measure = benchmark(name).measure
            with quiet():
                text = table(measure(Scale.QUICK if options.quick else Scale.FULL))
            print(f"{name} ({time.monotonic() - began:.0f} s)\n\n{text}\n", flush=True)
            if not options.quick and not options.no_write:
                write(name, text)
                write("machine", machine())
    finally:
        tidy_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())

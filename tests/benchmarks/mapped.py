"""Mapped tasks: each order has a task for each step, in a process of its own, under Airflow's own task runner."""

from __future__ import annotations

import itertools
import json
import resource
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from tests.benchmarks.processes import connections_to
from tests.kills.files import Files
from tests.kills.rig import CHAIN
from tests.kills.template import Template

AT_ONCE = 4
"""Processes at the same time: two for each core."""

NUMBERS = itertools.count()


class Mapped:
    """Runs mapped tasks; a context manager, which keeps the process that the others are forked from.

    Forked and with Airflow imported, a process costs less than a worker's; and there is no scheduler, no database and
    no DAG file to be parsed for each task. Mapped tasks of a real Airflow cost more than what is measured here.

    :param url: address of the sandbox.
    """

    def __init__(self, url: str) -> None:
        self._connections = {name: json.dumps(each) for name, each in connections_to(url).items()}
        self._folder = TemporaryDirectory()

    def __enter__(self) -> Self:
        self._template = Template(Path(self._folder.name))
        return self

    def __exit__(self, *_: object) -> None:
        self._template.stop()
        self._folder.cleanup()

    def run(self, count: int) -> float:
        """Take a number of orders through all steps, and return the seconds that took."""
        number = next(NUMBERS)
        keys = [f"mapped-{number}-{each}" for each in range(count)]
        began = time.perf_counter()
        for step in CHAIN:
            self._step(f"run-{number}", step, keys)
        return time.perf_counter() - began

    def _step(self, run_id: str, step: str, keys: Sequence[str]) -> None:
        started: list[Future[int]] = []
        for index in range(len(keys)):
            if index >= AT_ONCE:
                started[index - AT_ONCE].result(120)
            started.append(self._start(run_id, step, keys, index))
        for each in started:
            each.result(120)
        states = Files(Path(self._folder.name))
        for index in range(len(keys)):
            body = states.get("states", run_id, step, index, 1)
            if not body or body["state"] != "success":
                raise RuntimeError(f"the mapped task {step} ended as {body}")

    def _start(self, run_id: str, step: str, keys: Sequence[str], index: int) -> Future[int]:
        identity = f"{run_id}-{step}-{index}"
        task = {
            "home": self._folder.name,
            "connections": self._connections,
            "task_id": step,
            "keys": list(keys),
            "run_id": run_id,
            "map_index": index,
            "id": identity,
        }
        return self._template.start(identity, json.dumps(task))


def processor_seconds(url: str, count: int) -> float:
    """Return the processor time that the tasks of an order take, without that of importing Airflow."""
    used = []
    for orders in (1, 1 + count):
        before = _of_children()
        with Mapped(url) as mapped:
            mapped.run(orders)
        used.append(_of_children() - before)
    return (used[1] - used[0]) / count


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

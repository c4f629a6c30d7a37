"""Batches that are larger than the memory."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.operators.batch_files import item, written

from tfso_hypatos.operators.arguments import TaskIdentity
from tfso_hypatos.operators.batch.items import Job, check
from tfso_hypatos.operators.batch.loop import run_on_a_loop
from tfso_hypatos.operators.batch.results import Collected, Counts, Part, Written
from tfso_hypatos.operators.batch.run import BatchRun
from tfso_hypatos.operators.batch.sources import FileSource, ListSource


class FakeStep:
    """Does nothing with an order and returns a result of the usual size."""

    hooks = ()

    def job(self, item: Any) -> Job:
        async def work() -> dict[str, Any]:
            return {"order_key": key, "sales_order_id": 7, "line_hashes": [f"{key}-{n}" for n in range(60)]}

        key = item["order_key"]
        return Job(key, key, json.dumps(item["lines"]), {"order_key": key}, work)


@pytest.mark.parametrize("count", [0, 1, 250])
def test_a_file_is_read_in_a_thread_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    source, step = FileSource(written(tmp_path / "orders.jsonl", *map(item, range(count)))), FakeStep()
    plan = check(source, step.job)
    read, loops = FileSource.__iter__, []

    def watched(self: FileSource) -> Any:
        for entry in read(self):
            loops.append(asyncio._get_running_loop())
            yield entry

    monkeypatch.setattr(FileSource, "__iter__", watched)
    run = BatchRun(step, plan, source, Collected(plan), 16, lambda: False)
    run_on_a_loop(run.run, lambda: None)
    assert run.counts().done == count
    assert loops == [None] * count


def peak_of(tmp_path: Path, count: int) -> int:
    """Return the most memory that a batch of so many orders needs, in bytes."""
    path = tmp_path / f"{count}.jsonl"
    lines = [{"description": "x" * 200, "price": n} for n in range(10)]
    with path.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"order_key": f"web-{number}", "lines": lines}) + "\n")
    identity = TaskIdentity("d", "r", "t", -1, 1)
    gc.collect()
    tracemalloc.start()
    try:
        source, step = FileSource(path.as_uri()), FakeStep()
        plan = check(source, step.job)
        results = Written((tmp_path / f"results-{count}").as_uri(), identity)
        run = BatchRun(step, plan, source, results, 16, lambda: False)
        run_on_a_loop(run.run, lambda: None)
        assert run.counts().done == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_stays_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.PART_SIZE", 100)
    peak_of(tmp_path, 200)
    few, many = peak_of(tmp_path, 600), peak_of(tmp_path, 3600)
    # A line is 2,500 bytes and a result 800; what grows are a few short hashes for each order.
    assert (many - few) / 3000 < 300


def test_a_part_is_never_seen_half_written(tmp_path: Path) -> None:
    results = Written(str(tmp_path), TaskIdentity("d", "r", "t", -1, 1))
    (tmp_path / ".begun.jsonl").write_text('{"order_')
    results.write(Part("a.jsonl", '{"order_key":"web-1"}\n'))
    results.outcome(Counts(1, 1, 0, 0))
    assert [entry.given for entry in FileSource(str(tmp_path))] == ['{"order_key":"web-1"}\n']


def test_what_is_collected_is_in_the_order_of_the_items() -> None:
    step = FakeStep()
    entries = [item(2), item(1), item(2)]
    plan = check(ListSource(entries), step.job)
    collected = Collected(plan)
    for position in (1, 0):
        collected.add(position, step.job(entries[position]), {"n": position})
    counts = Counts(3, 2, 0, 1)
    assert [each["n"] for each in collected.outcome(counts)] == [0, 1, 0]

"""What a batch has done is written before it ends."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operators.batches import creating, items

from tfso_hypatos.exceptions import Stopped
from tfso_hypatos.operators.arguments import TaskIdentity
from tfso_hypatos.operators.batch.items import Job
from tfso_hypatos.operators.batch.results import Part, Written
from tfso_hypatos.sandbox.delivery import Exchange

if TYPE_CHECKING:
    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


def when_written(monkeypatch: pytest.MonkeyPatch, folder: Path, operator: Any, *, kill: bool) -> list[int]:
    """Answer requests that a fault makes slow only once two results are in a file; return how many there were."""
    seen: list[int] = []

    def look() -> None:
        lines, deadline = 0, time.monotonic() + 20
        while lines < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
            lines = sum(len(part.read_text().splitlines()) for part in folder.glob("[!.]*.jsonl"))
        seen.append(lines)

    async def wait(*_: Any, **__: Any) -> None:
        if kill:
            operator.on_kill()
        await asyncio.to_thread(look)

    monkeypatch.setattr(Exchange, "wait", wait)
    return seen


@pytest.mark.parametrize("kill", [False, True])
def test_results_are_written_while_requests_are_under_way(
    run: Run, log: Log, connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool
) -> None:
    connections.tfso(extra={"timeout": 60})
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.SAVE_EVERY", 1000 if kill else 0.1)
    log.sandbox.add_fault(action="slow", method="POST", path="/salesorders$", skip=2)
    operator = creating(items(4), concurrency=1, results_path=str(tmp_path))
    seen = when_written(monkeypatch, tmp_path, operator, kill=kill)
    if kill:
        with pytest.raises(Stopped):
            run.execute(operator)
    else:
        assert run.execute(operator)["done"] == 4
    assert seen == [2]
    (part,) = tmp_path.glob("*.jsonl")
    assert len(part.read_text().splitlines()) == (2 if kill else 4)


def test_a_file_that_was_written_too_slowly_does_not_replace_a_fuller_one(tmp_path: Path) -> None:
    results = Written(str(tmp_path), TaskIdentity("d", "r", "t", -1, 1))
    jobs = [Job(f"web-{number}", f"{number}", "", {}, job_of_nothing) for number in range(2)]
    results.add(0, jobs[0], {})
    early = results.unsaved()
    assert early is not None
    assert results.unsaved() is None
    results.add(1, jobs[1], {})
    whole = results.take(2)
    assert whole is not None
    assert early.name == whole.name
    results.write(whole)
    results.write(early)
    assert len((tmp_path / whole.name).read_text().splitlines()) == 2
    assert results.unsaved() is None


async def job_of_nothing() -> dict[str, Any]:
    return {}


def test_results_that_cannot_be_written_yet_are_told_and_written_later(
    run: Run,
    log: Log,
    connections: Connections,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connections.tfso(extra={"timeout": 60})
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.SAVE_EVERY", 0.1)
    log.sandbox.add_fault(action="slow", method="POST", path="/salesorders$", skip=2)
    told = "Results could not be written yet (no space left on device)"

    def look() -> None:
        deadline = time.monotonic() + 20
        while told not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)

    async def until_told(*_: Any, **__: Any) -> None:
        await asyncio.to_thread(look)

    monkeypatch.setattr(Exchange, "wait", until_told)
    write = Written.write

    def full_at_first(self: Written, part: Part) -> None:
        if not part.is_whole:
            raise OSError("no space left on device")
        write(self, part)

    monkeypatch.setattr(Written, "write", full_at_first)
    assert run.execute(creating(items(4), concurrency=1, results_path=str(tmp_path)))["done"] == 4
    assert told in caplog.text
    (part,) = tmp_path.glob("*.jsonl")
    assert len(part.read_text().splitlines()) == 4

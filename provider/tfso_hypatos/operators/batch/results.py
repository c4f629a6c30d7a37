"""What becomes of the results of a batch: collected for the XCom, or written as files of JSON lines."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from airflow.sdk import ObjectStoragePath

from tfso_hypatos.clients.messages import encode
from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.flows.digests import digest
from tfso_hypatos.operators.arguments import TaskIdentity
from tfso_hypatos.operators.batch.folder import (
    MANIFEST,
    SUFFIX,
    claim_of,
    is_of_another,
    last_finished,
    manifest,
    names_in,
    prefix_of,
    results_in,
    written_files,
)
from tfso_hypatos.operators.batch.items import HASH_SIZE, Job, Plan

log = logging.getLogger(__name__)

PART_SIZE = 1000
"""Results in one file at most."""

LOCAL = ("", "file", "local")
"""Protocols of this machine's files, which are there as soon as they are begun; objects only once they are whole."""


@dataclass(frozen=True)
class Counts:
    """How far a batch is.

    :param total: orders in it.
    :param done: orders that this try has done.
    :param failed: orders that failed.
    :param skipped: orders that an earlier try had done, or that repeat another one in everything.
    """

    total: int
    done: int
    failed: int
    skipped: int

    @property
    def open(self) -> int:
        """Orders that were not tried, or not yet."""
        return self.total - self.done - self.failed - self.skipped


class Part(NamedTuple):
    """A file of results.

    :param name: its name.
    :param text: the lines.
    :param number: its number among the files of the try.
    :param is_whole: whether no more results will be in it.
    """

    name: str
    text: str
    number: int = 0
    is_whole: bool = True


class Collected:
    """Results in memory, returned in the order of the items.

    :param plan: which items repeat others.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._results: dict[int, dict[str, Any]] = {}

    @property
    def from_earlier_tries(self) -> bool:
        """Whether earlier tries have done orders: they left nothing."""
        return False

    def has(self, job: Job) -> bool:  # noqa: ARG002 - as those that are written
        """Say whether an earlier try has done this order: it left nothing."""
        return False

    def add(self, position: int, job: Job, result: Mapping[str, Any]) -> None:
        """Keep a result."""
        self._results[position] = {**job.labels, **result}

    def take(self, least: int) -> Part | None:  # noqa: ARG002 - as those that are written
        """Return nothing: nothing is written."""
        return None

    def unsaved(self) -> Part | None:
        """Return nothing: nothing is written."""
        return None

    def write(self, part: Part) -> None:
        """Write nothing."""

    def outcome(self, counts: Counts) -> list[dict[str, Any]]:
        """Return what the task hands on: the result of every order that did not fail."""
        repeats = self._plan.repeats
        places = (repeats.get(position, position) for position in range(counts.total))
        return [self._results[place] for place in places if place in self._results]


class Written:
    """Results in files, one more for every so many results.

    A line is the task's result for one order, with ``input_hash`` beside it. A try that succeeds leaves a manifest,
    which names the inputs whose results count. What earlier tries of the same task wrote is done, until one has
    succeeded: a try after that one was asked to look at every order again, and what was written before it counts no
    more.

    :param path: the folder.
    :param identity: whose results they are.
    :raises InvalidInput: if the folder holds the results of another task or run.
    """

    def __init__(self, path: str, identity: TaskIdentity) -> None:
        self._folder = ObjectStoragePath(path)
        self._local = self._folder.protocol in LOCAL
        mine = digest(12, identity.dag_id, identity.run_id, identity.task_id, identity.map_index)
        names = self._names(mine)
        files = written_files(names)
        generation = last_finished(files) + 1
        claim = claim_of(mine, generation)
        if claim not in names:
            self._claim(claim, mine, identity)
        # Another process may believe to be this try, too: no two write the same file.
        self._prefix = prefix_of(mine, generation, identity.try_number, secrets.token_hex(4))
        self._number = 0
        self._buffer: list[str] = []
        self._saved = 0
        self._writing = threading.Lock()
        parts = [file.name for file in files if file.generation == generation]
        self._done = {str(result["input_hash"]) for part in parts for _, result in results_in(self._folder / part)}
        self._counting = bytearray()
        self._empty = not parts

    def _names(self, mine: str) -> list[str]:
        names = names_in(self._folder) if self._folder.is_dir() else []
        if any(is_of_another(name, mine) for name in names):
            rule = (
                "holds files of another task or run: give every task and run a folder of its own (use {{ run_id }}, "
                "and for a mapped task {{ ti.map_index }})"
            )
            raise InvalidInput([Problem("results_path", rule)])
        return names

    def _claim(self, claim: str, mine: str, identity: TaskIdentity) -> None:
        """Say whose folder it is, then look again: of two that begin at once, at least one finds the other there."""
        self._put(claim, f"{encode(asdict(identity)).decode()}\n")
        # What was listed a moment ago may have been kept.
        self._folder.fs.invalidate_cache()
        try:
            self._names(mine)
        except InvalidInput:
            (self._folder / claim).unlink()
            raise

    @property
    def from_earlier_tries(self) -> bool:
        """Whether earlier tries have done orders."""
        return bool(self._done)

    def has(self, job: Job) -> bool:
        """Say whether an earlier try has done this very order."""
        if not self.from_earlier_tries or job.input_hash not in self._done:
            return False
        self._counting += job.input_hash.encode()
        return True

    def add(self, position: int, job: Job, result: Mapping[str, Any]) -> None:  # noqa: ARG002 - as those in memory
        """Keep a result until it is written."""
        input_hash = job.input_hash
        self._counting += input_hash.encode()
        line = encode({**job.labels, **result, "input_hash": input_hash})
        self._buffer.append(f"{line.decode()}\n")

    def take(self, least: int) -> Part | None:
        """Return the next file to be written, if there are so many results for it.

        :param least: so many; with 0 the end has come.
        """
        # Even a batch of nothing leaves a file, so that the next task finds a folder.
        wanted = len(self._buffer) >= least if least else bool(self._buffer) or self._empty
        if not wanted:
            return None
        part = self._part(is_whole=True)
        self._number += 1
        self._buffer.clear()
        self._saved = 0
        self._empty = False
        return part

    def unsaved(self) -> Part | None:
        """Return the file that is not full yet, if there are results in it that have not been written."""
        if self._saved == len(self._buffer):
            return None
        self._saved = len(self._buffer)
        return self._part(is_whole=False)

    def _part(self, *, is_whole: bool) -> Part:
        name = f"{self._prefix}-{self._number:05d}{SUFFIX}"
        return Part(name, "".join(self._buffer), self._number, is_whole)

    def write(self, part: Part) -> None:
        """Write a file, which is there whole or not at all; once more if it holds more results now."""
        # Threads may come in another order than their parts were made in.
        with self._writing:
            if part.is_whole or part.number == self._number:
                self._put(part.name, part.text)

    def outcome(self, counts: Counts) -> dict[str, Any]:
        """Note which results count, and return what the task hands on: how many there are, and where."""
        hashes = self._counting.decode()
        each = (hashes[start : start + HASH_SIZE] for start in range(0, len(hashes), HASH_SIZE))
        self._put(f"{self._prefix}{MANIFEST}", manifest(each))
        return {**asdict(counts), "results_path": str(self._folder)}

    def _put(self, name: str, text: str) -> None:
        if not self._local:
            (self._folder / name).write_text(text, encoding="utf-8")
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f".{name}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.rename(self._folder / name)

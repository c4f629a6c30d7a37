"""Folders of JSON lines; and those that a batch wrote, of which only what its last finished try stands for counts."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from airflow.sdk import ObjectStoragePath

from tfso_hypatos.clients.messages import decode, encode
from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.words import counted, is_or_are

log = logging.getLogger(__name__)

SUFFIX = ".jsonl"

MANIFEST = ".json"
"""Suffix of the file that a try leaves at its successful end: which results count."""

CLAIM = "-task.claim"
"""What the name of the file ends with that says whose folder it is, from before the first result on."""

CLAIMED = re.compile(rf"([a-z2-7]{{12}})-g(\d{{3,}}){re.escape(CLAIM)}")
"""The name of such a file: whose folder it is, and the generation that was begun."""

WRITTEN = re.compile(r"([a-z2-7]{12})-g(\d{3,})-(\d{3,})-[0-9a-f]{8}(?:-\d{5}\.jsonl|\.json)")


class WrittenFile(NamedTuple):
    """The name of a file that a batch wrote.

    :param name: the name.
    :param owner: short hash of the task instance.
    :param generation: the tries up to the first one that succeeded have 1, those after it, in a cleared task, 2.
    :param try_number: the try.
    """

    name: str
    owner: str
    generation: int
    try_number: int

    @property
    def is_manifest(self) -> bool:
        """Whether it says which results count, and holds none."""
        return self.name.endswith(MANIFEST)


def prefix_of(owner: str, generation: int, try_number: int, unique: str) -> str:
    """Return what the names of all files of a try begin with."""
    return f"{owner}-g{generation:03d}-{try_number:03d}-{unique}"


def claim_of(owner: str, generation: int) -> str:
    """Return the name of the file that says that a generation was begun, before any result of it is written."""
    return f"{owner}-g{generation:03d}{CLAIM}"


def begun(names: Iterable[str]) -> dict[str, int]:
    """Return the last generation that each owner of a folder has begun."""
    found: dict[str, int] = {}
    for match in filter(None, map(CLAIMED.fullmatch, names)):
        found[match[1]] = max(found.get(match[1], 0), int(match[2]))
    return found


def is_of_another(name: str, owner: str) -> bool:
    """Say whether a file in a folder of results is that of another task or run."""
    return name.endswith((SUFFIX, CLAIM)) and not name.startswith(f"{owner}-")


def names_in(folder: ObjectStoragePath) -> list[str]:
    """Return the names of the files in a folder in their order, without those that are being written."""
    names = sorted(PurePosixPath(str(each)).name for each in folder.iterdir())
    return [name for name in names if not name.startswith(".")]


def written_files(names: Iterable[str]) -> list[WrittenFile]:
    """Return those of the names that are of files that batches wrote."""
    found = ((name, WRITTEN.fullmatch(name)) for name in names)
    return [WrittenFile(name, match[1], int(match[2]), int(match[3])) for name, match in found if match]


def last_finished(files: Iterable[WrittenFile]) -> int:
    """Return the generation of the last try that ended successfully, or 0."""
    return max((file.generation for file in files if file.is_manifest), default=0)


def lines_of(file: Any, errors: str = "strict") -> Iterator[str]:
    """Return the lines of a text file, of which no more than a block is in memory."""
    with file.open("r", encoding="utf-8-sig", errors=errors) as lines:
        yield from lines


def results_in(file: ObjectStoragePath) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Return the results in a file with the numbers of their lines; without lines that are cut off or damaged."""
    for number, line in enumerate(lines_of(file, errors="replace"), 1):
        if not line.strip():
            continue
        try:
            result = decode(line)
        except ValueError:
            result = None
        if isinstance(result, Mapping) and isinstance(result.get("input_hash"), str) and "\ufffd" not in line:
            yield number, result
        else:
            log.warning("%s line %d is no result and is passed over; it was cut off or changed", file.name, number)


def manifest(input_hashes: Iterable[str]) -> str:
    """Return the text of a manifest."""
    return f"{encode({'input_hashes': sorted(set(input_hashes))}).decode()}\n"


@dataclass
class Lines:
    """A file, and which of its lines are items.

    :param file: the file.
    :param counting: tells the results that count, if a batch wrote the file.
    """

    file: ObjectStoragePath
    counting: Counting | None = None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        if self.counting is None:
            lines = enumerate(lines_of(self.file), 1)
            yield from ((number, line) for number, line in lines if line.strip())
            return
        for number, result in results_in(self.file):
            if self.counting.counts(result["input_hash"]):
                yield number, result


@dataclass
class Counting:
    """The results of a batch that its last finished try stands for.

    :param folder: where they are.
    :param input_hashes: what they are known by.
    """

    folder: ObjectStoragePath
    input_hashes: Iterable[str]
    _passes: int = 0
    _seen: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = dict.fromkeys(self.input_hashes, 0)
        self.input_hashes = ()

    def begin(self) -> None:
        """Begin to read from the start."""
        self._passes += 1

    def counts(self, input_hash: str) -> bool:
        """Say whether the result counts, and note that it is there."""
        if input_hash not in self._seen:
            return False
        self._seen[input_hash] = self._passes
        return True

    def end(self) -> None:
        """Check that nothing is missing.

        :raises InvalidInput: if a result is.
        """
        missing = sum(seen != self._passes for seen in self._seen.values())
        if missing:
            of_all = f"{missing} of {counted(len(self._seen), 'result')} in {self.folder}"
            rule = f"{of_all} {is_or_are(missing)} gone: clear the task that wrote them"
            raise InvalidInput([Problem("path", rule)])


class Listing(NamedTuple):
    """What a folder, or a file alone, holds.

    :param files: the files, in the order of their names.
    :param batches: the batches that wrote some of them.
    """

    files: list[Lines]
    batches: list[Counting]


def items_at(path: ObjectStoragePath) -> Listing:
    """Return the files of JSON lines in a folder, or a file alone.

    :raises InvalidInput: if a batch that wrote the folder has not ended successfully, or the file is a part of one.
    """
    if path.is_dir():
        return items_in(path)
    if written_files([path.name]):
        rule = f"{path.name} is a part of the results of a task, and not all that it holds counts: give the folder"
        raise InvalidInput([Problem("path", rule)])
    return Listing([Lines(path)], [])


def items_in(folder: ObjectStoragePath) -> Listing:
    """Return the files of JSON lines in a folder.

    :raises InvalidInput: if a batch that wrote some of them has not ended successfully.
    """
    names = names_in(folder)
    files = {file.name: file for file in written_files(names)}
    claims = begun(names)
    counted = {}
    for owner in sorted(claims.keys() | {file.owner for file in files.values()}):
        own = [file for file in files.values() if file.owner == owner]
        counted[owner] = _counting(folder, own, claims.get(owner, 0))
    found = []
    for name in names:
        if not name.endswith(SUFFIX):
            continue
        if (file := files.get(name)) is None:
            found.append(Lines(folder / name))
        elif file.generation == counted[file.owner][0]:
            found.append(Lines(folder / name, counted[file.owner][1]))
    return Listing(found, [counting for _, counting in counted.values()])


def _counting(folder: ObjectStoragePath, files: list[WrittenFile], begun_last: int) -> tuple[int, Counting]:
    """Return the generation whose results count, and which of them do."""
    generation = last_finished(files)
    # One that was begun and has written nothing yet, or was killed before it could, is no empty success.
    if not generation or generation < max(begun_last, *(file.generation for file in files)):
        rule = (
            f"{folder} holds the results of a task that has not succeeded: let it succeed first, if need be without "
            "the orders that cannot be done (take them out of its input and clear it)"
        )
        raise InvalidInput([Problem("path", rule)])
    manifests = [file for file in files if file.is_manifest and file.generation == generation]
    last = max(file.try_number for file in manifests)
    first, *others = (_hashes(folder / file.name) for file in manifests if file.try_number == last)
    if any(other != first for other in others):
        rule = f"{folder} holds the results of two processes that took different orders: clear the task that wrote them"
        raise InvalidInput([Problem("path", rule)])
    return generation, Counting(folder, first)


def _hashes(file: ObjectStoragePath) -> list[str]:
    try:
        return [str(each) for each in decode(file.read_text(encoding="utf-8"))["input_hashes"]]
    except (ValueError, KeyError, TypeError):
        rule = f"{file} cannot be read: clear the task that wrote it"
        raise InvalidInput([Problem("path", rule)]) from None

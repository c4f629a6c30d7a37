"""The orders of a batch: read from a list or a file, and checked before anything is sent."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol

from airflow.sdk import ObjectStoragePath

from tfso_hypatos.clients.messages import decode
from tfso_hypatos.exceptions import ConfigurationError, InvalidInput, Problem
from tfso_hypatos.flows.intent import digest
from tfso_hypatos.hooks.base import ApiHook
from tfso_hypatos.operators.arguments import given, structured

MOST_PROBLEMS = 20
"""Broken rules that an error names; a file may hold the same mistake a hundred thousand times."""

SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Job:
    """One order of a batch, checked, and what is to be done with it.

    :param name: what a person calls it: its order key, its id, or its key in Hypatos.
    :param key: what no other order of the batch may share; two at once could not tell each other apart.
    :param content: fingerprint of what was asked for.
    :param labels: what its result is told apart by.
    :param run: does it and returns its result.
    """

    name: str
    key: str
    content: str
    labels: Mapping[str, str]
    run: Callable[[], Awaitable[dict[str, Any]]] = field(repr=False)

    @property
    def input_hash(self) -> str:
        """Short hash by which a later try knows that this very order is done."""
        return digest(16, self.key, self.content)


class Step(Protocol):
    """What is done with each order of a batch."""

    @property
    def hooks(self) -> Sequence[ApiHook]:
        """The hooks that requests go through."""

    def job(self, item: Any) -> Job:
        """Check an item and return what is to be done with it.

        :raises InvalidInput: naming every broken rule with its place.
        """


class Entry(NamedTuple):
    """One item as it was given, and where it stands."""

    position: int
    place: str
    given: Any

    def job(self, job_of: Callable[[Any], Job]) -> Job:
        """Return the checked item.

        :param job_of: checks it.
        :raises InvalidInput: with the place, and the name of the order if it has one.
        """
        item = self.given
        place = self.place
        try:
            if isinstance(item, str) and item.lstrip().startswith("{"):
                item = _decoded(item)
            place += _name_of(item)
            return job_of(item)
        except InvalidInput as error:
            raise InvalidInput([Problem(f"{place}: {at}", rule) for at, rule in error.problems]) from None


def _decoded(text: str) -> Any:
    try:
        return decode(text)
    except ValueError:
        raise InvalidInput([Problem("text", "is not JSON")]) from None


def _name_of(item: object) -> str:
    if not isinstance(item, Mapping):
        return ""
    names = (item.get(name) for name in ("order_key", "external_id", "sales_order_id"))
    return next((f" ({name!r})" for name in names if isinstance(name, str | int) and given(name)), "")


class Source(Protocol):
    """Where the items of a batch come from; they are read twice: to check them, and to do them."""

    def __iter__(self) -> Iterator[Entry]: ...


class ListSource:
    """Items that are in memory.

    :param items: the items.
    """

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Entry]:
        for position, item in enumerate(self._items):
            yield Entry(position, f"item {position + 1}", item)


class FileSource:
    """Items in a file of JSON lines, or in all such files of a folder, read line by line.

    :param path: the file or the folder, wherever Airflow's object storage can reach it.
    """

    def __init__(self, path: str) -> None:
        self._path = ObjectStoragePath(path)

    def __iter__(self) -> Iterator[Entry]:
        position = 0
        for file in self._files():
            for number, line in enumerate(self._lines(file), 1):
                if line.strip():
                    yield Entry(position, f"item {position + 1}, {file.name} line {number}", line)
                    position += 1

    def _files(self) -> list[ObjectStoragePath]:
        return json_lines_in(self._path) if self._path.is_dir() else [self._path]

    def _lines(self, file: ObjectStoragePath) -> Iterator[str]:
        try:
            yield from lines_of(file)
        except FileNotFoundError:
            raise InvalidInput([Problem("path", f"there is no file {self._path}")]) from None
        except UnicodeDecodeError:
            raise InvalidInput([Problem("path", f"{file.name} is not text in UTF-8")]) from None


def lines_of(file: Any) -> Iterator[str]:
    """Return the lines of a text file, of which no more than a block is in memory."""
    with file.open("r", encoding="utf-8-sig") as lines:
        yield from lines


def json_lines_in(folder: ObjectStoragePath) -> list[ObjectStoragePath]:
    """Return the files of JSON lines in a folder, in the order of their names."""
    names = sorted(PurePosixPath(str(each)).name for each in folder.iterdir())
    return [folder / name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]


def source_of(orders: Any, path: Any) -> Source:
    """Return where the items of a batch come from.

    :param orders: a list, its JSON text, or what an earlier batch returned instead of one: where its results are.
    :param path: a file or a folder.
    :raises ConfigurationError: unless exactly one of both is given.
    :raises InvalidInput: if the orders are no list.
    """
    if given(orders) == given(path):
        raise ConfigurationError("either orders or path is needed, and not both")
    if given(path):
        return FileSource(str(path))
    items = structured(orders, "orders")
    if isinstance(items, Mapping) and given(items.get("results_path")):
        return FileSource(str(items["results_path"]))
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise InvalidInput([Problem("orders", f"a list of orders is needed, not {type(items).__name__}")])
    return ListSource(items)


@dataclass(frozen=True)
class Plan:
    """What is known of the orders of a batch once all of them were checked.

    :param total: how many there are.
    :param repeats: positions of items that repeat an earlier one in everything, and the position of that one.
    """

    total: int
    repeats: Mapping[int, int]


def check(source: Source, job_of: Callable[[Any], Job]) -> Plan:
    """Check every item; only short hashes of them are kept.

    :param source: the items.
    :param job_of: checks one.
    :raises InvalidInput: naming item, order, field and rule of everything that is wrong, up to :data:`MOST_PROBLEMS`.
    """
    found: list[Problem] = []
    wrong = total = 0
    positions: dict[int, int] = {}
    contents = array("Q")
    repeats: dict[int, int] = {}
    for entry in source:
        total += 1
        try:
            job = entry.job(job_of)
        except InvalidInput as error:
            contents.append(0)
            problems: Sequence[Problem] = error.problems
        else:
            contents.append(_short(job.content, 8))
            first = positions.setdefault(_short(job.key, 16), entry.position)
            same = contents[first] == contents[entry.position]
            problems = [] if same else [_other_content(entry, job, first)]
            if same and first != entry.position:
                repeats[entry.position] = first
        wrong += len(problems)
        found += problems[: MOST_PROBLEMS - len(found)]
    if wrong > len(found):
        found.append(Problem("orders", f"{wrong - len(found)} more rules are broken"))
    if found:
        raise InvalidInput(found)
    return Plan(total, repeats)


def _other_content(entry: Entry, job: Job, first: int) -> Problem:
    return Problem(f"{entry.place} ({job.name!r})", f"names the same order as item {first + 1}, with other content")


def _short(text: str, size: int) -> int:
    """Return a number of so many bytes that stands for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big")

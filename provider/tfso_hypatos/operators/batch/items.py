"""The orders of a batch, checked before anything is sent."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tfso_hypatos.clients.messages import Unreadable, decode_input
from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.flows.digests import digest
from tfso_hypatos.hooks.base import ApiHook
from tfso_hypatos.operators.arguments import given
from tfso_hypatos.words import counted, is_or_are

MOST_PROBLEMS = 20
"""Broken rules that an error names; a file may hold the same mistake a hundred thousand times."""

HASH_SIZE = 16
"""Characters by which the input of a result is known."""

CHANGED = "is not what it was when everything was checked: the file was changed while it was read; clear the task"
"""The rule that an item breaks if the file is another one the second time."""


@dataclass(frozen=True)
class Job:
    """One order of a batch, checked, and what is to be done with it.

    :param name: what a person calls it: its order key, its id, or its key in Hypatos.
    :param key: what no other order of the batch may share; two at once could not tell each other apart.
    :param content: fingerprint of what was asked for.
    :param labels: the ids by which its result, or its failure, is told apart.
    :param run: does it and returns its result.
    :param origin: fingerprint of the order that the item is an earlier task's result of, and of what was asked for
        beyond that result; empty if it is no such result. Tries that overlap leave one each, with other content.
    :param held: whether that result names a holder.
    """

    name: str
    key: str
    content: str
    labels: Mapping[str, Any]
    run: Callable[[], Awaitable[dict[str, Any]]] = field(repr=False)
    origin: str = ""
    held: bool = False

    @property
    def input_hash(self) -> str:
        """Short hash by which a later try knows that this very order is done."""
        return digest(HASH_SIZE, self.key, self.content)


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
        return decode_input(text)
    except Unreadable as error:
        raise InvalidInput([Problem("text", str(error))]) from None


def _name_of(item: object) -> str:
    if not isinstance(item, Mapping):
        return ""
    names = (item.get(name) for name in ("order_key", "external_id", "sales_order_id"))
    return next((f" ({name!r})" for name in names if isinstance(name, str | int) and given(name)), "")


@dataclass(frozen=True)
class Plan:
    """What is known of the orders of a batch once all of them were checked.

    :param total: how many there are.
    :param repeats: positions of items that another one stands for, and the position of that one: it is the same in
        everything, or the result that another try of the earlier task had for the same order.
    :param marks: short hashes of the items, by their positions.
    """

    total: int
    repeats: Mapping[int, int]
    marks: Sequence[int]

    def confirm(self, entry: Entry, job_of: Callable[[Any], Job]) -> Job:
        """Return the checked item, which is read for the second time.

        :param entry: the item.
        :param job_of: checks it.
        :raises InvalidInput: if another one was there when everything was checked.
        """
        try:
            job = entry.job(job_of)
        except InvalidInput:
            raise InvalidInput([Problem(entry.place, CHANGED)]) from None
        if entry.position >= self.total or self.marks[entry.position] != _mark(job):
            raise InvalidInput([Problem(entry.place, CHANGED)])
        return job

    def confirm_end(self, count: int) -> None:
        """Check that as many items came the second time.

        :raises InvalidInput: if some are gone.
        """
        if count < self.total:
            raise InvalidInput([Problem(f"item {count + 1}", CHANGED)])


def check(source: Iterable[Entry], job_of: Callable[[Any], Job]) -> Plan:
    """Check every item; only short hashes of them are kept.

    :param source: the items.
    :param job_of: checks one.
    :raises InvalidInput: naming item, order, field and rule of everything that is wrong, up to :data:`MOST_PROBLEMS`.
    """
    found: list[Problem] = []
    wrong = 0
    seen = _Seen()
    for entry in source:
        try:
            job = entry.job(job_of)
        except InvalidInput as error:
            seen.skip()
            problems: Sequence[Problem] = error.problems
        else:
            other = seen.add(job)
            problems = [] if other is None else [_other_content(entry, job, other)]
        wrong += len(problems)
        found += problems[: MOST_PROBLEMS - len(found)]
    if wrong > len(found):
        more = wrong - len(found)
        found.append(Problem("orders", f"{counted(more, 'more rule')} {is_or_are(more)} broken"))
    if found:
        raise InvalidInput(found)
    return Plan(len(seen), seen.repeats(), seen.marks)


class _Seen:
    """What is kept of the items that were checked: three numbers for each."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.marks = array("Q")
        self._origins = array("Q")
        self._held = bytearray()
        self._instead: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.marks)

    def skip(self) -> None:
        """Note an item that is wrong."""
        self._note(0, 0, False)

    def add(self, job: Job) -> int | None:
        """Note an item, and return the position of one that names the same order and asks for something else."""
        position = len(self)
        self._note(_mark(job), _short(job.origin, 8) if job.origin else 0, job.held)
        key = _short(job.key, 16)
        counts = self._counts.setdefault(key, position)
        if counts == position:
            return None
        if self.marks[counts] == self.marks[position]:
            self._instead[position] = counts
            return None
        if not job.origin or self._origins[counts] != self._origins[position]:
            return counts
        # Results of two tries that overlapped. One that names no holder lets nobody go on under a holder that the other
        # try may be; of two alike, the later one looked later.
        if self._held[position] and not self._held[counts]:
            self._instead[position] = counts
        else:
            self._instead[counts] = self._counts[key] = position
        return None

    def repeats(self) -> dict[int, int]:
        """Return the positions of items that others stand for, and the position of each one's other."""
        return {position: self._last(position) for position in self._instead}

    def _last(self, position: int) -> int:
        while position in self._instead:
            position = self._instead[position]
        return position

    def _note(self, mark: int, origin: int, held: bool) -> None:
        self.marks.append(mark)
        self._origins.append(origin)
        self._held.append(held)


def _other_content(entry: Entry, job: Job, first: int) -> Problem:
    return Problem(f"{entry.place} ({job.name!r})", f"names the same order as item {first + 1}, with other content")


def _mark(job: Job) -> int:
    """Return a number that stands for an order and what was asked for."""
    return _short(job.input_hash, 8)


def _short(text: str, size: int) -> int:
    """Return a number of so many bytes that stands for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big")

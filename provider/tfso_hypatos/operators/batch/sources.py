"""Where the orders of a batch come from: a list, a file or a folder."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from airflow.sdk import ObjectStoragePath

from tfso_hypatos.exceptions import ConfigurationError, InvalidInput, Problem
from tfso_hypatos.operators.arguments import given, structured
from tfso_hypatos.operators.batch.folder import Lines, Listing, items_at
from tfso_hypatos.operators.batch.items import Entry, Plan

READ_AHEAD = 100
"""Items that are read at once."""

SHUFFLED = 5000
"""Items that are in memory at once where their order is changed."""


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
        self._listed: Listing | None = None

    def __iter__(self) -> Iterator[Entry]:
        position = 0
        files, batches = self._files()
        for batch in batches:
            batch.begin()
        for lines in files:
            for number, item in self._items(lines):
                yield Entry(position, f"item {position + 1}, {lines.file.name} line {number}", item)
                position += 1
        for batch in batches:
            batch.end()

    def _files(self) -> Listing:
        # Listed once: a file that an earlier task's lost try adds later must not move the places of the items.
        if self._listed is None:
            self._listed = items_at(self._path)
        return self._listed

    def _items(self, lines: Lines) -> Iterator[tuple[int, Any]]:
        try:
            yield from lines
        except FileNotFoundError:
            raise InvalidInput([Problem("path", f"there is no file {lines.file}")]) from None
        except UnicodeDecodeError:
            raise InvalidInput([Problem("path", f"{lines.file.name} is not text in UTF-8")]) from None


def source_of(orders: Any, path: Any) -> ListSource | FileSource:
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
    # The outputs of a mapped task are fetched from Airflow one by one as they are asked for; here, all at once.
    return ListSource(list(items[:]))


def shuffled(entries: Iterable[Entry], size: int = SHUFFLED) -> Iterator[Entry]:
    """Yield entries in another order, of which so many are in memory.

    :param entries: the entries.
    :param size: entries out of which each next one is drawn.
    """
    drawn_from: list[Entry] = []
    for entry in entries:
        if len(drawn_from) < size:
            drawn_from.append(entry)
        else:
            place = random.randrange(size)  # noqa: S311 - a fair order, and no secret
            drawn_from[place], drawn = entry, drawn_from[place]
            yield drawn
    random.shuffle(drawn_from)
    yield from drawn_from


class Reader:
    """Hands out the items of a batch, once, while many work on them.

    :param source: the items.
    :param plan: what the check found out of them.
    :param again: whether an earlier try may have failed because of the first of them: then their order is another one,
        so that those that fail again do not keep it from those that nobody has tried.
    """

    def __init__(self, source: Iterable[Entry], plan: Plan, *, again: bool) -> None:
        self._entries = iter(shuffled(source) if again else source)
        self._plan = plan
        self._ahead: deque[Entry] = deque()
        self._reading = asyncio.Lock()
        self._count = 0

    async def next(self) -> Entry | None:
        """Return the next item, or None after the last.

        :raises InvalidInput: if items are gone that were there when everything was checked.
        """
        # Reading may wait for a storage far away, and the loop must not: in a thread, and not one by one.
        async with self._reading:
            if not self._ahead:
                self._ahead.extend(await asyncio.to_thread(lambda: list(islice(self._entries, READ_AHEAD))))
                self._count += len(self._ahead)
                if not self._ahead:
                    self._plan.confirm_end(self._count)
            return self._ahead.popleft() if self._ahead else None

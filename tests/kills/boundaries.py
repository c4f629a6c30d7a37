"""Where a process kills itself: around its n-th request, and around what it tells Airflow."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn
from unittest import mock

import aiohttp
import requests
import urllib3.connection
from airflow.sdk import ObjectStoragePath

REQUESTS: Final = {
    "before": "before the request is sent",
    "sent": "as soon as it is sent: it may or may not be carried out",
    "late": "while the server is still at work: it is carried out after the kill",
    "unread": "after it was carried out, with the answer not read",
    "read": "after the answer was read, before anything follows from it",
}
"""Boundaries around the n-th request of a try, tokens included; -n means its n-th request that changes something."""

REPORTS: Final = {
    "unkept": "before the order's id is kept in the state store",
    "kept": "after the order's id was kept",
    "unpushed": "when all is done, before the result is pushed",
    "pushed": "after the result was pushed, before the task is reported as finished",
}
"""Boundaries around what a try tells Airflow, in the order in which they come."""

FILES: Final = {
    "unwritten": "before the n-th file in the folder of results is written",
    "unnamed": "after it was written, before it has its name",
    "named": "after it has its name",
}
"""Boundaries around the n-th file that a batch writes; the last one says which results count."""

LATE_AFTER: Final = 0.02
"""Seconds after sending at which a process dies whose request is carried out late."""


def die() -> NoReturn:
    """Kill this process the way the kernel's out-of-memory killer does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def hook(boundary: str, at: int) -> None:
    """Make this process kill itself at a boundary around its n-th request.

    :param boundary: one of ``REQUESTS``; any other does nothing.
    :param at: the number of the request, counted from 1; negative: of the request that changes something.
    """
    sends = changes = 0
    here = False
    send = requests.Session.send
    receive: Callable[..., Any] = urllib3.connection.HTTPConnection.getresponse

    def counted_send(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        nonlocal sends, changes, here
        is_change = (request.body or b"")[:1] == b"{"
        sends, changes = sends + 1, changes + is_change
        here = sends == at or (is_change and changes == -at)
        if here and boundary == "before":
            die()
        answer = send(session, request, **options)
        if here and boundary == "read":
            die()
        return answer

    def late_receive(connection: urllib3.connection.HTTPConnection) -> Any:
        if here and boundary == "sent":
            die()
        if here and boundary == "late":
            time.sleep(LATE_AFTER)
            die()
        if here and boundary == "unread":
            select.select([connection.sock], [], [], 10)
            die()
        return receive(connection)

    mock.patch.object(requests.Session, "send", counted_send).start()
    mock.patch.object(urllib3.connection.HTTPConnection, "getresponse", late_receive).start()


def hook_async(boundary: str, at: int) -> None:
    """Make this process kill itself at a boundary around its n-th request, of those that an event loop sends.

    :param boundary: one of ``REQUESTS``; any other does nothing.
    :param at: as for :func:`hook`. Other requests may be on their way at that moment.
    """
    sends = changes = 0
    chosen: list[aiohttp.ClientResponse] = []
    send, start, read = aiohttp.ClientRequest.send, aiohttp.ClientResponse.start, aiohttp.ClientResponse.read

    async def counted_send(request: aiohttp.ClientRequest, connection: Any) -> aiohttp.ClientResponse:
        nonlocal sends, changes
        is_change = isinstance(request.body, aiohttp.BytesPayload) and request.body.decode().startswith("{")
        sends, changes = sends + 1, changes + is_change
        here = sends == at or (is_change and changes == -at)
        if here and boundary == "before":
            die()
        answer = await send(request, connection)
        if here:
            chosen.append(answer)
        return answer

    async def late_start(answer: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
        here = answer in chosen
        if here and boundary in {"sent", "late"}:
            # Until the task that writes the body has run.
            await asyncio.sleep(LATE_AFTER if boundary == "late" else 0)
            die()
        started = await start(answer, connection)
        if here and boundary == "unread":
            die()
        return started

    async def last_read(answer: aiohttp.ClientResponse) -> bytes:
        body = await read(answer)
        if answer in chosen and boundary == "read":
            die()
        return body

    mock.patch.object(aiohttp.ClientRequest, "send", counted_send).start()
    mock.patch.object(aiohttp.ClientResponse, "start", late_start).start()
    mock.patch.object(aiohttp.ClientResponse, "read", last_read).start()


def hook_files(boundary: str, at: int) -> None:
    """Make this process kill itself at a boundary around the n-th file of results that it writes.

    :param boundary: one of ``FILES``; any other does nothing.
    :param at: the number of the file, counted from 1.
    """
    numbers: dict[str, int] = {}
    write, rename = ObjectStoragePath.write_text, ObjectStoragePath.rename

    def die_at(path: ObjectStoragePath, here: str) -> None:
        if numbers[path.name] == at and boundary == here:
            die()

    def counted_write(path: ObjectStoragePath, *arguments: Any, **options: Any) -> int:
        numbers[path.name] = len(numbers) + 1
        die_at(path, "unwritten")
        size: int = write(path, *arguments, **options)
        return size

    def watched_rename(path: ObjectStoragePath, *arguments: Any, **options: Any) -> Any:
        die_at(path, "unnamed")
        renamed = rename(path, *arguments, **options)
        die_at(path, "named")
        return renamed

    mock.patch.object(ObjectStoragePath, "write_text", counted_write).start()
    mock.patch.object(ObjectStoragePath, "rename", watched_rename).start()
    # A file for each order, so that there are some before the last.
    mock.patch("tfso_hypatos.operators.batch.run.PART_SIZE", 1).start()

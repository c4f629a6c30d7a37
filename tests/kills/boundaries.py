"""Where a process kills itself: around its n-th request, and around what it tells Airflow."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn
from unittest import mock

import requests
import urllib3.connection

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

"""Time that passes in a moment: a pause is skipped by setting all clocks forward."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tfso_hypatos.clients import clock
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.sandbox.state import Clock

PASSES = 0.1
"""Seconds of a pause that pass for real, so that what a fault lets the sandbox do late is done meanwhile."""


def skip_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sync driver's waits pass at once, for the product's clock and for the sandbox's alike.

    So a test can have the settle time of the product, which no slow machine exceeds, and need not wait for it. It is
    for one flow at a time: who skips a pause makes the looks of all others old.
    """
    ahead = 0.0
    now, server_now, sleep = clock.now, Clock.now, SyncTransport._sleep

    def skip(transport: SyncTransport, seconds: float) -> None:
        nonlocal ahead
        sleep(transport, min(seconds, PASSES))
        ahead += max(0.0, seconds - PASSES)

    def of_server(server: Any) -> datetime.datetime:
        return server_now(server) + datetime.timedelta(seconds=round(ahead, 3))

    monkeypatch.setattr(clock, "now", lambda: now() + ahead)
    monkeypatch.setattr(Clock, "now", of_server)
    monkeypatch.setattr(SyncTransport, "_sleep", skip)

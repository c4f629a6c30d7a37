"""What the tests of triggers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tests.invoiced import order_id, waiting_id
from tests.triggers.transactions import Looks
from tests.triggers.waits import Books, Lookups, Stepped

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.flows import sweep
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.triggers import invoice_transaction, opening, sales_order_invoiced, turn
from tfso_hypatos.triggers import poller as polling

if TYPE_CHECKING:
    from tfso_hypatos.sandbox.server import Sandbox

__all__ = ["order_id", "waiting_id"]


@pytest.fixture
def books(sandbox: Sandbox) -> Books:
    """Return the sandbox's books."""
    return Books(sandbox)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rounds follow one another at once, and let waits gather for a moment."""
    monkeypatch.setattr(invoice_transaction, "SHORTEST_INTERVAL", 0.01)
    monkeypatch.setattr(turn, "GATHERING", 0.02)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every single request fail at once, so that only the trigger's own waits are seen."""
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))


@pytest.fixture
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a sweep of a few orders take a few short intervals."""
    monkeypatch.setattr(sweep, "READS_AN_HOUR", 3_600_000)


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rounds come only when a test says so."""
    monkeypatch.setattr(polling, "Turn", Stepped)


@pytest.fixture
def quick_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection that cannot be read be given up after a part of a second."""
    monkeypatch.setattr(opening, "OPENING_BACK_OFF", 0.01)
    monkeypatch.setattr(opening, "OPENING_PATIENCE", 0.05)


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Lookups:
    """Count the look-ups of connections, and let them fail as a test says."""
    return Lookups(monkeypatch)


@pytest.fixture
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the looks for posted invoices follow one another at once."""
    monkeypatch.setattr(sales_order_invoiced, "SHORTEST_INTERVAL", 0.001)


@pytest.fixture
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the looks at one invoice follow one another at once, and the first begin at once."""
    monkeypatch.setattr(invoice_transaction, "SHORTEST_INTERVAL", 0.001)
    monkeypatch.setattr(turn, "GATHERING", 0.001)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Return the looks that a test takes."""
    return Looks(monkeypatch)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """Return the sessions of the transports that hooks gave out."""
    found: list[aiohttp.ClientSession] = []
    atransport = TfsoHook.atransport

    async def watched(hook: TfsoHook) -> Any:
        transport = await atransport(hook)
        found.append(transport.session)
        return transport

    monkeypatch.setattr(TfsoHook, "atransport", watched)
    return found

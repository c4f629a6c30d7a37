"""What goes wrong while the trigger waits for one invoice, and how it goes on or ends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.triggers.transactions import PATIENCE, Looks, events, running, trigger
from tests.triggers.waits import until

from tfso_hypatos.exceptions import RateLimited, ServerError
from tfso_hypatos.triggers import opening, turn
from tfso_hypatos.triggers.back_off import back_off
from tfso_hypatos.triggers.turn import Turn

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections", "short_interval")


async def test_a_permanent_401_ends_the_wait_without_a_storm(waiting_id: int, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="unauthorized", method="GET", times=10_000)
    before = len(sandbox.requests())
    (event,) = await asyncio.wait_for(events(trigger(waiting_id)), PATIENCE)
    assert (event.payload["status"], event.payload["kind"]) == ("error", "AuthenticationFailed")
    assert len(sandbox.requests()) - before <= 6


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status_before", "status": 503},
        {"action": "status_before", "status": 502, "html": True},
        {"action": "drop_before"},
        {"action": "truncate"},
        {"action": "rate_limit"},
    ],
    ids=lambda fault: f"{fault['action']}{fault.get('status', '')}",
)
async def test_a_service_in_trouble_is_asked_ever_more_rarely(
    waiting_id: int, sandbox: Any, log: Log, looks: Looks, fault: dict[str, Any]
) -> None:
    sandbox.add_fault(**fault, method="GET", times=10_000)
    before = len(log.sent("GET"))
    async with running(trigger(waiting_id, poke_interval=0.03)) as found:
        await looks.come(4)
    assert found == []
    assert all(gap >= least for gap, least in zip(looks.gaps, (0.06, 0.12, 0.24), strict=False)), looks.gaps
    # aiohttp itself repeats a read once when the connection breaks.
    assert len(log.sent("GET")) - before <= len(looks.at) * (2 if fault["action"] == "drop_before" else 1)


async def test_a_service_in_trouble_is_no_storm_with_the_ordinary_patience(
    waiting_id: int, sandbox: Any, log: Log, looks: Looks
) -> None:
    sandbox.add_fault(action="status_before", status=503, method="GET", times=10_000)
    before = len(log.sent("GET"))
    async with running(trigger(waiting_id)) as found:
        await until(lambda: len(log.sent("GET")) - before >= 2)
    assert found == []
    # It is the request that is repeated, and not the look.
    assert len(looks.at) == 1


@pytest.mark.usefixtures("impatient")
async def test_trouble_that_is_over_is_forgotten(order_id: int, sandbox: Any) -> None:
    sandbox.add_fault(action="status_before", status=503, method="GET", times=2)
    (event,) = await asyncio.wait_for(events(trigger(order_id)), PATIENCE)
    assert event.payload["status"] == "posted"


@pytest.mark.usefixtures("impatient")
async def test_the_wait_that_the_server_asks_for_is_kept(
    waiting_id: int, sandbox: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[float] = []
    ends = Turn.ends

    def watched(self: Turn, **arguments: Any) -> None:
        held.append(arguments["held"])
        ends(self, **arguments)

    monkeypatch.setattr(Turn, "ends", watched)
    sandbox.add_fault(action="rate_limit", retry_after=30, method="GET", times=10_000)
    before = len(log.sent("GET"))
    async with running(trigger(waiting_id, poke_interval=0.01)):
        await until(lambda: held)
    assert held == [30.0]
    assert len(log.sent("GET")) - before == 1


def test_the_longest_back_off_is_ten_minutes() -> None:
    trouble = ServerError("503", status=503)
    assert [back_off(60.0, failures, trouble) for failures in (1, 2, 3, 4, 14)] == [120, 240, 480, 600, 600]
    assert back_off(3600.0, 5, trouble) == 3600
    assert back_off(60.0, 1, RateLimited("429", status=429, retry_after=300)) == 300


@pytest.mark.usefixtures("impatient")
async def test_a_token_url_in_trouble_is_waited_for(connections: Connections, free_port_url: str, looks: Looks) -> None:
    connections.tfso(extra={"token_url": f"{free_port_url}/token"})
    async with running(trigger(7)) as found:
        await looks.come(3)
    assert found == []


async def test_a_wrong_connection_is_one_error_event(connections: Connections) -> None:
    connections.tfso(password=None)
    (event,) = await events(trigger(7))
    assert (event.payload["status"], event.payload["kind"]) == ("error", "ConfigurationError")
    assert "lacks password" in event.payload["message"]


async def test_a_connection_that_is_not_there_is_one_error_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPENING_BACK_OFF", 0.001)
    monkeypatch.setattr(opening, "OPENING_PATIENCE", 0.01)
    (event,) = await events(trigger(7, tfso_conn_id="no_such_connection"))
    assert event.payload["status"] == "error"


async def test_a_failure_nobody_thought_of_is_one_error_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("hemmelig detail")

    monkeypatch.setattr(turn.Turn, "comes", broken)
    (event,) = await asyncio.wait_for(events(trigger(7)), PATIENCE)
    assert event.payload["status"] == "error"
    assert "hemmelig" not in json.dumps(event.payload)

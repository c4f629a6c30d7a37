"""What goes wrong while waits look together, and whom it reaches."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from tests.triggers.waits import (
    Books,
    a_round,
    answers,
    broken,
    cancel,
    done,
    pollers,
    step,
    transaction,
    until,
    waiting,
)

from tfso_hypatos.exceptions import AuthenticationFailed, ConfigurationError, TransactionNeverPosted
from tfso_hypatos.flows import watch
from tfso_hypatos.flows.transaction import look_at_transaction
from tfso_hypatos.flows.watch import Watch
from tfso_hypatos.triggers.poller import WaitFailed
from tfso_hypatos.triggers.turn import Turn

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

    from tfso_hypatos.sandbox.server import Sandbox

pytestmark = pytest.mark.usefixtures("connections", "short_waits", "impatient")


@pytest.mark.usefixtures("stepped")
async def test_one_order_that_is_gone_ends_only_its_own_waits(books: Books, log: Log, sandbox: Sandbox) -> None:
    ids = books.make(10)
    waits = await waiting(ids, seen_at=books.now())
    waits |= await waiting([999_999])
    books.set_inactive(ids[3])
    await a_round(log)
    assert done(waits) == [ids[3], 999_999]
    for order_id, said in ((ids[3], "set inactive"), (999_999, "deleted")):
        answer = waits[order_id].result()
        assert isinstance(answer, TransactionNeverPosted)
        assert said in str(answer)
    await cancel(waits.values())


@pytest.mark.usefixtures("stepped")
async def test_a_read_that_fails_loses_nothing_of_its_round(books: Books, log: Log, sandbox: Sandbox) -> None:
    ids = books.make(10)
    sandbox.configure(bare_lists=True)
    waits = await waiting(ids, seen_at=books.now())
    books.post(ids[:4])
    sandbox.add_fault(action="status_before", status=503, method="GET", path=f"/salesorders/{ids[1]}$")
    assert await a_round(log) == (1, 4)
    assert done(waits) == [ids[0], *ids[2:4]]
    # It is given a round of rest.
    await a_round(log)
    await a_round(log)
    assert done(waits) == ids[:4]
    await cancel(waits.values())


@pytest.mark.usefixtures("stepped")
async def test_a_server_in_trouble_is_held_off_and_loses_nothing(books: Books, log: Log, sandbox: Sandbox) -> None:
    ids = books.make(10)
    waits = await waiting(ids, seen_at=books.now())
    books.post(ids[:1])
    sandbox.add_fault(action="status_before", status=503, method="GET", times=2)
    held = [await step() for _ in range(3)]
    assert held == [120, 240, 0]
    await asyncio.sleep(0)
    assert done(waits) == ids[:1]
    await cancel(waits.values())


@pytest.mark.parametrize("count", [2, 10])
async def test_a_permanent_error_of_the_connection_reaches_all(
    books: Books, sandbox: Sandbox, log: Log, count: int
) -> None:
    waits = await waiting(books.make(count), 0.02, seen_at=books.now())
    await until(lambda: bool(log.sent("GET")))
    sandbox.add_fault(action="unauthorized", method="GET", times=10_000)
    before = len(log.sent("GET"))
    assert {type(each) for each in (await answers(waits)).values()} == {AuthenticationFailed}
    assert len(log.sent("GET")) - before <= 10
    assert pollers() == {}


async def test_a_permission_that_is_gone_reaches_all(books: Books, sandbox: Sandbox, log: Log) -> None:
    waits = await waiting(books.make(10), 0.02, seen_at=books.now())
    sandbox.add_fault(action="unauthorized", method="GET", times=1)
    sandbox.configure(missing_scopes=["api.invoicing.salesorder:read"])
    kinds = {type(each).__name__ for each in (await answers(waits)).values()}
    assert kinds == {"PermissionDenied"}


async def test_a_wrong_connection_reaches_all(connections: Connections) -> None:
    connections.tfso(password=None)
    waits = await waiting(range(1, 300))
    assert {type(each) for each in (await answers(waits)).values()} == {ConfigurationError}
    assert pollers() == {}


async def test_a_failure_nobody_thought_of_reaches_all(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Turn, "comes", broken)
        assert set((await answers(await waiting(range(1, 300)))).values()) == {WaitFailed("RuntimeError")}
    assert pollers() == {}
    (order_id,) = books.make(1)
    books.post([order_id])
    assert transaction((await answers(await waiting([order_id], 0.01)))[order_id])


@pytest.mark.usefixtures("stepped")
async def test_a_survey_that_fails_as_nobody_thought_of_is_tried_again(
    books: Books, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = books.make(10)
    waits = await waiting(ids, 60.0)
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "survey", broken)
        held = [await step() for _ in range(3)]
    assert held == [120, 240, 480]
    assert not done(waits)
    assert len([each for each in caplog.records if each.exc_info]) == 3
    assert "Could not look for transactions (RuntimeError, see above); looking again in 480 s" in caplog.text
    books.post(ids)
    await step()
    assert all(transaction(answer) for answer in (await answers(waits)).values())


@pytest.mark.usefixtures("stepped")
async def test_a_list_that_fails_as_nobody_thought_of_is_given_up_and_nothing_is_missed(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = books.make(10)
    seen_at = books.now()
    waits = await waiting(ids, 60.0, seen_at=seen_at)
    monkeypatch.setattr(Watch, "_note_listed", broken)
    books.post(ids)
    for _ in range(4):
        await step()
    assert all(transaction(answer) for answer in (await answers(waits)).values())


@pytest.mark.usefixtures("stepped")
@pytest.mark.parametrize("count", [3, 10])
async def test_a_failure_in_one_read_reaches_only_that_order(
    books: Books, log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    ids = books.make(count)
    look = look_at_transaction

    def broken(order_id: int) -> Any:
        if order_id == ids[1]:
            raise KeyError("hemmelig")
        return look(order_id)

    monkeypatch.setattr(watch, "look_at_transaction", broken)
    waits = await waiting(ids)
    again = await waiting(ids[1:2])
    await a_round(log)
    assert {waits[ids[1]].result(), again[ids[1]].result()} == {WaitFailed("KeyError")}
    assert [each.exc_info is not None for each in caplog.records if each.levelno == logging.ERROR] == [True]
    del waits[ids[1]]
    books.post(ids)
    await a_round(log)
    assert all(transaction(answer) for answer in (await answers(waits)).values())

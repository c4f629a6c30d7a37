"""All waits on one connection look together: at the wire, against the sandbox on loopback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from tests.triggers.waits import (
    Books,
    a_round,
    answers,
    cancel,
    done,
    poller,
    pollers,
    transaction,
    until,
    waiting,
)

from tfso_hypatos.models.tfso_read import SalesOrder
from tfso_hypatos.triggers.poller import WaitFailed

if TYPE_CHECKING:
    from tests.conftest import Log

    from tfso_hypatos.sandbox.server import Sandbox

pytestmark = pytest.mark.usefixtures("connections", "short_waits", "impatient")


@pytest.mark.usefixtures("stepped")
async def test_a_thousand_waits_cost_one_list_a_round(books: Books, log: Log, sandbox: Sandbox) -> None:
    ids = books.make(1000)
    waits = await waiting(ids, seen_at=books.now())
    assert await a_round(log) == (1, 0)
    assert await a_round(log) == (1, 0)
    books.post(ids[100:103])
    assert await a_round(log) == (1, 0)
    assert done(waits) == ids[100:103]
    sandbox.configure(bare_lists=True)
    books.post(ids[200:203])
    # Those of the round before are listed again, and nobody waits for them any more.
    assert await a_round(log) == (1, 3)
    assert done(waits) == ids[100:103] + ids[200:203]
    books.post(ids[400:650])
    lists, reads = await a_round(log)
    assert (lists, reads) == (3, 250)
    assert len(log.token_requests) == 1
    for order_id in done(waits):
        answer = waits[order_id].result()
        assert isinstance(answer, SalesOrder)
        assert answer.id == order_id
    await cancel(waits.values())
    assert pollers() == {}


@pytest.mark.usefixtures("stepped")
async def test_the_order_is_that_of_the_wait(books: Books, log: Log) -> None:
    ids = books.make(20)
    waits = await waiting(ids, seen_at=books.now())
    books.post(reversed(ids))
    await a_round(log)
    for order_id, answer in (await answers(waits)).items():
        assert isinstance(answer, SalesOrder)
        assert answer.id == order_id
        (invoice,) = [each for each in log.invoices if each["order_id"] == order_id]
        assert answer.transaction_id == invoice["transaction_id"]


@pytest.mark.usefixtures("stepped")
async def test_what_is_posted_between_the_look_and_the_wait_is_found(books: Books, log: Log) -> None:
    ids = books.make(11)
    waits = await waiting(ids[:10], seen_at=books.now())
    await a_round(log)
    seen_at = books.now()
    books.post(ids[10:])
    await a_round(log)
    late = await waiting(ids[10:], seen_at=seen_at)
    assert await a_round(log, early=True) == (0, 0)
    assert await a_round(log) == (1, 0)
    assert done(late) == ids[10:]
    await cancel(waits.values())


@pytest.mark.usefixtures("stepped")
async def test_a_wait_of_an_earlier_version_is_read_once(books: Books, log: Log) -> None:
    ids = books.make(120)
    books.post(ids[:1])
    waits = await waiting(ids)
    assert await a_round(log) == (0, 100)
    assert done(waits) == ids[:1]
    assert await a_round(log) == (1, 20)
    assert await a_round(log) == (1, 0)
    await cancel(waits.values())


@pytest.mark.usefixtures("stepped")
async def test_a_list_that_lags_loses_nothing(books: Books, log: Log, sandbox: Sandbox) -> None:
    ids = books.make(10)
    sandbox.configure(change_lag=60)
    waits = await waiting(ids, seen_at=books.now())
    books.post(ids[:1])
    await a_round(log)
    await a_round(log)
    assert done(waits) == []
    sandbox.configure(clock_offset=61)
    await a_round(log)
    assert done(waits) == ids[:1]
    await cancel(waits.values())


@pytest.mark.usefixtures("quick_sweep")
async def test_a_posting_that_does_not_touch_modified_at_is_found(books: Books, sandbox: Sandbox, log: Log) -> None:
    sandbox.configure(silent_posting=True)
    ids = books.make(10)
    waits = await waiting(ids, 0.02, seen_at=books.now())
    await until(lambda: len(log.sent("GET", "/salesorders")) >= 3)
    books.post(ids)
    assert all(transaction(answer) for answer in (await answers(waits)).values())


@pytest.mark.usefixtures("quick_sweep")
@pytest.mark.parametrize("setting", ["ignore_filters", "refuse_filters"])
async def test_a_list_of_no_use_is_asked_for_rarely(
    books: Books, log: Log, sandbox: Sandbox, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.configure(**{setting: ["modifiedFrom"]})
    ids = books.make(300)[:10]
    waits = await waiting(ids, 0.02, seen_at=books.now())
    await until(lambda: len(log.sent("GET")) >= 60)
    sent = [each["path"] for each in log.sent("GET")]
    # Every page is one too many: a list is left as soon as it is seen to be of no use.
    assert sent.count("/salesorders") <= 2 * (len(sent) / 10 + 1)
    assert sum("modifiedFrom" in each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING) == 1
    books.post(ids)
    assert all(transaction(answer) for answer in (await answers(waits)).values())


async def test_few_waits_are_read_one_by_one(books: Books, log: Log) -> None:
    ids = books.make(5)
    waits = await waiting(ids, 0.02, seen_at=books.now())
    await until(lambda: len(log.sent("GET")) >= 25)
    assert "/salesorders" not in [each["path"] for each in log.sent("GET")]
    books.post(ids)
    assert all(transaction(answer) for answer in (await answers(waits)).values())


@pytest.mark.usefixtures("stepped")
async def test_several_waits_for_one_order_are_all_answered(books: Books, log: Log) -> None:
    ids = books.make(10)
    waits = await waiting(ids, seen_at=books.now())
    again = [await waiting(ids[:1]) for _ in range(3)]
    books.post(ids[:1])
    await a_round(log)
    assert {transaction(each[ids[0]].result()) for each in (waits, *again)} == {
        each["transaction_id"] for each in log.invoices if each["order_id"] == ids[0]
    }
    await cancel(waits.values())
    assert pollers() == {}


@pytest.mark.usefixtures("stepped")
async def test_a_cancelled_wait_leaves_the_others(books: Books, log: Log) -> None:
    ids = books.make(10)
    waits = await waiting(ids, seen_at=books.now())
    again = await waiting(ids[:2])
    await a_round(log)
    await cancel([waits.pop(ids[0]), waits.pop(ids[2])])
    assert len(poller()._watch) == 9
    books.post(ids)
    await a_round(log)
    assert done(waits) == list(waits)
    assert done(again) == ids[:2]


@pytest.mark.usefixtures("stepped")
async def test_an_answer_that_comes_with_the_cancellation_is_dropped(books: Books, log: Log) -> None:
    ids = books.make(2)
    waits = await waiting(ids, seen_at=books.now())
    await a_round(log)
    poller()._wake(ids[0], WaitFailed("never seen"))
    await cancel([waits[ids[0]]])
    assert waits[ids[0]].cancelled()
    await cancel(waits.values())
    assert pollers() == {}

"""A connection that cannot be read, or is edited, while waits look together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.triggers.waits import (
    CONNECTION,
    HOUR,
    Books,
    Lookups,
    a_round,
    answers,
    cancel,
    done,
    is_elsewhere,
    poller,
    pollers,
    step,
    transaction,
    until,
    waiting,
)

from tfso_hypatos.exceptions import ConfigurationError
from tfso_hypatos.triggers import opening
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger
from tfso_hypatos.triggers.poller import WaitFailed

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

    from tfso_hypatos.sandbox.server import Sandbox

pytestmark = pytest.mark.usefixtures("connections", "short_waits", "impatient")

NOT_FOUND = AirflowNotFoundException("The conn_id `tfso_default` isn't defined")


@pytest.mark.usefixtures("quick_opening")
@pytest.mark.parametrize("failure", [NOT_FOUND, RuntimeError("the API server is restarting")])
async def test_a_connection_that_cannot_be_read_for_a_moment_is_read_again(
    books: Books, lookups: Lookups, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "OPENING_PATIENCE", 0.0)
    lookups.failures = [failure] * 4
    ids = books.make(2)
    books.post(ids)
    waits = await waiting(ids, 0.02)
    assert all(transaction(answer) for answer in (await answers(waits)).values())
    assert lookups.count == 5


@pytest.mark.usefixtures("quick_opening")
@pytest.mark.parametrize("failure", [NOT_FOUND, RuntimeError("the API server is gone")])
async def test_a_connection_that_cannot_be_read_for_long_reaches_all(lookups: Lookups, failure: Exception) -> None:
    lookups.failures = [failure] * 10_000
    began = asyncio.get_running_loop().time()
    found = (await answers(await waiting([7, 8, 9], 0.02))).values()
    assert asyncio.get_running_loop().time() - began >= 0.05
    assert lookups.count >= 5
    if failure is NOT_FOUND:
        assert {(type(each), "isn't defined" in str(each)) for each in found} == {(ConfigurationError, True)}
    else:
        assert set(found) == {WaitFailed("RuntimeError")}
    assert pollers() == {}


async def test_what_is_wrong_in_a_connection_is_said_at_once(connections: Connections, lookups: Lookups) -> None:
    connections.tfso(extra={"organization_id": None})
    (answer,) = (await answers(await waiting([7]))).values()
    assert isinstance(answer, ConfigurationError)
    assert "organization_id" in str(answer)
    assert lookups.count == 1


@pytest.mark.usefixtures("stepped")
async def test_a_connection_that_was_edited_is_read_again(
    books: Books, connections: Connections, sandbox: Sandbox, log: Log
) -> None:
    ids = books.make(10)
    waits = await waiting(ids, seen_at=books.now())
    await a_round(log)
    former = poller()._hook
    sandbox.configure(client_secret="another-secret")
    sandbox.expire_tokens()
    connections.tfso(password="another-secret")
    books.post(ids[:1])
    await a_round(log)
    assert done(waits) == ids[:1]
    assert poller()._hook is not former
    await cancel(waits.values())


@pytest.mark.usefixtures("stepped")
async def test_a_connection_that_was_broken_later_does_not_end_what_works(
    books: Books, connections: Connections, log: Log
) -> None:
    ids = books.make(10)
    waits = await waiting(ids, seen_at=books.now())
    await a_round(log)
    connections.tfso(password=None)
    books.post(ids[:1])
    await a_round(log)
    assert done(waits) == ids[:1]
    await cancel(waits.values())


@pytest.mark.usefixtures("stepped")
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("count", [2, 10])
async def test_an_order_of_another_organization_answers_no_wait(
    books: Books, connections: Connections, log: Log, stated: bool, count: int
) -> None:
    ids = books.make(count)
    assert books.make(count, OTHER_ORGANIZATION) == ids
    ours, theirs = (ORGANIZATION, OTHER_ORGANIZATION) if stated else (None, None)
    waits = await waiting(ids, seen_at=books.now(), organization=ours)
    await step(organization=ours)
    connections.tfso(extra={"organization_id": OTHER_ORGANIZATION})
    books.post(ids, OTHER_ORGANIZATION)
    # One of the first organization that comes late, too, and those of the other.
    late = await waiting(ids[:1], seen_at=books.now(), organization=ours) if stated else {}
    others = await waiting(ids, seen_at=books.now() - HOUR / 2, organization=theirs)
    await step(organization=ours)
    assert all(map(is_elsewhere, (await answers(waits)).values()))
    await until(lambda: (CONNECTION, theirs) in pollers())
    await step(organization=theirs)
    assert all(transaction(answer) for answer in (await answers(others)).values())
    if stated:
        await step(organization=ours)
        assert all(map(is_elsewhere, (await answers(late)).values()))
    assert pollers() == {}


@pytest.mark.usefixtures("stepped")
async def test_an_early_round_reads_the_connection_once_between_two_regular_ones(
    books: Books, connections: Connections, lookups: Lookups
) -> None:
    ids = books.make(4)
    assert books.make(4, OTHER_ORGANIZATION) == ids
    waits = await waiting(ids[:1])
    await step()
    waits |= await waiting(ids[1:2])
    await step(early=True)
    assert lookups.count == 1
    for _ in range(3):
        await step()
    # For the one that joined before the early round, and for none after it.
    assert lookups.count == 2
    for order_id in ids[2:]:
        waits |= await waiting([order_id])
        await step(early=True)
    assert lookups.count == 3
    await step()
    await step()
    assert lookups.count == 4
    connections.tfso(extra={"organization_id": OTHER_ORGANIZATION})
    books.post(ids, OTHER_ORGANIZATION)
    new = await waiting(ids[:1])
    await step(early=True)
    assert all(map(is_elsewhere, (await answers(waits)).values()))
    await until(lambda: bool(pollers()))
    await step()
    assert transaction((await answers(new))[ids[0]])


async def test_after_a_restart_another_organization_answers_no_wait(books: Books, connections: Connections) -> None:
    ids = books.make(2)
    assert books.make(2, OTHER_ORGANIZATION) == ids
    books.post(ids, OTHER_ORGANIZATION)
    connections.tfso(extra={"organization_id": OTHER_ORGANIZATION})
    trigger = InvoiceTransactionTrigger(ids[0], CONNECTION, 0.01, organization=ORGANIZATION)
    payload = (await anext(trigger.run())).payload
    assert (payload["status"], payload["kind"]) == ("error", "ConfigurationError")
    assert "now points to another organization" in payload["message"]
    # One of an earlier version does not say whose order it was.
    trigger = InvoiceTransactionTrigger(ids[0], CONNECTION, 0.01)
    assert (await anext(trigger.run())).payload["status"] == "posted"


@pytest.mark.usefixtures("stepped")
async def test_another_api_answers_only_new_waits(
    books: Books, connections: Connections, sandbox: Sandbox, log: Log
) -> None:
    ids = books.make(2)
    waits = await waiting(ids[:1], organization=ORGANIZATION)
    await step(organization=ORGANIZATION)
    connections.tfso(host=sandbox.tfso_url.replace("127.0.0.1", "localhost"))
    new = await waiting(ids[1:], organization=ORGANIZATION)
    former = poller(organization=ORGANIZATION)
    await step(organization=ORGANIZATION)
    assert all(map(is_elsewhere, (await answers(waits)).values()))
    await until(lambda: pollers().get((CONNECTION, ORGANIZATION)) not in (None, former))
    assert not done(new)
    books.post(ids)
    await step(organization=ORGANIZATION)
    assert all(transaction(answer) for answer in (await answers(new)).values())

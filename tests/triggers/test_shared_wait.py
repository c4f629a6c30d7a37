"""All waits on one connection look together: at the wire, against the sandbox on loopback."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import gc
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import AuthenticationFailed, ConfigurationError, TransactionNeverPosted
from tfso_hypatos.flows import sweep, watch
from tfso_hypatos.flows.transaction import look_at_transaction
from tfso_hypatos.flows.watch import Watch
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.models.tfso_read import SalesOrder
from tfso_hypatos.triggers import invoice_transaction, opening, shared_wait, turn
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger
from tfso_hypatos.triggers.shared_wait import Answer, Poller, WaitFailed, wait_for_transaction
from tfso_hypatos.triggers.turn import Turn

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

    from tfso_hypatos.sandbox.server import Sandbox

pytestmark = pytest.mark.usefixtures("connections")

HOUR = datetime.timedelta(hours=1)
CONNECTION = "tfso_default"


class Books:
    """Orders put straight into the sandbox's books: invoiced an hour ago, and posted when a test says so."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def make(self, count: int, organization: str = ORGANIZATION) -> list[int]:
        def make() -> list[int]:
            books = self.sandbox._service.tfso.books_of(organization)
            orders = [books.create({"customer": {"id": 42, "name": "K"}}) for _ in range(count)]
            for order in orders:
                books.add_line(order, {"description": "Kaffe", "quantity": 1, "price": 8})
                books.invoice(order, 1e6)
                order.created = order.modified = order.modified - HOUR
            return [order.id for order in orders]

        return self.sandbox._ask(make)

    def post(self, ids: Iterable[int], organization: str = ORGANIZATION) -> None:
        def post() -> None:
            service = self.sandbox._service
            for order_id in ids:
                service.tfso.books_of(organization).orders[order_id].invoices[-1].posted_at = service.clock.now()

        self.sandbox._ask(post)

    def set_inactive(self, order_id: int) -> None:
        books = self.sandbox._service.tfso.books_of(ORGANIZATION)
        self.sandbox._ask(lambda: books.change(books.orders[order_id], {"status": "Inactive"}))

    def now(self) -> datetime.datetime:
        return self.sandbox._ask(self.sandbox._service.clock.now)


@pytest.fixture
def books(sandbox: Sandbox) -> Books:
    """Return the sandbox's books."""
    return Books(sandbox)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoice_transaction, "SHORTEST_INTERVAL", 0.01)
    monkeypatch.setattr(turn, "GATHERING", 0.02)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every single request fail at once, so that only the poller's own waits are seen."""
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))


@pytest.fixture
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a sweep of a few orders take a few short intervals."""
    monkeypatch.setattr(sweep, "READS_AN_HOUR", 3_600_000)


class Stepped(Turn):
    """Rounds that come when a test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.go: asyncio.Queue[bool] = asyncio.Queue()
        self.over: asyncio.Queue[float] = asyncio.Queue()

    async def comes(self, interval: Callable[[], float]) -> bool:
        return await self.go.get()

    def ends(self, *, early: bool, held: float) -> None:
        self.over.put_nowait(held)


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rounds come only when a test says so."""
    monkeypatch.setattr(shared_wait, "Turn", Stepped)


def poller(conn_id: str = CONNECTION, organization: str | None = None) -> Poller:
    return shared_wait._POLLERS[asyncio.get_running_loop()][conn_id, organization]


def pollers() -> dict[tuple[str, str | None], Poller]:
    return shared_wait._POLLERS.get(asyncio.get_running_loop(), {})


async def step(conn_id: str = CONNECTION, organization: str | None = None, *, early: bool = False) -> float:
    """Let a round take place, and return for how long the next is held off; the last answer ends the poller, too."""
    each = poller(conn_id, organization)
    assert isinstance(each._turn, Stepped)
    each._turn.go.put_nowait(early)
    over = asyncio.create_task(each._turn.over.get())
    await asyncio.wait_for(asyncio.wait([over, each._task], return_when=asyncio.FIRST_COMPLETED), 60)
    if over.done():
        return over.result()
    await cancel([over])
    return 0.0


async def until(condition: Callable[[], bool]) -> None:
    """Look until something is so."""
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never was")


async def a_round(log: Log, *, early: bool = False) -> tuple[int, int]:
    """Let a round take place, and return how many pages it listed and how many orders it read."""
    before = len(log.sent("GET"))
    await step(early=early)
    sent = [each["path"] for each in log.sent("GET")[before:]]
    lists = sent.count("/salesorders")
    # Let those leave who were answered.
    for _ in range(5):
        await asyncio.sleep(0)
    return lists, len(sent) - lists


Wait = asyncio.Task[Answer]


async def waiting(ids: Iterable[int], interval: float = 60.0, **arguments: Any) -> dict[int, Wait]:
    """Begin to wait for orders."""
    conn_id = arguments.pop("conn_id", CONNECTION)
    waits = {each: asyncio.create_task(wait_for_transaction(conn_id, each, interval, **arguments)) for each in ids}
    await asyncio.sleep(0)
    return waits


def done(waits: dict[int, Wait]) -> list[int]:
    return [order_id for order_id, wait in waits.items() if wait.done()]


async def cancel(waits: Iterable[asyncio.Task[Any]]) -> None:
    tasks = list(waits)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def transaction(answer: Answer) -> str | None:
    assert isinstance(answer, SalesOrder), answer
    return answer.transaction_id


async def answers(waits: dict[int, Wait]) -> dict[int, Answer]:
    return dict(zip(waits, await asyncio.wait_for(asyncio.gather(*waits.values()), 60), strict=True))


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
async def test_a_posting_that_does_not_touch_modified_at_is_found(books: Books, sandbox: Sandbox) -> None:
    sandbox.configure(silent_posting=True)
    ids = books.make(10)
    waits = await waiting(ids, 0.02, seen_at=books.now())
    await asyncio.sleep(0.1)
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


async def test_triggers_that_start_together_make_one_round(
    books: Books, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "GATHERING", 0.3)
    ids = books.make(300)
    seen_at = books.now().isoformat()
    runs = [InvoiceTransactionTrigger(each, CONNECTION, 60.0, seen_at).run() for each in ids]
    tasks = [asyncio.ensure_future(_first(run)) for run in runs]
    books.post(ids[:1])
    event = await asyncio.wait_for(tasks[0], 60)
    assert event.payload["result"]["sales_order_id"] == ids[0]
    assert [each["path"] for each in log.sent("GET")] == ["/salesorders"]
    await cancel(tasks[1:])
    assert pollers() == {}


async def _first(run: Any) -> Any:
    return await anext(run)


async def test_a_new_wait_makes_a_round_before_its_time(
    books: Books, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LONGEST_EARLIEST", 0.05)
    ids = books.make(11)
    waits = await waiting(ids[:10], 3600.0, seen_at=books.now())
    await until(lambda: bool(log.sent("GET")))
    books.post(ids[10:])
    late = await waiting(ids[10:], 3600.0)
    await answers(late)
    assert [each["path"] for each in log.sent("GET")] == ["/salesorders", f"/salesorders/{ids[10]}"]
    await cancel(waits.values())


async def test_waits_that_were_looked_at_a_moment_ago_join_the_next_round(
    books: Books, log: Log, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LONGEST_EARLIEST", 0.01)
    ids = books.make(30)
    waits = await waiting(ids[:10], 3600.0, seen_at=books.now())
    await until(lambda: bool(log.sent("GET")))
    for order_id in ids[10:]:
        waits |= await waiting([order_id], 3600.0, seen_at=books.now())
        await asyncio.sleep(0.03)
    assert (len(log.sent("GET")), lookups.count) == (1, 1)
    # Whoever asks for a shorter interval than all others gets it.
    quick = await waiting(ids[:1], 0.02, seen_at=books.now())
    books.post(ids[:1] + ids[29:])
    assert transaction((await answers(quick))[ids[0]])
    assert transaction(await asyncio.wait_for(waits[ids[29]], 60))
    await cancel(waits.values())


async def test_waits_that_nobody_knows_of_cost_their_reads_and_no_more(
    books: Books, log: Log, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "LONGEST_EARLIEST", 0.01)
    ids = books.make(30)
    waits = await waiting(ids[:10], 3600.0, seen_at=books.now())
    await until(lambda: bool(log.sent("GET")))
    for order_id in ids[10:]:
        waits |= await waiting([order_id], 3600.0)
        await asyncio.sleep(0.03)
    await until(lambda: len(log.sent("GET")) >= 21)
    expected = ["/salesorders", *(f"/salesorders/{each}" for each in ids[10:])]
    assert sorted(each["path"] for each in log.sent("GET")) == sorted(expected)
    assert lookups.count == 1
    await cancel(waits.values())


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


@pytest.mark.parametrize("turns", range(12))
async def test_a_wait_that_comes_while_the_last_one_leaves_is_answered(
    books: Books, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aclose = TfsoHook.aclose

    async def slowly(self: TfsoHook) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await aclose(self)

    monkeypatch.setattr(TfsoHook, "aclose", slowly)
    first, second = books.make(2)
    (leaving,) = (await waiting([first], 0.01)).values()
    await asyncio.sleep(0.05)
    former = poller()
    leaving.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    books.post([second])
    waits = await waiting([second], 0.01)
    assert transaction((await answers(waits))[second])
    await asyncio.gather(leaving, return_exceptions=True)
    assert former._task.done()
    assert pollers() == {}


async def test_the_last_wait_closes_the_session(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[aiohttp.ClientSession] = []
    atransport = TfsoHook.atransport

    async def watched(self: TfsoHook) -> Any:
        transport = await atransport(self)
        opened.append(transport.session)
        return transport

    monkeypatch.setattr(TfsoHook, "atransport", watched)
    ids = books.make(3)
    waits = await waiting(ids, 0.01)
    await until(lambda: bool(opened))
    await cancel([waits.pop(ids[0])])
    assert not opened[-1].closed
    books.post(ids)
    await answers(waits)
    assert opened
    assert all(session.closed for session in opened)
    assert len(set(map(id, opened))) == 1


async def test_a_poller_that_never_began_leaves_nothing_behind(books: Books) -> None:
    waits = await waiting([7])
    await cancel(waits.values())
    assert pollers() == {}
    gc.collect()


@pytest.mark.usefixtures("stepped")
async def test_two_connections_do_not_mix(books: Books, connections: Connections, log: Log) -> None:
    connections.tfso("tfso_other", extra={"organization_id": OTHER_ORGANIZATION})
    ids = books.make(10)
    assert books.make(10, OTHER_ORGANIZATION) == ids
    waits = await waiting(ids, seen_at=books.now())
    others = await waiting(ids, seen_at=books.now(), conn_id="tfso_other")
    books.post(ids[:1])
    books.post(ids[1:2], OTHER_ORGANIZATION)
    await a_round(log)
    assert (done(waits), done(others)) == (ids[:1], [])
    await step("tfso_other")
    await asyncio.sleep(0)
    assert (done(waits), done(others)) == (ids[:1], ids[1:2])
    await cancel(waits.values())
    assert set(pollers()) == {("tfso_other", None)}
    await cancel(others.values())


def test_two_loops_one_after_the_other(books: Books) -> None:
    for order_id in books.make(2):
        books.post([order_id])
        answer = asyncio.run(asyncio.wait_for(_alone(order_id), 60))
        assert transaction(answer)
    gc.collect()
    assert [pollers for loop, pollers in shared_wait._POLLERS.items() if pollers] == []


async def _alone(order_id: int) -> Answer:
    return await wait_for_transaction(CONNECTION, order_id, 0.01)


def test_what_a_closed_loop_left_behind_is_thrown_away(books: Books) -> None:
    loop = asyncio.new_event_loop()
    left: Any = {"tfso_default": "a poller that keeps its loop alive"}
    shared_wait._POLLERS[loop] = left
    loop.close()
    (order_id,) = books.make(1)
    books.post([order_id])
    assert transaction(asyncio.run(_alone(order_id)))
    assert loop not in shared_wait._POLLERS


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
    await asyncio.sleep(0.1)
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


@pytest.fixture
def quick_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection that cannot be read be given up after a part of a second."""
    monkeypatch.setattr(opening, "OPENING_BACK_OFF", 0.01)
    monkeypatch.setattr(opening, "OPENING_PATIENCE", 0.05)


class Lookups:
    """What Airflow says when a connection is looked up, at first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failures: list[Exception] = []
        ask = TfsoHook.aget_connection

        async def look_up(conn_id: str) -> Any:
            self.count += 1
            if self.failures:
                raise self.failures.pop(0)
            return await ask(conn_id)

        monkeypatch.setattr(TfsoHook, "aget_connection", staticmethod(look_up))


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Lookups:
    """Count the look-ups of connections, and let them fail as a test says."""
    return Lookups(monkeypatch)


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


def is_elsewhere(answer: Answer) -> bool:
    return isinstance(answer, ConfigurationError) and "now points to another organization" in str(answer)


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


def broken(*_: Any, **__: Any) -> Any:
    """Fail as nobody thought of."""
    raise RuntimeError("hemmelig detail")


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


@pytest.mark.parametrize("begun", [False, True])
async def test_a_poller_that_somebody_ends_leaves_nobody_waiting(books: Books, begun: bool) -> None:
    waits = await waiting(books.make(2), 0.01)
    if begun:
        await asyncio.sleep(0.05)
    poller()._task.cancel()
    assert set((await answers(waits)).values()) == {WaitFailed("CancelledError")}
    assert pollers() == {}


async def test_the_shortest_interval_of_those_who_wait_counts() -> None:
    waits = {interval: await waiting([7], interval) for interval in (60.0, 5.0, 30.0)}
    assert poller().interval == 5.0
    await cancel(waits[5.0].values())
    assert poller().interval == 30.0
    await cancel(waits[30.0].values())
    assert poller().interval == 60.0
    await cancel(waits[60.0].values())


async def test_rounds_follow_the_interval_of_those_who_are_left(
    books: Books, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = books.make(2)
    slow = await waiting(ids[:1], 3600.0)
    quick = await waiting(ids[1:], 0.02)
    await until(lambda: len(log.sent("GET")) >= 10)
    await cancel(quick.values())
    before = len(log.sent("GET"))
    await asyncio.sleep(0.3)
    # At most the round that was under way.
    assert len(log.sent("GET")) - before <= 2
    await cancel(slow.values())


async def test_the_first_task_is_not_the_pollers(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    task: contextvars.ContextVar[str] = contextvars.ContextVar("task")
    seen: list[str | None] = []
    survey = Watch.survey

    def watched(self: Watch, *arguments: Any, **keywords: Any) -> Any:
        seen.append(task.get(None))
        return survey(self, *arguments, **keywords)

    monkeypatch.setattr(Watch, "survey", watched)
    task.set("the first to wait")
    waits = await waiting(books.make(2), 0.01)
    await until(lambda: bool(seen))
    assert set(seen) == {None}
    await cancel(waits.values())


async def test_the_log_is_quiet(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="tfso_hypatos"):
        waits = await waiting(books.make(2), 0.01)

        def said(level: int) -> int:
            name = "tfso_hypatos.triggers.shared_wait"
            return sum(each.levelno == level for each in caplog.records if each.name == name)

        await until(lambda: said(logging.DEBUG) > 3)
    assert said(logging.INFO) == 1
    assert said(logging.WARNING) == 0
    await cancel(waits.values())


class Clock:
    """A loop whose time passes only while somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_at(self, moment: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.now = max(self.now, moment)
        callback()
        return asyncio.get_running_loop().call_later(0, lambda: None)


def turn_of(clock: Any) -> Turn:
    return Turn(clock)


async def test_an_early_round_does_not_put_off_the_regular_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "GATHERING", 1.0)
    clock = Clock()
    each = turn_of(clock)
    assert (await each.comes(lambda: 60.0), clock.now) == (False, 1001)
    each.ends(early=False, held=0)
    each.call()
    each.call()
    # A tenth of the interval lies between two rounds.
    assert (await each.comes(lambda: 60.0), clock.now) == (True, 1007)
    each.ends(early=True, held=0)
    assert (await each.comes(lambda: 60.0), clock.now) == (False, 1061)


async def test_trouble_holds_off_new_waits_too() -> None:
    clock = Clock()
    each = turn_of(clock)
    await each.comes(lambda: 60.0)
    each.ends(early=False, held=90)
    ended_at = clock.now
    each.call()
    assert not await each.comes(lambda: 60.0)
    assert clock.now == ended_at + 90


async def test_a_shorter_interval_brings_the_regular_round_forward() -> None:
    each = Turn(asyncio.get_running_loop())
    interval = 3600.0
    await each.comes(lambda: interval)
    each.ends(early=False, held=0)
    coming = asyncio.create_task(each.comes(lambda: interval))
    await asyncio.sleep(0)
    interval = 0.01
    each.reckon()
    assert not await asyncio.wait_for(coming, 60)

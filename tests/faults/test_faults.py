"""A sample of the fault matrix; see matrix.py for all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar
from unittest import mock

import pytest
from tests.faults.bench import Bench, Target, hurried
from tests.faults.cells import batch_cells, batch_sample, every_cell, rejected_targets, sample
from tests.faults.classes import CLASSES
from tests.faults.orders import ONE as ORDER
from tests.faults.rejected import judge_rejected
from tests.faults.trial import Cell, Verdict, plain_targets, play
from tests.faults.ways import BATCH, REJECTED, SINGLE, Way

from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.flows.compare import LinePlan, plan_lines
from tfso_hypatos.flows.withdrawal import Withdrawn
from tfso_hypatos.operators.batch.items import Job
from tfso_hypatos.operators.batch.results import Written

T = TypeVar("T")
R = TypeVar("R")

SIZE = 48
SEED = 1
KINDS = 9
"""Kinds of requests that a batch makes, with one to spare for a fault that has hit nothing."""

KINDS_OF_A_WITHDRAWAL = 7
"""The same for one that is created and withdrawn."""

THREADS = 24

CREATE = Target("POST", "/salesorders", 1)
LINE = Target("POST", "/salesorders/{id}/lines", 2)
INVOICE = Target("PATCH", "/salesorders/{id}", 1)
DELETION = Target("DELETE", "/salesorders/{id}", 1)
ENRICH = Target("POST", "/enrichment/sales-orders", 1)


@pytest.fixture(scope="module", autouse=True)
def _hurried() -> Iterator[None]:
    with hurried():
        yield


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    """Return what the books say about a sample of the matrix."""
    with contextlib.ExitStack() as stack:
        benches: SimpleQueue[Bench] = SimpleQueue()
        for number in range(THREADS):
            benches.put(stack.enter_context(Bench(f"t{number}")))

        def on_bench(play_there: Callable[[Bench, T], R], given: T) -> R:
            bench = benches.get()
            try:
                return play_there(bench, given)
            finally:
                benches.put(bench)

        with ThreadPoolExecutor(THREADS) as pool:
            ways = (*SINGLE, *BATCH, *REJECTED)
            targets = dict(zip(ways, pool.map(partial(on_bench, plain_targets), ways), strict=True))
            one = sample(every_cell({way: targets[way] for way in SINGLE}, SEED), SIZE, SEED)
            several = batch_sample(batch_cells({way: targets[way] for way in BATCH}, SEED), SEED)
            rejected = rejected_targets({way: targets[way] for way in REJECTED})
            taken_back = batch_sample(every_cell(rejected, SEED), SEED)
            # What takes long comes first.
            picked = sorted([*one, *several, *taken_back], key=lambda cell: not CLASSES[cell.fault].twin)
            return list(pool.map(partial(on_bench, play), picked))


def within(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return those that the promise covers."""
    return [verdict for verdict in verdicts if not verdict.cell.beyond]


def test_every_promise_is_kept(verdicts: list[Verdict]) -> None:
    assert {str(each.cell): each.broken for each in within(verdicts) if each.broken} == {}


def test_every_class_was_played_and_hit(verdicts: list[Verdict]) -> None:
    assert len([each for each in verdicts if not each.cell.way.batch and not each.cell.way.rejected]) == SIZE
    assert {each.cell.fault for each in verdicts if each.hits} == set(CLASSES)


def test_batches_were_hit_in_every_way_and_at_every_kind_of_request(verdicts: list[Verdict]) -> None:
    hit = [each.cell for each in verdicts if each.cell.way.batch and each.hits]
    assert {cell.way for cell in hit} == set(BATCH)
    assert len({(cell.target.method, cell.target.path.partition("web-")[0]) for cell in hit}) >= KINDS


def test_rejected_orders_were_hit_in_every_way_and_at_every_kind_of_request(verdicts: list[Verdict]) -> None:
    hit = [each.cell for each in verdicts if each.cell.way.rejected and each.hits]
    assert {cell.way for cell in hit} == set(REJECTED)
    assert len({(cell.target.method, cell.target.path) for cell in hit}) >= KINDS_OF_A_WITHDRAWAL


def test_every_run_is_brought_to_its_end_by_clearing_it(verdicts: list[Verdict]) -> None:
    assert {str(each.cell): each.said for each in within(verdicts) if each.unsolved} == {}


def test_a_cell_can_be_played_again_from_its_text(verdicts: list[Verdict]) -> None:
    assert [Cell.parse(str(each.cell)) for each in verdicts] == [each.cell for each in verdicts]


ONE = Way(True, "internalMemo")
SEVERAL = Way(True, "internalMemo", "files")


def broken(target: Target, way: Way, **patches: Any) -> set[str]:
    """Return which promises break in a chain whose answer to one request is lost, with some rules switched off."""
    repeat = mock.patch("tfso_hypatos.clients.repeat.may_repeat", return_value=True)
    rules = mock.patch.multiple("tfso_hypatos.flows.create", **patches) if patches else contextlib.nullcontext()
    with repeat, rules, Bench("broken") as bench:
        # On a busy machine one of several orders may be looked at again before its request is repeated, as it should.
        return set(play(bench, Cell(way, target, "drop_after", "twice" if way.batch else "once")).broken)


@pytest.mark.parametrize("way", [ONE, SEVERAL], ids=str)
def test_the_matrix_finds_a_double_invoice(way: Way) -> None:
    assert broken(INVOICE, way) == {"double invoice"}


def test_the_matrix_finds_a_duplicate_line() -> None:
    def keep_surplus(*arguments: Any) -> LinePlan:
        return plan_lines(*arguments)._replace(surplus=())

    def accept(*_: Any) -> Flow[None]:
        yield from ()

    with mock.patch("tfso_hypatos.flows.invoice.check_content", accept):
        assert broken(LINE, ONE, plan_lines=keep_surplus) == {"duplicate line"}


@pytest.mark.parametrize("way", [ONE, SEVERAL], ids=str)
def test_the_matrix_finds_a_duplicate_order(way: Way) -> None:
    def leave(*_: Any, **__: Any) -> Flow[bool]:
        yield from ()
        return True

    # The invoice step would withdraw what the create step has left.
    with mock.patch("tfso_hypatos.flows.billing.withdraw_one", leave):
        assert broken(CREATE, way, withdraw=leave) == {"duplicate order"}


def test_the_matrix_finds_a_lost_order() -> None:
    def say_so(*_: Any) -> Flow[str]:
        yield from ()
        return "inserted"

    with mock.patch("tfso_hypatos.flows.enrich.enrich", say_so):
        assert broken(ENRICH, ONE) == {"lost order"}


def test_the_matrix_finds_a_result_that_is_not_handed_on() -> None:
    add = Written.add

    def forget_one(self: Written, position: int, job: Job, result: Mapping[str, Any]) -> None:
        if job.name != "web-10046":
            add(self, position, job, result)

    with mock.patch.object(Written, "add", forget_one):
        assert broken(CREATE, SEVERAL) == {"lost order"}


def test_the_matrix_finds_what_is_not_taken_back() -> None:
    deleted = mock.patch("tfso_hypatos.flows.withdrawal._set_aside", return_value=Withdrawn("deleted", changed=True))
    with deleted:
        assert broken(DELETION, Way(False, "internalMemo", rejected="withdraw")) == {"not taken back"}


@pytest.mark.parametrize("deleted", [True, False])
def test_the_judge_sees_what_was_taken_back_though_invoiced(deleted: bool) -> None:
    order = {"id": 1, "memo": ORDER.key, "status": "Inactive", "invoice_numbers": [7]}
    orders: dict[str, Any] = {"orders": [], "deleted_orders": []}
    orders["deleted_orders" if deleted else "orders"].append(order)
    assert set(judge_rejected({**orders, "invoices": [{}]}, ORDER, [], final=False)) == {"taken back though invoiced"}

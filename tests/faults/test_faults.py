"""A sample of the fault matrix; see matrix.py for all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar
from unittest import mock

import pytest
from tests.faults.bench import Bench, Target, hurried
from tests.faults.cells import WAYS, every_cell, sample
from tests.faults.chain import Way
from tests.faults.classes import CLASSES
from tests.faults.trial import Cell, Verdict, plain_targets, play

from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.flows.compare import LinePlan, plan_lines

T = TypeVar("T")
R = TypeVar("R")

SIZE = 64
SEED = 1
THREADS = 24

CREATE = Target("POST", "/salesorders", 1)
LINE = Target("POST", "/salesorders/1001/lines", 2)
INVOICE = Target("PATCH", "/salesorders/1001", 1)
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
            targets = pool.map(partial(on_bench, plain_targets), WAYS)
            cells = every_cell(dict(zip(WAYS, targets, strict=True)), SEED)
            # What takes long comes first.
            picked = sorted(sample(cells, SIZE, SEED), key=lambda cell: not CLASSES[cell.fault].twin)
            return list(pool.map(partial(on_bench, play), picked))


def within(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return those that the promise covers."""
    return [verdict for verdict in verdicts if not verdict.cell.beyond]


def test_every_promise_is_kept(verdicts: list[Verdict]) -> None:
    assert {str(each.cell): each.broken for each in within(verdicts) if each.broken} == {}


def test_every_class_was_played_and_hit(verdicts: list[Verdict]) -> None:
    assert len(verdicts) == SIZE
    assert {each.cell.fault for each in verdicts if each.hits} == set(CLASSES)


def test_every_run_is_brought_to_its_end_by_clearing_it(verdicts: list[Verdict]) -> None:
    assert {str(each.cell): each.said for each in within(verdicts) if each.unsolved} == {}


def test_a_cell_can_be_played_again_from_its_text(verdicts: list[Verdict]) -> None:
    assert [Cell.parse(str(each.cell)) for each in verdicts] == [each.cell for each in verdicts]


def broken(target: Target, **patches: Any) -> set[str]:
    """Return which promises break in a chain whose answer to one request is lost, with some rules switched off."""
    repeat = mock.patch("tfso_hypatos.clients.repeat.may_repeat", return_value=True)
    rules = mock.patch.multiple("tfso_hypatos.flows.create", **patches) if patches else contextlib.nullcontext()
    with repeat, rules, Bench("broken") as bench:
        return set(play(bench, Cell(Way(True, "internalMemo"), target, "drop_after")).broken)


def test_the_matrix_finds_a_double_invoice() -> None:
    assert broken(INVOICE) == {"double invoice"}


def test_the_matrix_finds_a_duplicate_line() -> None:
    def keep_surplus(*arguments: Any) -> LinePlan:
        return plan_lines(*arguments)._replace(surplus=())

    def accept(*_: Any) -> Flow[None]:
        yield from ()

    with mock.patch("tfso_hypatos.flows.invoice.check_content", accept):
        assert broken(LINE, plan_lines=keep_surplus) == {"duplicate line"}


def test_the_matrix_finds_a_duplicate_order() -> None:
    def leave(*_: Any, **__: Any) -> Flow[bool]:
        yield from ()
        return True

    # The invoice step would withdraw what the create step has left.
    with mock.patch("tfso_hypatos.flows.billing.withdraw_one", leave):
        assert broken(CREATE, withdraw=leave) == {"duplicate order"}


def test_the_matrix_finds_a_lost_order() -> None:
    def say_so(*_: Any) -> Flow[str]:
        yield from ()
        return "inserted"

    with mock.patch("tfso_hypatos.flows.enrich.enrich", say_so):
        assert broken(ENRICH) == {"lost order"}

"""Hypothesis plays arbitrary interleavings of runs of which one invoices the order and others take it back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant
from tests.flows.books import Traits
from tests.flows.player import TIMING, intent
from tests.flows.rules import RULES, Rule
from tests.flows.runs import DAG, ORGANIZATION, Ending, Report
from tests.flows.settings import CARELESS
from tests.flows.taken_back import judge_taken_back
from tests.flows.test_interleavings import Interleavings, Task, search

from tfso_hypatos.flows.create import find_or_create
from tfso_hypatos.flows.intent import Holder


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Rejections(Interleavings):
    """One run invoices what it has created, and two take it back, on a server that lets them do so at any time."""

    traits = CARELESS
    endings: Sequence[Ending] = ("invoice", "withdraw", "draft")

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[Report] = []
        self._said: set[str] = set()
        for task in self.tasks:
            # What follows is no news until there is an order, complete.
            holder = Holder.of(DAG, task.name, "create", -1, 1)
            task.created = self.player.drive(find_or_create(intent(holder=holder), TIMING, ORGANIZATION))

    def _advance(self, task: Task, outcome: str, delay: float) -> None:
        order_id = task.created.order.id if task.created else 0
        errors = len(task.errors)
        super()._advance(task, outcome, delay)
        if task.taken_back is not None and task.name not in self._said:
            self._said.add(task.name)
            self.reports.append(Report(order_id, task.taken_back.outcome, self.player.now))
        if task.refused and not task.done and len(task.errors) > errors:
            # Its order may be gone: a person clears the run.
            task.created = None

    @invariant()
    def never_taken_back_and_billed(self) -> None:
        assert judge_taken_back(self.player.server, self.reports, [], TIMING.settle) == set()

    def is_at_rest(self) -> bool:
        """Say whether every run has come to its end; none invoices what is set aside."""
        set_aside = any(order.status == "Inactive" for order in self.player.server.orders.values())
        return all(task.done or (task.refused and set_aside) for task in self.tasks)

    def teardown(self) -> None:
        """Let things calm down: every run comes to its end, or finds the order billed or set aside for good."""
        self.calm_down()
        self.never_billed_twice_nor_wrongly()
        self.never_taken_back_and_billed()
        assert self.is_at_rest(), [task.errors for task in self.tasks]


class Deletions(Rejections):
    """The same, where an order can be deleted."""

    traits = Traits(guards=False)
    endings = ("invoice", "withdraw", "withdraw")


TestRejections = Rejections.TestCase
TestDeletions = Deletions.TestCase
TestRejections.settings = TestDeletions.settings = settings(Interleavings.TestCase.settings, max_examples=25)

SEEN = ("read before taking back",)


@pytest.mark.parametrize("switched_off", [each for each in RULES if each.name in SEEN], ids=lambda each: each.name)
def test_the_machine_sees_what_a_rule_is_for(monkeypatch: pytest.MonkeyPatch, switched_off: Rule) -> None:
    switched_off.switch_off(monkeypatch)
    search(Rejections)

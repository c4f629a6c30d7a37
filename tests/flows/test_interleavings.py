"""Hypothesis plays arbitrary interleavings of runs, answers, losses and kills to the real flows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.flows.books import Traits
from tests.flows.player import TIMING, Player, intent
from tests.flows.rules import RULES, Rule
from tests.flows.runs import DAG, KEY, ORGANIZATION, SELLS, Ending

from tfso_hypatos.clients.messages import Pause, Request, Response
from tfso_hypatos.exceptions import NotSent, OrderDrift, TfsoHypatosError, TimedOut
from tfso_hypatos.flows.billing import InvoiceOrder
from tfso_hypatos.flows.create import Created, find_or_create
from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.invoice import invoice
from tfso_hypatos.flows.withdrawal import Withdrawn, withdraw_order

RUNS = 3
LATE = 0.7 * TIMING.settle
"""How late a request may take effect: less than the settle time without the part a look is good for."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@dataclass
class Task:
    """One run of the business order, in the middle of a try of its create task or its last task."""

    name: str
    ending: Ending = "invoice"
    tries: int = 0
    created: Created | None = None
    invoiced: bool = False
    taken_back: Withdrawn | None = None
    refused: bool = False
    flow: Any = None
    step: Any = None
    awake_at: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether it has come to its end; one that takes an order back may find that it must not."""
        return self.invoiced or self.taken_back is not None or (self.refused and self.ending != "invoice")

    def begin(self) -> None:
        """Start the next try of the task that is due."""
        self.tries += 1
        if self.created is None:
            me = Holder.of(DAG, self.name, "create", -1, self.tries)
            self.flow = find_or_create(intent(holder=me), TIMING, ORGANIZATION, again=self.tries > 1)
            self.step = next(self.flow)
            return
        me = Holder.of(DAG, self.name, self.ending, -1, self.tries)
        ids = self.created.line_ids
        order = InvoiceOrder(order_id=self.created.order.id, key=KEY, expected_line_ids=ids)
        if self.ending == "invoice":
            created_by = self.created.holder if self.tries == 1 else None
            self.flow = invoice(order, TIMING, ORGANIZATION, me, created_by)
        else:
            self.flow = withdraw_order(order, self.ending, TIMING, ORGANIZATION, me)
        self.step = next(self.flow)

    def go_on(self, answer: Response | None, error: TfsoHypatosError | None) -> None:
        """Send an answer or an error into the flow, and take its next step."""
        try:
            self.step = self.flow.send(answer) if error is None else self.flow.throw(error)
        except StopIteration as end:
            self.flow = None
            self.tries = 0
            if self.created is None:
                self.created = end.value
            elif isinstance(end.value, Withdrawn):
                self.taken_back = end.value
            else:
                self.invoiced = True
        except TfsoHypatosError as failed:
            self.flow = None
            self.errors.append(repr(failed))
            self.refused = self.refused or isinstance(failed, OrderDrift)


class Interleavings(RuleBasedStateMachine):
    """Each rule moves one run by one step, in one of the ways in which the world can answer."""

    traits = Traits()
    endings: Sequence[Ending] = ("invoice", "invoice", "invoice")

    def __init__(self) -> None:
        super().__init__()
        self.player = Player(self.traits)
        self.tasks = [Task(f"run-{number}", ending) for number, ending in enumerate(self.endings)]

    runs = st.integers(0, RUNS - 1)

    def _advance(self, task: Task, outcome: str, delay: float) -> None:
        if task.done:
            return
        if task.flow is None:
            task.begin()
            return
        step, player = task.step, self.player
        if isinstance(step, Pause):
            # Asleep until then; whoever else there is may act meanwhile.
            task.awake_at = task.awake_at or player.now + step.seconds
            if player.now >= task.awake_at:
                task.awake_at = 0.0
                task.go_on(None, None)
        elif not isinstance(step, Request):
            task.go_on(None, None)
        elif step.not_after is not None and player.now > step.not_after:
            task.go_on(None, NotSent("held back"))
        else:
            self._send(task, step, outcome, delay)

    def _send(self, task: Task, request: Request, outcome: str, delay: float) -> None:
        if outcome == "answered":
            try:
                answer = self.player.answer(request)
            except TfsoHypatosError as error:
                task.go_on(None, error)
            else:
                task.go_on(answer, None)
            return
        if outcome in ("carried out", "late"):
            sent_at = self.player.now
            delay = 0.0 if outcome == "carried out" else delay
            self.player.later(delay, lambda: self.player.carry_out(request, sent_at))
            self.player.pass_time(0.0)
        if outcome in ("late", "lost", "carried out"):
            task.go_on(None, TimedOut("no answer"))

    @rule(
        number=runs,
        delay=st.floats(0.0, LATE),
        outcome=st.sampled_from(["answered"] * 4 + ["lost", "carried out", "late"]),
    )
    def step(self, number: int, outcome: str, delay: float) -> None:
        self._advance(self.tasks[number], outcome, delay)

    @rule(number=runs, steps=st.integers(2, 12))
    def steps_in_a_row(self, number: int, steps: int) -> None:
        for _ in range(steps):
            self._advance(self.tasks[number], "answered", 0.0)

    @precondition(lambda self: any(task.flow for task in self.tasks))
    @rule(number=runs, arrives=st.booleans(), delay=st.floats(0.0, LATE))
    def kill(self, number: int, arrives: bool, delay: float) -> None:
        task = self.tasks[number]
        if task.flow is None:
            return
        request = task.step
        stale = isinstance(request, Request) and request.not_after is not None and self.player.now > request.not_after
        if arrives and isinstance(request, Request) and not stale:
            sent_at = self.player.now
            self.player.later(delay, lambda: self.player.carry_out(request, sent_at))
        task.flow.close()
        task.flow, task.awake_at = None, 0.0

    @rule(seconds=st.floats(0.1, 2 * TIMING.settle))
    def pass_time(self, seconds: float) -> None:
        self.player.pass_time(seconds)

    @invariant()
    def never_billed_twice_nor_wrongly(self) -> None:
        invoices = self.player.server.invoices
        assert len(invoices) <= 1
        assert all(bill.sells == SELLS for bill in invoices)

    def is_at_rest(self) -> bool:
        """Say whether nothing more is to be expected."""
        return all(task.done for task in self.tasks)

    def calm_down(self) -> None:
        """Let every run come to its end."""
        self.player.pass_time(LATE)
        for _ in range(4000):
            for task in self.tasks:
                self._advance(task, "answered", 0.0)
            if self.is_at_rest():
                break
            if all(task.done or task.awake_at for task in self.tasks):
                self.player.pass_time(TIMING.settle / 4)

    def teardown(self) -> None:
        """Let things calm down: every run comes to its end, on one order."""
        self.calm_down()
        assert [task.errors for task in self.tasks if not task.invoiced] == []
        self.never_billed_twice_nor_wrongly()
        assert len(self.player.server.invoices) == 1
        orders = self.player.server.orders.values()
        assert len([order for order in orders if order.lines and order.status != "Inactive"]) == 1


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def search(machine: type[Interleavings]) -> None:
    """Let a machine search until it finds something broken; fail if it does not."""

    class Seeded(machine):  # type: ignore[valid-type, misc]
        """The seed is a mark on the class."""

    # Without a seed of its own, how long it takes depends on the modules that are loaded.
    searched = settings(
        TestInterleavings.settings, derandomize=False, max_examples=2000, database=None, phases=[Phase.generate]
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(seed(1)(Seeded), settings=searched)


SEEN = (
    "only the holder writes",
    "look before and after creating",
    "elect, and withdraw the others",
    "read before invoicing",
)


@pytest.mark.parametrize("switched_off", [each for each in RULES if each.name in SEEN], ids=lambda each: each.name)
def test_the_machine_sees_what_a_rule_is_for(monkeypatch: pytest.MonkeyPatch, switched_off: Rule) -> None:
    switched_off.switch_off(monkeypatch)
    search(Interleavings)

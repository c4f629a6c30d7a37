"""Airflow as a simulation needs it: runs of create and invoice or withdraw, tries, XCom, and clearing what failed."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tests.flows.books import EPOCH
from tests.flows.world import Process, World

from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.flows.billing import InvoiceOrder, Payer
from tfso_hypatos.flows.create import Created, find_or_create
from tfso_hypatos.flows.intent import Holder, Intent, key_of
from tfso_hypatos.flows.invoice import invoice
from tfso_hypatos.flows.results import created_result, invoice_result
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.flows.withdrawal import Outcome, withdraw_order
from tfso_hypatos.models.base import amount

ORGANIZATION = "100000000000001"
ORDER_KEY = "web-10045"
KEY = key_of(ORGANIZATION, ORDER_KEY)
ORDER: Mapping[str, Any] = {"customer": {"id": 7, "name": "Fjord & Fjell AS"}, "internalMemo": "Ring first"}
LINES: Sequence[Mapping[str, Any]] = (
    {"description": "Coffee", "quantity": 3, "price": 99.9},
    {"description": "Cups", "quantity": 1, "price": 10},
    {"description": "Cups", "quantity": 1, "price": 10},
)
SELLS = sorted(("3 Coffee at 99.9", "1 Cups at 10", "1 Cups at 10"))
DAG = "orders"
MOST_TRIES = 5
CREATED_FROM = EPOCH - datetime.timedelta(days=90)


Ending = Literal["invoice", "withdraw", "draft"]
"""What the last task of a run does with the order."""


class Report(NamedTuple):
    """What a task says that took an order back.

    :param order_id: the order.
    :param outcome: what it says was done.
    :param at: moment at which it said so.
    """

    order_id: int
    outcome: str
    at: float


def inherits(me: Holder, created_by: Holder) -> bool:
    """Say whether an invoice task goes on under the holder that a create task left; the rule of the operator."""
    return (me.run, me.map_index) == (created_by.run, created_by.map_index)


@dataclass
class Run:
    """One chain of create and invoice or withdraw, as one map index of one DAG run.

    :param memory: whether tasks have a store that outlives a try (Airflow 3.3).
    :param gap: seconds between the two tasks.
    :param carriers: runs that create nothing and are handed what this one has created, to invoice it too.
    :param carries: whether this is such a run.
    :param ending: what the last task does.
    :param order: what the create task is given.
    """

    world: World
    run_id: str
    map_index: int
    timing: Timing
    memory: bool
    gap: float
    carriers: list[Run] = field(default_factory=list)
    carries: bool = False
    ending: Ending = "invoice"
    order: Mapping[str, Any] = field(default_factory=lambda: ORDER)
    result: dict[str, Any] | None = None
    ended: Exception | None = None
    report: Report | None = None
    _tries: dict[str, int] = field(default_factory=lambda: {"create": 0, "invoice": 0, "withdraw": 0})
    _left: int = 0
    _at_work: bool = False
    _kept: set[int] = field(default_factory=set)
    _xcom: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.run_id if self.map_index < 0 else f"{self.run_id}[{self.map_index}]"

    @property
    def _last(self) -> str:
        return "invoice" if self.ending == "invoice" else "withdraw"

    def start(self) -> None:
        """Start the run, or clear it as a person does who read what it failed of."""
        self.result, self.ended = None, None
        if not self.carries:
            self._begin("create")
        elif self._xcom:
            self._begin(self._last)

    def hand(self, created: dict[str, Any]) -> None:
        """Give this run what another one has created."""
        self._xcom = created
        if self.result is None and not self._at_work:
            self._begin(self._last)

    def _begin(self, task: str) -> None:
        self._at_work = True
        self._left = MOST_TRIES
        self._try(task)

    def _try(self, task: str) -> None:
        self._left -= 1
        self._tries[task] += 1
        number = self._tries[task]
        me = Holder.of(DAG, self.run_id, task, self.map_index, number)
        name = f"{self.name} {task} {number} <{me}>"
        flow = {"create": self._create, "invoice": self._invoice, "withdraw": self._withdraw}[task](me)
        Process(self.world, name, flow, lambda result, error: self._done(task, result, error), self._kept.add)

    def _create(self, me: Holder) -> Any:
        intent = Intent.build(
            organization=ORGANIZATION,
            order_key=ORDER_KEY,
            order=self.order,
            lines=LINES,
            holder=me,
            created_from=CREATED_FROM,
        )
        known = sorted(self._kept) if self.memory else ()
        return find_or_create(intent, self.timing, ORGANIZATION, known, again=self._tries["create"] > 1)

    def _expected(self) -> InvoiceOrder:
        earlier = self._xcom
        return InvoiceOrder(
            order_id=earlier["sales_order_id"],
            key=key_of(ORGANIZATION, earlier["order_key"]),
            created_gross=amount(earlier["gross_amount"], "gross_amount"),
            payer=Payer(*(earlier[name] for name in Payer._fields)),
            expected_line_ids=earlier["line_ids"],
            line_hashes=earlier["line_hashes"],
        )

    def _invoice(self, me: Holder) -> Any:
        holder = self._xcom.get("holder", "") if self._tries["invoice"] == 1 else ""
        created_by = Holder.parse(holder)
        if created_by is not None and not inherits(me, created_by):
            created_by = None
        return invoice(self._expected(), self.timing, ORGANIZATION, me, created_by)

    def _withdraw(self, me: Holder) -> Any:
        outcome: Outcome = "draft" if self.ending == "draft" else "withdraw"
        return withdraw_order(self._expected(), outcome, self.timing, ORGANIZATION, me)

    def _done(self, task: str, result: Any, error: Exception | None) -> None:
        world = self.world
        if error is not None:
            permanent = isinstance(error, TfsoHypatosError) and error.permanent
            if permanent or self._left == 0:
                world.note(self.name, f"{task} has failed")
                self._at_work, self.ended = False, error
            else:
                waits = world.rng.choice((0.5, 2.0, 15.0))
                world.after(world.rng.uniform(0.2, waits), lambda: self._try(task))
        elif task == "create":
            if not isinstance(result, Created):
                raise TypeError(f"{result!r} is no created order")
            self._xcom = json.loads(json.dumps(created_result(ORDER_KEY, result)))
            world.after(world.rng.uniform(0.1, self.gap), lambda: self._begin(self._last))
            for carrier in self.carriers:
                world.after(world.rng.uniform(0.1, self.gap), functools.partial(carrier.hand, self._xcom))
        elif task == "withdraw":
            self._at_work = False
            self.result = result._asdict()
            self.report = Report(self._xcom["sales_order_id"], result.outcome, world.now)
        else:
            self._at_work = False
            self.result = json.loads(json.dumps({**invoice_result(result.order), "invoiced": result.invoiced}))

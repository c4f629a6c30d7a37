"""A person edits the order between its creation and its invoice: what is billed is what was created, or nothing."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.books import Order, Server
from tests.flows.runs import LINES, ORDER, Run
from tests.flows.settings import HARSH
from tests.flows.story import told
from tests.flows.world import World

from tfso_hypatos.clients.messages import decode, encode
from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.flows.setbacks import Timing

TRIALS = 40
COFFEE, CUPS, _ = LINES
HEADER: Mapping[str, Mapping[str, Any]] = {
    "customer": {"customer": {"id": 8, "name": "Somebody else"}},
    "currency": {"currency": {"code": "SEK"}},
    "payment method": {"paymentMethod": {"id": 2}},
}
LINE: Mapping[str, Mapping[str, Any]] = {
    "product": {"product": {"id": 9}},
    "description": {"description": "Tea"},
    "price and quantity": {"quantity": 1, "price": Decimal("299.7")},
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Edited(Run):
    """A run of whose order a person edits something before it is invoiced."""

    what = ""

    def _begin(self, task: str) -> None:
        if task == "invoice":
            self.world.note("a person", f"edits {self.what}")
            _edit(self.world.server, self._xcom["sales_order_id"], self.what, self.world.now)
        super()._begin(task)


def _edit(server: Server, order_id: int, what: str, now: float) -> None:
    address, order = f"/salesorders/{order_id}", server.orders[order_id]
    if what in HEADER:
        answer = server.handle("PATCH", address, {}, HEADER[what], now)
    elif what in LINE:
        answer = server.handle("PATCH", f"{address}/lines/{_coffee(order)}", {}, LINE[what], now)
    else:
        free = {"description": "Free gift", "quantity": 1, "price": 0}
        answer = server.handle("POST", f"{address}/lines", {}, free, now)
    assert answer.status < 300


def _coffee(order: Order) -> int:
    return next(line_id for line_id, line in order.lines if line["description"] == COFFEE["description"])


@pytest.mark.parametrize("what", [*HEADER, *LINE, "a line more"])
def test_what_a_person_edited_is_never_billed(what: str) -> None:
    drifts = reached = 0
    for seed in range(TRIALS):
        rng = random.Random(f"{what}/{seed}")
        world = World(Server(), HARSH, rng)
        run = Edited(world, "run-1", -1, Timing(), rng.random() < 0.5, 3.0)
        run.what = what
        run.start()
        assert world.run()
        assert world.server.invoices == [], told(world, [f"seed {seed}"])
        assert run.result is None
        reached += bool(run._xcom)
        drifts += isinstance(run.ended, OrderDrift)
    # Where each try was killed or cut off, the last one ends otherwise.
    assert reached > 0.8 * TRIALS
    assert drifts > 0.9 * reached


@pytest.mark.parametrize("what", [*HEADER, *LINE])
def test_nothing_but_the_comparison_sees_such_an_edit(what: str) -> None:
    server = Server()
    made = server.handle("POST", "/salesorders", {}, ORDER, 0.0).value["id"]
    for line in LINES:
        server.handle("POST", f"/salesorders/{made}/lines", {}, decode(encode(line)), 0.0)
    before = server.orders[made]
    _edit(server, made, what, 1.0)
    assert server.orders[made].net == before.net
    assert [line_id for line_id, _ in server.orders[made].lines] == [line_id for line_id, _ in before.lines]

"""A discrete-event simulation of the real flows: runs of one business order race, and the network is unkind.

python tests/flows/simulation.py [TRIALS] [SETTING]     a table of how often which promise was broken
python tests/flows/simulation.py seed SETTING SEED      what happened in one trial
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.flows.books import Order, Server, Traits
from tests.flows.runs import KEY, ORDER, SELLS, Run
from tests.flows.story import told
from tests.flows.world import CALM, Net, World

from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.flows import intent
from tfso_hypatos.flows.intent import marker_of
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.models.base import read
from tfso_hypatos.models.tfso_read import SalesOrder

CLEARED = 2
"""How often a person clears a run that failed, once things have calmed down."""

A_WHILE = 10.0
"""Seconds from what a person does in 24SevenOffice to the click that clears the task."""

UNKIND = Net(lost=0.04, failed=0.03, refused=0.02, kill=0.02, stall=0.02)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One world to try the flows in.

    :param runs: map indices of each run: (None,) * 3 are three runs, (2,) is one with two mapped twins.
    :param net: network and machines.
    :param traits: what the server is like.
    :param settle: settle time.
    :param spread: seconds within which the runs start.
    :param gap: seconds between create and invoice at most.
    :param carriers: further runs that create nothing and carry what the first run has created.
    """

    runs: Sequence[int | None] = (None,)
    net: Net = UNKIND
    traits: Traits = field(default_factory=Traits)
    settle: float = 10.0
    spread: float = 3.0
    gap: float = 3.0
    carriers: int = 0


NEEDLESS = "created beside an invoiced one"
"""What a run does that did not look, or whose process stood still between the look and the creation."""

HARSH = Net(lost=0.12, failed=0.06, refused=0.02, kill=0.06, stall=0.04)

SETTINGS: dict[str, Setting] = {
    "1 run": Setting(),
    "2 runs": Setting(runs=(None,) * 2),
    "3 runs": Setting(runs=(None,) * 3),
    "5 runs": Setting(runs=(None,) * 5, spread=10.0),
    "3 runs, no faults": Setting(runs=(None,) * 3, net=CALM),
    "1 run, harsh": Setting(net=HARSH),
    "3 runs, harsh": Setting(runs=(None,) * 3, net=HARSH, spread=30.0),
    "zombies": Setting(runs=(2, None), net=Net(lost=0.15, kill=0.15, stall=0.02), gap=0.5),
    "outages": Setting(runs=(2, None), net=Net(lost=0.03, outage=0.05, kill=0.02), gap=0.5),
    "late changes": Setting(
        runs=(2,), net=Net(lost=0.2, outage=0.2, spares=frozenset({"GET", "POST", "DELETE"})), spread=5.0, gap=10.0
    ),
    "3 runs, slow server": Setting(runs=(None,) * 3, net=Net(lost=0.05, kill=0.02, latency=0.6)),
    "mapped twins": Setting(runs=(2,)),
    "mapped twins and a run": Setting(runs=(2, None), net=HARSH),
    "3 runs, pages of 2": Setting(runs=(None,) * 3, traits=Traits(page=2, filters=False)),
    "3 runs, no clock": Setting(runs=(None,) * 3, traits=Traits(dates=False, stamps=False)),
    "3 runs, no delete": Setting(runs=(None,) * 3, traits=Traits(deletes=False)),
    "3 runs, no way to withdraw": Setting(runs=(None,) * 3, traits=Traits(deletes=False, withdraws=False)),
    "3 runs, one after the other": Setting(runs=(None,) * 3, net=CALM, spread=200.0),
    "3 runs, backdated": Setting(runs=(None,) * 3, net=HARSH, traits=Traits(backdates=True)),
    "1 run, list lags 5 s": Setting(traits=Traits(list_lag=5.0)),
    "3 runs, list lags 5 s": Setting(runs=(None,) * 3, traits=Traits(list_lag=5.0)),
    "3 runs, list lags 5 s, no clock": Setting(runs=(None,) * 3, traits=Traits(list_lag=5.0, dates=False)),
    "3 runs, list lags 5 s, no stamps": Setting(runs=(None,) * 3, traits=Traits(list_lag=5.0, stamps=False)),
    "3 runs, list lags 15 s": Setting(runs=(None,) * 3, traits=Traits(list_lag=15.0)),
    "3 runs, no faults, invoices queue 30 s": Setting(runs=(None,) * 3, net=CALM, traits=Traits(queue=30.0)),
    "a run carries a result": Setting(carriers=1, gap=0.5),
    "2 runs carry, harsh": Setting(carriers=2, net=HARSH, gap=0.5),
}

BEYOND: dict[str, Setting] = {
    "1 run, late by 25 s": Setting(net=Net(lost=0.04, kill=0.02, late=25.0)),
    "3 runs, late by 25 s": Setting(runs=(None,) * 3, net=Net(lost=0.04, kill=0.02, late=25.0)),
    "1 run, invoices queue 30 s": Setting(traits=Traits(queue=30.0)),
    "3 runs, invoices queue 30 s": Setting(runs=(None,) * 3, traits=Traits(queue=30.0)),
    "2 runs harsh, invoices queue 30 s": Setting(runs=(None,) * 2, net=HARSH, traits=Traits(queue=30.0)),
    "mapped twins, invoices queue 30 s": Setting(runs=(2,), traits=Traits(queue=30.0), gap=0.5),
    "mapped twins, late by 25 s": Setting(runs=(2,), net=Net(lost=0.04, kill=0.02, late=25.0), gap=0.5),
}
"""What the protocol does not promise to stand: requests, or invoices, that show later than the settle time allows. What
an order says of its being invoiced makes the latter rare, but a take-over that crosses the request can wipe it out."""


class Verdict(NamedTuple):
    """What became of one trial.

    :param broken: the promises that were broken.
    :param notes: what is no harm, but worth counting.
    :param world: the world, with everything that happened.
    """

    broken: frozenset[str]
    notes: frozenset[str]
    world: World

    def story(self) -> str:
        """Return what happened, to be read."""
        return told(self.world, sorted(self.broken | self.notes))


def try_out(setting: Setting, seed: int | str) -> Verdict:
    """Let the runs of a setting race, calm down, clear what failed, and judge by the books."""
    # Holders are random, so that no two processes are the same one; here they are random by the seed.
    holders = random.Random(f"holders of {seed}")
    seeded = SimpleNamespace(token_hex=lambda size: holders.randbytes(size).hex())
    with mock.patch.object(intent, "secrets", seeded):
        return _try_out(setting, random.Random(seed))


def _try_out(setting: Setting, rng: random.Random) -> Verdict:
    world = World(Server(setting.traits), setting.net, rng)
    for memo in ("Another order", "Yet another order"):
        world.server.handle("POST", "/salesorders", {}, {**ORDER, "internalMemo": memo}, world.now)
    timing, memory = Timing(setting.settle), rng.random() < 0.5
    runs = [
        Run(world, f"run-{number}", index, timing, memory, setting.gap)
        for number, mapped in enumerate(setting.runs, 1)
        for index in (range(mapped) if mapped else (-1,))
    ]
    for run in runs:
        world.after(rng.uniform(0, setting.spread), run.start)
    for number in range(1, setting.carriers + 1):
        carrier = Run(world, f"carrier-{number}", -1, timing, memory, setting.gap, carries=True)
        runs[0].carriers.append(carrier)
        runs.append(carrier)
    broken, notes = set(), set()
    ends = world.run()
    for _ in range(CLEARED):
        failed = [run for run in runs if run.result is None]
        if failed and ends:
            notes.add("cleared")
        world.net = CALM
        for run in failed:
            if run.result is not None:
                continue
            if _follow_advice(world, run):
                broken.add("left to a person")
                world.after(A_WHILE, lambda: None)
                world.run()
            world.note(run.name, "is cleared in calm")
            run.start()
            ends = ends and world.run()
    if not ends:
        broken.add("no end")
    judged = judge(world.server, runs)
    return Verdict(frozenset(broken | judged.broken), frozenset(notes | judged.notes), world)


def _follow_advice(world: World, run: Run) -> bool:
    """Do what an error asks a person for: of two orders with lines delete one, of those set inactive revive one."""
    if not isinstance(run.ended, OrderDrift):
        return False
    ours = [order for order in world.server.orders.values() if _is_ours(world.server, order)]
    active = [order for order in ours if order.status != "Inactive"]
    twins = re.match(r"Sales orders (\d+) and (\d+) ", str(run.ended))
    if twins:
        there = [order for order in active if str(order.id) in twins.groups()]
        spare = [order for order in there if order.number is None]
        if len(there) < 2 or not spare:
            return False
        return _by_a_person(world, "DELETE", spare[-1], None)
    if "was set inactive: by a person, or by runs" not in str(run.ended) or not ours or active:
        return False
    return _by_a_person(world, "PATCH", max(ours, key=lambda order: len(order.lines)), {"status": "Draft"})


def _by_a_person(world: World, method: str, order: Order, body: object) -> bool:
    answer = world.server.handle(method, f"/salesorders/{order.id}", {}, body, world.now)
    world.note("a person", f"{method} order {order.id}: HTTP {answer.status}")
    return True


class Judgement(NamedTuple):
    """What the books say."""

    broken: set[str]
    notes: set[str]


def judge(server: Server, runs: Sequence[Run]) -> Judgement:
    """Judge by the server's books and by what the runs returned."""
    broken, notes = set(), set()
    ours = [order for order in server.orders.values() if _is_ours(server, order)]
    active = [order for order in ours if order.status != "Inactive"]
    if len(server.invoices) > 1:
        broken.add("invoiced twice")
    if not server.invoices:
        broken.add("never invoiced")
    if any(invoice.sells != SELLS for invoice in server.invoices):
        broken.add("wrong lines billed")
    if len([order for order in active if order.lines]) > 1:
        broken.add("two orders with lines")
    if len(active) > 1:
        notes.add("stray left")
    if _created_beside_an_invoiced_one(server):
        notes.add(NEEDLESS)
    billed = {invoice.order_id for invoice in server.invoices}
    for run in runs:
        if run.result is None:
            broken.add("run lost")
        elif run.result["sales_order_id"] not in billed or run.result["invoice_number"] is None:
            broken.add("wrong result")
    if len(runs) - len([run for run in runs if run.result is None]) > 0:
        claims = sum(bool(run.result and run.result["invoiced"]) for run in runs)
        if claims != 1:
            notes.add("invoiced claimed by none" if claims == 0 else "invoiced claimed twice")
    return Judgement(broken, notes)


def _created_beside_an_invoiced_one(server: Server) -> bool:
    before: Mapping[int, Order] = {}
    for _, orders in server.history:
        new = [orders[number] for number in orders.keys() - before.keys()]
        billed = [order for order in before.values() if order.number is not None and _is_ours(server, order)]
        if billed and any(_is_ours(server, order) for order in new):
            return True
        before = orders
    return False


def _is_ours(server: Server, order: Order) -> bool:
    marker = marker_of(read(SalesOrder, server.show(order), "the books"))[1]
    return marker is not None and marker.key == KEY


def _count(task: tuple[str, int, int]) -> tuple[Counter[str], dict[str, int]]:
    name, first, trials = task
    tally: Counter[str] = Counter()
    seeds: dict[str, int] = {}
    for seed in range(first, first + trials):
        verdict = try_out((SETTINGS | BEYOND)[name], f"{name}/{seed}")
        for what in [*verdict.broken, *(f"({note})" for note in verdict.notes)]:
            tally[what] += 1
            seeds.setdefault(what, seed)
    return tally, seeds


def main(arguments: Sequence[str]) -> bool:
    """Print a table, or one story; return whether a promise was broken where it is made."""
    logging.disable(logging.CRITICAL)
    if arguments and arguments[0] == "seed":
        print(try_out((SETTINGS | BEYOND)[arguments[1]], f"{arguments[1]}/{arguments[2]}").story())
        return False
    trials, share, broken = int(arguments[0]) if arguments else 1000, 250, False
    for name in arguments[1:] or SETTINGS | BEYOND:
        began = time.monotonic()
        with multiprocessing.Pool() as pool:
            parts = pool.map(
                _count, [(name, first, min(share, trials - first)) for first in range(0, trials, share)], 1
            )
        tally: Counter[str] = Counter()
        seeds: dict[str, int] = {}
        for counted, found in parts:
            tally.update(counted)
            for what, seed in found.items():
                seeds.setdefault(what, seed)
        told_tally = ", ".join(f"{what} {tally[what]} (seed {seeds[what]})" for what in sorted(tally))
        print(f"{name:26s} {trials} trials {time.monotonic() - began:5.0f} s: {told_tally or 'all held'}", flush=True)
        # Notes, in brackets, are no harm.
        broken |= name in SETTINGS and any(not what.startswith("(") for what in tally)
    return broken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.flows.books import Order, Server
from tests.flows.runs import ORDER, SELLS, Run
from tests.flows.settings import BEYOND, SETTINGS, Setting
from tests.flows.story import told
from tests.flows.taken_back import Edit, is_in_the_right, is_ours, judge_taken_back
from tests.flows.world import CALM, World

from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.flows import intent
from tfso_hypatos.flows.setbacks import Timing

CLEARED = 2
"""How often a person clears a run that failed, once things have calmed down."""

A_WHILE = 10.0
"""Seconds from what a person does in 24SevenOffice to the click that clears the task."""

NEEDLESS = "created beside an invoiced one"
"""What a run does that did not look, or whose process stood still between the look and the creation."""

BY_HAND = {"description": "By hand", "quantity": 1, "price": 5}
"""A line that a person adds."""


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
    runs = _runs(setting, world, memory=rng.random() < 0.5)
    edits: list[Edit] = []
    if setting.edited is not None:
        world.after(rng.uniform(0, setting.edited), lambda: _edit(world, edits))
    broken: set[str] = set()
    notes: set[str] = set()
    ends = world.run()
    # Whose order is taken back only when the first clear has made it complete needs one clear more.
    for _ in range(CLEARED + setting.takes_back):
        failed = [run for run in runs if run.result is None]
        if failed and ends:
            notes.add("cleared")
        world.net = CALM
        for run in failed:
            if run.result is not None:
                continue
            if _follow_advice(world, run):
                (notes if setting.takes_back else broken).add("left to a person")
                world.after(A_WHILE, lambda: None)
                world.run()
            world.note(run.name, "is cleared in calm")
            run.start()
            ends = ends and world.run()
    if not ends:
        broken.add("no end")
    judged = judge(world.server, runs, edits)
    reports = [run.report for run in runs if run.report is not None]
    broken |= judge_taken_back(world.server, reports, edits, setting.settle)
    return Verdict(frozenset(broken | judged.broken), frozenset(notes | judged.notes), world)


def _runs(setting: Setting, world: World, *, memory: bool) -> list[Run]:
    order = {**ORDER, "status": "Confirmed"} if setting.confirmed else ORDER
    more: dict[str, Any] = {
        "timing": Timing(setting.settle),
        "memory": memory,
        "gap": setting.gap,
        "order": order,
    }
    runs = [
        Run(world, f"run-{number}", index, **more)
        for number, mapped in enumerate(setting.runs, 1)
        for index in (range(mapped) if mapped else (-1,))
    ]
    runs += [Run(world, f"reject-{n}", -1, ending=ending, **more) for n, ending in enumerate(setting.rejects, 1)]
    for run in runs:
        world.after(world.rng.uniform(0, setting.spread), run.start)
    carriers = [Run(world, f"carrier-{n}", -1, carries=True, **more) for n in range(1, setting.carriers + 1)]
    carriers += [Run(world, "run-1", -1, carries=True, ending=ending, **more) for ending in setting.beside]
    if carriers:
        runs[0].carriers += carriers
    return runs + carriers


def _edit(world: World, edits: list[Edit]) -> None:
    """Add a line by hand to an order that is there."""
    orders = [order for order in world.server.orders.values() if is_ours(world.server, order) and order.lines]
    for order in orders[-1:]:
        edits.append(Edit(order.id, world.now))
        _by_a_person(world, "POST", order, BY_HAND, "/lines")


def _follow_advice(world: World, run: Run) -> bool:
    """Do what an error asks a person for: of two orders with lines delete one, of those set inactive revive one."""
    if not isinstance(run.ended, OrderDrift) or run.ending != "invoice":
        return False
    ours = [order for order in world.server.orders.values() if is_ours(world.server, order)]
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


def _by_a_person(world: World, method: str, order: Order, body: object, place: str = "") -> bool:
    answer = world.server.handle(method, f"/salesorders/{order.id}{place}", {}, body, world.now)
    world.note("a person", f"{method} order {order.id}{place}: HTTP {answer.status}")
    return True


class Judgement(NamedTuple):
    """What the books say."""

    broken: set[str]
    notes: set[str]


def judge(server: Server, runs: Sequence[Run], edits: Sequence[Edit] = ()) -> Judgement:
    """Judge by the server's books and by what the runs returned."""
    broken, notes = set(), set()
    ours = [order for order in server.orders.values() if is_ours(server, order)]
    active = [order for order in ours if order.status != "Inactive"]
    if len(server.invoices) > 1:
        broken.add("invoiced twice")
    if not server.invoices and any(run.ending == "invoice" for run in runs):
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
        if run.ending != "invoice":
            if run.result is None and not is_in_the_right(run, server, edits):
                broken.add("run lost")
        elif run.result is None:
            broken.add("run lost")
        elif run.result["sales_order_id"] not in billed or run.result["invoice_number"] is None:
            broken.add("wrong result")
    if any(run.result is not None and run.ending == "invoice" for run in runs):
        claims = sum(bool(run.result and run.result.get("invoiced")) for run in runs)
        if claims != 1:
            notes.add("invoiced claimed by none" if claims == 0 else "invoiced claimed twice")
    return Judgement(broken, notes)


def _created_beside_an_invoiced_one(server: Server) -> bool:
    before: Mapping[int, Order] = {}
    for _, orders in server.history:
        new = [orders[number] for number in orders.keys() - before.keys()]
        billed = [order for order in before.values() if order.number is not None and is_ours(server, order)]
        if billed and any(is_ours(server, order) for order in new):
            return True
        before = orders
    return False


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

"""Several real processes at work on one business order at the same moment, judged by the books.

python tests/kills/races.py                       every race, many times
python tests/kills/races.py --quick               each a few times
python tests/kills/races.py --orders several      races of batches only (one: of single tasks; rejected: withdrawals)
python tests/kills/races.py --race NAME --seed N  one race, with its logs and requests
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills import batch_races
from tests.kills.batch_races import SOON, together
from tests.kills.boundaries import REQUESTS
from tests.kills.matrix import WORLDS
from tests.kills.rig import CHAIN, KEY, SETTLE, Instance, Kill, Rig, Shop, mapped
from tests.kills.verdict import Verdict

REPETITIONS = 30
KEYS = ("web-1", "web-2", "web-3")


WORLDS_OF = {
    "one": ("memo",),
    "several": ("list", "files"),
    "rejected": ("inactive", "withdraw", "draft"),
}


class Race(NamedTuple):
    """What is run, and how its books are judged."""

    play: Callable[[Shop, random.Random], Verdict]
    about: str
    orders: str = "one"

    @property
    def worlds(self) -> Sequence[str]:
        """Worlds that its repetitions take in turn."""
        return WORLDS_OF[self.orders]


def _task(shop: Shop, task: Instance, start_at: float, first: int = 1) -> Callable[[], list[str]]:
    """Return what runs a task to its end and says how it ended."""
    return lambda: [shop.finish(task, start_at=start_at, first=first)[-1].state]


def same_key(runs: int, shop: Shop, chance: random.Random) -> Verdict:
    """Let several runs of one business order go all the way at the same moment."""
    start_at = time.monotonic() + SOON
    finished = together([partial(shop.chain, f"run-{number}", KEY, start_at) for number in range(runs)])
    return shop.verdict(finished=finished)


def _cleared(shop: Shop, task_id: str, chance: random.Random) -> bool:
    """Start a second try while the first one is at work and is not killed; nobody listens to the first any more."""
    task = Instance(task_id)
    start_at = time.monotonic() + SOON
    first = shop.start(task, 1, start_at=start_at, cleared=True)
    tries = shop.finish(task, first=2, start_at=start_at + chance.uniform(0, 0.05))
    first.result(90)
    return tries[-1].state == "success"


def clear_running_create(shop: Shop, chance: random.Random) -> Verdict:
    """Clear the create task while it runs."""
    finished = _cleared(shop, "create", chance) and shop.chain(tasks=CHAIN[1:])[-1] == "success"
    return shop.verdict(finished=finished)


def clear_running_invoice(shop: Shop, chance: random.Random) -> Verdict:
    """Clear the invoice task while it runs."""
    shop.chain(tasks=["create"])
    finished = _cleared(shop, "invoice", chance) and shop.chain(tasks=["enrich"])[-1] == "success"
    return shop.verdict(finished=finished)


def clear_create_while_invoicing(shop: Shop, chance: random.Random) -> Verdict:
    """Clear the create task, and what follows it, while the invoice task runs and is not killed."""
    shop.chain(tasks=["create"])
    start_at = time.monotonic() + SOON
    first = shop.start(Instance("invoice"), 1, start_at=start_at, cleared=True)
    tries = shop.finish(Instance("create"), first=2, start_at=start_at + chance.uniform(0, 0.05))
    tries += shop.finish(Instance("invoice"), first=2)
    first.result(90)
    finished = tries[-1].state == "success" and shop.chain(tasks=["enrich"])[-1] == "success"
    return shop.verdict(finished=finished)


def clear_done(shop: Shop, chance: random.Random) -> Verdict:
    """Clear the whole run after it has succeeded; what its tasks keep is kept or discarded."""
    shop.chain()
    if chance.random() < 0.5:
        shop.forget()
    states = [shop.finish(Instance(task_id), first=2)[-1].state for task_id in CHAIN]
    return shop.verdict(finished=set(states) == {"success"})


def trigger_again(shop: Shop, chance: random.Random) -> Verdict:
    """Trigger the same business order again: after its run, or at any moment of it."""
    later = chance.uniform(0, 0.4)
    start_at = time.monotonic() + SOON
    runs = [partial(shop.chain, "run-1", KEY, start_at), partial(shop.chain, "run-2", KEY, start_at + later)]
    one_by_one = chance.random() < 0.3
    finished = all(together([run]) for run in runs) if one_by_one else together(runs)
    return shop.verdict(finished=finished)


def mapped_twins(shop: Shop, chance: random.Random) -> Verdict:
    """Let two mapped task instances of one run have the same key."""
    finished = True
    for task_id in CHAIN:
        start_at = time.monotonic() + SOON
        twins = [mapped(Instance(task_id), index, [KEY, KEY]) for index in range(2)]
        finished = finished and together([_task(shop, twin, start_at) for twin in twins])
    return shop.verdict(finished=finished)


def reordered_list(shop: Shop, chance: random.Random) -> Verdict:
    """Kill the instances of a mapped create task somewhere, and retry them with the list in another order."""
    kills = [Kill(chance.choice(list(REQUESTS)), chance.randint(1, 9)) for _ in KEYS]
    start_at = time.monotonic() + SOON
    # A fault cannot tell the processes apart, so nothing is committed late here.
    kills = [kill if kill.boundary != "late" else Kill("sent", kill.at) for kill in kills]
    tries = [
        shop.start(mapped(Instance("create"), index, KEYS), 1, kill, start_at=start_at)
        for index, kill in enumerate(kills)
    ]
    for each in tries:
        each.result(90)
    order = chance.sample(KEYS, len(KEYS))
    finished, first = True, 2
    for task_id in CHAIN:
        start_at = time.monotonic() + SOON
        instances = [mapped(Instance(task_id), index, order) for index in range(len(KEYS))]
        finished = finished and together([_task(shop, each, start_at, first) for each in instances])
        first = 1
    return shop.verdict(KEYS, finished=finished)


def other_orders(shop: Shop, chance: random.Random) -> Verdict:
    """Let runs of other business orders of the same customer go all the way at the same moment."""
    start_at = time.monotonic() + SOON
    finished = together([partial(shop.chain, f"run-{key}", key, start_at) for key in KEYS])
    return shop.verdict(KEYS, finished=finished)


def one_result_two_runs(shop: Shop, chance: random.Random) -> Verdict:
    """Give the invoice tasks of two runs the result of one create task."""
    shop.chain(tasks=["create"])
    result = shop.result(Instance("create"))
    start_at = time.monotonic() + SOON
    work = [
        _task(shop, Instance("invoice", run_id, result=result), start_at + chance.uniform(0, 0.02))
        for run_id in ("run-1", "run-2")
    ]
    finished = together(work)
    finished = finished and shop.chain(tasks=["enrich"])[-1] == "success"
    return shop.verdict(finished=finished)


def _reject(shop: Shop, run_id: str, start_at: float) -> list[str]:
    """Run create and withdraw; the latter may find that the order is invoiced, and is right to fail."""
    states = shop.chain(run_id, start_at=start_at, tasks=["create"])
    if states[-1] == "success":
        shop.finish(Instance("withdraw", run_id))
    return states


def invoice_and_withdraw(shop: Shop, chance: random.Random) -> Verdict:
    """Let one run invoice the order, and another one take it back, at the same moment or a little later."""
    start_at = time.monotonic() + SOON
    later = start_at + chance.uniform(0, 0.3)
    # The run that invoices may find its order gone, or set inactive: it is right to fail, too.
    runs = [partial(shop.chain, "run-1", KEY, start_at, ["create", "invoice"]), partial(_reject, shop, "run-2", later)]
    together(runs)
    return shop.verdict(finished=_came_through(shop, [("invoice", "run-1"), ("withdraw", "run-2")]))


def _came_through(shop: Shop, tasks: Sequence[tuple[str, str]]) -> bool:
    """Say whether one of these tasks has succeeded: of an order that is invoiced and taken back only one can."""
    return any(shop.result(Instance(task_id, run_id)) is not None for task_id, run_id in tasks)


def invoice_and_withdraw_one_result(shop: Shop, chance: random.Random) -> Verdict:
    """Give the result of one create task to a task that invoices the order and to one that takes it back."""
    shop.chain(tasks=["create"])
    result = shop.result(Instance("create"))
    start_at = time.monotonic() + SOON
    run_id = chance.choice(["run-1", "run-2"])
    tasks = [Instance("invoice", result=result), Instance("withdraw", run_id, result=result)]
    together([_task(shop, task, start_at + chance.uniform(0, 0.6 * SETTLE)) for task in tasks])
    return shop.verdict(finished=_came_through(shop, [("invoice", "run-1"), ("withdraw", run_id)]))


def two_withdraw(shop: Shop, chance: random.Random) -> Verdict:
    """Let two runs take the same order back."""
    start_at = time.monotonic() + SOON
    later = start_at + chance.uniform(0, 0.3)
    finished = together([partial(_reject, shop, "run-1", start_at), partial(_reject, shop, "run-2", later)])
    return shop.verdict(finished=finished or shop.rejected == "inactive")


BATCHES: Mapping[str, tuple[Callable[[Shop, random.Random], Verdict], str]] = {
    "two-runs": (partial(batch_races.same_orders, 2), "two runs with the same orders"),
    "three-runs": (partial(batch_races.same_orders, 3), "three runs with the same orders"),
    "lost-create": (partial(batch_races.lost_try, "create", False), "two tries of create at once"),
    "lost-invoice": (partial(batch_races.lost_try, "invoice", False), "two tries of invoice at once"),
    "lost-enrich": (partial(batch_races.lost_try, "enrich", False), "two tries of enrich at once"),
    "outlived-create": (partial(batch_races.lost_try, "create", True), "invoice runs beside a lost try of create"),
    "outlived-invoice": (partial(batch_races.lost_try, "invoice", True), "enrich runs beside a lost try of invoice"),
    "clear-create-while-invoicing": (batch_races.cleared_create, "create is cleared while invoice runs"),
    "clear-done": (clear_done, "everything is cleared after success"),
    "one-result-two-runs": (batch_races.one_result_two_runs, "two runs invoice the result of one create"),
}

RACES = {
    "two-runs": Race(partial(same_key, 2), "two runs with one key"),
    "five-runs": Race(partial(same_key, 5), "five runs with one key"),
    "eight-runs": Race(partial(same_key, 8), "eight runs with one key"),
    "clear-running-create": Race(clear_running_create, "create is cleared while it runs"),
    "clear-running-invoice": Race(clear_running_invoice, "invoice is cleared while it runs"),
    "clear-create-while-invoicing": Race(clear_create_while_invoicing, "create is cleared while invoice runs"),
    "clear-done": Race(clear_done, "everything is cleared after success"),
    "trigger-again": Race(trigger_again, "the same order is triggered again"),
    "mapped-twins": Race(mapped_twins, "two mapped instances with one key"),
    "reordered-list": Race(reordered_list, "a mapped list is reordered after kills"),
    "other-orders": Race(other_orders, "three orders of one customer"),
    "one-result-two-runs": Race(one_result_two_runs, "two runs invoice the result of one create"),
    "invoice-and-withdraw": Race(invoice_and_withdraw, "one run invoices, one takes it back", "rejected"),
    "invoice-and-withdraw-one-result": Race(
        invoice_and_withdraw_one_result, "one result is invoiced and taken back", "rejected"
    ),
    "two-withdraw": Race(two_withdraw, "two runs take an order back", "rejected"),
    **{f"batch-{name}": Race(play, f"batch: {about}", "several") for name, (play, about) in BATCHES.items()},
}


def play(rig: Rig, name: str, seed: int, *, show: bool = False) -> Verdict:
    """Run a race once."""
    race = RACES[name]
    with rig.shop(**WORLDS[race.worlds[seed % len(race.worlds)]]) as shop:
        verdict = race.play(shop, random.Random(f"{name}/{seed}"))
        if show:
            shop.show()
    return verdict


_rig: Rig | None = None


def _start() -> None:
    global _rig
    _rig = Rig().__enter__()


def _play(cell: tuple[str, int]) -> tuple[str, int, Verdict]:
    assert _rig is not None
    name, seed = cell
    return name, seed, play(_rig, name, seed)


def _close(_: object) -> None:
    if _rig is not None:
        _rig.__exit__()
    time.sleep(0.2)


def main() -> int:
    """Run the races; return 1 if the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each race three times")
    parser.add_argument("--jobs", type=int, default=2, help="races at a time")
    parser.add_argument("--repeat", type=int, default=REPETITIONS, help="how often each race is run")
    parser.add_argument("--race", choices=RACES, help="only this one")
    parser.add_argument("--seed", type=int, help="only this repetition, with logs and requests")
    parser.add_argument("--orders", choices=["one", "several", "rejected"], help="in each task")
    options = parser.parse_args()
    if options.race and options.seed is not None:
        return _show(options.race, options.seed)
    started, total = time.monotonic(), Verdict()
    names = [name for name in RACES if options.race in (None, name) and options.orders in (None, RACES[name].orders)]
    repeat = 3 if options.quick else options.repeat
    odd: list[tuple[str, int, Verdict]] = []
    with multiprocessing.get_context("spawn").Pool(options.jobs, _start) as pool:
        for name in names:
            began = time.monotonic()
            ended = pool.map(_play, [(name, seed) for seed in range(repeat)], chunksize=1)
            one = sum((verdict for _, _, verdict in ended), Verdict())
            total += one
            odd += [each for each in ended if each[2].broken or each[2].strays or each[2].person]
            print(f"{RACES[name].about:50} {one} ({time.monotonic() - began:.0f} s)", flush=True)
        pool.map(_close, range(options.jobs), chunksize=1)
    print(f"{'all':50} {total} ({time.monotonic() - started:.0f} s)")
    for name, seed, verdict in odd:
        print(f"  {verdict}\n    python tests/kills/races.py --race {name} --seed {seed}")
    return 1 if total.broken or total.person else 0


def _show(name: str, seed: int) -> int:
    with Rig() as rig:
        verdict = play(rig, name, seed, show=True)
    print(verdict)
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    sys.exit(main())

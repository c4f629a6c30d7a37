"""Races of batches: several processes at work on the same orders, each on all of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.kills.rig import CHAIN, KEY, Instance, Shop
from tests.kills.verdict import Verdict

SOON = 0.25
"""Seconds after which processes are released together: by then each of them is ready."""


def together(work: Sequence[Callable[[], list[str]]]) -> bool:
    """Run several things at once and say whether all ended well."""
    with ThreadPoolExecutor(len(work)) as threads:
        ended = [future.result() for future in [threads.submit(each) for each in work]]
    return all(state == "success" for states in ended for state in states)


def same_orders(runs: int, shop: Shop, chance: random.Random) -> Verdict:
    """Let several runs with the same orders go all the way at the same moment, or soon after each other."""
    start_at = time.monotonic() + SOON
    later = [start_at + chance.choice([0.0, chance.uniform(0, 0.4)]) for _ in range(runs)]
    chains = [partial(shop.chain, f"run-{number}", KEY, each) for number, each in enumerate(later)]
    return shop.verdict(finished=together(chains))


def lost_try(task_id: str, goes_on: bool, shop: Shop, chance: random.Random) -> Verdict:
    """Start a second try of a batch while the first one is at work; nobody listens to that one any more.

    :param task_id: the task.
    :param goes_on: the tasks after it do not wait until the first try has ended, too.
    :param shop: the books.
    :param chance: decides when.
    """
    place = CHAIN.index(task_id)
    finished = shop.chain(tasks=CHAIN[:place])[-1:] in ([], ["success"])
    start_at = time.monotonic() + SOON
    lost = shop.start(Instance(task_id), 1, start_at=start_at, cleared=True)
    tries = shop.finish(Instance(task_id), first=2, start_at=start_at + chance.uniform(0, 0.1))
    if not goes_on:
        lost.result(90)
    finished = finished and tries[-1].state == "success"
    finished = finished and shop.chain(tasks=CHAIN[place + 1 :])[-1:] in ([], ["success"])
    lost.result(90)
    return shop.verdict(finished=finished, overlapped=[task_id])


def cleared_create(shop: Shop, chance: random.Random) -> Verdict:
    """Clear create, and what follows it, while the invoice batch runs and is not killed."""
    shop.chain(tasks=["create"])
    start_at = time.monotonic() + SOON
    lost = shop.start(Instance("invoice"), 1, start_at=start_at, cleared=True)
    tries = shop.finish(Instance("create"), first=2, start_at=start_at + chance.uniform(0, 0.1))
    tries += shop.finish(Instance("invoice"), first=2)
    lost.result(90)
    finished = tries[-1].state == "success" and shop.chain(tasks=["enrich"])[-1] == "success"
    return shop.verdict(finished=finished, overlapped=["invoice"])


def one_result_two_runs(shop: Shop, chance: random.Random) -> Verdict:
    """Give the invoice batches of two runs what one create batch returned."""
    shop.chain(tasks=["create"])
    result = shop.result(Instance("create"))
    start_at = time.monotonic() + SOON

    def invoice(run_id: str) -> list[str]:
        task = Instance("invoice", run_id, result=result)
        return [shop.finish(task, start_at=start_at + chance.uniform(0, 0.05))[-1].state]

    finished = together([partial(invoice, "run-1"), partial(invoice, "run-2")])
    return shop.verdict(finished=finished and shop.chain(tasks=["enrich"])[-1] == "success")

"""Every promise is kept in every setting, whatever the network does; ``make simulation`` tries far more often."""

from __future__ import annotations

import logging

import pytest
from tests.flows.books import Traits
from tests.flows.settings import HARSH, SETTINGS, Setting
from tests.flows.simulation import NEEDLESS, try_out
from tests.flows.world import CALM, Net

from tfso_hypatos.clients.messages import Pause, Request

TRIALS = 12


@pytest.fixture(autouse=True)
def _quiet() -> object:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_promise_is_kept(name: str) -> None:
    for seed in range(TRIALS):
        verdict = try_out(SETTINGS[name], f"{name}/{seed}")
        assert not verdict.broken, f"seed {seed}: {verdict.story()}"


def test_a_trial_is_the_same_every_time() -> None:
    first, second = (try_out(SETTINGS["zombies"], "a") for _ in range(2))
    assert first.story() == second.story()
    assert "POST /salesorders" in first.story()


def test_without_faults_one_run_makes_no_request_too_many() -> None:
    verdict = try_out(Setting(net=CALM), "calm")
    sent = [what for _, _, what in verdict.world.log if isinstance(what, tuple) and what[0] == "sent at"]
    assert len(sent) == 12
    assert not verdict.broken | verdict.notes


def test_runs_one_after_the_other_create_nothing_beside_the_first() -> None:
    for seed in range(15):
        verdict = try_out(SETTINGS["3 runs, one after the other"], seed)
        assert not (verdict.broken | verdict.notes) & {NEEDLESS, "stray left"}, verdict.story()


def test_a_run_that_carries_a_result_invoices_only_what_it_has_taken_over() -> None:
    invoicers: set[str] = set()
    for seed in range(15):
        takers: set[str] = set()
        for _, who, what in try_out(SETTINGS["2 runs carry, harsh"], seed).world.log:
            if not who.startswith("carrier-"):
                continue
            if isinstance(what, Pause) and what.reason.startswith("took over"):
                takers.add(who)
            steps = what if isinstance(what, tuple) else ()
            if any(isinstance(step, Request) and "status" in (step.body or {}) for step in steps):
                assert who in takers
                invoicers.add(f"{seed} {who}")
    assert invoicers


@pytest.mark.parametrize("net", [HARSH, Net(lost=0.3), Net(kill=0.2), Net(outage=0.2, lost=0.1)])
def test_a_run_on_its_own_gets_through(net: Net) -> None:
    for seed in range(10):
        verdict = try_out(Setting(net=net, traits=Traits(page=1)), seed)
        assert not verdict.broken, f"seed {seed}: {verdict.story()}"

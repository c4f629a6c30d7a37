"""The worlds in which the simulation tries the flows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.flows.books import Traits
from tests.flows.runs import Ending
from tests.flows.world import CALM, Net

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
    :param rejects: further runs, each of which takes back what it has created: ``withdraw`` or ``draft``.
    :param beside: further tasks of the first run, which take back what it has created while it is being invoiced.
    :param confirmed: whether the orders are created with status Confirmed, and not as drafts.
    :param edited: seconds within which a person adds a line to an order by hand; None: nobody does.
    """

    runs: Sequence[int | None] = (None,)
    net: Net = UNKIND
    traits: Traits = field(default_factory=Traits)
    settle: float = 10.0
    spread: float = 3.0
    gap: float = 3.0
    carriers: int = 0
    rejects: Sequence[Ending] = ()
    beside: Sequence[Ending] = ()
    confirmed: bool = False
    edited: float | None = None

    @property
    def takes_back(self) -> bool:
        """Whether an order may be taken back in it."""
        return bool(self.rejects or self.beside)


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

CARELESS = Traits(deletes=False, guards=False)
"""A server on which it depends on us alone that an invoiced order is left alone."""

REJECTED: dict[str, Setting] = {
    "invoiced and taken back": Setting(rejects=("withdraw",)),
    "invoiced and taken back, careless server": Setting(rejects=("withdraw",), net=HARSH, traits=CARELESS),
    "invoiced and taken back in one run": Setting(beside=("withdraw",), traits=CARELESS, gap=0.5),
    "invoiced and taken back, list lags 5 s": Setting(rejects=("withdraw",), traits=Traits(list_lag=5.0)),
    "2 take back, harsh": Setting(
        rejects=("withdraw",) * 2, net=HARSH, traits=Traits(guards=False), spread=30.0, gap=0.5
    ),
    "2 runs and 2 take back": Setting(runs=(None,) * 2, rejects=("withdraw", "draft"), confirmed=True, spread=30.0),
    "made a draft": Setting(rejects=("draft",), traits=CARELESS, confirmed=True),
    "made a draft in one run, harsh": Setting(beside=("draft",), net=HARSH, traits=CARELESS, confirmed=True, gap=0.5),
    "a draft already": Setting(rejects=("draft",), net=Net(lost=0.15), spread=30.0, gap=0.5),
    "taken back, invoices queue 75 s": Setting(
        rejects=("withdraw",), net=CALM, traits=Traits(deletes=False, guards=False, queue=75.0), spread=30.0
    ),
    "taken back after an edit": Setting(runs=(), rejects=("withdraw",), edited=30.0, gap=10.0),
    "2 take back after an edit": Setting(
        runs=(), rejects=("withdraw",) * 2, edited=60.0, gap=10.0, traits=Traits(stamps=False, guards=False)
    ),
}
"""Orders that some want invoiced and others want to take back."""

SETTINGS |= REJECTED

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

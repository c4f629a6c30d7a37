"""What a reconciliation works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tfso_hypatos.flows.intent import Holder
from tfso_hypatos.flows.setbacks import Timing
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.reports.store import Store


@dataclass
class Tools:
    """What a run works with.

    :param tfso: hook on 24SevenOffice.
    :param hypatos: hook on Hypatos, or None if it is not asked.
    :param store: where what was read is kept.
    :param me: this try of this task.
    :param timing: the waits of the protocol.
    :param killed: says whether the task was killed.
    :param try_number: which try of the task it is.
    """

    tfso: TfsoHook
    hypatos: HypatosHook | None
    store: Store
    me: Holder
    timing: Timing
    killed: Callable[[], bool]
    try_number: int = 1

"""A batch that may not send as many requests as it would."""

from __future__ import annotations

import re
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.operators.batches import creating, invoicing, items, until_done

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import Stopped

if TYPE_CHECKING:
    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run


pytestmark = pytest.mark.usefixtures("connections")


def test_a_server_that_refuses_too_many_requests_gets_fewer(run: Run, log: Log) -> None:
    log.sandbox.configure(tfso_rate=20, tfso_window=0.2)
    created = until_done(run, creating(items(4)))
    assert len(created) == len(log.orders) == 4
    assert all(len(order["lines"]) == 2 for order in log.orders)


def test_orders_wait_until_the_hour_allows_more(
    run: Run, log: Log, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.tfso(extra={"requests_per_hour": 12})
    monkeypatch.setattr("tfso_hypatos.clients.budget.HOUR", 1.5)
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", partial(Patience, budget=0.2))
    created = run.execute(creating(items(4)))
    invoiced = run.execute(invoicing(created))
    assert len(invoiced) == len(log.orders) == len(log.invoices) == 4
    assert all(len(order["lines"]) == 2 for order in log.orders)


def test_a_kill_ends_the_wait_for_the_hour(
    run: Run, log: Log, connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    connections.tfso(extra={"requests_per_hour": 10})
    operator = creating(items(8))
    killed_at: list[float] = []

    def kill() -> None:
        deadline = time.monotonic() + 20
        while "is used up" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        killed_at.append(time.monotonic())
        operator.on_kill()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(Stopped):
        run.execute(operator)
    thread.join()
    assert time.monotonic() - killed_at[0] < 10
    waits = [each.getMessage() for each in caplog.records if "is used up" in each.getMessage()]
    assert re.match(r"Waiting 3\d\d\d\.\d s to .*: requests_per_hour of the connection \(10\) is used up$", waits[0])
    assert len(log.sent()) <= 10


def test_requests_keep_to_the_budget_of_the_connection(run: Run, log: Log, connections: Connections) -> None:
    connections.tfso(extra={"requests_per_second": 100})
    log.sandbox.configure(tfso_rate=250, tfso_window=1)
    assert len(run.execute(creating(items(6), concurrency=6))) == 6
    assert not [each for each in log.sent() if each["status"] == 429]

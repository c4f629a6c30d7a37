"""A sandbox with its own connections, on which one trial after the other is played."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from unittest import mock

import structlog
from tests.faults.classes import SETTLE, TIMEOUT
from tests.faults.orders import ONE

from tfso_hypatos.clients.budget import BUDGETS
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.token import TOKENS
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.sandbox.server import Sandbox

ORGANIZATION = "100000000000001"

REFUSALS_COUNT = 0.9
"""Seconds for which a refusal slows down what follows: as much shorter than usual as everything else here."""


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Let every hook wait less between two sends and after refusals, log nothing, and keep no ten thousand secrets."""
    with contextlib.ExitStack() as stack:
        patience = Patience(attempts=2, budget=5.0, longest_wait=0.04)
        stack.enter_context(mock.patch("tfso_hypatos.hooks.base.Patience", return_value=patience))
        stack.enter_context(mock.patch("tfso_hypatos.clients.learned.DOUBLED_IN", REFUSALS_COUNT / 3))
        stack.enter_context(mock.patch("tfso_hypatos.clients.learned.FORGOTTEN_AFTER", REFUSALS_COUNT))
        for module in ("base", "tfso", "hypatos"):
            stack.enter_context(mock.patch(f"tfso_hypatos.hooks.{module}.mask_secret"))
        quiet = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        stack.callback(structlog.configure, **quiet)
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, disabled)
        yield


@dataclass(frozen=True)
class Target:
    """One request of the ordinary path.

    :param method: HTTP method.
    :param path: below the API root; ``{id}`` stands for the id of whatever order it is.
    :param number: the how manieth with this method and path it is.
    :param before: how many requests come before it.
    """

    method: str
    path: str
    number: int
    before: int = 0

    def __str__(self) -> str:
        return f"{self.method} {self.path} #{self.number}"

    def spec(self) -> dict[str, Any]:
        """Return what a fault needs to hit this request."""
        path = re.escape(self.path).replace(re.escape("{id}"), "[0-9]+")
        return {"method": self.method, "path": f"^{path}$", "skip": self.number - 1}


class Bench:
    """A sandbox with its own connections; a context manager.

    :param name: ending of its connection ids.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # The dangerous reading: invoicing an invoiced order bills it again.
        self.sandbox = Sandbox(organizations=[ORGANIZATION], reinvoice="invoice_again", hypatos_window=0)
        self.folder = Path(tempfile.mkdtemp(prefix="faults-"))

    def __enter__(self) -> Self:
        self.sandbox.start()
        for conn_id, connection in self.sandbox.connections().items():
            extra = {**connection["extra"], "timeout": TIMEOUT, "settle_seconds": SETTLE}
            os.environ[self._variable(conn_id)] = json.dumps({**connection, "extra": extra})
            os.environ[self._variable(f"{conn_id}_patient")] = json.dumps(connection)
        return self

    def __exit__(self, *_: object) -> None:
        for conn_id in self.sandbox.connections():
            del os.environ[self._variable(conn_id)]
            del os.environ[self._variable(f"{conn_id}_patient")]
        self.sandbox.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._forget()

    def _variable(self, conn_id: str) -> str:
        return f"AIRFLOW_CONN_{conn_id.replace('default', self.name).upper()}"

    def clear(self) -> None:
        """Empty the books and the folder, and forget the tokens and what was learned of limits."""
        self.sandbox.reset()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._forget()

    def _forget(self) -> None:
        for credentials in list(TOKENS._tokens):
            if credentials.token_url.startswith(f"{self.sandbox.url}/"):
                TOKENS._tokens.pop(credentials, None)
        for account in list(BUDGETS._budgets):
            if account[0].startswith(f"{self.sandbox.url}/"):
                BUDGETS._budgets.pop(account, None)

    def books(self) -> dict[str, Any]:
        """Return everything in the books of 24SevenOffice."""
        books: dict[str, Any] = self.sandbox.state()["organizations"][ORGANIZATION]
        return books

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the records in Hypatos."""
        records: dict[str, dict[str, Any]] = self.sandbox.state()["enrichment"]
        return records

    def targets(self) -> list[Target]:
        """Return the requests there were since the books were emptied."""
        seen: dict[tuple[str, str], int] = {}
        targets: list[Target] = []
        for request in self.sandbox.requests():
            place = request["method"], re.sub("^/salesorders/[0-9]+", "/salesorders/{id}", request["path"])
            seen[place] = seen.get(place, 0) + 1
            targets.append(Target(*place, seen[place], len(targets)))
        return targets

    def hits(self) -> int:
        """Return how many requests were hit by a fault."""
        return sum(fault["hits"] for fault in self.sandbox.state()["faults"])

    def leave_twin(self, field: str, marker: str, hidden_for: float) -> None:
        """Leave an empty order of a run that has died, which lists show only after a while."""
        self.sandbox.add_fault(action="list_lag", method="POST", path="/salesorders$", seconds=hidden_for)
        # A preparation, which must not fail when the machine is slow.
        with TfsoHook(f"tfso_{self.name}_patient") as hook:
            hook.create_sales_order({**ONE.order, field: marker})
        self.sandbox.clear_faults()

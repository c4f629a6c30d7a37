"""Runs tries of tasks in processes of their own against a sandbox, and retries them as Airflow does."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.kills.files import Files
from tests.kills.template import Template
from tests.kills.verdict import Verdict, judge, judge_rejected, judge_results

from tfso_hypatos.sandbox.server import Sandbox

SETTLE = 0.4
LATE = 0.22
"""Seconds after which a late request is carried out: less than three quarters of the settle time."""

MOST_TRIES = 5
KEY = "web-10045"
KEYS = (KEY, "web-10046", "web-10047")
"""Of the orders of a batch."""


class Kill(NamedTuple):
    """Where one try is killed."""

    boundary: str
    at: int = 0

    def __str__(self) -> str:
        return f"{self.boundary}:{self.at}" if self.at else self.boundary


class Ended(NamedTuple):
    """How a try ended: killed, success, up_for_retry or failed."""

    state: str
    requests: int
    log: Path


@dataclass(frozen=True)
class Instance:
    """One task instance.

    :param keys: order keys; several ones are those of a mapped task.
    :param result: what an invoice task is given instead of what the create task of its run returned.
    """

    task_id: str
    run_id: str = "run-1"
    map_index: int = -1
    keys: tuple[str, ...] = (KEY,)
    result: Any = field(default=None, hash=False)


CHAIN = ("create", "invoice", "enrich")
REJECTED_CHAIN = ("create", "withdraw")


class Shop:
    """One cell of a matrix: empty books and an Airflow that knows nothing.

    :param sandbox: both services.
    :param template: processes are forked from it.
    :param home: folder of its Airflow.
    :param late: seconds after which a late request is carried out.
    :param marker_field: field of the order that carries the marker.
    :param batch: several orders in each task, whose results are handed on as a ``list`` or in ``files``; empty: one.
    :param rejected: the order is to be taken back: ``withdraw``, ``inactive`` (nothing can be deleted) or ``draft``.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        template: Template,
        home: Path,
        late: float = LATE,
        marker_field: str = "internalMemo",
        batch: str = "",
        rejected: str = "",
    ) -> None:
        self.rejected = rejected
        self.marker_field = marker_field
        self.batch = batch
        self.sandbox = sandbox
        self.home = home
        self._late = late
        self._settled_at = 0.0
        self._runs: set[str] = set()
        self._template = template
        connections = sandbox.connections()
        for name, connection in connections.items():
            own = {"settle_seconds": SETTLE} if name == "tfso_default" else {}
            connection["extra"] = {**connection["extra"], **own, "timeout": 5}
        self._connections = {name: json.dumps(connection) for name, connection in connections.items()}

    def start(self, task: Instance, try_number: int = 1, kill: Kill | None = None, **more: Any) -> Future[Ended]:
        """Start a try; the answer is how it ended."""
        given = {
            "home": str(self.home),
            "connections": self._connections,
            "task_id": task.task_id,
            "run_id": task.run_id,
            "map_index": task.map_index,
            "keys": list(KEYS if self.batch else task.keys),
            "batch": self.batch,
            "rejected": self.rejected,
            "result": task.result,
            "marker_field": self.marker_field,
            "try_number": try_number,
            "boundary": kill.boundary if kill else "",
            "at": kill.at if kill else 0,
            "id": os.urandom(8).hex(),
            **more,
        }
        self._runs.add(task.run_id)
        sent = len(self.sandbox.requests())
        if kill and kill.boundary == "late":
            which = {"skip": kill.at - 1} if kill.at > 0 else {"skip": -kill.at - 1, "body": r"^\{"}
            self._settled_at = time.monotonic() + 2 * self._late
            self.sandbox.add_fault(action="commit_late", seconds=self._late, hold=1.0, **which)
        ended: Future[Ended] = Future()
        log = (
            self.home / "logs" / f"{task.run_id}.{task.task_id}.{task.map_index}.try{try_number}.{given['id'][:4]}.log"
        )

        def finish(code: Future[int]) -> None:
            self.sandbox.clear_faults()
            body = self.get("states", task.run_id, task.task_id, task.map_index, try_number)
            if code.result() == 0:
                state = str(body["state"]) if body else "unheard"
            else:
                state = "killed" if code.result() == -9 else "crashed"
            ended.set_result(Ended(state, len(self.sandbox.requests()) - sent, log))

        self._template.start(given["id"], json.dumps(given)).add_done_callback(finish)
        return ended

    def finish(
        self, task: Instance, *, kills: Sequence[Kill] = (), first: int = 1, start_at: float = 0.0, keep: bool = True
    ) -> list[Ended]:
        """Run a task to its end as Airflow does: after a kill or a passing error it is tried again.

        :param task: the task instance.
        :param kills: where its tries are killed, one after the other.
        :param first: number of the first of these tries.
        :param start_at: monotonic time at which the first one begins.
        :param keep: whether what it keeps is still there for its next try.
        """
        tries: list[Ended] = []
        for number in range(MOST_TRIES):
            kill = kills[number] if number < len(kills) else None
            retries = first + MOST_TRIES - 2
            ended = self.start(
                task, first + number, kill, start_at=start_at if number == 0 else 0.0, retries=retries
            ).result(90)
            tries.append(ended)
            if ended.state == "crashed":
                raise RuntimeError(f"{task}, try {first + number}: {ended.log.read_text()[-3000:]}")
            if ended.state in {"success", "failed"}:
                return tries
            if not keep:
                self.forget()
        return tries

    def forget(self) -> None:
        """Discard what tasks keep for their next try."""
        shutil.rmtree(self.home / "store", ignore_errors=True)

    def show(self) -> None:
        """Print every log, and every request that the sandbox got."""
        for log in sorted((self.home / "logs").iterdir(), key=lambda path: path.stat().st_mtime):
            print(f"--- {log.name}\n{log.read_text()}")
        for each in self.sandbox.requests():
            print(
                *(each[name] for name in ("time", "method", "path", "status", "fault", "committed")), each["body"][:300]
            )

    def get(self, *place: object) -> Any:
        """Return what this Airflow keeps at a place."""
        return Files(self.home).get(*place)

    def result(self, task: Instance) -> Any:
        """Return what a task instance has returned."""
        return self.get("xcom", "orders", task.run_id, task.task_id, task.map_index, "return_value")

    def chain(
        self, run_id: str = "run-1", key: str = KEY, start_at: float = 0.0, tasks: Sequence[str] = CHAIN
    ) -> list[str]:
        """Run create, invoice and enrich one after the other, and return how they ended."""
        states: list[str] = []
        for task_id in tasks:
            tries = self.finish(Instance(task_id, run_id, keys=(key,)), start_at=start_at)
            states.append(tries[-1].state)
            start_at = 0.0
            if tries[-1].state != "success":
                break
        return states

    def verdict(
        self, keys: Sequence[str] = (KEY,), *, finished: bool = True, overlapped: Sequence[str] = ()
    ) -> Verdict:
        """Judge the books once everything that was late has happened.

        :param keys: the business orders of single tasks.
        :param finished: whether Airflow takes every task for done.
        :param overlapped: tasks of which several tries were at work at once.
        """
        time.sleep(max(0.0, self._settled_at - time.monotonic()))
        if self.rejected:
            told = [self.result(Instance("withdraw", run_id)) for run_id in self._runs]
            return judge_rejected(self.sandbox.state(), keys, [each for each in told if each], finished=finished)
        if not self.batch:
            return judge(self.sandbox.state(), keys, finished=finished)
        verdict = judge(self.sandbox.state(), KEYS, finished=finished)
        for run_id, task_id in itertools.product(self._runs, CHAIN):
            if (returned := self.result(Instance(task_id, run_id))) is not None:
                verdict += judge_results(returned, KEYS, overlapped=task_id in overlapped)
        return verdict


class Rig:
    """A sandbox, a template, and a folder; a context manager."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="kills-"))
        self.sandbox = Sandbox(reinvoice="invoice_again")
        self.sandbox.start()
        self.template = Template(self.folder)
        self._made = 0
        return self

    def __exit__(self, *_: object) -> None:
        self.template.stop()
        self.sandbox.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def shop(
        self,
        *,
        late: float = LATE,
        marker_field: str = "internalMemo",
        list_lag: float = 0.0,
        batch: str = "",
        rejected: str = "",
    ) -> Iterator[Shop]:
        """Return empty books.

        :param late: seconds after which a late request is carried out.
        :param marker_field: field of the order that carries the marker.
        :param list_lag: seconds until a new order appears in lists.
        :param batch: several orders in each task, whose results are handed on as a ``list`` or in ``files``.
        :param rejected: how the order is to be taken back.
        """
        self._made += 1
        self.sandbox.reset()
        self.sandbox.configure(list_lag=list_lag, delete_forbidden=rejected == "inactive")
        home = self.folder / f"cell-{self._made}"
        yield Shop(self.sandbox, self.template, home, late, marker_field, batch, rejected)
        shutil.rmtree(home, ignore_errors=True)


def mapped(task: Instance, map_index: int, keys: Sequence[str]) -> Instance:
    """Return a task instance of a mapped task."""
    return replace(task, map_index=map_index, keys=tuple(keys))

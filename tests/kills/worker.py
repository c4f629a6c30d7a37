"""A process that runs one try of one task with Airflow's own task runner, and may kill itself on the way.

Started as a program it is the template: it imports Airflow once and forks a process for every try it is told of, one
JSON text a line. It answers with one line for every process that has ended.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import sys
import time
import traceback
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import structlog
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.supervisor import run_task_in_process
from tests.kills import boundaries
from tests.kills.airflow_api import ExecutionApi
from tests.kills.dags import dag_of
from tests.kills.files import Files

DAG_ID = "orders"


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try of one task instance.

    :param home: folder of its Airflow.
    :param connections: connections by id, as JSON text.
    :param task_id: create, invoice, enrich or withdraw.
    :param keys: order keys; several ones are those of a mapped task.
    :param batch: all keys in each task, whose results are handed on as a ``list`` or in ``files``; empty: one.
    :param rejected: how its order is taken back; empty: it is not.
    :param result: what the invoice or withdraw task is given; None: what the create task of its run returned.
    :param marker_field: field of the order that carries the marker.
    :param boundary: where it kills itself; empty: nowhere.
    :param at: the request around which it does so, counted from 1.
    :param start_at: monotonic time at which it begins, once it is ready.
    :param cleared: it was cleared while it ran, so that nobody listens to what it reports.
    """

    home: str
    connections: dict[str, str]
    task_id: str
    keys: list[str]
    run_id: str = "run-1"
    dag_id: str = DAG_ID
    map_index: int = -1
    try_number: int = 1
    retries: int = 4
    batch: str = ""
    rejected: str = ""
    result: Any = None
    marker_field: str = "internalMemo"
    boundary: str = ""
    at: int = 0
    start_at: float = 0.0
    cleared: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def instance(self) -> tuple[str, str, str, int]:
        """Which task instance it is a try of."""
        return self.dag_id, self.run_id, self.task_id, self.map_index

    @property
    def log(self) -> Path:
        """Where everything is written that it prints and logs."""
        number = f"{self.run_id}.{self.task_id}.{self.map_index}.try{self.try_number}"
        return Path(self.home) / "logs" / f"{number}.{self.id[:4]}.log"

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))


def run(task: Try) -> None:
    """Run a try in this process."""
    for name, connection in task.connections.items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = connection
    dag = dag_of(task)
    instance = TaskInstance(
        id=uuid.uuid4(),
        dag_version_id=uuid.uuid4(),
        task_id=task.task_id,
        dag_id=task.dag_id,
        run_id=task.run_id,
        try_number=task.try_number,
        map_index=task.map_index,
    )
    client = ExecutionApi(task, Files(Path(task.home))).client()
    boundaries.hook(task.boundary, task.at)
    boundaries.hook_async(task.boundary, task.at)
    boundaries.hook_files(task.boundary, task.at)
    time.sleep(max(0.0, task.start_at - time.monotonic()))
    run_task_in_process(instance, dag.get_task(task.task_id), client)


def _fork(task: Try) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        task.log.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(task.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        run(task)
        status = 0
    except BaseException:  # noqa: BLE001 - a forked process must end here, whatever happens
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve() -> None:
    """Fork a process for every line on the standard input, until it ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    running: dict[int, str] = {}
    unread = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == woken:
                    os.read(woken, 4096)
                    continue
                given = os.read(0, 65536)
                if not given:
                    return
                *lines, unread = (unread + given).split(b"\n")
                for line in lines:
                    task = Try(**json.loads(line))
                    running[_fork(task)] = task.id
            _report_ended(running)


def _report_ended(running: dict[int, str]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        # A line this short is written as a whole.
        os.write(1, f"{running.pop(pid)} {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    serve()

"""The process that the processes of tries are forked from."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")


class Template:
    """The process that processes are forked from: it has imported Airflow.

    :param folder: where it keeps its files.
    """

    def __init__(self, folder: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        environment = {
            **inherited,
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self._waiting: dict[str, Future[int]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, identity: str, text: str) -> Future[int]:
        """Fork a process for a try and return its exit code to be."""
        ended: Future[int] = Future()
        assert self._process.stdin is not None
        with self._lock:
            self._waiting[identity] = ended
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()
        return ended

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            identity, _, code = line.strip().partition(" ")
            if identity in self._waiting:
                self._waiting.pop(identity).set_result(int(code))

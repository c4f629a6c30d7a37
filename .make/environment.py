"""What ``make demo`` and ``make airflow`` share: a whole Airflow on this machine, and how to ask it something.

Airflow and its children run in a session of their own, write to a log file, and are stopped by their process ids.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil  # type: ignore[import-untyped]  # its types are a package of their own

ROOT = Path(__file__).resolve().parent.parent
DAG_ID = "order_to_invoice"
SETTLE_SECONDS = 0.5

_START_TIMEOUT = 300.0
_STOP_TIMEOUT = 30.0
_HEALTHY = frozenset({"healthy", None})


class Failure(Exception):
    """Something did not work; the text says what, for a person."""


class Airflow:
    """A whole Airflow: scheduler, triggerer, DAG processor and API server, without login, on loopback.

    :param home: its ``AIRFLOW_HOME``; everything it writes is in there.
    :param port: port of the user interface.
    :param connections: connections by id, given through the environment.
    """

    def __init__(self, home: Path, port: int, connections: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = home / "airflow.log"
        self._environment = _environment(home, port, self.url, connections or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._token = self._broken = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everything, wait until it is ready, and stop everything in the end.

        :raises Failure: it did not become ready.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "airflow", "standalone"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command,
                cwd=self.log.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self._await_ready()
                yield
            finally:
                _stop(self._process)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer of Airflow's REST API.

        :param method: HTTP method.
        :param path: path below the address of the user interface.
        :param body: what to send as JSON.
        :raises Failure: it refused, or gave no answer.
        """
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with _opener().open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise Failure(f"Airflow answered {error.code} to {method} {path}: {text[:500]}") from None
        except (OSError, ValueError) as error:
            raise Failure(f"Airflow did not answer {method} {path}: {error}") from None

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise Failure("Airflow stopped while it was starting")
            with suppress(Failure):
                if self._is_ready():
                    return
            if self._broken:
                raise Failure(f"Airflow cannot load an example DAG:\n{self._broken}")
            time.sleep(0.5)
        raise Failure(f"Airflow was not ready after {_START_TIMEOUT:.0f} seconds")

    def _is_ready(self) -> bool:
        health = self.ask("GET", "/api/v2/monitor/health")
        if any(part["status"] not in _HEALTHY for part in health.values()) or not health["triggerer"]["status"]:
            return False
        self._token = self._token or self.ask("GET", "/auth/token")["access_token"]
        errors = self.ask("GET", "/api/v2/importErrors")["import_errors"]
        self._broken = "\n".join(error["stack_trace"] for error in errors)
        return bool(self.ask("GET", f"/api/v2/dags/{DAG_ID}")) and not self._broken

    def wait(self) -> NoReturn:
        """Return never.

        :raises Failure: it stopped by itself.
        """
        while self._process is not None and self._process.poll() is None:
            time.sleep(1)
        raise Failure("Airflow stopped by itself")

    def reasons(self, run_id: str, dag_id: str = DAG_ID) -> str:
        """Return why the tasks of a run failed, as their logs say.

        :param run_id: the run.
        :param dag_id: its DAG.
        """
        found = []
        for path in sorted(self.log.parent.glob(f"logs/dag_id={dag_id}/run_id={run_id}/task_id=*/attempt=*.log")):
            for line in path.read_text("utf-8", "replace").splitlines():
                with suppress(ValueError):
                    errors = json.loads(line).get("error_detail") or []
                    found += [f"{path.parent.name}: {error['exc_type']}: {error['exc_value']}" for error in errors]
        return "\n".join(dict.fromkeys(found))

    def last_lines(self, count: int = 25) -> str:
        """Return the end of the log, without the requests of the user interface.

        :param count: number of lines.
        """
        with suppress(OSError):
            lines = self.log.read_text("utf-8", "replace").splitlines()
            return "\n".join([line for line in lines if "[http.access]" not in line][-count:])
        return ""


def _environment(home: Path, port: int, url: str, connections: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    # Settings of another Airflow on this machine must not reach ours.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
    for name, connection in connections.items():
        settings[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")])
    return {**inherited, **settings, "PATH": path}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and everything it started; Airflow's own children survive anything but an interrupt."""
    family = [psutil.Process(process.pid)] if process.poll() is None else []
    for parent in list(family):
        with suppress(psutil.Error):
            family += parent.children(recursive=True)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    gone_by = time.monotonic() + _STOP_TIMEOUT
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT)
    psutil.wait_procs(family, timeout=max(0.0, min(5.0, gone_by - time.monotonic())))
    for survivor in family:
        with suppress(psutil.Error):
            survivor.kill()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _opener() -> urllib.request.OpenerDirector:
    # A proxy of this machine has no business between us and loopback.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_free(port: int) -> bool:
    """Say whether nobody listens on a port.

    :param port: the port.
    """
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except (OSError, OverflowError):
        return False


def quick_to_settle(connections: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return connections to the sandbox, which is never late, with a short settle time.

    :param connections: connections by id.
    """
    quick = {name: dict(connection) for name, connection in connections.items()}
    quick["tfso_default"]["extra"] = {**quick["tfso_default"]["extra"], "settle_seconds": SETTLE_SECONDS}
    return quick


def interrupt_on_termination() -> None:
    """Let a termination or a closed terminal end the program the way Ctrl-C does: with its tidying up."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Once: make passes a termination on, and a second one would cut the tidying up short.
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    # A shell without job control starts background programs with SIGINT ignored.
    for each in signals:
        signal.signal(each, interrupt)

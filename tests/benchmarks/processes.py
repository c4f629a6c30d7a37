"""Processes of their own for the servers, so that no contestant shares an interpreter with who answers it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import requests
import structlog

from tfso_hypatos.sandbox.settings import CLIENT_ID, CLIENT_SECRET, ORGANIZATION

ROOT = Path(__file__).parents[2]
STUB = Path(__file__).with_name("stub.py")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def prepare() -> None:
    """Give this process an Airflow that touches nothing of this machine; before anything imports Airflow."""
    home = tempfile.mkdtemp(prefix="airflow-home-")
    for name in [name for name in os.environ if name.startswith("AIRFLOW_") or name.lower() in _PROXIES]:
        del os.environ[name]
    os.environ.update(
        AIRFLOW_HOME=home,
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=f"{home}/dags",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__LOGGING__BASE_LOG_FOLDER=f"{home}/logs",
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    )


def tidy_up() -> None:
    """Remove what :func:`prepare` made."""
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


class Server:
    """A process that answers.

    :param process: it, with pipes to and from it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.words = self._line().split()
        """The first line it printed."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, text: str) -> str:
        """Tell it a line, and return the line it prints."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def served(*command: str) -> Iterator[Server]:
    """Run a server until the end of the block.

    :param command: arguments of our Python.
    """
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, *command], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield Server(process)
        finally:
            process.terminate()


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing: what goes to a terminal or a file is another cost, and the same for everyone."""
    configured, disabled = structlog.get_config(), logging.root.manager.disable
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)
        structlog.configure(**configured)


@contextmanager
def sandbox(*options: str) -> Iterator[str]:
    """Run a sandbox until the end of the block, with connections to it, and give its address.

    :param options: of its command line.
    """
    with served("-m", "tfso_hypatos.sandbox", "--port", "0", *options) as server:
        url = server.words[1].rstrip("/")
        with connected(connections_to(url)):
            yield url


def connections_to(url: str) -> dict[str, dict[str, Any]]:
    """Return the two connections to a server whose paths are those of the sandbox."""
    login = {"login": CLIENT_ID, "password": CLIENT_SECRET}
    extra = {"organization_id": ORGANIZATION, "token_url": f"{url}/tfso/oauth/token"}
    return {
        "tfso_default": {"conn_type": "tfso", "host": f"{url}/tfso/v1", **login, "extra": extra},
        "hypatos_default": {"conn_type": "hypatos", "host": f"{url}/hypatos/v2", **login},
    }


def control(url: str, method: str, name: str, **body: Any) -> Any:
    """Ask a sandbox's control API, and return its answer."""
    answer = requests.request(method, f"{url}/__sandbox__/{name}", json=body or None, timeout=60)
    answer.raise_for_status()
    return answer.json()


@contextmanager
def connected(connections: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Set Airflow connections, by connection id, until the end of the block."""
    variables = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
    with mock.patch.dict(os.environ, variables):
        yield

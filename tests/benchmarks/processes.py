"""Processes of their own for the servers, so that no contestant shares an interpreter with who answers it."""

from __future__ import annotations

import json
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


@contextmanager
def served(*command: str) -> Iterator[list[str]]:
    """Run a server until the end of the block, and give the first line it prints as words.

    :param command: arguments of our Python.
    """
    # Without what a shell of tests has set: a server needs no Airflow.
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, *command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def connected(connections: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Set Airflow connections, by connection id, until the end of the block."""
    variables = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
    with mock.patch.dict(os.environ, variables):
        yield

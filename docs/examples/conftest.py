"""What a project that uses this provider puts into the ``conftest.py`` of its own tests."""

from __future__ import annotations

# [START airflow]
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfso_hypatos.sandbox.server import Sandbox

# Before anything imports Airflow, which reads its configuration once.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-tests-"))
os.environ.setdefault("AIRFLOW__CORE__DAGS_FOLDER", str(Path(__file__).parents[2] / "dags"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
# [END airflow]


# [START sandbox]
@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    """Start both services once, on a free port of this machine."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Return both services with empty books, and connections that lead to them."""
    running_sandbox.reset()
    for conn_id, connection in running_sandbox.connections().items():
        if connection["conn_type"] == "tfso":
            connection["extra"]["settle_seconds"] = 0.2  # the sandbox is never late unless it is told to be
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    return running_sandbox
    # [END sandbox]


# [START database]
@pytest.fixture(scope="session")
def database() -> None:
    """Make Airflow's database, which a whole DAG needs and a single task does not."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
    # [END database]

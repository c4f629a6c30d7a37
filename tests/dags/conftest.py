"""An Airflow database and a folder with the example DAGs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tfso_hypatos.sandbox.server import Sandbox

DAGS = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fill the tests' own DAGs folder, which Airflow reads again whenever it runs a DAG, and make a database."""
    home, folder = Path(os.environ["AIRFLOW_HOME"]), Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert home.is_relative_to(tempfile.gettempdir()), "the tests would touch an Airflow of this machine"
    shutil.copytree(DAGS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    _make_database(home / "airflow.db", tmp_path_factory)
    return folder


def _make_database(database: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make one database for all processes of the suite, and copy it: making it takes longer than most tests."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    made = shared / "airflow.db"
    with (shared / "airflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            # In a process of its own: a migration changes Airflow's logging, and warns.
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603 - our own interpreter
            shutil.copy(database, made)
        else:
            shutil.copy(made, database)


@pytest.fixture
def posting(sandbox: Sandbox, connections: object) -> Sandbox:
    """Return both services, with connections to them; an invoice is posted a second after it is issued."""
    sandbox.configure(transaction_delay=1)
    return sandbox

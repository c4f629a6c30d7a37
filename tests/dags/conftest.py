"""An Airflow database and a folder with the example DAGs."""

from __future__ import annotations

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
def dags_folder() -> Path:
    """Fill the tests' own DAGs folder, which Airflow reads again whenever it runs a DAG, and make a database."""
    home, folder = Path(os.environ["AIRFLOW_HOME"]), Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert home.is_relative_to(tempfile.gettempdir()), "the tests would touch an Airflow of this machine"
    shutil.copytree(DAGS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    # In a process of its own: a migration changes Airflow's logging, and warns.
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture
def posting(sandbox: Sandbox, connections: object) -> Sandbox:
    """Return both services, with connections to them; an invoice is posted a second after it is issued."""
    sandbox.configure(transaction_delay=1)
    return sandbox

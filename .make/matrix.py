"""Runs the tests on every supported Python and Airflow: one environment each, under .matrix/, which is kept.

python .make/matrix.py [NAMES]     for example 3.11-3.2: Python 3.11 with Airflow 3.2; all by default

The combination of the newest Python and the newest Airflow runs the whole suite, the others what touches Airflow.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".matrix"
PYTHONS = ("3.11", "3.12", "3.13")
AIRFLOWS = ("3.2", "3.3")
WHOLE = "3.13-3.3"
QUICK = (
    "tests/hooks",
    "tests/operators",
    "tests/sensors",
    "tests/triggers",
    "tests/links",
    "tests/notifications",
    "tests/dags",
    "tests/test_assets.py",
    "tests/test_asset_events.py",
    "tests/test_provider_info.py",
    "tests/test_secrets.py",
    "tests/test_import_cost.py",
)
NEWEST = "3.3"
"""The Airflow of constraints.txt; others have a file of their own beside this one."""


class Outcome(NamedTuple):
    """What became of one combination.

    :param name: Python and Airflow.
    :param versions: what was installed.
    :param said: the tests' last line, or why there were none.
    :param seconds: how long it took.
    :param passed: whether all tests passed; None if it was skipped.
    """

    name: str
    versions: str
    said: str
    seconds: float
    passed: bool | None


def interpreter(version: str) -> str | None:
    """Return a Python of this version, from the path or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    kept = sorted(
        pyenv.glob(f"{version}.*/bin/python"), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))]
    )
    # A shim on the path is there for versions too that are not switched on.
    for candidate in (shutil.which(f"python{version}"), *map(str, reversed(kept))):
        if candidate and run([candidate, "-c", "import ensurepip, venv"]).returncode == 0:
            return candidate
    return None


def run(command: Sequence[str], **options: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder and return what it said."""
    environment = {**os.environ, **options}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(  # noqa: S603 - our own commands
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def constraints(airflow: str) -> str:
    """Return the versions to install with this Airflow."""
    pinned = (ROOT / "constraints.txt").read_text()
    if airflow == NEWEST:
        return pinned
    own = (ROOT / ".make" / f"airflow-{airflow}.txt").read_text()
    replaced = {name.lower() for name in re.findall(r"^([\w-]+)[<=>]", own, re.MULTILINE)}
    replaced |= {"apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk"}
    kept = [line for line in pinned.splitlines() if re.split(r"[<=>;\s]", line)[0].lower() not in replaced]
    return "\n".join([*kept, own, f"apache-airflow=={airflow}.*"])


def build(python: str, airflow: str, home: Path) -> str | None:
    """Make the environment of a combination, if it is not there as it should be; return what went wrong."""
    wanted = constraints(airflow) + (ROOT / "pyproject.toml").read_text()
    stamp = home / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    versions = HOME / f"{home.name}.txt"
    versions.write_text(constraints(airflow))
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    for command in (
        [python, "-m", "venv", "--clear", str(home)],
        [*pip, "--upgrade", "pip"],
        [*pip, "-c", str(versions), f"apache-airflow=={airflow}.*", "-e", ".", "--group", "dev"],
    ):
        done = run(command)
        if done.returncode:
            return f"could not be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    stamp.write_text(wanted)
    return None


def tried(name: str) -> Outcome:
    """Build the environment of a combination and run the tests in it."""
    version, _, airflow = name.partition("-")
    began, home = time.monotonic(), HOME / name
    python = interpreter(version)
    if python is None:
        return Outcome(name, "", f"skipped: there is no Python {version} here", 0.0, None)
    trouble = build(python, airflow, home)
    if trouble:
        return Outcome(name, "", trouble, time.monotonic() - began, passed=False)
    ours = str(home / "bin" / "python")
    asked = (
        "import platform, importlib.metadata as m; print(platform.python_version(), m.version('apache-airflow-core'))"
    )
    versions = run([ours, "-c", asked]).stdout.strip()
    suite = [] if name == WHOLE else list(QUICK)
    command = [ours, "-m", "pytest", "-q", "-n", "4", "--dist", "loadfile", "-p", "no:cacheprovider", *suite]
    done = run(command, PYTEST_ADDOPTS="")
    (HOME / f"{name}.log").write_text(done.stdout + done.stderr)
    last = (done.stdout.strip().splitlines() or ["the tests did not start"])[-1].strip("= ")
    return Outcome(name, versions, last, time.monotonic() - began, done.returncode == 0)


def main(arguments: Sequence[str]) -> int:
    """Try what was asked for, and print a table."""
    every = [f"{python}-{airflow}" for airflow in AIRFLOWS for python in PYTHONS]
    unknown = set(arguments) - set(every)
    if unknown:
        print(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(every)}.")
        return 2
    HOME.mkdir(exist_ok=True)
    outcomes = []
    for name in arguments or every:
        print(f"Python {name.replace('-', ' with Airflow ')} ...", flush=True)
        outcomes.append(tried(name))
    print(f"\n{'Python':8} {'Airflow':8} {'suite':6} {'':8} tests")
    for outcome in outcomes:
        python, _, airflow = (outcome.versions or outcome.name.replace("-", " ")).partition(" ")
        verdict = {True: "passed", False: "FAILED", None: "skipped"}[outcome.passed]
        suite = "whole" if outcome.name == WHOLE else "quick"
        print(f"{python:8} {airflow:8} {suite:6} {verdict:8} {outcome.said} ({outcome.seconds:.0f} s)")
    failed = [outcome.name for outcome in outcomes if outcome.passed is False]
    if failed:
        print(f"\nWhat the tests said: {', '.join(f'.matrix/{name}.log' for name in failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

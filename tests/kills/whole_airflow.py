"""A real Airflow whose triggerer is killed and replaced: what the scripts that do so share."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # its types are a package of their own

from tfso_hypatos.sandbox.server import Sandbox

PATIENCE = 240.0


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    """Return what a condition returns once that is true; fail after a while."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    raise TimeoutError(f"waited {PATIENCE:.0f} s in vain: {what}")


def tools() -> Any:
    """Return what starts a whole Airflow for the demo; it is no package."""
    sys.path.insert(0, str(Path(__file__).parents[2] / ".make"))
    return importlib.import_module("environment")


def airflow_beside(sandbox: Sandbox, home: Path) -> Any:
    """Return an Airflow that is connected to a sandbox, and soon gives up a triggerer that is silent."""
    environment = tools()
    airflow = environment.Airflow(home, environment.free_port(), environment.quick_to_settle(sandbox.connections()))
    airflow._environment["AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD"] = "6"
    airflow._environment["AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC"] = "2"
    return airflow


def kill_triggerer(airflow: Any) -> None:
    """Kill the triggerer, and all that it has started itself."""
    victims = _triggerers(psutil.Process(airflow._process.pid))
    for process in victims:
        process.kill()
    psutil.wait_procs(victims, 10)
    assert victims, "there was no triggerer"
    print(f"killed the triggerer (processes {[process.pid for process in victims]})")


def _triggerers(root: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in root.children(recursive=True):
        with suppress(psutil.Error):
            if any("triggerer" in part for part in process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return list(dict.fromkeys(found))


@contextmanager
def another_triggerer(airflow: Any, home: Path) -> Iterator[None]:
    """Start a triggerer in the place of the one that was killed, and stop it in the end."""
    with (home / "triggerer.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "triggerer"],
            cwd=home,
            env=airflow._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.terminate()
            _, alive = psutil.wait_procs(family, 15)
            for each in alive:
                each.kill()
            process.wait()

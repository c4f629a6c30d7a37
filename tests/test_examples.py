"""What the pages show besides DAGs is run as a user runs it: in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tfso_hypatos.sandbox.server import Sandbox

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def test_the_tests_of_the_testing_guide_pass() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    done = subprocess.run(  # noqa: S603 - our own Python and our own code
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=environment,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^5 passed in", done.stdout, flags=re.MULTILINE)


def test_the_commands_to_the_control_api_are_understood(sandbox: Sandbox) -> None:
    script = (EXAMPLES / "control_api.sh").read_text()
    before_reset = script.replace("curl -X POST $SANDBOX/__sandbox__/reset\n", "")
    assert before_reset != script
    environment = {**os.environ, "SANDBOX": sandbox.url, "NO_PROXY": "*"}
    command = ["bash", "-euc", before_reset.replace("curl ", "curl -fsS ")]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment)  # noqa: S603

    assert done.returncode == 0, done.stderr
    first, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert first["action"] == "rate_limit"
    state = sandbox.state()
    assert state["settings"]["transaction_delay"] == 60
    assert [fault["times"] for fault in state["faults"]] == [3]


def test_the_getting_started_script_can_be_read_by_the_shell() -> None:
    subprocess.run(["bash", "-n", str(EXAMPLES / "getting_started.sh")], check=True)  # noqa: S603, S607

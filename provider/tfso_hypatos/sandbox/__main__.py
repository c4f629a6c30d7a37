"""Run both APIs on this machine: ``python -m tfso_hypatos.sandbox``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import simplejson

from tfso_hypatos.sandbox.server import Sandbox
from tfso_hypatos.sandbox.settings import Meaning, Settings

_PORT = 8780


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted and return the exit status.

    :param arguments: command line; the one of the process when left out.
    """
    options = vars(_parser().parse_args(arguments))
    host, port = options.pop("host"), options.pop("port")
    try:
        sandbox = Sandbox(host=host, port=port, **options)
        sandbox.start()
    except (ValueError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    print(_greeting(sandbox), flush=True)
    stopped.wait()
    sandbox.stop()
    return 0


def _greeting(sandbox: Sandbox) -> str:
    lines = [
        f"Sandbox         {sandbox.url}/",
        f"24SevenOffice   {sandbox.tfso_url}   (token {sandbox.tfso_token_url})",
        f"Hypatos         {sandbox.hypatos_url}   (token {sandbox.hypatos_url}/auth/token)",
        f"Control         {sandbox.url}/__sandbox__/state, requests, reset, settings, faults, expire-tokens",
        "",
        "Airflow connections for the environment of scheduler, triggerer and workers:",
        "",
    ]
    for name, connection in sandbox.connections().items():
        lines.append(f"export AIRFLOW_CONN_{name.upper()}='{json.dumps(connection)}'")
    return "\n".join([*lines, "", "Ctrl-C stops it; nothing is kept."])


def _parser() -> argparse.ArgumentParser:
    about = "24SevenOffice sales orders and Hypatos enrichment on this machine, for development and tests."
    parser = argparse.ArgumentParser(prog="python -m tfso_hypatos.sandbox", description=about)
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=_PORT, help=f"port to listen on ({_PORT}; 0: a free one)")
    for name, meaning in Settings.meanings().items():
        _add(parser, name, meaning)
    return parser


def _add(parser: argparse.ArgumentParser, name: str, meaning: Meaning) -> None:
    kind = meaning.kind
    option: dict[str, Any] = {"help": meaning.about, "default": argparse.SUPPRESS}
    if kind == "switch":
        option["action"] = "store_true"
    elif kind in {"names", "ids?"}:
        option["nargs"] = "+"
    if kind == "ids?":
        option["type"] = int
    elif kind.rstrip("?") in {"number", "signed", "count"}:
        option["type"] = simplejson.loads
    parser.add_argument(f"--{name.replace('_', '-')}", **option)


if __name__ == "__main__":
    sys.exit(main())

"""Runs statements in processes that have imported Airflow's SDK and nothing else, and prints what they took.

python tests/benchmarks/fresh.py ROUNDS STATEMENT ...     prints JSON: for each statement and round, the seconds of
processor time that it took for the first time and for the second

The processes are forked: each is as fresh as a new one, and there in a millisecond instead of two seconds.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence

import airflow.sdk
import airflow.sdk.configuration
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, Param

BASE = (airflow.sdk.configuration, DAG, BaseOperator, BaseSensorOperator, Param)
"""What every DAG file needs that has a sensor; the SDK itself imports it only when it is asked for."""


def took(statement: str) -> float:
    """Run a statement and return the seconds of processor time it took."""
    began = time.process_time()
    exec(statement, {})  # noqa: S102 - our own statements
    return time.process_time() - began


def in_a_fresh_process(statement: str) -> list[float]:
    """Return the seconds that a statement takes for the first time and for the second."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.write(writing, json.dumps([took(statement), took(statement)]).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    answer = os.read(reading, 1000)
    os.close(reading)
    os.waitpid(pid, 0)
    seconds: list[float] = json.loads(answer)
    return seconds


def main(rounds: int, statements: Sequence[str]) -> list[list[list[float]]]:
    """Run all statements in turn, and return their times."""
    for statement in statements if rounds > 1 else ():
        in_a_fresh_process(statement)  # compiles what is not yet compiled
    gc.collect()
    gc.freeze()
    gc.disable()
    times: list[list[list[float]]] = [[] for _ in statements]
    for _ in range(rounds):
        for number, statement in enumerate(statements):
            times[number].append(in_a_fresh_process(statement))
    return times


if __name__ == "__main__":
    result = main(int(sys.argv[1]), sys.argv[2:])
    sys.stdout.write(f"\n{json.dumps(result)}\n")

"""The files of a report, wherever Airflow's object storage can reach."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, Any

from airflow.sdk import ObjectStoragePath

from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.reports.page import write_html
from tfso_hypatos.reports.rows import Row, Summary
from tfso_hypatos.reports.store import Store
from tfso_hypatos.reports.tables import MOST_IN_LOG, log_table, write_csv, write_json

log = logging.getLogger(__name__)

NAME = "reconciliation"

REPAIRS = "repairs-"
"""What the names of the files begin with that say what a try repaired; no other try replaces them."""


def write_report(path: str, summary: Summary, store: Store, try_name: str) -> dict[str, str]:
    """Write the report as HTML, CSV and JSON, and return where each one is.

    :param path: the folder; a report that is there is replaced, but for what earlier tries repaired.
    :param summary: everything but the orders.
    :param store: the orders.
    :param try_name: a name that no other try has.
    """
    folder = ObjectStoragePath(path)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    if summary.repair_mode == "apply":
        earlier = [each.name for each in folder.iterdir() if each.name.startswith(REPAIRS)]
        if earlier:
            summary.notes.append(f"Repairs of earlier tries are in this folder: {', '.join(sorted(earlier))}.")
        if sum(summary.repairs.values()):
            # First: whatever becomes of the rest, this cannot be found out again.
            file = folder / f"{REPAIRS}{try_name}.json"
            with _opened(file) as stream:
                write_json(stream, summary, store.repaired())
            paths["repairs"] = str(file)
    writers: dict[str, Callable[[IO[str]], None]] = {
        "html": lambda stream: write_html(stream, summary, store.rows_of, store.repaired()),
        "csv": lambda stream: write_csv(stream, store.rows()),
        "json": lambda stream: write_json(stream, summary, store.rows()),
    }
    for kind, write in writers.items():
        file = folder / f"{NAME}.{kind}"
        with _opened(file) as stream:
            write(stream)
        paths[kind] = str(file)
    return paths


def address_of(folder: str) -> str:
    """Return where people open the page.

    :param folder: web address of the folder that the report was written to.
    """
    return f"{folder.rstrip('/')}/{NAME}.html"


def _opened(file: Any) -> IO[str]:
    # Airflow's paths do not say what they open.
    stream: IO[str] = file.open("w", encoding="utf-8", newline="")
    return stream


def log_report(summary: Summary, store: Store) -> None:
    """Write the report's table to the log."""
    log.info("\n%s", "\n".join(log_table(summary, islice(_urgent(store), MOST_IN_LOG))))


def _urgent(store: Store) -> Iterator[Row]:
    """Return the orders that are not in order, the most urgent first, each once."""
    for kind in OrderClass:
        if kind is not OrderClass.IN_ORDER:
            rows = store.rows_of(kind.value, MOST_IN_LOG)
            yield from (row for row in rows if row.classes[0] == kind.value)

"""Airflow's execution API as far as a task needs it, kept in files: it outlives the process that is killed."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httpx
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from tests.kills.boundaries import die
from tests.kills.files import Files

if TYPE_CHECKING:
    from tests.kills.worker import Try

_STARTED = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
_XCOM = re.compile(r"/xcoms/([^/]+)/([^/]+)/([^/]+)/([^/]+)(?:/(item|slice)(?:/(-?\d+))?)?")


class ExecutionApi:
    """Answers what the task runner asks Airflow, and kills the process where it was told to.

    :param task: the try that runs.
    :param files: where everything is kept.
    """

    def __init__(self, task: Try, files: Files) -> None:
        self._task = task
        self._files = files

    def client(self) -> Client:
        """Return a client of this API."""
        transport = httpx.MockTransport(self._answer)
        return Client(base_url=None, token="", dry_run=True, transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/run"):
            return httpx.Response(200, text=self._context().model_dump_json())
        if path.endswith("/state"):
            self._report(json.loads(request.content))
        elif path.startswith("/store/ti/"):
            return self._store(request, unquote(path.rpartition("/")[2]))
        elif match := _XCOM.fullmatch(path):
            return self._xcom(request, [unquote(part) for part in match.groups()[:4]], match[5], match[6])
        return httpx.Response(204)

    def _report(self, body: Mapping[str, Any]) -> None:
        task = self._task
        # What a try says that was cleared while it ran is no longer listened to.
        if not task.cleared:
            self._files.put(body, "states", task.run_id, task.task_id, task.map_index, task.try_number)

    def _store(self, request: httpx.Request, key: str) -> httpx.Response:
        place = ("store", *self._task.instance, key)
        if request.method == "GET":
            value = self._files.get(*place)
            return httpx.Response(404, json={"detail": "none"}) if value is None else httpx.Response(200, json=value)
        if self._task.boundary == "unkept":
            die()
        self._files.put({"value": json.loads(request.content)["value"]}, *place)
        if self._task.boundary == "kept":
            die()
        return httpx.Response(204)

    def _xcom(self, request: httpx.Request, names: list[str], part: str | None, index: str | None) -> httpx.Response:
        dag_id, run_id, task_id, key = names
        place = ("xcom", dag_id, run_id, task_id)
        map_index = request.url.params.get("map_index", "-1")
        if request.method == "POST":
            return self._push(request, (*place, map_index), key)
        if request.method == "DELETE":
            self._files.drop(*place, map_index, key)
            return httpx.Response(204)
        values = self._files.of_map(*place, key=key)
        if request.method == "HEAD":
            return httpx.Response(200, headers={"Content-Range": f"map_indexes {len(values)}"})
        if part == "slice":
            return httpx.Response(200, json=values)
        value = values[int(index)] if index is not None else self._files.get(*place, map_index, key)
        if value is None:
            return httpx.Response(404, json={"detail": "none"})
        return httpx.Response(200, json=value if part == "item" else {"key": key, "value": value})

    def _push(self, request: httpx.Request, place: tuple[object, ...], key: str) -> httpx.Response:
        is_result = key == "return_value"
        if is_result and self._task.boundary == "unpushed":
            die()
        if not self._task.cleared:
            self._files.put(json.loads(request.content), *place, key)
        if is_result and self._task.boundary == "pushed":
            die()
        return httpx.Response(201)

    def _context(self) -> TIRunContext:
        task = self._task
        # Not "now": a run that started long ago looks back far enough in any case.
        run = DagRun.model_validate(
            {
                "dag_id": task.dag_id,
                "run_id": task.run_id,
                "run_after": _STARTED,
                "run_type": "manual",
                "state": "running",
                "consumed_asset_events": [],
                **dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end", "partition_key")),
                **dict.fromkeys(("start_date", "end_date")),
            }
        )
        return TIRunContext(dag_run=run, max_tries=task.retries, should_retry=task.try_number <= task.retries)

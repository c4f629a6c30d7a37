"""What an Airflow keeps, in files: it outlives the processes that are killed."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote


class Files:
    """What Airflow keeps of tasks, one file for each value.

    :param home: folder of one Airflow.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def get(self, *place: object) -> Any:
        """Return a value; None if there is none."""
        try:
            return json.loads(self._path(place).read_bytes())
        except FileNotFoundError:
            return None

    def put(self, value: Any, *place: object) -> None:
        """Keep a value; a kill leaves the old one or the new one."""
        path = self._path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{uuid.uuid4().hex}")
        new.write_text(json.dumps(value))
        new.replace(path)

    def drop(self, *place: object) -> None:
        """Forget a value."""
        self._path(place).unlink(missing_ok=True)

    def of_map(self, *place: object, key: str) -> list[Any]:
        """Return the values of all task instances of a mapped task, in order."""
        folder = self._path(place).with_suffix("")
        mapped = sorted((path for path in folder.glob("*") if path.is_dir()), key=lambda path: int(path.name))
        values = [self.get(*place, path.name, key) for path in mapped if path.name != "-1"]
        return [value for value in values if value is not None]

    def _path(self, place: tuple[object, ...]) -> Path:
        return self._home.joinpath(*(quote(str(part), safe="") for part in place)).with_suffix(".json")

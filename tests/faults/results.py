"""What a batch hands on, read as the documentation tells other tools to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def results_of(returned: Any) -> list[dict[str, Any]]:
    """Return the single results that a task stands for.

    :param returned: what it returned: a result, a list of them, or where they are.
    """
    if isinstance(returned, list):
        return returned
    if "results_path" not in returned:
        return [returned]
    folder = Path(str(returned["results_path"]).removeprefix("file://"))
    manifest = max(folder.glob("*.json"))
    counting = set(json.loads(manifest.read_bytes())["input_hashes"])
    owner, generation, *_ = manifest.name.split("-")
    files = sorted(folder.glob(f"{owner}-{generation}-*.jsonl"))
    results = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [result for result in results if result["input_hash"] in counting]

"""Lets tasks beside a trigger call what only seems to be synchronous."""

from __future__ import annotations

import os
from contextlib import suppress


async def enter_portal() -> None:
    """Let this task do what Airflow lets a trigger do: it masks secrets by calls that only seem to be synchronous."""
    if os.environ.get("AIRFLOW_DISABLE_GREENBACK_PORTAL", "").lower() == "true":
        return
    with suppress(ImportError):
        import greenback

        await greenback.ensure_portal()

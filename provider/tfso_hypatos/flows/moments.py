"""Points in time, as triggers and what is kept write them down; it loads nothing else."""

from __future__ import annotations

import datetime


def moment_of(text: object) -> datetime.datetime | None:
    """Return a point in time of ISO form; None if it is none, or has no time zone."""
    try:
        moment = datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None

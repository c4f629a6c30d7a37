"""The asset events that a task makes, as tests look at them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

ORGANIZATION = "100000000000001"
WHOSE = {"organization_id": ORGANIZATION}


def alias_events(events: OutletEventAccessors, alias: AssetAlias) -> list[tuple[str, dict[str, Any]]]:
    return [(each.dest_asset_key.uri, each.extra) for each in events[alias].asset_alias_events]

"""What a task remembers from one try to the next (Airflow 3.3): a hint that saves requests, never the truth."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class Memory:
    """Keeps the id of a business order's sales order in the task's state store.

    The store belongs to a map index, and a list may be in another order next time; so an id is kept under the hash of
    the order's key, and verified by whoever uses it.

    :param context: of the running task.
    :param key: short hash of organization and order key.
    """

    def __init__(self, context: Context, key: str) -> None:
        self._store = context.get("task_state_store")
        self._name = f"sales_order_id.{key}"

    def order_ids(self) -> list[int]:
        """Return the id that was kept, if any."""
        if self._store is None:
            return []
        try:
            kept = self._store.get(self._name)
        except Exception:  # noqa: BLE001 - without the hint the list is read
            log.warning("The id of an earlier try could not be read; looking in 24SevenOffice instead")
            return []
        return [int(kept)] if isinstance(kept, str | int) and str(kept).isdigit() else []

    def remember(self, order_id: int) -> None:
        """Keep an id."""
        if self._store is None:
            return
        try:
            self._store.set(self._name, str(order_id))
        except Exception:  # noqa: BLE001 - the order is there, and the next try finds it in the list
            log.warning("The id of sales order %s could not be kept for a retry", order_id)

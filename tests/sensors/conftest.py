"""What the tests of the sensor share with those of the triggers."""

from __future__ import annotations

from tests.invoiced import order_id, waiting_id

__all__ = ["order_id", "waiting_id"]

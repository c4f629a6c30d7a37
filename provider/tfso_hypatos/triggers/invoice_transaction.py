"""Waits in the triggerer until an invoice is posted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from tfso_hypatos.hooks.tfso import TfsoHook

log = logging.getLogger(__name__)

SHORTEST_INTERVAL = 1.0
"""Seconds between two looks at least, whatever the sensor was given."""

LONGEST_BACK_OFF = 600.0
"""Seconds between two looks at most, however often they have failed."""


class InvoiceTransactionTrigger(BaseTrigger):
    """Looks at a sales order until its invoice transaction is posted, or never will be. It only reads.

    :param sales_order_id: the order.
    :param tfso_conn_id: connection of type ``tfso``.
    :param poke_interval: seconds between two looks.
    """

    def __init__(
        self, sales_order_id: int, tfso_conn_id: str = "tfso_default", poke_interval: float = 60.0, **_: Any
    ) -> None:
        # Further arguments are those of a later version that deferred before it was taken back.
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow left it untyped
        self.sales_order_id = sales_order_id
        self.tfso_conn_id = tfso_conn_id
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, ids and numbers only."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "sales_order_id": self.sales_order_id,
                "tfso_conn_id": self.tfso_conn_id,
                "poke_interval": self.poke_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: posted, with the result of the task; or error, with its kind and text."""
        from tfso_hypatos.exceptions import TfsoHypatosError
        from tfso_hypatos.hooks.tfso import TfsoHook

        try:
            async with TfsoHook(self.tfso_conn_id) as hook:
                event = {"status": "posted", "result": await self._wait(hook)}
        except TfsoHypatosError as error:
            event = {"status": "error", "kind": type(error).__name__, "message": str(error)}
        except Exception as error:
            # An exception that left this method would be taken for a time-out under soft_fail.
            log.exception("The trigger failed")
            event = {"status": "error", "kind": type(error).__name__, "message": "see the triggerer's log"}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow left it untyped

    async def _wait(self, hook: TfsoHook) -> dict[str, Any]:
        from tfso_hypatos.exceptions import TfsoHypatosError
        from tfso_hypatos.flows.results import invoice_result
        from tfso_hypatos.flows.transaction import look_for_transaction

        failures = 0
        while True:
            asked = 0.0
            try:
                order = await hook.adrive(look_for_transaction(self.sales_order_id))
            except TfsoHypatosError as error:
                if error.permanent:
                    raise
                failures += 1
                asked = error.retry_after or 0.0
                log.warning("Could not look at sales order %s (%s); looking again later", self.sales_order_id, error)
            else:
                failures = 0
                if order is not None:
                    return invoice_result(order)
            interval = max(self.poke_interval, SHORTEST_INTERVAL)
            longest = max(interval, LONGEST_BACK_OFF)
            await asyncio.sleep(min(max(interval * 2 ** min(failures, 10), asked), longest))

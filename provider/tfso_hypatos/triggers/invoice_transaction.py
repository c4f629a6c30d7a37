"""Waits in the triggerer until an invoice is posted."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

log = logging.getLogger(__name__)

SHORTEST_INTERVAL = 1.0
"""Seconds between two looks at least, whatever the sensor was given."""

SEE_LOG = "see the triggerer's log"


class InvoiceTransactionTrigger(BaseTrigger):
    """Waits until the invoice transaction of a sales order is posted, or never will be. It only reads.

    All that wait on the same connection in a triggerer look together, see :mod:`tfso_hypatos.triggers.shared_wait`.

    :param sales_order_id: the order.
    :param tfso_conn_id: connection of type ``tfso``.
    :param poke_interval: seconds between two looks.
    :param seen_at: ISO date-time: the server's clock when the sensor last found it not posted; None: not known.
    :param organization: id of the organization whose order it is; None: not checked.
    """

    def __init__(
        self,
        sales_order_id: int,
        tfso_conn_id: str = "tfso_default",
        poke_interval: float = 60.0,
        seen_at: str | None = None,
        organization: str | None = None,
        **_: Any,
    ) -> None:
        # Further arguments are those of a later version that deferred before it was taken back.
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow left it untyped
        self.sales_order_id = sales_order_id
        self.tfso_conn_id = tfso_conn_id
        self.poke_interval = poke_interval
        self.seen_at = seen_at
        self.organization = organization

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, ids and numbers only."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "sales_order_id": self.sales_order_id,
                "tfso_conn_id": self.tfso_conn_id,
                "poke_interval": self.poke_interval,
                "seen_at": self.seen_at,
                "organization": self.organization,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: posted, with the result of the task; or error, with its kind and text."""
        from tfso_hypatos.exceptions import TfsoHypatosError
        from tfso_hypatos.flows.moments import moment_of
        from tfso_hypatos.flows.results import invoice_result
        from tfso_hypatos.triggers.poller import WaitFailed
        from tfso_hypatos.triggers.shared_wait import wait_for_transaction

        event: dict[str, Any]
        try:
            interval = max(self.poke_interval, SHORTEST_INTERVAL)
            answer = await wait_for_transaction(
                self.tfso_conn_id, self.sales_order_id, interval, moment_of(self.seen_at), self.organization
            )
            if isinstance(answer, TfsoHypatosError):
                event = {"status": "error", "kind": type(answer).__name__, "message": str(answer)}
            elif isinstance(answer, WaitFailed):
                event = {"status": "error", "kind": answer.kind, "message": SEE_LOG}
            else:
                event = {"status": "posted", "result": invoice_result(answer)}
        except Exception as error:
            # An exception that left this method would be taken for a time-out under soft_fail.
            log.exception("The trigger failed")
            event = {"status": "error", "kind": type(error).__name__, "message": SEE_LOG}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow left it untyped

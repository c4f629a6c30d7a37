"""All waits on one connection look together: one poller for each connection and event loop."""

from __future__ import annotations

import asyncio
import datetime
from weakref import WeakKeyDictionary

from tfso_hypatos.triggers.poller import Answer, Key, Poller

_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, Poller]] = WeakKeyDictionary()


async def wait_for_transaction(
    conn_id: str,
    order_id: int,
    interval: float,
    seen_at: datetime.datetime | None = None,
    organization: str | None = None,
) -> Answer:
    """Wait until the invoice of an order is posted, or never will be, and return what was found.

    :param conn_id: connection of type ``tfso``.
    :param order_id: the order.
    :param interval: seconds between two looks.
    :param seen_at: the server's clock at a look that found it not posted; None: nobody knows.
    :param organization: whose order it is; None: of whichever organization the connection points to.
    """
    while True:
        poller = _poller((conn_id, organization))
        wait = poller.join(order_id, interval, seen_at)
        try:
            answer = await wait
        finally:
            await poller.leave(wait, order_id, interval)
        if answer is not None:
            return answer


def _poller(key: Key) -> Poller:
    """Return the poller of a connection in the running loop; a new one if there is none, or only one that is ending."""
    loop = asyncio.get_running_loop()
    pollers = _POLLERS.get(loop)
    if pollers is None:
        # A poller keeps its loop alive, so what a loop left behind that was closed is thrown away by hand.
        for closed in [each for each in _POLLERS.keys() if each.is_closed()]:  # noqa: SIM118 - a copy, of a weak mapping
            _POLLERS.pop(closed, None)
        pollers = _POLLERS[loop] = {}
    if key not in pollers:
        pollers[key] = Poller(key, pollers)
    return pollers[key]

"""Opens a connection for waits that nobody wants to fail, and says where it points to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from airflow.sdk.exceptions import AirflowNotFoundException

from tfso_hypatos.exceptions import ConfigurationError, TfsoHypatosError
from tfso_hypatos.hooks.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

OPENING_BACK_OFF = 5.0
"""Seconds until a connection that could not be read is tried for the second time; then twice as many, and so on."""

LONGEST_OPENING_BACK_OFF = 60.0
"""Seconds between two such tries at most."""

OPENING_PATIENCE = 300.0
"""Seconds after which a connection that could not be read is given up."""

FEWEST_OPENINGS = 5
"""Tries before a connection is given up, however many seconds have passed."""


async def patiently(conn_id: str, read: Callable[[], Awaitable[T]]) -> T:
    """Read a connection as it stands; what may be Airflow's own trouble is waited out for some minutes.

    :param conn_id: what it is called.
    :param read: reads it once.
    """
    loop = asyncio.get_running_loop()
    began, tries = loop.time(), 0
    while True:
        try:
            return await read()
        except Exception as error:
            tries += 1
            is_patient = tries < FEWEST_OPENINGS or loop.time() - began < OPENING_PATIENCE
            if not (_may_pass(error) and is_patient):
                raise
            held = min(OPENING_BACK_OFF * 2.0 ** min(tries - 1, 10), LONGEST_OPENING_BACK_OFF)
            text = "Connection %s cannot be read (%s); trying again in %.0f s"
            log.warning(text, conn_id, type(error.__context__ or error).__name__, held)
        await asyncio.sleep(held)


def _may_pass(error: Exception) -> bool:
    """Say whether the failure to read a connection may be Airflow's, and not what stands in the connection.

    Airflow says that there is no such connection, too, when its API server or its secrets backend cannot be reached.
    """
    return not isinstance(error, TfsoHypatosError) or isinstance(error.__context__, AirflowNotFoundException)


class Target(NamedTuple):
    """Where a connection points to."""

    url: str
    organization: str


def target_of(settings: Settings) -> Target:
    """Return where the settings of a connection point to."""
    return Target(settings.url, settings.required_text("organization_id"))


def points_elsewhere(conn_id: str) -> ConfigurationError:
    """Return the error that says that a connection has come to point to somewhere else."""
    return ConfigurationError(
        f"connection {conn_id!r} now points to another organization or API URL than when the wait began, where the id "
        "of the sales order means another order; point it back, or give the other organization its own connection"
    )

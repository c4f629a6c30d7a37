"""When a task that failed is tried again: permanent errors at once no more, others as late as the server asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from tfso_hypatos.advice import farewell
from tfso_hypatos.exceptions import TfsoHypatosError

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryDecision, RetryPolicy

    HAS_RETRY_POLICIES = True
else:
    try:
        from airflow.sdk import RetryDecision, RetryPolicy

        HAS_RETRY_POLICIES = True
    except ImportError:  # Airflow 3.2
        RetryPolicy = object
        HAS_RETRY_POLICIES = False


log = logging.getLogger(__name__)

LONGEST_DELAY = 86400.0
"""Seconds to the next try at most, whatever the server asked for."""


class ApiRetryPolicy(RetryPolicy):
    """Ends permanent errors at once, and waits as long as the server asked before it tries a passing one again."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow passes it
        max_tries: int,  # noqa: ARG002 - Airflow passes it
        context: Context | None = None,  # noqa: ARG002 - Airflow passes it
    ) -> RetryDecision:
        """Return what an error means for the task."""
        if not isinstance(exception, TfsoHypatosError):
            return RetryDecision.default()
        if exception.permanent:
            return RetryDecision.fail("the same request would be refused again")
        if exception.retry_after:
            return RetryDecision.retry(
                timedelta(seconds=min(exception.retry_after, LONGEST_DELAY)),
                "the server, or the budget of requests, asks for this wait",
            )
        return RetryDecision.default()


def with_retry_policy(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return an operator's arguments with our retry policy, unless one was given; unchanged on Airflow 3.2.

    Mapped tasks pass None, so an argument that is there need not have been given; and the DAG's default arguments are
    filled in only after this.
    """
    defaults = arguments.get("default_args") or {}
    if HAS_RETRY_POLICIES and not arguments.get("retry_policy") and not defaults.get("retry_policy"):
        return {**arguments, "retry_policy": ApiRetryPolicy()}
    return arguments


def must_end_the_task(error: TfsoHypatosError) -> bool:
    """Return whether only Airflow's own error keeps a task from being retried in vain.

    :param error: why the task fails.
    """
    return error.permanent and not HAS_RETRY_POLICIES


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Say last what to do about an error; end the task on a permanent one where Airflow has no retry policies (3.2)."""
    try:
        yield
    except TfsoHypatosError as error:
        log.error("The task failed.\n%s", farewell(error))  # noqa: TRY400 - Airflow shows where it was raised
        if must_end_the_task(error):
            raise AirflowFailException(str(error)) from error
        raise

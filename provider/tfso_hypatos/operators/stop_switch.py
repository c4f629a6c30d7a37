"""A switch by which a person stops invoicing: an Airflow Variable that is looked at before each change."""

from __future__ import annotations

import threading
import time
from typing import Any

from airflow.sdk import Variable

from tfso_hypatos.exceptions import InvoicingStopped, StopSwitchUnreadable
from tfso_hypatos.words import FALSE_WORDS, normal

FRESH = 2.0
"""Seconds for which an answer counts; a batch would otherwise ask Airflow several times a second."""

OFF = FALSE_WORDS | {"", "none", "null"}
"""What the Variable says as long as nobody has stopped invoicing; everything else stops it."""


class StopSwitch:
    """Says whether invoicing may go on; several threads may ask.

    :param name: the Variable.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._stopped = False

    def check(self) -> None:
        """Return if invoicing may go on.

        :raises InvoicingStopped: if a person has stopped it.
        :raises StopSwitchUnreadable: if that could not be found out.
        """
        with self._lock:
            now = time.monotonic()
            if self._read_at is None or now - self._read_at >= FRESH:
                value = self._value()
                # The moment before it was read: what it says is not younger.
                self._stopped, self._read_at = value is not None and normal(value) not in OFF, now
            if self._stopped:
                raise InvoicingStopped(
                    f"Invoicing is stopped by the Airflow Variable {self._name}. Set it to false, then clear this "
                    "task: it looks at every order first, and bills what is not billed"
                )

    def _value(self) -> str | None:
        try:
            value = _read(self._name)
        except Exception as error:
            raise StopSwitchUnreadable(
                f"The Airflow Variable {self._name}, which may stop invoicing, cannot be read "
                f"({type(error).__name__}), so nothing is invoiced. A retry of this task reads it again"
            ) from error
        return None if value is None else str(value)


def _read(name: str) -> Any:
    """Return the value of a Variable, or None if there is surely no such Variable.

    ``Variable.get()`` says "not found" also when Airflow's API or a secrets backend could not be asked, which must not
    mean that invoicing may go on. So what it does not find is asked for again, in a way that does not hide failures.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

    try:
        return Variable.get(name)
    except AirflowRuntimeError as error:
        if error.error.error != ErrorType.VARIABLE_NOT_FOUND:
            raise
    return _search(name)


def _search(name: str) -> Any:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, VariableResult
    from airflow.sdk.execution_time.secrets.execution_api import ExecutionAPISecretsBackend
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        if isinstance(backend, ExecutionAPISecretsBackend):
            answer = task_runner.SUPERVISOR_COMMS.send(GetVariable(key=name))
            if isinstance(answer, ErrorResponse):
                if answer.error != ErrorType.VARIABLE_NOT_FOUND:
                    raise AirflowRuntimeError(answer)
                continue
            if not isinstance(answer, VariableResult):
                raise TypeError(f"Airflow answered {type(answer).__name__} to the question for a Variable")
            value: Any = answer.value
        else:
            value = backend.get_variable(key=name)
        if value is not None:
            return value
    return None

"""A person stops invoicing by an Airflow Variable."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Variable
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, VariableResult
from tests.operators.confirmed import batch, billed, made, single

from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.exceptions import InvoicingStopped, StopSwitchUnreadable
from tfso_hypatos.operators import stop_switch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")

SWITCH = "tfso_stop_invoicing"


def saying(monkeypatch: pytest.MonkeyPatch, values: Iterable[Any]) -> None:
    """Let the switch be read anew every time, and say one value after the other."""
    answers = iter(values)

    def answer(_: str) -> Any:
        value = next(answers)
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(stop_switch, "FRESH", 0.0)
    monkeypatch.setattr(stop_switch, "_read", answer)


class TestStopSwitch:
    @pytest.mark.parametrize("value", ["true", "1", "yes", "on", "stop", "True ", "maybe"])
    def test_whatever_is_not_false_stops(self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv(f"AIRFLOW_VAR_{SWITCH.upper()}", value)
        (order_id,) = made()
        before = len(log.changes)
        with pytest.raises(
            InvoicingStopped, match=f"Sales order {order_id} is not invoiced. .* Variable {SWITCH}."
        ) as e:
            run.execute(single(order_id, stop_variable=SWITCH))
        assert e.value.permanent
        with pytest.raises(
            InvoicingStopped, match=r"0 orders are invoiced, 1 is not, or it is not known \(0 failed\)"
        ) as e:
            run.execute(batch([order_id], stop_variable=SWITCH))
        assert e.value.permanent
        assert len(log.changes) == before

    @pytest.mark.parametrize("value", ["false", "False", "0", "no", "off", "", None])
    def test_what_is_false_or_not_there_does_not(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        if value is not None:
            monkeypatch.setenv(f"AIRFLOW_VAR_{SWITCH.upper()}", value)
        one, two = made(2)
        run.execute(single(one, stop_variable=SWITCH))
        run.execute(batch([two], stop_variable=SWITCH))
        assert billed(log) == [one, two]

    def test_it_is_looked_at_before_the_invoice_and_not_only_at_the_beginning(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (order_id,) = made()
        before = len(log.changes)
        saying(monkeypatch, [None, "true"])
        with pytest.raises(InvoicingStopped):
            run.execute(single(order_id, stop_variable=SWITCH))
        assert len(log.changes) == before + 1
        assert log.invoices == []

    @pytest.mark.parametrize("many", [False, True])
    def test_it_is_looked_at_after_the_wait_for_the_budget(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, many: bool
    ) -> None:
        (order_id,) = made()
        before = len(log.changes)
        kind = AsyncTransport if many else SyncTransport
        admit = kind._is_admitted
        thrown: list[str] = []

        def throwing(self: Any, request: Any) -> bool:
            # A person throws the switch while the request waits.
            thrown.extend(["true"] if request.changes else [])
            return admit(self, request)

        monkeypatch.setattr(kind, "_is_admitted", throwing)
        saying(monkeypatch, iter(lambda: thrown[0] if thrown else "false", None))
        with pytest.raises(InvoicingStopped):
            run.execute(batch([order_id], stop_variable=SWITCH) if many else single(order_id, stop_variable=SWITCH))
        assert thrown
        assert len(log.changes) == before

    def test_what_a_batch_has_billed_by_then_is_kept(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        orders = made(5)
        saying(monkeypatch, ("true" if len(log.invoices) == 2 else "false" for _ in range(1000)))
        stopped = batch(orders, stop_variable=SWITCH, concurrency=1, results_path=str(tmp_path))
        with pytest.raises(
            InvoicingStopped,
            match=r"^2 orders are invoiced, 3 are not, or it is not known \(0 failed\)\. Invoicing",
        ):
            run.execute(stopped)
        assert billed(log) == orders[:2]
        requests = len(log.sent())
        saying(monkeypatch, itertools.repeat("false"))
        cleared = batch(orders, stop_variable=SWITCH, concurrency=1, results_path=str(tmp_path))
        assert run.execute(cleared, try_number=2)["skipped"] == 2
        assert billed(log) == orders
        assert not [each for each in log.sent()[requests:] if each["path"].endswith((str(orders[0]), str(orders[1])))]

    @pytest.mark.parametrize("reads", [0, 1, 2])
    def test_if_it_cannot_be_read_nothing_is_billed_and_a_retry_goes_on(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, reads: int
    ) -> None:
        orders = made(2)
        saying(monkeypatch, [*[None] * reads, *[OSError("database is away")] * 10])
        with pytest.raises(StopSwitchUnreadable, match=r"cannot be read \(OSError\), so nothing is invoiced") as caught:
            run.execute(batch(orders, stop_variable=SWITCH, concurrency=1))
        assert not caught.value.permanent
        assert log.invoices == []
        saying(monkeypatch, itertools.repeat(None))
        run.execute(batch(orders, stop_variable=SWITCH), try_number=2)
        assert billed(log) == orders

    def test_one_answer_counts_for_a_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        monkeypatch.setattr(stop_switch, "FRESH", 600.0)
        monkeypatch.setattr(stop_switch, "_read", lambda name: asked.append(name))
        switch = stop_switch.StopSwitch(SWITCH)
        for _ in range(3):
            switch.check()
        assert asked == [SWITCH]
        assert stop_switch.FRESH > 0

    def test_an_order_that_is_invoiced_already_is_adopted_all_the_same(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (order_id,) = made()
        run.execute(single(order_id))
        saying(monkeypatch, itertools.repeat("true"))
        assert not run.execute(single(order_id, stop_variable=SWITCH))["invoiced"]


class Supervisor:
    """Airflow's supervisor, as far as it is asked for a Variable."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, _: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class TestReading:
    @pytest.mark.parametrize(
        "answer",
        [
            ErrorResponse(error=ErrorType.API_SERVER_ERROR),
            ErrorResponse(error=ErrorType.GENERIC_ERROR),
            ErrorResponse(error=ErrorType.PERMISSION_DENIED),
            EOFError("the supervisor is gone"),
            None,
        ],
        ids=str,
    )
    def test_a_failure_that_airflow_calls_not_found_is_one(self, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(answer), raising=False)
        if not (isinstance(answer, ErrorResponse) and answer.error == ErrorType.PERMISSION_DENIED):
            assert Variable.get(SWITCH, default="not there") == "not there"
        with pytest.raises(StopSwitchUnreadable):
            stop_switch.StopSwitch(SWITCH).check()

    def test_what_is_surely_not_there_does_not_stop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        missing = ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(missing), raising=False)
        stop_switch.StopSwitch(SWITCH).check()

    @pytest.mark.parametrize(("value", "stops"), [("true", True), ("false", False)])
    def test_what_is_there_is_believed(self, monkeypatch: pytest.MonkeyPatch, value: str, stops: bool) -> None:
        there = VariableResult(key=SWITCH, value=value)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(there), raising=False)
        if stops:
            with pytest.raises(InvoicingStopped):
                stop_switch.StopSwitch(SWITCH).check()
        else:
            stop_switch.StopSwitch(SWITCH).check()

    def test_a_secrets_backend_that_fails_is_not_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.sdk.execution_time import supervisor

        class Vault:
            def get_variable(self, key: str) -> str:
                raise ConnectionError("sealed")

        monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [Vault()])
        assert Variable.get(SWITCH, default="not there") == "not there"
        with pytest.raises(StopSwitchUnreadable, match="ConnectionError"):
            stop_switch.StopSwitch(SWITCH).check()

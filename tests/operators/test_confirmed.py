"""Orders that people made and confirmed, from the list to the invoice: edited, set back, raced for, stopped."""

from __future__ import annotations

import copy
import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Variable
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, VariableResult

from tfso_hypatos.advice import advice_for
from tfso_hypatos.clients.async_transport import AsyncTransport
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.exceptions import (
    BatchFailed,
    InvalidInput,
    InvoicingStopped,
    OrderDrift,
    PermissionDenied,
    PreviewIncomplete,
    StopSwitchUnreadable,
)
from tfso_hypatos.flows.billing import InvoiceOrder
from tfso_hypatos.flows.preview import preview
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators import stop_switch
from tfso_hypatos.operators.preview_table import COLUMNS, preview_table
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.operators.sales_order_list import ListSalesOrdersOperator

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")

SWITCH = "tfso_stop_invoicing"


def made(count: int = 1, **fields: Any) -> list[int]:
    """Make confirmed orders as a person does."""
    order = {"customer": {"id": 42, "name": "Åse Sørby"}, "date": "2026-11-20", "currency": {"code": "NOK"}}
    found = []
    with TfsoHook() as hook:
        for _ in range(count):
            order_id = hook.create_sales_order({**order, **fields}).id
            hook.add_line(order_id, {"description": "Kaffe", "quantity": 1, "price": 100})
            hook.update_sales_order(order_id, {"status": "Confirmed"})
            found.append(order_id)
    return found


def change(order_id: int, **fields: Any) -> None:
    with TfsoHook() as hook:
        hook.update_sales_order(order_id, fields)


def listed(run: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run.execute(ListSalesOrdersOperator(task_id="list", status="Confirmed"))
    return rows


def single(order: Any, **arguments: Any) -> InvoiceSalesOrderOperator:
    return InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=order, **arguments)


def batch(orders: Any, **arguments: Any) -> InvoiceSalesOrdersOperator:
    return InvoiceSalesOrdersOperator(task_id="invoice", orders=orders, **arguments)


def billed(log: Log) -> list[int]:
    return sorted(invoice["order_id"] for invoice in log.invoices)


class TestDrift:
    @pytest.mark.parametrize(
        ("edit", "said"),
        [
            ({"status": "Draft"}, "has status Draft, not Confirmed: somebody changed it"),
            ({"customer": {"id": 43, "name": "Another"}}, "customer: it was listed with 42, 24SevenOffice shows 43"),
            ({"paymentMethod": {"id": 5}}, "payment method: it was listed with none, 24SevenOffice shows 5"),
            ({"currency": {"code": "EUR"}}, "currency: it was listed with NOK, 24SevenOffice shows EUR"),
        ],
    )
    def test_an_order_that_was_edited_since_it_was_listed_is_not_billed(
        self, run: Run, log: Log, edit: dict[str, Any], said: str
    ) -> None:
        edited, other = made(2)
        rows = listed(run)
        change(edited, **edit)
        with pytest.raises(OrderDrift, match=f"{said}.* was not invoiced"):
            run.execute(single(rows[0]))
        with pytest.raises(BatchFailed, match=f"1 of 2 orders failed; 1 is done.*{said}") as caught:
            run.execute(batch(rows))
        assert caught.value.permanent
        assert billed(log) == [other]

    def test_nor_is_one_with_another_total(self, run: Run, log: Log) -> None:
        (edited,) = made()
        rows = listed(run)
        with TfsoHook() as hook:
            hook.add_line(edited, {"description": "Te", "quantity": 1, "price": 1})
        with pytest.raises(OrderDrift, match=r"gross amount: it was listed with 125, 24SevenOffice shows 126\.25"):
            run.execute(single(rows[0]))
        assert billed(log) == []

    def test_nor_is_one_whose_payment_method_was_changed(self, run: Run, log: Log) -> None:
        (edited,) = made(paymentMethod={"id": 4})
        rows = listed(run)
        change(edited, paymentMethod={"id": 5})
        with pytest.raises(OrderDrift, match="payment method: it was listed with 4, 24SevenOffice shows 5"):
            run.execute(single(rows[0]))
        assert billed(log) == []

    def test_a_payment_method_that_invoicing_fills_in_is_no_edit(self, run: Run, log: Log) -> None:
        (order_id,) = made()
        rows = listed(run)
        change(order_id, paymentMethod={"id": 5})
        run.execute(single(order_id))
        assert not run.execute(single(rows[0]), try_number=2)["invoiced"]
        assert billed(log) == [order_id]

    def test_a_row_without_a_total_is_refused(self, run: Run, log: Log) -> None:
        (order_id,) = made()
        (row,) = listed(run)
        row["gross_amount"] = None
        before = len(log.changes)
        for operator in (single(row), batch([row]), batch([{"sales_order_id": row}])):
            with pytest.raises(InvalidInput, match=r"sales_order_id\.gross_amount: the listed order shows no total"):
                run.execute(operator)
        assert len(log.changes) == before
        run.execute(single(row, expected_gross_amount="125"))
        assert billed(log) == [order_id]

    def test_the_status_may_be_asked_for_of_any_order(self, run: Run, log: Log) -> None:
        (order_id,) = made()
        with pytest.raises(OrderDrift, match="has status Confirmed, not Draft"):
            run.execute(single(order_id, expected_status="Draft"))
        with pytest.raises(BatchFailed, match="has status Confirmed, not Proposal"):
            run.execute(batch([order_id], expected_status="Proposal"))
        with pytest.raises(BatchFailed, match="two statuses at once, Confirmed and Web"):
            run.execute(batch([{"sales_order_id": order_id, "expected_status": "Web"}], expected_status="Confirmed"))
        assert log.invoices == []
        run.execute(batch([order_id], expected_status="Confirmed"))
        assert billed(log) == [order_id]

    @pytest.mark.parametrize("nested", [False, True])
    def test_the_status_of_the_task_holds_whatever_the_item_was_listed_with(
        self, run: Run, log: Log, nested: bool
    ) -> None:
        draft, other = made(2)
        change(draft, status="Draft")
        rows = run.execute(ListSalesOrdersOperator(task_id="list"))
        said = "two statuses at once, Confirmed and Draft: .* It has status Draft and was not invoiced"
        with pytest.raises(OrderDrift, match=said):
            run.execute(single(rows[0], expected_status="Confirmed"))
        items = [{"sales_order_id": row} for row in rows] if nested else rows
        with pytest.raises(BatchFailed, match=f"1 of 2 orders failed; 1 is done.*{said}"):
            run.execute(batch(items, expected_status="Confirmed"))
        assert billed(log) == [other]

    def test_three_who_name_a_status_all_have_to_hold(self, run: Run, log: Log) -> None:
        (order_id,) = made()
        (row,) = listed(run)
        for task, item in (("Confirmed", "Web"), (None, "Web"), ("Web", None), ("Web", "Confirmed")):
            items = [{"sales_order_id": row, "expected_status": item}]
            with pytest.raises(BatchFailed, match="two statuses at once, Confirmed and Web"):
                run.execute(batch(items, expected_status=task))
        assert log.invoices == []
        run.execute(batch([{"sales_order_id": row, "expected_status": "Confirmed"}], expected_status="Confirmed"))
        assert billed(log) == [order_id]

    @pytest.mark.parametrize("wrong", ["confirmed", "Invoice", 7])
    def test_what_is_no_status_is_refused(self, run: Run, log: Log, wrong: Any) -> None:
        for operator in (single(1, expected_status=wrong), batch([1], expected_status=wrong)):
            with pytest.raises(InvalidInput, match="expected_status: one of Draft, Web, Proposal, Confirmed"):
                run.execute(operator)
        assert log.sandbox.requests() == []

    def test_one_set_back_while_it_is_taken_over_is_not_billed(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (order_id,) = made()
        rows = listed(run)
        monkeypatch.setattr(SyncTransport, "_sleep", lambda *_: change(order_id, status="Draft"))
        with pytest.raises(OrderDrift, match="has status Draft, not Confirmed"):
            run.execute(single(rows[0]))
        assert "af:" in log.order["internalMemo"]
        assert log.invoices == []


class TestOnce:
    def test_two_runs_at_once_bill_every_order_once(self, run: Run, log: Log) -> None:
        orders = made(6)
        rows = listed(run)
        other = type(run)("run-2")
        results: dict[str, Any] = {}

        def bill(name: str, runner: Run) -> None:
            results[name] = runner.execute(batch(rows))

        threads = [threading.Thread(target=bill, args=each) for each in (("one", run), ("two", other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert billed(log) == orders
        assert [row["invoice_number"] for row in results["one"]] == [row["invoice_number"] for row in results["two"]]

    @pytest.mark.parametrize("action", ["drop_after", "drop_before", "status_after"])
    def test_an_unclear_answer_to_the_invoice_bills_once(self, run: Run, log: Log, action: str) -> None:
        orders = made(2)
        rows = listed(run)
        extra = {"status": 503} if action == "status_after" else {}
        log.sandbox.add_fault(action=action, method="PATCH", body='"Invoice"', times=2, **extra)
        assert all(row["invoiced"] for row in run.execute(batch(rows)))
        assert billed(log) == orders

    def test_a_task_that_is_cleared_bills_nothing_again(self, run: Run, log: Log) -> None:
        orders = made(3)
        rows = listed(run)
        first = run.execute(batch(rows))
        before = len(log.changes)
        again = run.execute(batch(rows), try_number=2)
        assert [row["invoice_number"] for row in again] == [row["invoice_number"] for row in first]
        assert not any(row["invoiced"] for row in again)
        assert billed(log) == orders
        assert len(log.changes) == before
        assert listed(run) == []

    def test_a_copy_of_a_billed_order_is_billed_too(self, run: Run, log: Log) -> None:
        (first,) = made()
        run.execute(batch(listed(run)))
        memo = log.order["internalMemo"]
        (second,) = made(internalMemo=memo)
        run.execute(batch(listed(run)))
        assert billed(log) == [first, second]

    def test_an_order_key_that_looks_like_the_id_is_no_order_made_by_hand(self, run: Run, log: Log) -> None:
        order = {"customer": {"id": 42, "name": "Åse Sørby"}}
        lines = [{"description": "Kaffe", "quantity": 1, "price": 100}]
        create = CreateSalesOrderOperator(task_id="create", order_key="#1001", order=order, lines=lines)
        created = run.execute(create)
        assert created["sales_order_id"] == 1001
        (twin,) = made(internalMemo=log.order["internalMemo"])
        change(twin, status="Invoice")
        with pytest.raises(OrderDrift, match="belong to the same business order"):
            run.execute(single(created))
        assert billed(log) == [twin]


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


def logged(capsys: pytest.CaptureFixture[str]) -> list[str]:
    output = capsys.readouterr().out
    return [line.split("] ", 1)[-1].split("[airflow.task")[0].rstrip() for line in output.splitlines()]


def shown(run: Run, operator: InvoiceSalesOrdersOperator, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what a dry run puts into the log."""
    assert run.execute(operator) == []
    lines = logged(capsys)
    return lines[next(at for at, line in enumerate(lines) if line.startswith("DRY RUN")) :]


class TestPreview:
    def test_it_says_what_would_be_billed_and_changes_nothing(
        self, run: Run, log: Log, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        first, second, drafted, done = made(4)
        (foreign,) = made(currency={"code": "EUR"}, customer={"id": 7, "name": "Kari"})
        rows = listed(run)
        change(drafted, status="Draft")
        run.execute(single(done))
        before = len(log.sandbox.requests())
        assert run.execute(batch(rows, preview="True", results_path=str(tmp_path))) == []
        assert list(tmp_path.iterdir()) == []
        sent = [each for each in log.sandbox.requests()[before:] if each["method"] != "GET"]
        assert [each["path"] for each in sent if not each["path"].endswith("/token")] == []
        output = capsys.readouterr().out
        lines = [line.split("[info     ] ")[-1].split("[airflow.task")[0].rstrip() for line in output.splitlines()]
        assert "DRY RUN: nothing was changed. 3 of 5 orders would be invoiced:" in lines
        table = lines[lines.index("order  customer   gross  currency        date  lines") :]
        assert [line.split() for line in table[1:4]] == [
            [str(order_id), customer, "125.00", currency, "2026-11-20", "1"]
            for order_id, customer, currency in ((first, "42", "NOK"), (second, "42", "NOK"), (foreign, "7", "EUR"))
        ]
        assert table[4:7] == ["Sum in EUR: 125.00", "Sum in NOK: 250.00", "2 orders would not be invoiced:"]
        assert any(f"{drafted} " in line and "has status Draft, not Confirmed" in line for line in table[7:])
        assert any(f"{done} " in line and "is invoiced as number" in line for line in table[7:])
        assert "Åse" not in output
        assert billed(log) == [done]

    def test_an_order_that_is_named_twice_counts_once(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        (order_id,) = made()
        assert shown(run, batch([order_id, order_id], preview=True), capsys) == [
            "DRY RUN: nothing was changed. 1 of 1 order would be invoiced:",
            "order  customer   gross  currency        date  lines",
            f" {order_id}        42  125.00       NOK  2026-11-20      1",
            "Sum in NOK: 125.00",
        ]

    @pytest.mark.parametrize(
        ("count", "said"),
        [
            (1, ["0 of 1 order would", "1 order would not", "1 order shows no total; the sums lack it"]),
            (2, ["0 of 2 orders would", "2 orders would not", "2 orders show no total; the sums lack them"]),
        ],
    )
    def test_its_nouns_agree_with_their_counts(self, count: int, said: list[str]) -> None:
        row = {**dict.fromkeys([*COLUMNS, "marker_key"]), "remark": "", "is_due": False}
        lines = list(preview_table([{**row, "sales_order_id": number} for number in range(count)]))
        assert lines[0] == f"DRY RUN: nothing was changed. {said[0]} be invoiced:"
        assert f"{said[1]} be invoiced:" in lines
        due = list(preview_table([{**row, "sales_order_id": number, "is_due": True} for number in range(count)]))
        assert said[2] in due

    def test_one_that_cannot_be_read_does_not_hide_the_others(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, lost, last = made(3)

        def denied(task: InvoiceOrder, *others: Any) -> Any:
            if task.order_id == lost:
                raise PermissionDenied("another department's", status=403)
            return preview(task, *others)

        monkeypatch.setattr("tfso_hypatos.operators.batch.steps.preview", denied)
        operator = batch([first, lost, last], preview=True)
        with pytest.raises(PreviewIncomplete, match=r"^1 of 3 orders failed; 2 are looked at") as caught:
            run.execute(operator)
        assert type(copy.copy(caught.value)) is PreviewIncomplete
        assert "nothing was changed" in advice_for(caught.value).certain
        lines = logged(capsys)
        assert "DRY RUN: nothing was changed. 2 of 2 orders would be invoiced:" in lines
        assert "Not every order could be looked at: the table and the sums lack some" in lines
        assert "Sum in NOK: 250.00" in lines
        assert not any("are done" in line or "orders done" in line for line in lines)

    def test_twins_and_copies_are_told(self, run: Run, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
        marker = f"af:{'k' * 16}/{'c' * 10}/{'h' * 12}"
        one, other = made(2, internalMemo=marker)
        (copied,) = made(internalMemo=f"af:{'m' * 16}/{'c' * 10}/{'h' * 12}!")
        lines = shown(run, batch([one, other, copied], preview=True), capsys)
        assert lines[0] == "DRY RUN: nothing was changed. 0 of 3 orders would be invoiced:"
        assert not any("Sum in" in line for line in lines)
        for order_id, twin in ((one, other), (other, one)):
            (line,) = [line for line in lines if line.startswith(f" {order_id} ")]
            assert line.endswith(f"twin: carries the marker of the same business order as {twin}")
        assert lines[-1].endswith("says that it is being invoiced, as a copy does")

    @pytest.mark.parametrize("value", ["", "None", "ja", None, 2])
    def test_what_is_neither_true_nor_false_is_refused(self, run: Run, log: Log, value: Any) -> None:
        with pytest.raises(InvalidInput, match="preview: true or false is needed"):
            run.execute(batch([1], preview=value))
        assert log.sandbox.requests() == []

    @pytest.mark.parametrize("value", [False, "False", "false"])
    def test_false_bills(self, run: Run, log: Log, value: Any) -> None:
        orders = made()
        run.execute(batch(orders, preview=value))
        assert billed(log) == orders


class TestEnrich:
    def test_an_order_without_a_key_is_named_after_its_id(self, run: Run, log: Log) -> None:
        (first, second) = made(2)
        invoiced = run.execute(batch(listed(run)))
        items = [invoiced[0], {"sales_order_id": second, "external_id": "own"}]
        enrich = EnrichSalesOrdersOperator(
            task_id="enrich", orders=items, external_id_format="sales-order-{sales_order_id}", on_missing="insert"
        )
        run.execute(enrich)
        assert sorted(log.records) == ["own", f"sales-order-{first}"]

    @pytest.mark.parametrize(
        "name", ["order", "{customer_id}", "{sales_order_id}-{customer_id}", "{sales_order_id}-{}"]
    )
    def test_a_key_that_is_the_same_for_all_or_keeps_its_braces_is_refused(self, run: Run, log: Log, name: str) -> None:
        with pytest.raises(InvalidInput, match=r"external_id_format: a text with \{sales_order_id\} in it is needed"):
            run.execute(EnrichSalesOrdersOperator(task_id="enrich", orders=[], external_id_format=name))
        assert log.sandbox.requests() == []

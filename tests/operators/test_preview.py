"""What a batch would invoice, without changing anything."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from tests.operators.confirmed import batch, billed, change, listed, made, single

from tfso_hypatos.advice import advice_for
from tfso_hypatos.exceptions import InvalidInput, PermissionDenied, PreviewIncomplete
from tfso_hypatos.flows.billing import InvoiceOrder
from tfso_hypatos.flows.preview import preview
from tfso_hypatos.operators.preview_table import COLUMNS, preview_table
from tfso_hypatos.operators.sales_order import InvoiceSalesOrdersOperator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


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

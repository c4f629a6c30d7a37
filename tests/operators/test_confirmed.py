"""Orders that people made and confirmed, from the list to the invoice: edited, set back, raced for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.operators.confirmed import batch, billed, change, listed, made, single

from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.exceptions import BatchFailed, InvalidInput, OrderDrift
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, EnrichSalesOrdersOperator
from tfso_hypatos.operators.sales_order_list import ListSalesOrdersOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


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

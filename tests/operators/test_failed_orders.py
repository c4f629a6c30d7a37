"""Orders of a batch that fail while the others go on: what is handed on, and what makes the run fail all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, BaseOperator, XComArg
from tests.operators.batches import creating, failing, item, items
from tests.operators.confirmed import batch, billed, change, listed, made

from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    BatchFailed,
    ConfigurationError,
    InvalidInput,
    InvoicingStopped,
    OrderDrift,
    OrdersLeftOut,
    PermissionDenied,
    PreviewIncomplete,
    ServerError,
)
from tfso_hypatos.flows.billing import InvoiceOrder
from tfso_hypatos.flows.preview import preview
from tfso_hypatos.notifications.order_needs_person import problem_of
from tfso_hypatos.operators.failed_orders import CheckFailedOrdersOperator
from tfso_hypatos.operators.sales_order import CreateSalesOrdersOperator, EnrichSalesOrdersOperator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")

DRIFT = OrderDrift("it has another line, 'Bjørns kaffe'")
BUSY = ServerError("on this one", status=500)


def handing_on(make: Callable[..., Any], orders: Any, **arguments: Any) -> Any:
    """Return a batch that hands on what failed, in a DAG that checks it."""
    with DAG("orders", schedule=None):
        task = make(orders, on_failed_orders="hand_on", **arguments)
        CheckFailedOrdersOperator(task_id="check", failed_orders=XComArg(task, key="failed_orders"))
    return task


def enriching(orders: Any, **arguments: Any) -> EnrichSalesOrdersOperator:
    return EnrichSalesOrdersOperator(task_id="enrich", orders=orders, **arguments)


def check(failed_orders: Any) -> CheckFailedOrdersOperator:
    return CheckFailedOrdersOperator(task_id="check", failed_orders=failed_orders)


class TestHandingOn:
    def test_what_is_done_goes_on_and_what_failed_is_named(
        self, run: Run, log: Log, caplog: pytest.LogCaptureFixture
    ) -> None:
        edited, other = made(2)
        rows = listed(run)
        change(edited, status="Draft")
        task = handing_on(batch, rows)
        (result,) = run.execute(task, max_tries=3)
        assert (result["sales_order_id"], result["invoiced"]) == (other, True)
        assert billed(log) == [other]
        failed = {"task_id": "invoice", "total": 1, "orders": [{"sales_order_id": edited, "kind": "OrderDrift"}]}
        assert run.xcom["failed_orders"] == failed
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert any(f"{edited}: OrderDrift: " in text and "has status Draft" in text for text in errors)
        assert "1 of 2 orders failed (1 × OrderDrift): the tasks that follow go on" in errors[-1]
        with pytest.raises(OrdersLeftOut, match=rf"^1 order of the task invoice failed.*: {edited} \(OrderDrift\)\."):
            run.execute(check(failed))

        change(edited, status="Confirmed")
        again = run.execute(task, try_number=2, max_tries=4)
        assert [(each["sales_order_id"], each["invoiced"]) for each in again] == [(edited, True), (other, False)]
        assert billed(log) == [edited, other]
        assert run.xcom["failed_orders"] == {"task_id": "invoice", "total": 0, "orders": []}
        assert run.execute(check(run.xcom["failed_orders"])) is None

    def test_as_long_as_a_retry_may_help_and_one_is_left_it_fails(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, BUSY, "web-2")
        task = handing_on(creating, items(3))
        for try_number in (1, 2):
            with pytest.raises(BatchFailed) as caught:
                run.execute(task, try_number=try_number, max_tries=2)
            assert not caught.value.permanent
        assert run.xcom == {}
        created = run.execute(task, try_number=3, max_tries=2)
        assert [each["order_key"] for each in created] == ["web-1", "web-3"]
        assert run.xcom["failed_orders"]["orders"] == [{"order_key": "web-2", "kind": "ServerError"}]
        assert len(log.orders) == 2

    def test_an_order_that_no_retry_helps_does_not_keep_one_that_it_may_from_its_retry(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing(monkeypatch, BUSY, "web-2")
        failing(monkeypatch, DRIFT, "web-3")
        task = handing_on(creating, items(3))
        with pytest.raises(BatchFailed):
            run.execute(task, max_tries=1)
        assert [each["order_key"] for each in run.execute(task, try_number=2, max_tries=1)] == ["web-1"]
        assert run.xcom["failed_orders"]["total"] == 2

    def test_if_nothing_is_done_it_fails(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        failing(monkeypatch, DRIFT, "web-1", "web-2")
        with pytest.raises(BatchFailed, match="2 of 2 orders failed"):
            run.execute(handing_on(creating, items(2)))
        assert run.xcom == {}

    def test_what_an_earlier_try_did_counts(self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with monkeypatch.context() as first:
            failing(first, BUSY, "web-2")
            with pytest.raises(BatchFailed):
                run.execute(handing_on(creating, items(2), results_path=str(tmp_path)), max_tries=1)
        failing(monkeypatch, DRIFT, "web-2")
        outcome = run.execute(handing_on(creating, items(2), results_path=str(tmp_path)), try_number=2, max_tries=1)
        assert {**outcome, "results_path": ""} == {"total": 2, "done": 0, "failed": 1, "skipped": 1, "results_path": ""}
        assert run.xcom["failed_orders"]["total"] == 1

    def test_if_the_batch_was_ended_it_fails(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        failing(monkeypatch, AuthenticationFailed("changed", status=401), "web-3")
        with pytest.raises(AuthenticationFailed):
            run.execute(handing_on(creating, items(4), concurrency=1))
        assert run.xcom == {}

    def test_if_the_service_is_down_it_fails(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tfso_hypatos.operators.batch.account.LAST_IN_A_ROW", 3)
        # With three orders after the first one, none is left untried.
        for count in (4, 6):
            failing(monkeypatch, BUSY, *(f"web-{number}" for number in range(2, count + 1)))
            with pytest.raises(BatchFailed):
                run.execute(handing_on(creating, items(count), concurrency=1))
        assert run.xcom == {}

    def test_if_a_person_stops_it_it_fails(self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        refused, *_ = made(3)
        rows = listed(run)
        change(refused, status="Draft")
        monkeypatch.setattr("tfso_hypatos.operators.stop_switch.FRESH", 0.0)
        said = lambda _: "true" if log.invoices else "false"  # noqa: E731 - what the Variable says
        monkeypatch.setattr("tfso_hypatos.operators.stop_switch._read", said)
        with pytest.raises(InvoicingStopped):
            run.execute(handing_on(batch, rows, stop_variable="stop", concurrency=1))
        assert run.xcom == {}

    def test_by_default_a_batch_fails_and_hands_on_nothing(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        failing(monkeypatch, DRIFT, "web-2")
        with pytest.raises(BatchFailed):
            run.execute(creating(items(2)))
        run.execute(creating(items(1)))
        assert run.xcom == {}

    def test_what_repeats_a_failed_order_is_left_out_as_well(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        failing(monkeypatch, DRIFT, "web-2")
        results = run.execute(handing_on(creating, [item(2), item(1), item(2), item(1)]))
        assert [each["order_key"] for each in results] == ["web-1", "web-1"]
        assert run.xcom["failed_orders"]["total"] == 1

    def test_in_files_too_the_next_batch_takes_what_is_done(
        self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        create = handing_on(creating, items(3), results_path=str(tmp_path / "created"))
        with monkeypatch.context() as first:
            failing(first, DRIFT, "web-2")
            outcome = run.execute(create)
        assert (outcome["total"], outcome["done"], outcome["failed"]) == (3, 2, 1)
        assert run.execute(check(run.xcom["failed_orders"] | {"total": 0, "orders": []})) is None
        invoiced = run.execute(batch(outcome))
        assert sorted(each["order_key"] for each in invoiced) == ["web-1", "web-3"]

        outcome = run.execute(create, try_number=2)
        assert (outcome["done"], outcome["failed"]) == (3, 0)
        assert len(run.execute(batch(outcome), try_number=2)) == len(log.invoices) == 3

    def test_what_is_handed_on_is_bounded_and_counted(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tfso_hypatos.operators.batch.account.MOST_HANDED_ON", 2)
        failing(monkeypatch, DRIFT, "web-2", "web-3", "web-4")
        run.execute(handing_on(creating, items(4), concurrency=1))
        failed = run.xcom["failed_orders"]
        assert (failed["total"], [each["order_key"] for each in failed["orders"]]) == (3, ["web-2", "web-3"])
        with pytest.raises(OrdersLeftOut, match=r"3 orders .*: web-2 \(OrderDrift\), web-3 \(OrderDrift\) and 1 more"):
            run.execute(check(failed))

    def test_ids_and_kinds_are_handed_on_and_no_texts(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        failing(monkeypatch, DRIFT, "web-2")
        created = run.execute(handing_on(creating, items(2)))
        assert "Bjørn" not in json.dumps(run.xcom, ensure_ascii=False)
        run.execute(handing_on(enriching, created, on_missing="insert"))
        assert run.xcom["failed_orders"]["total"] == 0
        missing = [{"external_id": "web-8", "order_key": "web-9", "patch": {"totalNetAmount": 1}}]
        run.execute(handing_on(enriching, [*created, *missing]))
        (order,) = run.xcom["failed_orders"]["orders"]
        assert order == {"order_key": "web-9", "external_id": "web-8", "kind": "NotFound"}

    def test_a_dry_run_hands_on_nothing(self, run: Run, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        order_ids = made(2)
        assert run.execute(handing_on(batch, order_ids, preview=True)) == []
        assert run.xcom["failed_orders"] == {"task_id": "invoice", "total": 0, "orders": []}
        run.xcom.clear()

        def denied(task: InvoiceOrder, *others: Any) -> Any:
            if task.order_id == order_ids[0]:
                raise PermissionDenied("another department's", status=403)
            return preview(task, *others)

        monkeypatch.setattr("tfso_hypatos.operators.batch.steps.preview", denied)
        with pytest.raises(PreviewIncomplete):
            run.execute(handing_on(batch, order_ids, preview=True))
        assert run.xcom == {}


class TestIsItChecked:
    def refused(self, task: Any, run: Run, log: Log) -> None:
        with pytest.raises(ConfigurationError, match=r"on_failed_orders.*CheckFailedOrdersOperator") as caught:
            run.execute(task)
        assert caught.value.permanent
        assert log.sandbox.requests() == []

    def test_without_a_check_nothing_is_sent(self, run: Run, log: Log) -> None:
        self.refused(creating(items(1), on_failed_orders="hand_on"), run, log)
        with DAG("orders", schedule=None):
            task = creating(items(1), on_failed_orders="hand_on")
            BaseOperator(task_id="next").set_upstream(task)
        self.refused(task, run, log)

    @pytest.mark.parametrize("what", ["another task's", "another key", "a text"])
    def test_a_check_of_something_else_is_none(self, run: Run, log: Log, what: str) -> None:
        with DAG("orders", schedule=None):
            task = creating(items(1), on_failed_orders="hand_on")
            other = batch(task.output)
            checked: dict[str, Any] = {
                "another task's": XComArg(other, key="failed_orders"),
                "another key": XComArg(task, key="failed"),
                "a text": "[]",
            }
            check(checked[what]).set_upstream(task)
        self.refused(task, run, log)

    @pytest.mark.parametrize("shape", ["two batches", "one_failed", "a task after it", "teardown"])
    def test_a_check_that_may_leave_the_run_green_is_none(self, run: Run, log: Log, shape: str) -> None:
        with DAG("orders", schedule=None):
            create = creating(items(1), on_failed_orders="hand_on")
            rule = "one_failed" if shape == "one_failed" else "all_success"
            failed = XComArg(create, key="failed_orders")
            task = CheckFailedOrdersOperator(task_id="check", failed_orders=failed, trigger_rule=rule)
            if shape == "two batches":
                task.set_upstream(BaseOperator(task_id="other"))
            elif shape == "a task after it":
                task.set_downstream(BaseOperator(task_id="other", trigger_rule="all_done"))
            elif shape == "teardown":
                task.as_teardown()
        self.refused(create, run, log)

    def test_a_mapped_batch_hands_on_nothing(self, run: Run, log: Log) -> None:
        with DAG("orders", schedule=None):
            create = CreateSalesOrdersOperator.partial(task_id="create", on_failed_orders="hand_on").expand(
                orders=[items(1), items(2)]
            )
            check(XComArg(create, key="failed_orders"))
        with pytest.raises(ConfigurationError, match="not for a mapped task"):
            run.execute(create.unmap({"orders": items(1)}))
        assert log.sandbox.requests() == []

    def test_a_check_may_run_whatever_became_of_the_batch(self, run: Run, log: Log) -> None:
        with DAG("orders", schedule=None):
            create = creating(items(1), on_failed_orders="hand_on")
            failed = XComArg(create, key="failed_orders")
            CheckFailedOrdersOperator(task_id="check", failed_orders=failed, trigger_rule="all_done")
        run.execute(create)
        assert len(log.orders) == 1

    @pytest.mark.parametrize("wrong", ["skip", None, True])
    def test_what_is_to_be_done_must_be_known(self, run: Run, log: Log, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="on_failed_orders must be fail or hand_on"):
            run.execute(creating(items(1), on_failed_orders=wrong))
        assert log.sandbox.requests() == []


def handed_on(task_id: str, *keys: str) -> dict[str, Any]:
    orders = [{"order_key": key, "kind": "OrderDrift"} for key in keys]
    return {"task_id": task_id, "total": len(keys), "orders": orders}


class TestCheck:
    def test_it_fails_for_good_and_names_every_order(self, run: Run) -> None:
        with pytest.raises(OrdersLeftOut) as caught:
            run.execute(check(handed_on("create", "web-2", "web-1", "web-3")))
        assert caught.value.permanent
        assert str(caught.value) == (
            "3 orders of the task create failed, and the tasks after it go on without them: web-2 (OrderDrift), "
            "web-1 (OrderDrift), web-3 (OrderDrift). The log of that task says why."
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            *(None, "", "[]", [], [None], {}, {"total": 0}, 7, {"total": "1", "orders": []}),
            *({"total": 1, "orders": "ab"}, {"total": 1, "orders": [1]}, {"total": True, "orders": []}),
            *({"total": -1, "orders": []}, [{"task_id": "create", "total": 0, "orders": []}]),
        ],
    )
    def test_what_no_batch_handed_on_is_no_success(self, run: Run, wrong: Any) -> None:
        with pytest.raises(InvalidInput, match="failed_orders"):
            run.execute(check(wrong))

    def test_an_error_that_a_thousand_orders_had_stays_short(self, run: Run) -> None:
        with pytest.raises(OrdersLeftOut, match="and 980 more") as caught:
            run.execute(check(handed_on("create", *(f"web-{number}" for number in range(1000)))))
        assert len(str(caught.value)) < 1000

    def test_a_person_is_told_which_orders_and_what_to_do(self, run: Run) -> None:
        task = check(handed_on("invoice", "web-2"))
        with pytest.raises(OrdersLeftOut) as caught:
            run.execute(task)
        instance = run.context(task)["ti"]
        instance.state = "failed"
        problem = problem_of({"ti": instance, "task": task, "exception": caught.value})
        assert problem is not None
        assert "web-2 (OrderDrift)" in problem["text"]
        assert "mark this task as success" in problem["next"]

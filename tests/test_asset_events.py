"""What a DAG is told by the asset events that started it."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from tests.asset_events import ORGANIZATION, WHOSE, alias_events

from tfso_hypatos.assets import (
    CREATED_SALES_ORDERS,
    INVOICED_SALES_ORDERS,
    announce_batch,
    orders_of_events,
    results_paths_of_events,
)
from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.operators.sales_order import CreateSalesOrdersOperator


class Event:
    def __init__(self, extra: dict[str, Any], *runs: tuple[str, str]) -> None:
        self.extra = extra
        self.created_dagruns = [SimpleNamespace(dag_id=dag_id, run_id=run_id) for dag_id, run_id in runs]


def test_orders_of_two_organizations_are_told_apart() -> None:
    one, two = ({"organization_id": name, "sales_order_id": 1001} for name in ("1", "2"))
    batch = {"organization_id": "2", "total": 1, "sales_order_ids": [1001]}
    events = [Event(one), Event({"from_trigger": True, "payload": two}), Event(batch)]
    context = {"triggering_asset_events": {INVOICED_SALES_ORDERS: events}, "inlet_events": {}}
    assert orders_of_events(context, INVOICED_SALES_ORDERS) == [one, two]


def watched(order_id: int, *runs: tuple[str, str]) -> Event:
    payload = {"sales_order_id": order_id, "invoice_number": 10_000 + order_id}
    return Event({"from_trigger": True, "payload": payload}, *runs)


class Later(list[Event]):
    """The events of an inlet; those before the run have triggered it, or an earlier one."""

    asked: str | None = None

    def after(self, moment: str) -> Later:
        self.asked = moment
        return self


class Run:
    dag_id, run_id = "mine", "this"
    run_after = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)


def context_of(triggering: list[Event], later: Later | None = None, asset: Any = None) -> dict[str, Any]:
    asset = asset or Asset("posted")
    return {
        "triggering_asset_events": {asset.name: triggering} if triggering else {},
        "inlet_events": {} if later is None else {asset.name: later},
        "dag_run": Run(),
    }


class ByName(dict[str, Any]):
    """A mapping that is asked for assets, as Airflow's are."""

    def __getitem__(self, asset: Any) -> Any:
        return super().__getitem__(asset.name)


def orders(context: dict[str, Any], asset: Any = None) -> list[dict[str, Any]]:
    for name in ("triggering_asset_events", "inlet_events"):
        context[name] = ByName(context[name])
    return orders_of_events(context, asset or Asset("posted"))


def test_all_events_of_a_run_are_handled_each_order_once() -> None:
    found = orders(context_of([watched(1), watched(2), watched(1)]))
    assert [order["sales_order_id"] for order in found] == [1, 2]
    assert found[0]["invoice_number"] == 10_001


def test_events_that_airflow_left_for_the_next_run_are_handled_too() -> None:
    later = Later([watched(2), watched(3)])
    found = orders(context_of([watched(1), watched(2)], later))
    assert [order["sales_order_id"] for order in found] == [1, 2, 3]
    assert later.asked == "2026-11-20T00:00:00+00:00"


def test_events_that_a_later_run_of_the_same_dag_was_given_are_left_to_it() -> None:
    later = Later([watched(2, ("mine", "later")), watched(3, ("other", "later")), watched(4, ("mine", "this"))])
    found = orders(context_of([watched(1)], later))
    assert [order["sales_order_id"] for order in found] == [1, 3, 4]


def test_a_task_that_cannot_see_the_later_events_fails_rather_than_leave_one_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Later):
        def __iter__(self) -> Any:
            raise RuntimeError("500")

    with pytest.raises(RuntimeError):
        orders(context_of([watched(1)], Broken()))
    assert "a retry succeeds once it has begun" in caplog.text


def test_a_run_by_hand_has_none() -> None:
    assert orders(context_of([])) == []


@pytest.mark.parametrize("payload", [None, "text", 7, [], {}, {"other": 1}])
def test_an_event_of_somebody_else_tells_of_no_order(payload: Any) -> None:
    assert orders(context_of([Event({"from_trigger": True, "payload": payload}), Event({})])) == []


def test_events_of_operators_and_batches_tell_of_orders() -> None:
    events = [
        Event({"sales_order_id": 1, "status": "Invoice"}),
        Event({"total": 2, "sales_order_ids": [2, 1]}),
        Event({"total": 1, "external_ids": ["web-1"]}),
    ]
    alias = INVOICED_SALES_ORDERS
    found = orders(context_of(events, asset=alias), alias)
    assert found == [{"sales_order_id": 1}, {"sales_order_id": 2}, {"external_id": "web-1"}]


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"total": 2500, "sales_order_ids": list(range(1000))}, ("1000 ids of 2500 orders", "results_path")),
        ({"total": 1001, "external_ids": ["web"] * 1000}, ("1000 ids of 1001 orders",)),
        ({"total": 2, "done": 2, "results_path": "s3://books/run-1"}, ("2 orders", "s3://books/run-1")),
    ],
)
def test_an_event_that_does_not_list_all_of_its_orders_is_refused(
    extra: dict[str, Any], named: tuple[str, ...]
) -> None:
    """An order that is left out silently is one that nobody handles."""
    with pytest.raises(InvalidInput) as caught:
        orders(context_of([watched(1), Event(extra)]))
    assert all(part in str(caught.value) for part in named)


def told_of(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the event of a batch with these results tells."""
    task = CreateSalesOrdersOperator(task_id="create", orders=[], outlets=[CREATED_SALES_ORDERS])
    context: Any = {"outlet_events": OutletEventAccessors()}
    settings: Any = SimpleNamespace(extra={"organization_id": ORGANIZATION})
    announce_batch(context, task, CREATED_SALES_ORDERS, settings, results)
    ((_, extra),) = alias_events(context["outlet_events"], CREATED_SALES_ORDERS)
    return extra


@pytest.mark.parametrize(
    "results",
    [
        [{"sales_order_id": 1, "external_id": "web-1"}, {"sales_order_id": 2, "external_id": "web-2"}],
        [{"sales_order_id": 1}, {"external_id": "web-2"}],
        [{"sales_order_id": 1, "external_id": "web-1"}, {"external_id": "web-2"}, {"sales_order_id": 3}],
    ],
)
def test_a_batch_tells_of_each_order_once_by_all_of_its_ids(results: list[dict[str, Any]]) -> None:
    assert orders(context_of([Event(told_of(results))])) == [{**WHOSE, **result} for result in results]


def test_of_two_lists_of_which_one_has_all_orders_that_one_is_taken() -> None:
    extra = {"total": 3, "sales_order_ids": [1, 2], "external_ids": ["web-1", "web-2", "web-3"]}
    assert orders(context_of([Event(extra)])) == [{"external_id": f"web-{number}"} for number in (1, 2, 3)]


def test_of_two_lists_that_cannot_be_matched_neither_is_taken() -> None:
    with pytest.raises(InvalidInput, match="cannot be told which ids belong to one order"):
        orders(context_of([Event({"sales_order_ids": [1, 2], "external_ids": ["web-1", "web-2", "web-3"]})]))


def test_a_batch_of_nothing_tells_of_nothing() -> None:
    assert orders(context_of([Event({"total": 0, "done": 0, "results_path": "s3://books/run-1"})])) == []


def test_the_folders_of_all_batches_of_a_run_are_returned_each_once() -> None:
    first, second, third = ({"total": 1, "done": 1, "results_path": f"s3://books/{number}"} for number in (1, 2, 3))
    # A later run was given the third.
    later = Later([Event(second), Event(third, ("mine", "later"))])
    context = context_of([Event(first), Event(first), watched(1)], later)
    for name in ("triggering_asset_events", "inlet_events"):
        context[name] = ByName(context[name])
    assert results_paths_of_events(context, Asset("posted")) == ["s3://books/1", "s3://books/2"]

"""Assets: their URIs, who announces what, and what a DAG is told by the events that started it."""

from __future__ import annotations

import datetime
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from airflow.sdk import DAG, Asset, AssetAlias, XComArg
from airflow.sdk.execution_time.context import OutletEventAccessors

from tfso_hypatos import assets
from tfso_hypatos.asset_uris import (
    hypatos_sales_order_uri,
    sales_order_uri,
    sanitize_hypatos_uri,
    sanitize_tfso_uri,
)
from tfso_hypatos.assets import (
    CREATED_SALES_ORDERS,
    ENRICHED_SALES_ORDERS,
    INVOICED_SALES_ORDERS,
    POSTED_SALES_ORDERS,
    announce_batch,
    orders_of_events,
    results_paths_of_events,
)
from tfso_hypatos.exceptions import BatchFailed, InvalidInput
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.failed_orders import CheckFailedOrdersOperator
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrderOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

if TYPE_CHECKING:
    from tests.conftest import Log

ORGANIZATION = "100000000000001"


@pytest.mark.parametrize(
    ("uri", "clean"),
    [
        ("tfso://100000000000001/salesorders/1001", "tfso://100000000000001/salesorders/1001"),
        ("TFSO://100000000000001/salesorders/01001/", "tfso://100000000000001/salesorders/1001"),
        ("tfso://100000000000001/salesorders", "tfso://100000000000001/salesorders"),
        ("hypatos://eu/salesorders/web-10045", "hypatos://eu/salesorders/web-10045"),
        ("hypatos://eu/salesorders/a%2Fb", "hypatos://eu/salesorders/a%2Fb"),
    ],
)
def test_airflow_cleans_our_uris(uri: str, clean: str) -> None:
    assert Asset(uri=uri).uri == clean


@pytest.mark.parametrize(
    "uri",
    [
        "tfso:///salesorders/7",
        "tfso://1/orders/7",
        "tfso://1/salesorders/seven",
        "tfso://1/salesorders/7/lines",
        "hypatos:///salesorders/x",
        "hypatos://eu/x",
        "hypatos://eu/salesorders/a/b",
    ],
)
def test_airflow_refuses_what_is_none_of_our_uris(uri: str) -> None:
    with pytest.raises(ValueError, match="URI format"):
        Asset(uri=uri)


def test_the_uris_that_we_make_are_clean() -> None:
    for uri in (sales_order_uri(ORGANIZATION, 7), sales_order_uri(ORGANIZATION)):
        assert sanitize_tfso_uri(urlsplit(uri)).geturl() == uri
    for external_id in ("web-1", "Åse/1?x#y", "a b"):
        uri = hypatos_sales_order_uri("eu", external_id)
        assert sanitize_hypatos_uri(urlsplit(uri)).geturl() == uri
        assert uri.isascii()


def alias_events(events: OutletEventAccessors, alias: AssetAlias) -> list[tuple[str, dict[str, Any]]]:
    return [(each.dest_asset_key.uri, each.extra) for each in events[alias].asset_alias_events]


class Events:
    """Runs tasks, and keeps the outlet events of each."""

    def __init__(self) -> None:
        self.of: dict[str, OutletEventAccessors] = {}

    def execute(self, operator: Any, method: str = "execute", **more: Any) -> Any:
        self.of[operator.task_id] = OutletEventAccessors()
        return getattr(operator, method)({"outlet_events": self.of[operator.task_id]}, **more)


ORDER = {"customer": {"id": 42, "name": "Bjørn Ås AS"}}
LINES = [{"description": "Kaffe", "quantity": 1, "price": 8}]


def creating(**arguments: Any) -> CreateSalesOrderOperator:
    return CreateSalesOrderOperator(
        task_id="create", **{"order": ORDER, "lines": LINES, "order_key": "web-1", **arguments}
    )


@pytest.mark.usefixtures("connections")
class TestOperators:
    def test_each_announces_what_it_did_by_its_own_alias(self, log: Log) -> None:
        events = Events()
        created = events.execute(creating(outlets=[CREATED_SALES_ORDERS]))
        invoiced = events.execute(
            InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created, outlets=[INVOICED_SALES_ORDERS])
        )
        sensor = InvoiceTransactionSensor(task_id="wait", sales_order_id=invoiced, outlets=[POSTED_SALES_ORDERS])
        posted = events.execute(sensor)
        events.execute(
            EnrichSalesOrderOperator(
                task_id="enrich",
                external_id="web/1",
                sales_order_id=posted,
                on_missing="insert",
                outlets=[ENRICHED_SALES_ORDERS],
            )
        )
        uri = f"tfso://{ORGANIZATION}/salesorders/{log.order['id']}"
        order_id = log.order["id"]
        (invoice,) = log.invoices
        number, transaction_id = invoice["number"], invoice["transaction_id"]
        assert alias_events(events.of["create"], CREATED_SALES_ORDERS) == [
            (uri, {**WHOSE, "sales_order_id": order_id, "status": "Draft"})
        ]
        told = {
            **WHOSE,
            "sales_order_id": order_id,
            "status": "Invoice",
            "invoice_number": number,
            "transaction_id": transaction_id,
        }
        assert alias_events(events.of["invoice"], INVOICED_SALES_ORDERS) == [(uri, told)]
        assert alias_events(events.of["wait"], POSTED_SALES_ORDERS) == [(uri, told)]
        assert alias_events(events.of["enrich"], ENRICHED_SALES_ORDERS) == [
            ("hypatos://eu/salesorders/web%2F1", {"scope": "eu", "external_id": "web/1", "outcome": "inserted"})
        ]

    def test_a_sensor_that_was_deferred_announces_when_it_goes_on(self, log: Log) -> None:
        events = Events()
        created = events.execute(creating())
        invoiced = events.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created))
        sensor = InvoiceTransactionSensor(task_id="wait", sales_order_id=invoiced, outlets=[POSTED_SALES_ORDERS])
        result = {name: invoiced[name] for name in invoiced if name != "invoiced"}
        event = {"status": "posted", "result": result}
        events.execute(sensor, "execute_complete", event=event, sales_order_id=created["sales_order_id"])
        assert len(alias_events(events.of["wait"], POSTED_SALES_ORDERS)) == 1

    def test_without_an_outlet_nothing_is_announced(self) -> None:
        events = Events()
        events.execute(creating())
        assert len(events.of["create"]) == 0

    def test_the_outlet_of_another_kind_of_task_is_left_alone(self) -> None:
        events = Events()
        events.execute(creating(outlets=[INVOICED_SALES_ORDERS, AssetAlias("somebody_else")]))
        assert len(events.of["create"]) == 0

    def test_an_asset_of_the_users_own_is_told_the_ids(self, log: Log) -> None:
        events, mine = Events(), Asset("my_orders")
        events.execute(creating(outlets=[mine]))
        assert events.of["create"][mine].extra == {**WHOSE, "sales_order_id": log.order["id"], "status": "Draft"}

    @pytest.mark.parametrize("broken", [{}, {"outlet_events": None}])
    def test_a_task_does_not_fail_because_its_events_cannot_be_made(self, log: Log, broken: dict[str, Any]) -> None:
        result = creating(outlets=[CREATED_SALES_ORDERS]).execute(broken)  # type: ignore[arg-type]
        assert result["sales_order_id"] == log.order["id"]

    def test_a_batch_is_one_event_with_ids(self, log: Log) -> None:
        events = Events()
        items = [{"order_key": f"web-{number}", "order": ORDER, "lines": LINES} for number in range(3)]
        created = events.execute(
            CreateSalesOrdersOperator(task_id="create", orders=items, outlets=[CREATED_SALES_ORDERS])
        )
        invoiced = events.execute(
            InvoiceSalesOrdersOperator(task_id="invoice", orders=created, outlets=[INVOICED_SALES_ORDERS])
        )
        events.execute(
            EnrichSalesOrdersOperator(
                task_id="enrich", orders=invoiced, on_missing="insert", outlets=[ENRICHED_SALES_ORDERS]
            )
        )
        told = {**WHOSE, "total": 3, "sales_order_ids": [result["sales_order_id"] for result in created]}
        uri = f"tfso://{ORGANIZATION}/salesorders"
        assert alias_events(events.of["create"], CREATED_SALES_ORDERS) == [(uri, told)]
        assert alias_events(events.of["invoice"], INVOICED_SALES_ORDERS) == [(uri, told)]
        assert alias_events(events.of["enrich"], ENRICHED_SALES_ORDERS) == [
            ("hypatos://eu/salesorders", {"scope": "eu", "total": 3, "external_ids": ["web-0", "web-1", "web-2"]})
        ]

    def test_a_batch_with_files_tells_where_they_are(self, tmp_path: Any) -> None:
        events = Events()
        items = [{"order_key": "web-1", "order": ORDER, "lines": LINES}]
        path = (tmp_path / "results").as_uri()
        outcome = events.execute(
            CreateSalesOrdersOperator(task_id="create", orders=items, results_path=path, outlets=[CREATED_SALES_ORDERS])
        )
        ((_, extra),) = alias_events(events.of["create"], CREATED_SALES_ORDERS)
        assert extra == {**WHOSE, **outcome}
        assert extra["results_path"] == path

    def test_a_batch_that_fails_announces_nothing(self, sandbox: Any) -> None:
        sandbox.configure(known_customers=[1])
        events = Events()
        items = [{"order_key": "web-1", "order": ORDER, "lines": LINES}]
        with pytest.raises(BatchFailed):
            events.execute(CreateSalesOrdersOperator(task_id="create", orders=items, outlets=[CREATED_SALES_ORDERS]))
        assert len(events.of["create"]) == 0

    def test_a_batch_that_hands_on_what_failed_announces_what_is_done(self, sandbox: Any) -> None:
        sandbox.configure(known_customers=[42])
        events = Events()
        refused = {"customer": {"id": 43, "name": "Kari"}}
        items = [{"order_key": key, "order": each, "lines": LINES} for key, each in (("a", refused), ("b", ORDER))]
        with DAG("orders", schedule=None):
            create = CreateSalesOrdersOperator(
                task_id="create", orders=items, on_failed_orders="hand_on", outlets=[CREATED_SALES_ORDERS]
            )
            CheckFailedOrdersOperator(task_id="check", failed_orders=XComArg(create, key="failed_orders"))
        (created,) = events.execute(create)
        ((_, extra),) = alias_events(events.of["create"], CREATED_SALES_ORDERS)
        assert extra == {**WHOSE, "total": 1, "sales_order_ids": [created["sales_order_id"]]}

    def test_the_event_of_a_large_batch_stays_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(assets, "MOST_IDS", 2)
        task = CreateSalesOrdersOperator(task_id="create", orders=[], outlets=[CREATED_SALES_ORDERS])
        context: Any = {"outlet_events": OutletEventAccessors()}
        with TfsoHook() as hook:
            outcome = [{"sales_order_id": number} for number in range(9)]
            announce_batch(context, task, CREATED_SALES_ORDERS, hook.settings, outcome)
        ((_, extra),) = alias_events(context["outlet_events"], CREATED_SALES_ORDERS)
        assert extra == {**WHOSE, "total": 9, "sales_order_ids": [0, 1]}

    def test_a_day_without_orders_is_no_event(self, tmp_path: Any) -> None:
        events, path = Events(), (tmp_path / "results").as_uri()
        listed = CreateSalesOrdersOperator(task_id="list", orders=[], outlets=[CREATED_SALES_ORDERS])
        filed = CreateSalesOrdersOperator(task_id="file", orders=[], results_path=path, outlets=[CREATED_SALES_ORDERS])
        for task in (listed, filed):
            events.execute(task)
            assert len(events.of[task.task_id]) == 0

    def test_an_event_names_nobody(self, log: Log) -> None:
        events = Events()
        events.execute(creating(outlets=[CREATED_SALES_ORDERS]))
        assert "Bjørn" not in json.dumps(alias_events(events.of["create"], CREATED_SALES_ORDERS), ensure_ascii=False)


WHOSE = {"organization_id": ORGANIZATION}


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
    assert "a retry can" in caplog.text


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
    first, second = ({"total": 1, "done": 1, "results_path": f"s3://books/{number}"} for number in (1, 2))
    context = context_of([Event(first), Event(first), watched(1)], Later([Event(second)]))
    for name in ("triggering_asset_events", "inlet_events"):
        context[name] = ByName(context[name])
    assert results_paths_of_events(context, Asset("posted")) == ["s3://books/1", "s3://books/2"]

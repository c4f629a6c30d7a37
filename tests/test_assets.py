"""Assets: their URIs, and who announces what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from airflow.sdk import DAG, Asset, AssetAlias, XComArg
from airflow.sdk.execution_time.context import OutletEventAccessors
from tests.asset_events import ORGANIZATION, WHOSE, alias_events

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
)
from tfso_hypatos.exceptions import BatchFailed
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

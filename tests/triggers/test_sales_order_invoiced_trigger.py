"""The trigger that starts DAGs, at the wire: its arguments, and what it reports."""

from __future__ import annotations

import datetime
import inspect
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseEventTrigger
from tests.conftest import ORGANIZATION
from tests.triggers.postings import invoiced, running, settled, trigger
from tests.triggers.waits import until

from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.triggers.sales_order_invoiced import SalesOrderInvoicedTrigger

if TYPE_CHECKING:
    from tests.conftest import Log

pytestmark = pytest.mark.usefixtures("connections", "short_looks")


def test_it_can_watch_for_an_asset() -> None:
    asset = Asset(name="posted", watchers=[AssetWatcher(name="tfso", trigger=SalesOrderInvoicedTrigger())])
    assert isinstance(asset.watchers[0].trigger, BaseEventTrigger)


def test_the_trigger_survives_the_way_to_the_triggerer() -> None:
    made = SalesOrderInvoicedTrigger(
        "other", only_marked=False, poll_interval=7, since="2026-11-20T00:00:00Z", name="b"
    )
    class_path, kwargs = made.serialize()
    module, _, name = class_path.rpartition(".")
    assert getattr(import_module(module), name) is SalesOrderInvoicedTrigger
    assert kwargs == {
        "tfso_conn_id": "other",
        "only_marked": False,
        "poll_interval": 7,
        "since": "2026-11-20T00:00:00Z",
        "name": "b",
    }
    assert deserialize(serialize(kwargs)) == json.loads(json.dumps(kwargs)) == kwargs
    assert SalesOrderInvoicedTrigger(**kwargs).serialize() == (class_path, kwargs)
    parameters = inspect.signature(SalesOrderInvoicedTrigger.__init__).parameters.values()
    assert kwargs.keys() == {each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD} - {"self"}


def test_two_assets_have_a_trigger_each_if_it_is_named() -> None:
    """Airflow makes one trigger of those with the same hash, and one for two assets keeps nothing."""

    def hash_of(**arguments: Any) -> int:
        return BaseEventTrigger.hash(*SalesOrderInvoicedTrigger(**arguments).serialize())

    assert hash_of(name="billing") == hash_of(name="billing")
    assert len({hash_of(), hash_of(name="billing"), hash_of(name="archive")}) == 3


def test_without_a_name_it_is_the_trigger_that_it_was_before_it_could_have_one() -> None:
    """Airflow would begin another one at the upgrade."""
    assert SalesOrderInvoicedTrigger().serialize()[1].keys() == {
        "tfso_conn_id",
        "only_marked",
        "poll_interval",
        "since",
    }


def test_the_constructor_only_assigns() -> None:
    strange: Any = object()
    made = SalesOrderInvoicedTrigger(strange, strange, strange, strange, strange, novelty=strange)
    given = {made.tfso_conn_id, made.only_marked, made.poll_interval, made.since, made.name, made.unknown["novelty"]}
    assert given == {strange}


@pytest.mark.parametrize(
    ("mistake", "place"),
    [
        ({"only_markt": False}, "only_markt"),
        ({"poll_interval": "60"}, "poll_interval"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"since": "2026-11-20"}, "since"),
        ({"name": 7}, "name"),
        ({"name": ""}, "name"),
        ({"since": datetime.datetime(2026, 11, 20)}, "since"),  # noqa: DTZ001 - that is the mistake
    ],
)
def test_a_mistake_shows_when_airflow_reads_the_dag(mistake: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        SalesOrderInvoicedTrigger(**mistake).serialize()
    assert [problem.place for problem in raised.value.problems] == [place]


def test_times_may_be_objects() -> None:
    begin = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    made = SalesOrderInvoicedTrigger(poll_interval=datetime.timedelta(minutes=1), since=begin)
    assert made.serialize()[1]["poll_interval"] == 60
    assert made.serialize()[1]["since"] == "2026-11-20T00:00:00+00:00"


async def test_each_posted_invoice_is_one_event_of_ids(log: Log) -> None:
    async with running(trigger()) as found:
        await settled(log, 1)
        order_ids = [await invoiced(), await invoiced(memo=None), await invoiced()]
        await until(lambda: len(found) == 2)
        await settled(log)
    assert [event["sales_order_id"] for event in found] == [order_ids[0], order_ids[2]]
    by_order = {each["order_id"]: each for each in log.invoices}
    for event in found:
        issued = by_order[event["sales_order_id"]]
        assert event == {
            "organization_id": ORGANIZATION,
            "sales_order_id": issued["order_id"],
            "invoice_number": issued["number"],
            "transaction_id": issued["transaction_id"],
            "order_key_hash": "abcdefghijklmnop",
        }
        assert json.loads(json.dumps(event)) == event


async def test_it_only_reads(log: Log) -> None:
    await invoiced()
    changes = len(log.changes)
    async with running(trigger()) as found:
        await until(lambda: len(found) == 1)
    assert len(log.changes) == changes


async def test_all_orders_of_the_organization_can_be_watched(log: Log) -> None:
    async with running(trigger(only_marked=False)) as found:
        await settled(log, 1)
        order_id = await invoiced(memo=None)
        await until(lambda: len(found) == 1)
    assert found[0]["sales_order_id"] == order_id
    assert "order_key_hash" not in found[0]


@pytest.mark.parametrize("settings", [{}, {"silent_posting": True}, {"bare_lists": True}], ids=lambda each: str(each))
async def test_a_posting_is_found_however_it_shows(sandbox: Any, log: Log, settings: dict[str, Any]) -> None:
    sandbox.configure(transaction_delay=0.5, **settings)
    async with running(trigger()) as found:
        await settled(log, 1)
        order_id = await invoiced()
        await until(lambda: len(found) == 1)
        await settled(log)
    assert [event["sales_order_id"] for event in found] == [order_id]

from __future__ import annotations

import gc
import warnings
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import Connection

from tfso_hypatos.clients.tfso_lists import SalesOrderFilter
from tfso_hypatos.exceptions import InvalidInput, NotFound, Stopped
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

LINE = {"description": "Kaffe", "quantity": "2", "price": 99.99}


@pytest.mark.usefixtures("connections")
def test_every_sync_method_of_24sevenoffice_works(log: Log) -> None:
    with TfsoHook() as hook:
        order = hook.create_sales_order({"customer": {"id": 42, "name": "K"}, "internal_memo": "Python names too"})
        assert hook.get_sales_order(order.id) == order
        line = hook.add_line(order.id, LINE)
        assert hook.get_line(order.id, line.id) == line
        assert hook.update_line(order.id, line.id, {"quantity": 3}).quantity == 3
        extra = hook.add_line(order.id, LINE)
        hook.delete_line(order.id, extra.id)
        assert [each.id for each in hook.list_lines(order.id)] == [line.id]
        assert hook.update_sales_order(order.id, {"status": "Invoice"}).is_invoiced
        assert [each.id for each in hook.list_sales_orders(SalesOrderFilter(customer_id=42))] == [order.id]
        other = hook.create_sales_order({"customer": {"id": 1, "name": "K"}})
        hook.delete_sales_order(other.id)
        assert [each.id for each in hook.list_sales_orders()] == [order.id]
    assert log.order["internalMemo"] == "Python names too"
    assert log.order["lines"][0]["price"] == Decimal("99.99")
    assert len(log.invoices) == 1


@pytest.mark.usefixtures("connections")
async def test_every_async_method_of_24sevenoffice_works(log: Log) -> None:
    async with TfsoHook() as hook:
        order = await hook.acreate_sales_order({"customer": {"id": 42, "name": "K"}})
        assert await hook.aget_sales_order(order.id) == order
        line = await hook.aadd_line(order.id, LINE)
        assert await hook.aget_line(order.id, line.id) == line
        assert (await hook.aupdate_line(order.id, line.id, {"quantity": 3})).quantity == 3
        extra = await hook.aadd_line(order.id, LINE)
        await hook.adelete_line(order.id, extra.id)
        assert [each.id for each in await hook.alist_lines(order.id)] == [line.id]
        assert (await hook.aupdate_sales_order(order.id, {"status": "Invoice"})).is_invoiced
        assert [each.id for each in await hook.alist_sales_orders(SalesOrderFilter(customer_id=42))] == [order.id]
        other = await hook.acreate_sales_order({"customer": {"id": 1, "name": "K"}})
        await hook.adelete_sales_order(other.id)
        assert [each.id for each in await hook.alist_sales_orders()] == [order.id]
    assert len(log.invoices) == 1


@pytest.mark.usefixtures("connections")
def test_every_sync_method_of_hypatos_works(log: Log) -> None:
    with HypatosHook() as hook:
        assert hook.insert_sales_order({"externalId": "K", "total_net_amount": "10.10"})
        patched = hook.patch_sales_order("K", {"external_id": "K", "headerText": "hei"})
        assert patched.total_net_amount == Decimal("10.10")
        hook.delete_sales_order("K")
        with pytest.raises(NotFound):
            hook.delete_sales_order("K")
    assert log.records == {}


async def test_every_async_method_of_hypatos_works(connections: Connections, log: Log) -> None:
    connections.hypatos(extra={"company_id": 7})
    async with HypatosHook() as hook:
        assert await hook.ainsert_sales_order({"externalId": "K"})
        assert (await hook.apatch_sales_order("K", {"externalId": "K", "headerText": "hei"})).external_id == "K"
        await hook.adelete_sales_order("K")
        with pytest.raises(NotFound):
            await hook.adelete_sales_order("K")
    assert log.sent("POST")[0]["headers"]["x-hy-meta-internal-company-id"] == "7"


@pytest.mark.parametrize("hook_class", [TfsoHook, HypatosHook])
def test_every_method_has_an_asynchronous_twin(hook_class: type[Any]) -> None:
    methods = {name for name, value in vars(hook_class).items() if callable(value) and not name.startswith("_")}
    calls = {name for name in methods if name.endswith(("_order", "_orders", "_line", "_lines"))}
    assert {f"a{name}" for name in calls if not name.startswith("a") or name == "add_line"} <= calls


@pytest.mark.usefixtures("connections")
async def test_a_broken_rule_is_told_before_anything_is_sent(log: Log) -> None:
    with TfsoHook() as hook:
        for call in (
            lambda: hook.create_sales_order({"customer": {"id": 42}}),
            lambda: hook.add_line(7, {"prize": 1}),
            lambda: hook.update_sales_order(7, {"status": "Paid"}),
        ):
            with pytest.raises(InvalidInput, match="nothing was sent"):
                call()
    async with HypatosHook() as hypatos:
        with pytest.raises(InvalidInput, match=r"patch\.externalId: is required"):
            await hypatos.apatch_sales_order("K", {"headerText": "hei"})
    assert log.sandbox.requests() == []


@pytest.mark.usefixtures("connections", "sandbox")
async def test_closing_leaves_nothing_open() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            async with TfsoHook() as hook:
                await hook.alist_sales_orders()
            with TfsoHook() as sync_hook:
                sync_hook.list_sales_orders()
            del hook, sync_hook
        gc.collect()
    assert [str(each.message) for each in seen if issubclass(each.category, ResourceWarning)] == []


@pytest.mark.usefixtures("connections", "sandbox")
async def test_a_hook_can_be_used_again_after_it_was_closed() -> None:
    hook = TfsoHook()
    for _ in range(2):
        assert await hook.alist_sales_orders() == []
        await hook.aclose()
        assert hook.list_sales_orders() == []
        hook.close()


@pytest.mark.usefixtures("connections", "sandbox")
async def test_the_async_way_works_where_airflow_cannot_decrypt_without_blocking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Connection.get("tfso_default")

    async def old_connection(_: str) -> SimpleNamespace:
        names = ("host", "port", "schema", "login", "password", "extra_dejson")
        return SimpleNamespace(**{name: getattr(whole, name) for name in names})

    monkeypatch.setattr(TfsoHook, "aget_connection", staticmethod(old_connection))
    async with TfsoHook() as hook:
        assert await hook.alist_sales_orders() == []


@pytest.mark.usefixtures("connections")
def test_a_stop_before_the_first_request_holds(log: Log) -> None:
    with TfsoHook() as hook:
        hook.stop()
        with pytest.raises(Stopped):
            hook.create_sales_order({"customer": {"id": 42, "name": "K"}})
    assert log.orders == []


@pytest.mark.usefixtures("connections")
async def test_a_stop_before_the_first_async_request_holds(log: Log) -> None:
    async with TfsoHook() as hook:
        hook.stop()
        with pytest.raises(Stopped):
            await hook.acreate_sales_order({"customer": {"id": 42, "name": "K"}})
    assert log.orders == []


@pytest.mark.usefixtures("connections")
def test_a_stop_between_two_requests_holds(log: Log) -> None:
    with TfsoHook() as hook:
        hook.create_sales_order({"customer": {"id": 42, "name": "K"}})
        hook.stop()
        with pytest.raises(Stopped):
            hook.create_sales_order({"customer": {"id": 42, "name": "K"}})
        assert len(hook.list_sales_orders()) == 1
    assert len(log.orders) == 1


@pytest.mark.usefixtures("connections")
def test_a_connection_is_looked_up_once(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    lookups: list[str] = []
    get = TfsoHook.get_connection.__func__  # type: ignore[attr-defined]

    def counted(cls: type[TfsoHook], conn_id: str) -> Any:
        lookups.append(conn_id)
        return get(cls, conn_id)

    monkeypatch.setattr(TfsoHook, "get_connection", classmethod(counted))
    with TfsoHook() as hook:
        for _ in range(3):
            hook.list_sales_orders()
    # Ours once, and Airflow's own get_conn() once for the session.
    assert len(lookups) <= 2

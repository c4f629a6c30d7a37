from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tfso_hypatos.clients import clock, hypatos, tfso, tfso_lists
from tfso_hypatos.clients.messages import Flow, Request, ask, pause, remember
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.sync_transport import SyncTransport
from tfso_hypatos.exceptions import NotSent, RateLimited, ServerError, Stopped, TfsoHypatosError
from tfso_hypatos.models.base import validate
from tfso_hypatos.models.hypatos import EnrichmentPatch, EnrichmentSalesOrder
from tfso_hypatos.models.tfso import Line, SalesOrderCreate

if TYPE_CHECKING:
    from tests.conftest import Driver, Log, Services

ORDER = validate(SalesOrderCreate, {"customer": {"id": 42, "name": "K"}}, "order")
LINE = validate(Line, {"description": "Kaffe", "quantity": 1, "price": 10}, "line")


def hypatos_calls() -> list[Flow[Any]]:
    return [
        hypatos.insert_sales_order(validate(EnrichmentSalesOrder, {"externalId": "K"}, "record")),
        hypatos.patch_sales_order("K", validate(EnrichmentPatch, {"externalId": "K"}, "patch")),
        hypatos.delete_sales_order("K"),
    ]


CHANGES: list[Callable[[], Flow[Any]]] = [
    lambda: tfso.create_sales_order(ORDER),
    lambda: tfso.update_sales_order(7, {"memo": "x"}),
    lambda: tfso.update_sales_order(7, {"status": "Invoice"}),
    lambda: tfso.delete_sales_order(7),
    lambda: tfso.add_line(7, LINE),
    lambda: tfso.update_line(7, 8, LINE),
    lambda: tfso.delete_line(7, 8),
    lambda: hypatos_calls()[0],
    lambda: hypatos_calls()[1],
    lambda: hypatos_calls()[2],
]


@pytest.mark.parametrize("change", CHANGES)
def test_once_stopped_no_change_is_sent(
    driver: Driver, services: Services, log: Log, change: Callable[[], Flow[Any]]
) -> None:
    with pytest.raises(Stopped, match="stopped before the request to") as caught:
        driver.run(services.tfso(), change(), stopped=True)
    assert not caught.value.ambiguous
    assert log.sent() == []


def test_once_stopped_reading_goes_on(driver: Driver, services: Services, log: Log) -> None:
    order_id = driver.run(services.tfso(), tfso.create_sales_order(ORDER)).id
    flows: list[Flow[Any]] = [tfso.get_sales_order(order_id), tfso.list_lines(order_id)]
    driver.run_all(services.tfso(), flows, stopped=True)
    assert len(log.sent("GET")) == 2


def test_a_stop_between_two_changes_prevents_the_second(services: Services, log: Log) -> None:
    with requests.Session() as session:
        transport = SyncTransport(services.tfso(), session)

        def create_two() -> Flow[None]:
            yield from tfso.create_sales_order(ORDER)
            transport.stop()
            yield from tfso.create_sales_order(ORDER)

        with pytest.raises(Stopped):
            transport.drive(create_two())
    assert len(log.orders) == 1


def test_a_stop_interrupts_a_pause(services: Services) -> None:
    with requests.Session() as session:
        transport = SyncTransport(services.tfso(), session)
        timer = threading.Timer(0.1, transport.stop)
        timer.start()
        with pytest.raises(Stopped, match="stopped while waiting"):
            transport.drive(pause(1e6, "the settle time"))
        timer.join()


def test_a_stop_interrupts_the_wait_before_a_repeat(services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="rate_limit", retry_after=1e6, method="POST", path="salesorders")
    with requests.Session() as session:
        transport = SyncTransport(services.tfso(patience=Patience(budget=1e9)), session)

        def stop_once_refused() -> None:
            while not log.sent("POST"):
                time.sleep(0.01)
            transport.stop()

        stopper = threading.Thread(target=stop_once_refused)
        stopper.start()
        with pytest.raises(Stopped):
            transport.drive(tfso.create_sales_order(ORDER))
        stopper.join()
    assert log.orders == []
    assert len(log.sent("POST")) == 1


def test_a_change_that_came_too_late_is_not_sent(driver: Driver, services: Services, log: Log) -> None:
    for flow in (
        tfso.create_sales_order(ORDER, not_after=clock.now() - 0.01),
        tfso.add_line(7, LINE, not_after=clock.now() - 0.01),
        tfso.delete_line(7, 8, not_after=clock.now() - 0.01),
        tfso.update_sales_order(7, {"status": "Invoice"}, not_after=clock.now() - 0.01),
    ):
        flow_of_any: Flow[Any] = flow
        with pytest.raises(NotSent, match="was held back") as caught:
            driver.run(services.tfso(), flow_of_any)
        assert not caught.value.ambiguous
        assert not caught.value.permanent
    assert log.sent() == []


def test_a_slow_token_makes_a_change_too_late(driver: Driver, services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="slow", path="token", seconds=0.3)
    with pytest.raises(NotSent):
        driver.run(services.tfso(), tfso.create_sales_order(ORDER, not_after=clock.now() + 0.2))
    assert log.sent() == []


def test_a_change_whose_connection_takes_too_long_is_not_sent(
    driver: Driver, services: Services, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.4)
        return look_up(*arguments, **options)

    service = services.tfso()
    by_name = replace(service, base_url=service.base_url.replace("127.0.0.1", "localhost"))
    driver.run(service, tfso_lists.list_page(tfso_lists.SalesOrderFilter()))
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(NotSent):
        driver.run(by_name, tfso.create_sales_order(ORDER, not_after=clock.now() + 0.2))
    assert log.sent("POST", "/salesorders") == []
    driver.run(by_name, tfso.create_sales_order(ORDER, not_after=clock.now() + 60))
    assert log.sent("POST", "/salesorders") != []


def test_the_clock_goes_on_and_is_never_set_back() -> None:
    moments = [clock.now() for _ in range(100)]
    assert moments == sorted(moments)
    if sys.platform == "linux":
        assert clock.now() == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=10)


def test_a_change_is_not_repeated_past_its_time(driver: Driver, services: Services, sandbox: Any, log: Log) -> None:
    sandbox.add_fault(action="rate_limit", retry_after=60, method="POST", path="salesorders", times=9)
    not_after = clock.now() + 50
    with pytest.raises((RateLimited, NotSent)):
        driver.run(services.tfso(patience=Patience(budget=1e6)), tfso.create_sales_order(ORDER, not_after=not_after))
    assert clock.now() < not_after
    assert len(log.sent("POST")) == 1


def test_a_flow_is_told_the_error_and_may_go_on(driver: Driver, services: Services, sandbox: Any) -> None:
    sandbox.add_fault(action="status_after", status=500, method="POST", path="salesorders")

    def create_and_look() -> Flow[int]:
        try:
            yield from tfso.create_sales_order(ORDER)
        except ServerError:
            found = yield from tfso_lists.list_sales_orders(tfso_lists.SalesOrderFilter())
            return len(found)
        return -1

    assert driver.run(services.tfso(), create_and_look()) == 1


def test_a_flow_is_closed_whatever_happens(driver: Driver, services: Services) -> None:
    closed: list[bool] = []

    def broken() -> Flow[None]:
        try:
            yield from ask(Request("GET", "/salesorders/1", "read"))
        finally:
            closed.append(True)

    with pytest.raises(TfsoHypatosError):
        driver.run(services.tfso(), broken())
    assert closed == [True]


def test_an_id_to_be_remembered_is_handed_over(services: Services) -> None:
    kept: list[int] = []
    with requests.Session() as session:
        SyncTransport(services.tfso(), session).drive(remember(17), kept.append)
    assert kept == [17]


def test_a_pause_is_logged_with_its_reason(
    driver: Driver, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    driver.run(services.tfso(), pause(0.01, "looking whether the order is there"))
    assert "Waiting 0.0 s: looking whether the order is there" in caplog.text

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.execution_time.xcom import XCom

from tfso_hypatos.get_provider_info import get_provider_info
from tfso_hypatos.links import sales_order
from tfso_hypatos.links.sales_order import (
    HypatosDocumentLink,
    InvoiceLink,
    ReconciliationReportLink,
    SalesOrderLink,
    StoredLink,
)
from tfso_hypatos.operators.reconciliation import ReconcileSalesOrdersOperator
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    EnrichSalesOrderOperator,
    InvoiceSalesOrderOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

LINKS: list[type[StoredLink]] = [SalesOrderLink, InvoiceLink, HypatosDocumentLink, ReconciliationReportLink]


@pytest.mark.parametrize("link_class", LINKS)
def test_a_link_leads_to_the_stored_address(link_class: type[StoredLink], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def stored(*, ti_key: Any, key: str) -> str:
        asked.append(key)
        return "https://x.example/7"

    monkeypatch.setattr(XCom, "get_value", stored)
    any_key: Any = None
    operator = EnrichSalesOrderOperator(task_id="t", external_id="K")
    assert link_class().get_link(operator, ti_key=any_key) == "https://x.example/7"
    assert asked == [link_class().url_key]


@pytest.mark.parametrize("link_class", LINKS)
@pytest.mark.parametrize("outcome", [None, "", RuntimeError("no database"), KeyError("x")])
def test_a_link_without_an_address_is_empty_and_never_raises(
    link_class: type[StoredLink], outcome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stored(**_: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(XCom, "get_value", stored)
    any_key: Any = None
    operator = EnrichSalesOrderOperator(task_id="t", external_id="K")
    assert link_class().get_link(operator, ti_key=any_key) == ""


def test_links_have_names_of_their_own_and_are_all_registered() -> None:
    assert len({link.name for link in LINKS}) == len(LINKS)
    assert len({link.url_key for link in LINKS}) == len(LINKS)
    registered = set(get_provider_info()["extra-links"])
    assert registered == {f"{sales_order.__name__}.{link.__name__}" for link in LINKS}


@pytest.mark.parametrize(
    ("link", "name", "key"),
    [
        (SalesOrderLink, "24SevenOffice order", "tfso_order_url"),
        (InvoiceLink, "24SevenOffice invoice", "tfso_invoice_url"),
        (HypatosDocumentLink, "Hypatos document", "hypatos_document_url"),
        (ReconciliationReportLink, "Reconciliation report", "reconciliation_report_url"),
    ],
)
def test_a_link_says_what_it_leads_to(link: type[StoredLink], name: str, key: str) -> None:
    assert (link().name, link.url_key) == (name, key)


@pytest.mark.parametrize(
    ("operator_class", "links"),
    [
        (CreateSalesOrderOperator, {SalesOrderLink}),
        (InvoiceSalesOrderOperator, {SalesOrderLink, InvoiceLink}),
        (InvoiceTransactionSensor, {SalesOrderLink, InvoiceLink}),
        (EnrichSalesOrderOperator, {SalesOrderLink, InvoiceLink, HypatosDocumentLink}),
        (ReconcileSalesOrdersOperator, {ReconciliationReportLink}),
    ],
)
def test_every_task_shows_its_links(operator_class: Any, links: set[type[StoredLink]]) -> None:
    assert {type(link) for link in operator_class.operator_extra_links} == links


def test_what_a_task_stored_in_this_process_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(**_: Any) -> Any:
        raise AssertionError("asked Airflow")

    monkeypatch.setattr(XCom, "get_value", unexpected)
    any_key: Any = None
    one, other = (EnrichSalesOrderOperator(task_id=name, external_id="K") for name in ("one", "other"))
    sales_order.stored_addresses(one)[SalesOrderLink.url_key] = "https://x.example/7"
    assert SalesOrderLink().get_link(one, ti_key=any_key) == "https://x.example/7"
    assert InvoiceLink().get_link(one, ti_key=any_key) == ""
    assert sales_order.stored_addresses(other) == {}


@pytest.mark.parametrize("link_class", LINKS)
def test_a_link_is_found_while_the_task_still_runs(link_class: type[StoredLink]) -> None:
    assert link_class().xcom_key == link_class().url_key

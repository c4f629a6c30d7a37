from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import NotFound, ServerError
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import EnrichSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


def enriching(external_id: Any = "SO#1", **arguments: Any) -> EnrichSalesOrderOperator:
    return EnrichSalesOrderOperator(task_id="enrich", external_id=external_id, **arguments)


@pytest.fixture
def record() -> str:
    """Return the key of a record that is there."""
    lines = [{"orderLineNumber": "1", "itemText": "old"}, {"orderLineNumber": "2"}]
    whole = {
        "externalId": "SO#1",
        "headerText": "old",
        "salesOrderLines": lines,
        "customFields": {"a": "1", "b": "2"},
        "paymentTerms": {"paymentTermKey": "T10"},
    }
    with HypatosHook() as hook:
        hook.insert_sales_order(whole)
    return "SO#1"


@pytest.fixture
def order_id(order: dict[str, Any], lines: list[dict[str, Any]]) -> int:
    """Return the id of an invoiced order of 24SevenOffice."""
    with TfsoHook() as hook:
        created = hook.create_sales_order({**order, "referenceNumber": "PO-7"})
        for line in lines:
            hook.add_line(created.id, line)
        hook.update_sales_order(created.id, {"status": "Invoice"})
    return created.id


def test_a_patch_changes_what_it_names_and_nothing_else(run: Run, log: Log, record: str) -> None:
    patch = {"headerText": "new", "totalNetAmount": "99.990", "customFields": {"b": "3"}}
    assert run.execute(enriching(patch=patch)) == {"external_id": "SO#1", "outcome": "patched"}
    after = log.records[record]
    assert (after["headerText"], str(after["totalNetAmount"])) == ("new", "99.990")
    assert after["customFields"] == {"a": "1", "b": "3"}
    assert len(after["salesOrderLines"]) == 2


def test_null_removes(run: Run, log: Log, record: str) -> None:
    run.execute(enriching(patch={"headerText": None, "customFields": {"a": None}, "paymentTerms": None}))
    after = log.records[record]
    assert "headerText" not in after
    assert "paymentTerms" not in after
    assert after["customFields"] == {"b": "2"}


def test_a_list_is_replaced_as_a_whole(run: Run, log: Log, record: str) -> None:
    run.execute(enriching(patch={"salesOrderLines": [{"orderLineNumber": "9"}]}))
    assert log.records[record]["salesOrderLines"] == [{"orderLineNumber": "9"}]


def test_the_names_of_python_and_json_text_are_taken_too(run: Run, log: Log, record: str) -> None:
    run.execute(enriching(patch={"external_id": "SO#1", "header_text": "python"}))
    assert log.records[record]["headerText"] == "python"
    run.execute(enriching(patch='{"externalId": "SO#1", "headerText": "json", "totalNetAmount": 0.30}'))
    assert log.records[record]["headerText"] == "json"
    assert str(log.records[record]["totalNetAmount"]) == "0.30"


def test_repeating_a_patch_changes_nothing(run: Run, log: Log, record: str) -> None:
    run.execute(enriching(patch={"headerText": "new"}))
    before = log.records
    run.execute(enriching(patch={"headerText": "new"}), try_number=2)
    assert log.records == before


def test_an_order_becomes_a_patch_with_the_exact_amounts(run: Run, log: Log, record: str, order_id: int) -> None:
    run.execute(enriching(sales_order_id=order_id))
    after = log.records[record]
    assert after["salesOrderNumber"] == str(order_id)
    assert after["customerOrderNumber"] == "PO-7"
    assert after["externalCustomerId"] == "42"
    assert after["currency"] == "NOK"
    assert after["isCanceled"] is False
    assert (after["totalNetAmount"], after["totalTaxAmount"], after["totalGrossAmount"]) == (
        Decimal("550.46"),
        Decimal("137.63"),
        Decimal("688.09"),
    )
    assert [line["unitPrice"] for line in after["salesOrderLines"]] == [
        Decimal("99.99"),
        Decimal("99.99"),
        Decimal("150.50"),
    ]
    (invoice,) = log.invoices
    assert after["customMetadata"]["tfso"]["invoiceNumber"] == str(invoice["number"])
    assert after["customMetadata"]["tfso"]["transactionId"] == invoice["transaction_id"]
    assert after["headerText"] == "old"


def test_no_name_address_or_email_goes_to_hypatos_by_itself(run: Run, log: Log, order_id: int, record: str) -> None:
    result = run.execute(enriching(sales_order_id=order_id))
    text = json.dumps([log.records, result, run.xcom], default=str, ensure_ascii=False)
    for private in ("Bjørn", "bjornas", "Kari", "Storgata", "0155"):
        assert private not in text


def test_the_callers_patch_is_merged_over_the_order(run: Run, log: Log, order_id: int, record: str) -> None:
    patch = {
        "headerText": "mine",
        "currency": None,
        "customMetadata": {"mine": [1], "tfso": {"status": "Mine"}},
        "salesOrderLines": [{"orderLineNumber": "9"}],
    }
    run.execute(enriching(sales_order_id=order_id, patch=patch))
    after = log.records[record]
    assert after["headerText"] == "mine"
    assert "currency" not in after
    assert after["customMetadata"]["mine"] == [1]
    assert after["customMetadata"]["tfso"]["status"] == "Mine"
    assert after["customMetadata"]["tfso"]["salesOrderId"] == str(order_id)
    assert after["salesOrderLines"] == [{"orderLineNumber": "9"}]


def test_the_names_of_python_are_merged_over_the_order_too(run: Run, log: Log, order_id: int, record: str) -> None:
    patch = {"total_net_amount": 1, "custom_metadata": {"mine": 1}, "sales_order_lines": []}
    run.execute(enriching(sales_order_id=order_id, patch=patch))
    after = log.records[record]
    assert after["totalNetAmount"] == 1
    assert after["customMetadata"]["mine"] == 1
    assert after["salesOrderLines"] == []


@pytest.mark.parametrize("form", ["result", "json", "text"])
def test_the_order_may_be_the_result_of_an_earlier_task(
    run: Run, log: Log, order_id: int, record: str, form: str
) -> None:
    result = {"sales_order_id": order_id, "status": "Invoice"}
    forms: dict[str, Any] = {"result": result, "json": json.dumps(result), "text": str(order_id)}
    assert run.execute(enriching(sales_order_id=forms[form]))["outcome"] == "patched"


def test_a_missing_record_fails_by_default(run: Run, log: Log) -> None:
    with pytest.raises(NotFound, match="'SO#1'") as caught:
        run.execute(enriching(patch={"headerText": "x"}))
    assert caught.value.permanent
    assert log.records == {}


def test_a_missing_record_may_be_skipped(run: Run, log: Log) -> None:
    result = run.execute(enriching(patch={"headerText": "x"}, on_missing="skip"))
    assert result == {"external_id": "SO#1", "outcome": "skipped"}
    assert log.records == {}


def test_a_missing_record_may_be_inserted_without_what_the_patch_would_remove(
    run: Run, log: Log, connections: Connections
) -> None:
    connections.hypatos(extra={"company_id": "c1"})
    patch = {"headerText": None, "subType": "x", "customFields": {"a": None, "b": "1"}}
    result = run.execute(enriching(patch=patch, on_missing="insert"))
    assert result == {"external_id": "SO#1", "outcome": "inserted"}
    assert log.records == {"SO#1": {"externalId": "SO#1", "subType": "x", "customFields": {"b": "1"}}}
    assert log.sent("POST")[0]["headers"]["x-hy-meta-internal-company-id"] == "c1"
    assert "x-hy-meta-internal-company-id" not in log.sent("PATCH")[0]["headers"]


def test_an_order_may_be_inserted(run: Run, log: Log, order_id: int) -> None:
    assert run.execute(enriching(sales_order_id=order_id, on_missing="insert"))["outcome"] == "inserted"
    assert log.records["SO#1"]["totalGrossAmount"] == Decimal("688.09")


def test_a_wrong_key_in_the_patch_is_refused_by_us_before_hypatos_does(run: Run, log: Log, record: str) -> None:
    before = len(log.sent())
    with pytest.raises(Exception, match=r"patch\.externalId: must be the same as external_id"):
        run.execute(enriching(patch={"externalId": "SO#2", "headerText": "x"}))
    assert len(log.sent()) == before


def test_a_key_that_is_a_number_is_its_digits(run: Run, log: Log) -> None:
    assert run.execute(enriching(7, patch={"headerText": "x"}, on_missing="insert"))["external_id"] == "7"
    assert run.execute(enriching(7, patch={"externalId": 7, "headerText": "y"}))["outcome"] == "patched"
    assert log.records["7"]["headerText"] == "y"


def test_an_order_that_is_gone_writes_nothing(run: Run, log: Log, record: str) -> None:
    before = log.records
    with pytest.raises(NotFound, match="read sales order 4711"):
        run.execute(enriching(sales_order_id=4711))
    assert log.records == before


@pytest.mark.parametrize("action", ["drop_after", "truncate", "status_after", "reset_body"])
def test_an_unclear_answer_is_asked_again_and_does_no_harm(run: Run, log: Log, record: str, action: str) -> None:
    log.sandbox.configure(hypatos_window=0)
    log.sandbox.add_fault(action=action, api="hypatos", method="PATCH")
    assert run.execute(enriching(patch={"headerText": "new"}))["outcome"] == "patched"
    assert log.records[record]["headerText"] == "new"


def test_hypatos_in_trouble_is_a_passing_error(
    run: Run, log: Log, record: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=2, longest_wait=0.01))
    log.sandbox.configure(hypatos_window=0)
    log.sandbox.add_fault(action="status_before", status=503, api="hypatos", method="PATCH", times=9)
    with pytest.raises(ServerError) as caught:
        run.execute(enriching(patch={"headerText": "new"}))
    assert not caught.value.permanent


def test_the_address_of_the_document_is_stored_for_the_link(
    run: Run, log: Log, record: str, connections: Connections, order_id: int
) -> None:
    connections.hypatos(extra={"document_url_template": "https://h.example/{document_id}"})
    connections.tfso(extra={"order_url_template": "https://x.example/{sales_order_id}"})
    run.execute(enriching(patch={"documentId": "63cac12c37bb02accb396cae"}, sales_order_id=order_id))
    assert run.xcom["hypatos_document_url"] == "https://h.example/63cac12c37bb02accb396cae"
    assert run.xcom["tfso_order_url"] == f"https://x.example/{order_id}"

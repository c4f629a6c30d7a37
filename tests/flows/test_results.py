from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from tests.flows.player import ME, Player, answered, intent, refused

from tfso_hypatos.clients.messages import Request, Response
from tfso_hypatos.exceptions import NotFound, TransactionNeverPosted
from tfso_hypatos.flows.compare import line_hash
from tfso_hypatos.flows.create import Created
from tfso_hypatos.flows.enrich import enrich, merge, patch_from_order, without_nulls
from tfso_hypatos.flows.intent import Marker
from tfso_hypatos.flows.results import created_result, invoice_result
from tfso_hypatos.flows.transaction import Posting, look_at_transaction, posting_of
from tfso_hypatos.models.base import read, validate
from tfso_hypatos.models.hypatos import EnrichmentPatch
from tfso_hypatos.models.tfso_read import SalesOrder, SalesOrderLine

INVOICE = {
    "number": 1001,
    "date": "2026-03-02",
    "dueDate": "2026-03-16",
    "remittanceReference": "0010017",
    "transaction": {"id": "7f1c"},
    "paymentTerms": {"type": "NumberOfDays", "value": 14},
}


def order(**fields: Any) -> SalesOrder:
    return read(SalesOrder, {"id": 5, "status": "Invoice", "invoice": INVOICE, **fields}, "an order")


def test_results_are_plain_and_hold_no_personal_data() -> None:
    payer = {
        "customer": {"id": 7, "name": "Kari Nordmann", "street": "Storgata 1"},
        "currency": {"code": "NOK", "rate": 1},
        "paymentMethod": {"id": 3, "name": "Vipps"},
    }
    seen = order(**payer, netAmount=319.7, taxAmount=79.925, grossAmount=399.625)
    lines = tuple(read(SalesOrderLine, {**LINE, "id": line_id}, "a line") for line_id in (2, 3))
    result = created_result("web-10045", Created(seen, lines, True, ME, ()))
    assert result == json.loads(json.dumps(result))
    assert result == {
        "order_key": "web-10045",
        "sales_order_id": 5,
        "status": "Invoice",
        "created": True,
        "line_ids": [2, 3],
        "line_hashes": [line_hash(line) for line in lines],
        "customer_id": 7,
        "currency": "NOK",
        "payment_method_id": 3,
        "net_amount": "319.7",
        "tax_amount": "79.925",
        "gross_amount": "399.625",
        "holder": str(ME),
    }
    assert [len(text) for text in result["line_hashes"]] == [8, 8]
    assert not {"Kari Nordmann", "Storgata 1", "Vipps", "Coffee"} & set(re.findall(r"[\w ]+", str(result)))
    assert "holder" not in created_result("web-10045", Created(seen, (), False, None, ()))
    assert created_result("k", Created(order(grossAmount=1e7), (), False, None, ()))["gross_amount"] == "10000000.0"
    invoiced = invoice_result(seen)
    assert invoiced == json.loads(json.dumps(invoiced))
    assert (invoiced["invoice_date"], invoiced["due_date"]) == ("2026-03-02", "2026-03-16")
    assert set(invoice_result(order(invoice=None)).values()) == {5, "Invoice", None}


@pytest.mark.parametrize(
    ("fields", "posting"),
    [
        ({}, Posting.POSTED),
        ({"invoice": {"number": 1}}, Posting.WAITING),
        ({"invoice": {"transaction": {"id": "00000000-0000-0000-0000-000000000000"}}}, Posting.WAITING),
        ({"status": "Draft"}, Posting.WAITING),
        ({"status": None}, Posting.WAITING),
        ({"status": "Inactive"}, Posting.NEVER),
        ({"status": "Sent"}, Posting.WAITING),
    ],
)
def test_an_invoice_is_waited_for_posted_or_never(fields: dict[str, Any], posting: Posting) -> None:
    assert posting_of(order(**fields)) is posting


def look(value: Any) -> SalesOrder | None:
    player = Player()
    player.on("GET /salesorders/5", answered(value) if value else refused(404))
    found = player.drive(look_at_transaction(5))
    return found.order if found.is_posted else None


def test_a_look_returns_the_order_once_it_is_posted(caplog: pytest.LogCaptureFixture) -> None:
    found = look({"id": 5, "status": "Invoice", "invoice": INVOICE})
    assert found is not None
    assert found.transaction_id == "7f1c"
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert look({"id": 5, "status": "Sent"}) is None
    assert caplog.text.count("has status 'Sent', which this provider does not know") == 1
    for gone, said in ((None, "was deleted"), ({"id": 5, "status": "Inactive"}, "was set inactive")):
        with pytest.raises(TransactionNeverPosted, match=f"Sales order 5 {said}"):
            look(gone)


LINE = {
    "id": 9,
    "description": "Coffee",
    "quantity": 3,
    "price": 99.9,
    "product": {"id": 4},
    "tax": {"number": 3, "rate": 25},
}


def test_an_order_becomes_a_patch() -> None:
    lines = [read(SalesOrderLine, {**LINE, "id": line_id}, "a line") for line_id in (11, 9)]
    seen = order(customer={"id": 7, "name": "Kari"}, date="2026-03-01", grossAmount=399.625, currency={"code": "NOK"})
    patch = patch_from_order("web-10045", seen, lines)
    assert validate(EnrichmentPatch, patch, "patch").external_id == "web-10045"
    assert patch["customMetadata"] == {
        "tfso": {
            "salesOrderId": "5",
            "status": "Invoice",
            "invoiceNumber": "1001",
            "invoiceDate": "2026-03-02",
            "dueDate": "2026-03-16",
            "remittanceReference": "0010017",
            "transactionId": "7f1c",
        }
    }
    assert [line["orderLineNumber"] for line in patch["salesOrderLines"]] == ["9", "11"]
    assert patch["salesOrderLines"][0]["taxCode"] == {"code": "3", "description": "25 %"}
    assert patch["paymentTerms"] == {"paymentTermKey": "NumberOfDays:14"}
    assert (patch["externalCustomerId"], patch["currency"], patch["isCanceled"]) == ("7", "NOK", False)
    assert "Kari" not in str(patch)
    assert None not in patch.values()


def test_a_patch_leaves_out_what_there_is_not() -> None:
    marker: Marker = intent().marker
    seen = order(invoice=None, currency={"code": "QQQ"}, referenceNumber=str(marker), status="Inactive")
    assert patch_from_order("a", seen, []) == {
        "externalId": "a",
        "salesOrderNumber": "5",
        "isCanceled": True,
        "customMetadata": {"tfso": {"salesOrderId": "5", "status": "Inactive"}},
        "salesOrderLines": [],
    }
    assert patch_from_order("a", order(referenceNumber="PO 7"), [])["customerOrderNumber"] == "PO 7"


def apply(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply(result.get(name), value)
    return result


@pytest.mark.parametrize(
    ("under", "over"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": [1]}}),
        ({"a": [1, 2]}, {"a": [3]}),
        ({"a": None}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": None}),
        ({"a": {"b": {"c": None}}}, {"a": {"b": {"d": 1}}, "e": 5}),
    ],
)
def test_merged_patches_have_the_effect_of_both_in_a_row(under: Any, over: Any) -> None:
    before = {"a": {"b": {"c": 9}, "z": 1}, "e": 0}
    merged = merge(under, over)
    assert without_nulls(merged) == apply({}, merged)
    if under["a"] is not None:
        assert apply(before, merged) == apply(apply(before, under), over)


def enriched(on_missing: Any, *reactions: Any) -> tuple[str, list[Request]]:
    player = Player()
    patch = validate(EnrichmentPatch, {"externalId": "a/7", "currency": "NOK", "documentId": None}, "patch")
    flow = enrich("a/7", patch, on_missing)
    step, answers = next(flow), iter(reactions)
    while True:
        assert isinstance(step, Request)
        player.requests.append(step)
        try:
            try:
                answer: Response = next(answers)(player, step)
            except NotFound as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
        except StopIteration as end:
            return end.value, player.requests


def test_a_patch_is_written_or_what_is_missing_dealt_with() -> None:
    outcome, (request,) = enriched("fail", answered({}))
    assert outcome == "patched"
    assert (request.method, request.content_type, request.repeatable) == ("PATCH", "application/merge-patch+json", True)
    assert request.body["documentId"] is None
    assert enriched("skip", refused(404))[0] == "skipped"
    outcome, requests = enriched("insert", refused(404), answered(None, 204))
    assert outcome == "inserted"
    assert "documentId" not in str(requests[-1].body)
    with pytest.raises(NotFound):
        enriched("fail", refused(404))

from __future__ import annotations

import datetime
import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import simplejson

from tfso_hypatos.sandbox.money import check_digit
from tfso_hypatos.sandbox.server import Sandbox

if TYPE_CHECKING:
    import requests
    from tests.sandbox.conftest import Tfso

CUSTOMER = {"id": 7, "name": "Fjord & Fjell AS"}
LINE = {"description": "Coffee", "quantity": 3, "price": 99.99}


def violations(answer: requests.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["name"] == "ValidationError"
    assert answer.json()["trackingId"]
    return [(each["path"], each["keyword"]) for each in error["payload"]["validationErrors"]]


def kind(answer: requests.Response) -> str:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["name"] == "BadRequestError"
    found: str = error["payload"]["errors"][0]["type"]
    return found


def exact(answer: requests.Response) -> Any:
    return simplejson.loads(answer.text, use_decimal=True)


def test_create_fills_in_and_keeps(tfso: Tfso) -> None:
    answer = tfso.call(
        "POST", "/salesorders", {"customer": CUSTOMER, "id": 9, "createdAt": "2020-01-01T00:00:00Z", "unknown": 1}
    )
    assert answer.status_code == 200
    order = answer.json()
    assert order["id"] == 1001
    assert order["status"] == "Draft"
    assert order["customer"] == CUSTOMER
    assert "unknown" not in order
    assert order["createdAt"] == order["modifiedAt"] > "2026"
    assert order["grossAmount"] == 0
    assert tfso.read(1001) == order
    assert {"Date", "X-Trace-Id", "Access-Control-Allow-Origin"} <= answer.headers.keys()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("customer", "required")]),
        ({"customer": {}}, [("customer.id", "required"), ("customer.name", "required")]),
        ({"customer": {"id": "7", "name": "x" * 201}}, [("customer.id", "type"), ("customer.name", "maxLength")]),
        ({"customer": {**CUSTOMER, "gln": "12"}}, [("customer.gln", "minLength")]),
        ({"customer": {**CUSTOMER, "invoiceEmailAddresses": ["x"]}}, [("customer.invoiceEmailAddresses.0", "format")]),
        ({"customer": CUSTOMER, "status": "Sent"}, [("status", "enum")]),
        ({"customer": CUSTOMER, "date": "2026-02-30"}, [("date", "format")]),
        ({"customer": CUSTOMER, "date": "20260228"}, [("date", "format")]),
        ({"customer": CUSTOMER, "internalMemo": "x" * 301}, [("internalMemo", "maxLength")]),
        ({"customer": CUSTOMER, "internalMemo": None}, [("internalMemo", "type")]),
        ({"customer": CUSTOMER, "currency": {"code": "nok"}}, [("currency.code", "pattern")]),
        ({"customer": CUSTOMER, "paymentMethod": {}}, [("paymentMethod.id", "required")]),
        (
            {"customer": CUSTOMER, "invoice": {"paymentTerms": {"type": "NumberOfDays", "value": -1}}},
            [("invoice.paymentTerms.value", "minimum")],
        ),
        (
            {"customer": CUSTOMER, "invoice": {"paymentTerms": {"type": "Never", "value": 1}}},
            [("invoice.paymentTerms", "oneOf")],
        ),
        (
            {"customer": CUSTOMER, "dimensions": [{"dimensionType": 2, "value": "1", "x": 1}]},
            [("dimensions.0.name", "required"), ("dimensions.0.x", "additionalProperties")],
        ),
        ([], [("", "type")]),
    ],
)
def test_order_body_is_checked(tfso: Tfso, body: Any, expected: list[tuple[str, str]]) -> None:
    assert sorted(violations(tfso.call("POST", "/salesorders", body))) == expected
    assert tfso.books["orders"] == []


def test_not_json_and_wrong_type(tfso: Tfso) -> None:
    headers = {"Content-Type": "application/json"}
    for text in ('{"a":', "NaN", '{"a": 1e999999999}', "\xff", "[" * 100_000, '{"a": "\\ud800"}'):
        assert tfso.call("POST", "/salesorders", data=text.encode("latin-1"), headers=headers).status_code == 400
    answer = tfso.call("POST", "/salesorders", data=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"zap": 1}, [("zap", "additionalProperties")]),
        ({"type": "gift"}, [("type", "enum")]),
        ({"description": ""}, [("description", "minLength")]),
        ({"price": "1"}, [("price", "type")]),
        ({"discountRate": 100.01}, [("discountRate", "maximum")]),
        ({"costPrice": 0.00001}, [("costPrice", "multipleOf")]),
        ({"tax": {"number": 2**31}}, [("tax.number", "format")]),
        ({"quantity": True}, [("quantity", "type")]),
    ],
)
def test_line_body_is_checked(tfso: Tfso, line: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    number = tfso.order()
    assert violations(tfso.call("POST", f"/salesorders/{number}/lines", line)) == expected
    assert tfso.books["orders"][0]["lines"] == []


def test_line_is_completed_and_keeps_every_digit(tfso: Tfso) -> None:
    number = tfso.order()
    text = '{"id":77,"product":{"id":5,"number":"x"},"quantity":1.500,"price":123456789012.123450,"costPrice":0.0001}'
    headers = {"Content-Type": "application/json"}
    answer = tfso.call("POST", f"/salesorders/{number}/lines", data=text, headers=headers)
    assert '"price":123456789012.123450' in answer.text
    assert '"quantity":1.500' in answer.text
    line = answer.json()
    assert line["id"] != 77
    assert line["type"] == "product"
    assert line["tax"] == {"id": 103, "number": 3, "rate": 25}
    assert line["account"]["number"] == 3000
    assert line["product"] == {"id": 5, "number": "5"}
    assert tfso.call("GET", f"/salesorders/{number}/lines").json() == [line]
    assert tfso.call("GET", f"/salesorders/{number}/lines/{line['id']}").json() == line


def test_totals_round_each_line_half_up(tfso: Tfso) -> None:
    number = tfso.order(
        {"quantity": 1, "price": 0.125, "tax": {"number": 3}},
        {"quantity": 3, "price": 99.99, "discountRate": 10, "tax": {"number": 31}},
        {"quantity": 1, "price": 10, "tax": {"number": 33}},
        {"quantity": 1, "price": 10, "tax": {"number": 5}},
        {"quantity": 1, "price": 10, "tax": {"rate": 11.11}},
        {"quantity": -1, "price": 10, "tax": {"id": 100}},
    )
    order = exact(tfso.call("GET", f"/salesorders/{number}"))
    assert order["netAmount"] == Decimal("0.13") + Decimal("269.97") + 20
    assert order["taxAmount"] == Decimal("0.03") + Decimal("40.50") + Decimal("1.20") + Decimal("1.11")
    assert order["grossAmount"] == order["netAmount"] + order["taxAmount"]


def test_lines_change_and_go(tfso: Tfso) -> None:
    number = tfso.order(LINE, LINE)
    first, second = (line["id"] for line in tfso.books["orders"][0]["lines"])
    before = tfso.read(number)["modifiedAt"]
    time.sleep(0.002)
    answer = tfso.call("PATCH", f"/salesorders/{number}/lines/{first}", {"price": 10, "tax": {"number": 31}})
    assert answer.json()["tax"] == {"id": 131, "number": 31, "rate": 15}
    assert answer.json()["description"] == "Coffee"
    assert tfso.read(number)["modifiedAt"] > before
    answer = tfso.call("DELETE", f"/salesorders/{number}/lines/{second}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert tfso.call("DELETE", f"/salesorders/{number}/lines/{second}").status_code == 404
    assert tfso.read(number)["netAmount"] == 30


def test_patch_merges_objects(tfso: Tfso) -> None:
    number = tfso.order(invoice={"paymentTerms": {"type": "NumberOfDays", "value": 10}})
    order = tfso.change(number, invoice={"date": "2026-01-31"}, customer={"city": "Bodø"}, status="Confirmed").json()
    assert order["invoice"] == {"date": "2026-01-31", "paymentTerms": {"type": "NumberOfDays", "value": 10}}
    assert order["customer"] == {**CUSTOMER, "city": "Bodø"}
    assert order["status"] == "Confirmed"


def test_invoice_needs_lines(tfso: Tfso) -> None:
    number = tfso.order()
    answer = tfso.change(number, status="Invoice", memo="not kept")
    assert answer.json()["error"]["payload"]["errors"] == [
        {"type": "NoLines", "message": "No lines in the sales order", "arguments": ["lineItems"]}
    ]
    assert kind(tfso.call("POST", "/salesorders", {"customer": CUSTOMER, "status": "Invoice"})) == "NoLines"
    assert kind(tfso.change(number, status="AdvanceInvoice")) == "NoLines"
    assert tfso.read(number)["status"] == "Draft"
    assert "memo" not in tfso.read(number)
    assert tfso.books["invoices"] == []


def test_invoice_is_numbered_and_final(tfso: Tfso, sandbox: Sandbox) -> None:
    numbers = [tfso.order(LINE) for _ in range(2)]
    invoices = [tfso.invoice(number)["invoice"] for number in numbers]
    assert [invoice["number"] for invoice in invoices] == [10001, 10002]
    assert invoices[0]["transaction"]["id"] != invoices[1]["transaction"]["id"]
    reference = invoices[0]["remittanceReference"]
    assert check_digit(reference[:-1]) == int(reference[-1])
    path = f"/salesorders/{numbers[0]}"
    line = tfso.books["orders"][0]["lines"][0]["id"]
    again = tfso.change(numbers[0], status="Invoice")
    assert (again.status_code, again.json()["invoice"]) == (200, invoices[0])
    refused = [
        tfso.change(numbers[0], memo="x"),
        tfso.change(numbers[0], status="Draft"),
        tfso.call("POST", path + "/lines", LINE),
        tfso.call("PATCH", f"{path}/lines/{line}", {"price": 1}),
        tfso.call("DELETE", f"{path}/lines/{line}"),
        tfso.call("DELETE", path),
    ]
    assert [answer.status_code for answer in refused] == [409] * 6
    pdf = {"Content-Type": "application/pdf"}
    assert tfso.call("POST", path + "/attachments", data=b"x", headers=pdf).status_code == 403
    sandbox.configure(reinvoice="conflict")
    assert tfso.change(numbers[0], status="Invoice").status_code == 409
    assert len(tfso.books["invoices"]) == 2


def test_the_request_that_invoices_may_mark_the_order(tfso: Tfso, sandbox: Sandbox) -> None:
    number = tfso.order(LINE)
    marks = [{"internalMemo": f"memo {count}", "referenceNumber": f"PO {count}"} for count in range(3)]
    answers = [tfso.change(number, status="Invoice", **mark) for mark in marks[:2]]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert tfso.read(number)["internalMemo"] == "memo 0"
    assert tfso.change(number, status="Invoice", memo="x").status_code == 409
    sandbox.configure(reinvoice="invoice_again")
    assert tfso.change(number, status="Invoice", **marks[2]).json()["referenceNumber"] == "PO 2"
    assert len(tfso.books["invoices"]) == 2


def test_books_keep_every_invoice(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(reinvoice="invoice_again")
    number = tfso.order(LINE)
    tfso.invoice(number)
    assert tfso.invoice(number)["invoice"]["number"] == 10002
    assert [invoice["order_id"] for invoice in tfso.books["invoices"]] == [number, number]
    assert tfso.books["orders"][0]["invoice_numbers"] == [10001, 10002]


@pytest.mark.parametrize(
    ("terms", "due"),
    [
        (None, "2026-02-14"),
        ({"type": "NumberOfDays", "value": 0}, "2026-01-31"),
        ({"type": "OutMonthPlusDays", "value": 10}, "2026-02-10"),
        ({"type": "FixedDate", "value": "2026-05-01"}, "2026-05-01"),
    ],
)
def test_due_date(tfso: Tfso, terms: Any, due: str) -> None:
    number = tfso.order(LINE)
    wanted = {"date": "2026-01-31", "number": 5, "remittanceReference": "x"} | (
        {"paymentTerms": terms} if terms else {}
    )
    invoice = tfso.change(number, status="Invoice", invoice=wanted).json()["invoice"]
    assert (invoice["date"], invoice["dueDate"], invoice["number"]) == ("2026-01-31", due, 10001)


def test_transaction_comes_later(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(transaction_reads=1)
    number = tfso.order(LINE)
    assert "transaction" not in tfso.invoice(number)["invoice"]
    assert "transaction" not in tfso.read(number)["invoice"]
    assert tfso.read(number)["invoice"]["transaction"]["id"] == tfso.books["invoices"][0]["transaction_id"]
    sandbox.configure(transaction_reads=0, transaction_delay=60)
    number = tfso.order(LINE)
    assert "transaction" not in tfso.invoice(number)["invoice"]
    window = {"dateFrom": "2000-01-01", "dateTo": "2999-01-01"}
    assert len(tfso.call("GET", "/transactionlines", params=window).json()) == 1
    sandbox.configure(clock_offset=61)
    assert tfso.read(number)["invoice"]["transaction"]
    lines = tfso.call("GET", "/transactionlines", params={**window, "invoiceNumber": "10002"}).json()
    assert lines[0]["transaction"]["id"] == tfso.read(number)["invoice"]["transaction"]["id"]
    page = tfso.call("GET", "/transactionlines", params={**window, "limit": "1"})
    assert (len(page.json()), 'rel="next"' in page.headers["Link"]) == (1, True)
    page = tfso.call("GET", "/transactionlines", params={**window, "limit": "1", "page": "2"})
    assert (page.json(), 'rel="next"' in page.headers["Link"]) == (lines, False)
    assert violations(tfso.call("GET", "/transactionlines")) == [("dateFrom", "required"), ("dateTo", "required")]


def test_demands_of_the_organization(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(department_required=True, project_required=True)
    number = tfso.order(LINE)
    assert kind(tfso.change(number, status="Invoice")) == "DepartmentMissing"
    department = {"dimensionType": 2, "value": "10", "name": "Sales"}
    assert kind(tfso.change(number, status="Invoice", dimensions=[department])) == "ProjectMissing"
    project = {"dimensionType": 1, "value": "P1", "name": "Project"}
    assert tfso.change(number, status="Invoice", dimensions=[department, project]).status_code == 200
    sandbox.configure(department_required=False, project_required=False, invoicing_disabled=True)
    assert kind(tfso.change(tfso.order(LINE), status="Invoice")) == "InvoicingDisabled"
    sandbox.configure(known_customers=[8])
    assert kind(tfso.call("POST", "/salesorders", {"customer": CUSTOMER})) == "CustomerNotFound"


def test_switches_of_form(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(street_as_list=True, blank_timestamps=True, strict_order_properties=True, empty_error_bodies=True)
    number = tfso.order(customer={**CUSTOMER, "street": "Storgata 1\nOppgang B"})
    order = tfso.read(number)
    assert order["customer"]["street"] == ["Storgata 1", "Oppgang B"]
    assert order["createdAt"][10] == " "
    body = {"customer": {**CUSTOMER, "foo": 1}, "bar": 1}
    assert violations(tfso.call("POST", "/salesorders", body)) == [
        ("customer.foo", "additionalProperties"),
        ("bar", "additionalProperties"),
    ]
    missing = tfso.call("GET", "/salesorders/99")
    assert (missing.status_code, missing.content) == (404, b"")


def test_delete_and_not_found(tfso: Tfso, sandbox: Sandbox) -> None:
    number = tfso.order(LINE)
    sandbox.configure(delete_forbidden=True)
    assert tfso.call("DELETE", f"/salesorders/{number}").status_code == 403
    sandbox.configure(delete_forbidden=False)
    assert tfso.call("DELETE", f"/salesorders/{number}").status_code == 204
    answer = tfso.call("DELETE", f"/salesorders/{number}")
    assert (answer.status_code, answer.json()["error"]["name"]) == (404, "NotFoundError")
    assert [order["id"] for order in tfso.books["deleted_orders"]] == [number]
    assert violations(tfso.call("GET", "/salesorders/abc")) == [("id", "type")]
    assert violations(tfso.call("GET", f"/salesorders/{2**40}")) == [("id", "format")]
    assert tfso.call("PUT", f"/salesorders/{number}").status_code == 405
    assert tfso.call("GET", "/salesOrders").status_code == 404


def test_attachments(tfso: Tfso) -> None:
    path = f"/salesorders/{tfso.order()}/attachments"
    headers = {"Content-Type": "application/pdf", "Content-Disposition": 'filename="a.pdf"'}
    answer = tfso.call("POST", path, data=b"%PDF", headers=headers)
    assert answer.status_code == 201
    assert (answer.json()["fileName"], answer.json()["size"]) == ("a.pdf", 4)
    form = tfso.call("POST", path, files={"file": ("b.png", b"12345", "image/png")})
    assert (form.json()["fileName"], form.json()["size"], form.json()["mediaType"]) == ("b.png", 5, "image/png")
    assert [file["fileName"] for file in tfso.call("GET", path).json()] == ["a.pdf", "b.png"]
    large = b"x" * (4 * 1024 * 1024)
    assert tfso.call("POST", path, data=large, headers=headers).status_code == 413
    assert tfso.call("POST", path, data=b"x", headers={"Content-Type": "text/csv"}).status_code == 415


def test_lookups_and_embedded_lines(tfso: Tfso) -> None:
    assert tfso.call("GET", "/organization/information").json()["id"] == 100000000000001
    assert tfso.call("GET", "/salestypes").json()[0] == tfso.call("GET", "/salestypes/-100").json()
    assert tfso.call("GET", "/salestypes/1").status_code == 404
    assert {"id", "name"} <= tfso.call("GET", "/paymentmethods").json()[0].keys()
    number = tfso.order(LINE)
    answer = tfso.call("GET", f"/salesorders/{number}", headers={"Accept": "application/hal+json"})
    assert answer.json()["_embedded"]["lines"] == tfso.call("GET", f"/salesorders/{number}/lines").json()


def test_clock_can_be_wrong(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(clock_offset=-3600)
    answer = tfso.call("POST", "/salesorders", {"customer": CUSTOMER})
    created = datetime.datetime.fromisoformat(answer.json()["createdAt"])
    age = datetime.datetime.now(datetime.UTC) - created
    assert 3590 < age.total_seconds() < 3610
    assert json.dumps(answer.headers["Date"])


def test_rate_limit_of_tfso(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(tfso_rate=2, tfso_window=30)
    answers = [tfso.call("GET", "/salesorders") for _ in range(3)]
    assert [answer.status_code for answer in answers[-2:]] == [429, 429] or answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 30

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tfso_hypatos.sandbox.server import Sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Tfso

LINE = {"description": "Coffee", "quantity": 3, "price": 99.99}


def ids(answer: requests.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [order["id"] for order in answer.json()]


def pages(tfso: Tfso, **query: Any) -> list[list[int]]:
    answer = tfso.call("GET", "/salesorders", params=query)
    found = [ids(answer)]
    while "next" in answer.links:
        answer = tfso.call("GET", answer.links["next"]["url"])
        found.append(ids(answer))
    return found


def test_pages_are_linked(tfso: Tfso, sandbox: Sandbox) -> None:
    numbers = [tfso.order() for _ in range(5)]
    assert pages(tfso, limit=2) == [numbers[:2], numbers[2:4], numbers[4:]]
    assert pages(tfso, limit=5) == [numbers]
    answer = tfso.call("GET", "/salesorders?limit=2")
    assert answer.links["next"]["url"].startswith(f"{sandbox.tfso_url}/salesorders?")
    assert answer.links["first"]["url"].startswith(f"{sandbox.tfso_url}/salesorders?")
    sandbox.configure(page_default=3, page_maximum=4, newest_first=True)
    assert pages(tfso) == [numbers[:1:-1], numbers[1::-1]]
    assert pages(tfso, limit=100) == [numbers[:0:-1], numbers[:1]]


def test_filters_travel_in_the_token(tfso: Tfso) -> None:
    numbers = [tfso.order(customer={"id": 7 + n % 2, "name": "A"}) for n in range(6)]
    answer = tfso.call("GET", "/salesorders", params={"customerId": "8", "limit": 2})
    following = answer.links["next"]["url"]
    assert "customerId" not in following
    assert ids(tfso.call("GET", following)) == numbers[5::2]


def test_bad_paging(tfso: Tfso, sandbox: Sandbox) -> None:
    tfso.order()
    tfso.order()
    for query in ({"limit": "x"}, {"limit": "0"}, {"limit": "-1"}, {"continuationToken": "x"}, {"status": "Inactive"}):
        assert tfso.call("GET", "/salesorders", params=query).status_code == 400
    sandbox.configure(page_token_lifetime=0)
    following = tfso.call("GET", "/salesorders?limit=1").links["next"]["url"]
    time.sleep(0.005)
    assert tfso.call("GET", following).status_code == 400


def test_filters(tfso: Tfso) -> None:
    first = tfso.order(LINE, date="2026-01-01", referenceNumber="PO 1")
    time.sleep(0.005)
    second = tfso.order(date="2026-01-02", customer={"id": 8, "name": "B"}, status="Confirmed")
    time.sleep(0.005)
    tfso.invoice(first)
    created = tfso.read(second)["createdAt"]
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"date": "2026-01-01"}, [first]),
        ({"dateFrom": "2026-01-02"}, [second]),
        ({"dateTo": "2026-01-01"}, [first]),
        ({"status": "Invoice"}, [first]),
        ({"status": "Confirmed"}, [second]),
        ({"customerId": "8"}, [second]),
        ({"invoiceNumber": "10001"}, [first]),
        ({"referenceNumber": "PO 1"}, [first]),
        ({"referenceNumber": "PO"}, []),
        ({"createdFrom": created}, [second]),
        ({"createdTo": created}, [first, second]),
        ({"modifiedFrom": created}, [first, second]),
        ({"modifiedTo": created}, [second]),
        ({"createdFrom": created, "customerId": "7"}, []),
        ({"unheardOf": "x"}, [first, second]),
    ]
    for query, expected in cases:
        assert ids(tfso.call("GET", "/salesorders", params=query)) == expected, query
    assert tfso.call("GET", "/salesorders", params={"createdFrom": "2026-01-01"}).status_code == 400
    assert tfso.call("GET", "/salesorders", params={"dateFrom": "yesterday"}).status_code == 400


def test_older_server_ignores_a_filter(tfso: Tfso, sandbox: Sandbox) -> None:
    numbers = [tfso.order(referenceNumber=text) for text in "ab"]
    assert ids(tfso.call("GET", "/salesorders?referenceNumber=a")) == numbers[:1]
    sandbox.configure(ignore_filters=["referenceNumber"])
    assert pages(tfso, referenceNumber="a", limit=1) == [numbers[:1], numbers[1:]]


def test_list_items_have_no_dimensions(tfso: Tfso) -> None:
    number = tfso.order(dimensions=[{"dimensionType": 2, "value": "1", "name": "x"}])
    assert "dimensions" in tfso.read(number)
    assert "dimensions" not in tfso.call("GET", "/salesorders").json()[0]


def test_list_lag(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(list_lag=60)
    number = tfso.order()
    assert ids(tfso.call("GET", "/salesorders")) == []
    assert tfso.read(number)["id"] == number
    sandbox.configure(clock_offset=61)
    assert ids(tfso.call("GET", "/salesorders")) == [number]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_list_lag_as_a_fault(tfso: Tfso, sandbox: Sandbox, method: str) -> None:
    sandbox.add_fault(action="list_lag", api="tfso", method=method, path="^/salesorders$", seconds=60)
    number = tfso.order()
    assert ids(tfso.call("GET", "/salesorders")) == []
    if method == "POST":
        assert ids(tfso.call("GET", "/salesorders")) == []
        sandbox.configure(clock_offset=61)
    assert ids(tfso.call("GET", "/salesorders")) == [number]


def test_a_filter_can_be_refused(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(refuse_filters=["modifiedFrom"])
    assert tfso.call("GET", "/salesorders?modifiedFrom=2026-01-01T00:00:00Z").status_code == 400
    assert tfso.call("GET", "/salesorders?createdFrom=2026-01-01T00:00:00Z").status_code == 200


def test_change_lag_hides_what_changed_lately_from_lists_of_changes(tfso: Tfso, sandbox: Sandbox) -> None:
    number = tfso.order()
    changes = "/salesorders?modifiedFrom=2020-01-01T00:00:00Z"
    sandbox.configure(change_lag=60)
    assert ids(tfso.call("GET", changes)) == []
    assert ids(tfso.call("GET", "/salesorders")) == [number]
    sandbox.configure(clock_offset=61)
    assert ids(tfso.call("GET", changes)) == [number]


@pytest.mark.parametrize("silent", [False, True])
def test_posting_is_a_change_unless_it_is_silent(tfso: Tfso, sandbox: Sandbox, silent: bool) -> None:
    sandbox.configure(silent_posting=silent, transaction_delay=30)
    number = tfso.order()
    tfso.call("POST", f"/salesorders/{number}/lines", json={"description": "Kaffe", "quantity": 1, "price": 8})
    tfso.call("PATCH", f"/salesorders/{number}", json={"status": "Invoice"})
    before = tfso.read(number)
    sandbox.configure(clock_offset=31)
    (listed,) = tfso.call("GET", "/salesorders").json()
    assert listed["invoice"]["transaction"] == tfso.read(number)["invoice"]["transaction"]
    assert (listed["modifiedAt"] == before["modifiedAt"]) is silent


def test_bare_lists_leave_the_transaction_out(tfso: Tfso, sandbox: Sandbox) -> None:
    sandbox.configure(bare_lists=True)
    number = tfso.order()
    tfso.call("POST", f"/salesorders/{number}/lines", json={"description": "Kaffe", "quantity": 1, "price": 8})
    tfso.call("PATCH", f"/salesorders/{number}", json={"status": "Invoice"})
    (listed,) = tfso.call("GET", "/salesorders").json()
    assert "transaction" not in listed["invoice"]
    assert "transaction" in tfso.read(number)["invoice"]

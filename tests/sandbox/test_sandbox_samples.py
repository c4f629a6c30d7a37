"""The sandbox begins with orders that people have made, if it is asked to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tfso_hypatos.sandbox.server import Sandbox

if TYPE_CHECKING:
    from tests.sandbox.conftest import Tfso

STATUSES = {"Confirmed": 3, "Draft": 1, "Invoice": 1}


@pytest.fixture
def samples() -> Iterator[Sandbox]:
    with Sandbox(sample_orders=True) as sandbox:
        yield sandbox


def test_the_orders_can_be_listed_read_and_billed(samples: Sandbox) -> None:
    from tests.sandbox.conftest import Tfso

    tfso = Tfso(samples)
    listed = tfso.call("GET", "/salesorders").json()
    assert Counter(order["status"] for order in listed) == STATUSES
    for order in listed:
        read = tfso.read(order["id"])
        assert read["grossAmount"] == order["grossAmount"] > 0
        assert read["status"] == order["status"]
    (posted,) = [order for order in listed if order["status"] == "Invoice"]
    assert posted["invoice"]["number"]
    assert posted["invoice"]["transaction"]["id"]
    confirmed = [order["id"] for order in listed if order["status"] == "Confirmed"]
    assert [tfso.invoice(number)["status"] for number in confirmed] == ["Invoice"] * 3


def test_they_are_there_again_after_a_reset(samples: Sandbox) -> None:
    from tests.sandbox.conftest import Tfso

    Tfso(samples).order()
    samples.reset()
    (books,) = samples.state()["organizations"].values()
    assert Counter(order["status"] for order in books["orders"]) == STATUSES
    assert len(books["invoices"]) == 1


def test_a_sandbox_is_empty_unless_it_is_asked(tfso: Tfso) -> None:
    assert tfso.books["orders"] == []

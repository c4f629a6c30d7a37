"""Orders that are invoiced: what a wait for a transaction begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.hooks.tfso import TfsoHook

if TYPE_CHECKING:
    from tests.conftest import Log


@pytest.fixture
def order_id(log: Log) -> int:
    """Return the id of an invoiced order; posted at once unless the sandbox is told otherwise."""
    with TfsoHook() as hook:
        created = hook.create_sales_order({"customer": {"id": 42, "name": "Bjørn Ås AS"}})
        hook.add_line(created.id, {"description": "Kaffe", "quantity": 1, "price": 8})
        hook.update_sales_order(created.id, {"status": "Invoice"})
    return created.id


@pytest.fixture
def waiting_id(order_id: int, sandbox: Any) -> int:
    """Return the id of an invoiced order that is not posted while the test runs."""
    sandbox.configure(transaction_reads=100_000)
    return order_id

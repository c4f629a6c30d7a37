from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from tfso_hypatos.flows.reconciliation import OrderFacts, RecordFacts

NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
LONG_AGO = NOW - datetime.timedelta(days=20)


def order(**changes: Any) -> OrderFacts:
    """Return an order that is invoiced and posted, unless a test says otherwise."""
    facts: dict[str, Any] = {
        "order_id": 1001,
        "status": "Invoice",
        "date": LONG_AGO.date(),
        "created_at": LONG_AGO,
        "modified_at": LONG_AGO,
        "customer_id": 42,
        "payment_method_id": 5,
        "currency": "NOK",
        "rate": None,
        "net": Decimal("100.00"),
        "tax": Decimal("25.00"),
        "gross": Decimal("125.00"),
        "invoice_number": 10001,
        "invoice_date": LONG_AGO.date(),
        "transaction_id": "T-1",
        "key": "k" * 16,
        "content": "c" * 10,
        "asked_to_invoice": True,
        "reference_number": None,
    }
    return OrderFacts(**{**facts, **changes})


def draft(**changes: Any) -> OrderFacts:
    """Return an order that is not invoiced."""
    given = {"status": "Draft", "invoice_number": None, "invoice_date": None, "transaction_id": None}
    return order(**{**given, "asked_to_invoice": False, **changes})


def record(**changes: Any) -> RecordFacts:
    """Return a record that says what the order says."""
    facts: dict[str, Any] = {
        "order_id": "1001",
        "transaction_id": "T-1",
        "invoice_number": "10001",
        "currency": "NOK",
        "net": Decimal(100),
        "tax": Decimal(25),
        "gross": Decimal(125),
        "lines": None,
    }
    return RecordFacts(**{**facts, **changes})

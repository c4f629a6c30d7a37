"""Which sales orders a list has, and which it refuses to hand on."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from tfso_hypatos.exceptions import InvalidInput, TooManyOrders
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import InvoiceSalesOrderOperator, InvoiceSalesOrdersOperator
from tfso_hypatos.operators.sales_order_list import FILTERS, ListSalesOrdersOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


def listing(**arguments: Any) -> ListSalesOrdersOperator:
    return ListSalesOrdersOperator(task_id="list", **arguments)


def made(customer: int = 42, status: str = "Confirmed", **fields: Any) -> int:
    """Make an order with one line, as a person does."""
    order = {"customer": {"id": customer, "name": "Åse Sørby"}, "currency": {"code": "NOK"}, **fields}
    with TfsoHook() as hook:
        order_id = hook.create_sales_order({"date": "2026-11-20", **order}).id
        hook.add_line(order_id, {"description": "Kaffe", "quantity": 1, "price": "100.10"})
        hook.update_sales_order(order_id, {"status": status})
    return order_id


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["sales_order_id"] for row in rows]


def test_a_row_has_what_the_invoice_task_checks_and_no_names(run: Run, log: Log) -> None:
    first = made()
    made(status="Draft")
    before = len(log.changes)
    rows = run.execute(listing(status="Confirmed"))
    assert rows == [
        {
            "sales_order_id": first,
            "status": "Confirmed",
            "expected_status": "Confirmed",
            "gross_amount": "125.13",
            "currency": "NOK",
            "customer_id": 42,
            "payment_method_id": "none",
            "date": "2026-11-20",
        }
    ]
    assert json.loads(json.dumps(rows)) == rows
    assert len(log.changes) == before


@pytest.mark.parametrize("ignored", [[], ["status", "customerId", "dateFrom", "dateTo", "modifiedFrom", "modifiedTo"]])
def test_every_page_is_read_and_filters_hold_even_if_the_server_ignores_them(
    run: Run, log: Log, ignored: list[str]
) -> None:
    log.sandbox.configure(page_maximum=2, ignore_filters=ignored)
    early, first, last = (made(date=f"2026-11-{day}") for day in (18, 19, 21))
    other, late = made(43, date="2026-11-20"), made(date="2026-11-22")
    draft = made(status="Draft", date="2026-11-20")
    assert ids(run.execute(listing())) == [early, first, last, other, late, draft]
    assert ids(run.execute(listing(status="Confirmed", customer_id="42"))) == [early, first, last, late]
    days = {"date_from": "2026-11-19", "date_to": datetime.date(2026, 11, 21)}
    assert ids(run.execute(listing(status="Confirmed", **days))) == [first, last, other]
    with TfsoHook() as hook:
        moments = [hook.get_sales_order(order_id).modified_at for order_id in (first, other)]
    assert moments[0] is not None
    assert moments[1] is not None
    rows = run.execute(listing(modified_from=moments[0].isoformat(), modified_to=moments[1]))
    assert ids(rows) == [first, last, other]


def test_left_out_filters_of_a_form_are_none(run: Run) -> None:
    order_id = made()
    left_out = {"date_from": "any", "date_to": None, "modified_from": "any", "modified_to": "any", "limit": ""}
    assert ids(run.execute(listing(status="Confirmed", customer_id="any", **left_out))) == [order_id]
    assert ids(run.execute(listing(status="any"))) == [order_id]


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_text_does_not_let_everything_through(run: Run, log: Log, name: str, empty: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{name}: must not be empty; None, or any from a template, leaves"):
        run.execute(listing(**{name: empty}))
    assert log.sandbox.requests() == []


@pytest.mark.parametrize("limit", [2, "2"])
def test_more_than_the_limit_is_an_error_and_nothing_is_left_out(run: Run, log: Log, limit: Any) -> None:
    first, second = made(), made()
    assert ids(run.execute(listing(status="Confirmed", limit=limit))) == [first, second]
    made()
    made(status="Draft")
    with pytest.raises(TooManyOrders, match=r"has more than 2 such sales orders\. None is handed on") as caught:
        run.execute(listing(status="Confirmed", limit=limit))
    assert caught.value.permanent


def test_without_a_limit_it_is_what_airflow_maps_a_task_over(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "1")
    made()
    assert len(run.execute(listing())) == 1
    made()
    with pytest.raises(TooManyOrders, match="has more than 1 such"):
        run.execute(listing())
    assert len(run.execute(listing(limit=5))) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"status": "Konfirmert"}, "status: input should be 'Draft', 'Web', "),
        ({"status": "Inactive"}, "status: input should be 'Draft', 'Web', "),
        ({"customer_id": "Åse"}, "customer_id: "),
        ({"customer_id": 0}, "customer_id: "),
        ({"date_from": "20.11.2026"}, "date_from: "),
        ({"date_to": "2026-11-31"}, "date_to: "),
        ({"modified_from": "2026-11-20T06:00:00"}, "modified_from: a date and time with a time zone"),
        ({"modified_to": "yesterday"}, "modified_to: "),
        ({"date_from": "2026-11-21", "date_to": "2026-11-20"}, "filters: no order can be after the one bound"),
        ({"limit": 0}, "limit: a whole number above zero"),
        ({"limit": "many"}, "limit: a whole number above zero"),
    ],
)
def test_a_wrong_filter_is_named_and_nothing_is_sent(run: Run, log: Log, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        run.execute(listing(**wrong))
    assert log.sandbox.requests() == []


def test_an_order_that_lacks_its_total_in_the_list_is_read(run: Run, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfso_hypatos.sandbox.views import Views

    order = Views.order

    def without_amounts(self: Views, *arguments: Any, whole: bool = True) -> dict[str, Any]:
        shown = order(self, *arguments, whole=whole)
        return shown if whole else {name: each for name, each in shown.items() if not name.endswith("Amount")}

    monkeypatch.setattr(Views, "order", without_amounts)
    made()
    assert run.execute(listing(status="Confirmed"))[0]["gross_amount"] == "125.13"


def test_the_list_goes_into_the_batch_and_into_single_tasks(run: Run, log: Log) -> None:
    first, second = made(), made()
    rows = run.execute(listing(status="Confirmed"))
    one = run.execute(InvoiceSalesOrderOperator(task_id="one", sales_order_id=rows[0]))
    (two,) = run.execute(InvoiceSalesOrdersOperator(task_id="invoice", orders=json.dumps(rows[1:])))
    assert (one["sales_order_id"], two["sales_order_id"]) == (first, second)
    assert sorted(invoice["order_id"] for invoice in log.invoices) == [first, second]


@pytest.mark.parametrize("mapped", [True, False])
def test_a_batch_that_a_task_is_mapped_over_refuses_too_many_before_it_bills(
    run: Run, log: Log, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "1")
    orders = [made(), made()]
    with DAG("orders", schedule=None):
        invoice = InvoiceSalesOrdersOperator(task_id="invoice", orders=orders)
        if mapped:
            InvoiceSalesOrderOperator.partial(task_id="again").expand(sales_order_id=invoice.output)
    if not mapped:
        assert len(run.execute(invoice)) == 2
        return
    with pytest.raises(InvalidInput, match="2 orders, and a later task is mapped over their results: Airflow takes 1"):
        run.execute(invoice)
    assert log.invoices == []

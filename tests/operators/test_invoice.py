from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from tfso_hypatos.clients.messages import Flow
from tfso_hypatos.exceptions import BadRequest, NotFound, NotSent, OrderDrift, OutcomeUncertain, TfsoHypatosError
from tfso_hypatos.flows import billing
from tfso_hypatos.flows.setbacks import Setbacks
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("skipped_pauses")

KEYS = {
    "sales_order_id",
    "status",
    "invoiced",
    "invoice_number",
    "invoice_date",
    "due_date",
    "remittance_reference",
    "transaction_id",
}


@pytest.fixture
def created(run: Run, order: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of the task that created an order."""
    operator = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="web-10045")
    result: dict[str, Any] = run.execute(operator)
    return result


def invoicing(sales_order_id: Any, **arguments: Any) -> InvoiceSalesOrderOperator:
    return InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=sales_order_id, **arguments)


def test_the_result_is_plain_json_with_the_documented_keys(run: Run, log: Log, created: dict[str, Any]) -> None:
    result = run.execute(invoicing(created))
    assert result.keys() == KEYS
    assert json.loads(json.dumps(result)) == result
    (invoice,) = log.invoices
    assert result["invoiced"] is True
    assert result["status"] == "Invoice"
    assert result["invoice_number"] == invoice["number"]
    assert result["transaction_id"] == invoice["transaction_id"]
    assert result["remittance_reference"] == invoice["remittance_reference"]
    assert (result["invoice_date"], result["due_date"]) == (invoice["date"], invoice["due_date"])
    assert "Bjørn" not in json.dumps(result, ensure_ascii=False)


def test_an_invoice_that_is_not_posted_yet_has_no_transaction(run: Run, log: Log, created: dict[str, Any]) -> None:
    log.sandbox.configure(transaction_delay=60)
    assert run.execute(invoicing(created))["transaction_id"] is None


def test_date_terms_and_distribution_reach_the_invoice(run: Run, log: Log, created: dict[str, Any]) -> None:
    result = run.execute(
        invoicing(
            created,
            invoice_date="2026-11-20",
            payment_terms='{"type": "NumberOfDays", "value": 30}',
            distribution_method="emaildistribution",
        )
    )
    assert (result["invoice_date"], result["due_date"]) == ("2026-11-20", "2026-12-20")
    assert log.order["invoice"]["distributionMethod"] == "emaildistribution"
    (change,) = [each for each in log.sent("PATCH") if '"Invoice"' in each["body"]]
    assert json.loads(change["body"])["invoice"].keys() == {"date", "paymentTerms", "distributionMethod"}


def test_empty_arguments_are_as_if_left_out(run: Run, log: Log, created: dict[str, Any]) -> None:
    empty = dict.fromkeys(
        ("invoice_date", "due_date", "payment_terms", "distribution_method", "expected_gross_amount", "order_key"), ""
    )
    assert run.execute(invoicing(created, **empty))["invoiced"] is True


@pytest.mark.parametrize("form", ["number", "text", "result", "json"])
def test_the_order_may_be_given_in_any_form(run: Run, log: Log, created: dict[str, Any], form: str) -> None:
    forms = {
        "number": created["sales_order_id"],
        "text": f" {created['sales_order_id']} ",
        "result": created,
        "json": json.dumps(created),
    }
    assert run.execute(invoicing(forms[form]))["sales_order_id"] == created["sales_order_id"]
    assert len(log.invoices) == 1


@pytest.mark.parametrize("reinvoice", ["unchanged", "conflict", "invoice_again"])
def test_an_invoiced_order_is_adopted(run: Run, log: Log, created: dict[str, Any], reinvoice: str) -> None:
    log.sandbox.configure(reinvoice=reinvoice)
    first = run.execute(invoicing(created))
    changes = len(log.changes)
    second = run.execute(invoicing(created), try_number=2)
    assert second == {**first, "invoiced": False}
    assert len(log.changes) == changes
    assert len(log.invoices) == 1


FAULTS: list[dict[str, Any]] = [
    {"action": "drop_after"},
    {"action": "drop_before"},
    {"action": "status_after", "status": 500},
    {"action": "status_after", "status": 502, "html": True},
    {"action": "status_after", "status": 503},
    {"action": "status_before", "status": 500},
    {"action": "truncate"},
    {"action": "reset_body"},
    {"action": "commit_late", "seconds": 0.04},
    {"action": "rate_limit"},
    {"action": "unauthorized"},
]


@pytest.mark.parametrize(
    ("fault", "given"),
    [
        *(pytest.param(fault, "id", id=f"{fault['action']}{fault.get('status', '')}") for fault in FAULTS),
        pytest.param(FAULTS[0], "result", id="drop_after, of the result"),
    ],
)
def test_whatever_goes_wrong_there_is_one_invoice(
    run: Run, log: Log, created: dict[str, Any], fault: dict[str, Any], given: str
) -> None:
    log.sandbox.configure(reinvoice="invoice_again")
    log.sandbox.add_fault(**fault, method="PATCH", body='"status":"Invoice"')
    operator = invoicing(created if given == "result" else created["sales_order_id"])
    for try_number in (1, 2):
        result = run.execute(operator, try_number=try_number)
    assert len(log.invoices) == 1
    assert result["invoiced"] is False
    assert result["invoice_number"] == log.invoices[0]["number"]


def test_the_total_that_is_expected_guards_the_invoice(run: Run, log: Log, created: dict[str, Any]) -> None:
    with pytest.raises(OrderDrift, match=r"expected 1000, 24SevenOffice shows 688\.09\. It was not invoiced") as caught:
        run.execute(invoicing(created["sales_order_id"], expected_gross_amount=1000))
    assert caught.value.permanent
    assert log.invoices == []


@pytest.mark.parametrize("expected", ["688.09", 688.09, "688.090"])
def test_the_total_is_compared_as_a_number(run: Run, log: Log, created: dict[str, Any], expected: Any) -> None:
    run.execute(invoicing(created["sales_order_id"], expected_gross_amount=expected))
    assert len(log.invoices) == 1


@pytest.mark.parametrize("change", ["added", "gone", "replaced", "price"])
def test_lines_that_changed_since_the_creation_guard_the_invoice(
    run: Run, log: Log, created: dict[str, Any], change: str
) -> None:
    order_id, first = created["sales_order_id"], created["line_ids"][0]
    with TfsoHook() as hook:
        if change in ("gone", "replaced"):
            hook.delete_line(order_id, first)
        if change in ("added", "replaced"):
            hook.add_line(order_id, {"product": {"id": 1}, "description": "Rørdeler", "quantity": 2, "price": 99.99})
        if change == "price":
            hook.update_line(order_id, first, {"price": 98})
    with pytest.raises(OrderDrift):
        run.execute(invoicing(created))
    assert log.invoices == []


def test_the_marker_of_another_business_order_guards_the_invoice(run: Run, log: Log, created: dict[str, Any]) -> None:
    with pytest.raises(OrderDrift, match="does not carry the marker of the given order_key"):
        run.execute(invoicing(created["sales_order_id"], order_key="web-2"))
    run.execute(invoicing(created["sales_order_id"], order_key="web-10045"))
    assert len(log.invoices) == 1


@pytest.mark.parametrize(("status", "said"), [("Inactive", "was set inactive"), ("AdvanceInvoice", "AdvanceInvoice")])
def test_an_order_in_another_state_is_not_invoiced(
    run: Run, log: Log, created: dict[str, Any], status: str, said: str
) -> None:
    with TfsoHook() as hook:
        hook.update_sales_order(created["sales_order_id"], {"status": status})
    with pytest.raises(OrderDrift, match=said):
        run.execute(invoicing(created))
    assert log.invoices == []


def test_an_order_without_lines_is_not_invoiced(run: Run, log: Log) -> None:
    with TfsoHook() as hook:
        order_id = hook.create_sales_order({"customer": {"id": 42, "name": "K"}}).id
    with pytest.raises(OrderDrift, match="has no lines"):
        run.execute(invoicing(order_id))
    assert log.invoices == []


def test_an_order_that_is_not_there_is_told(run: Run, log: Log) -> None:
    with pytest.raises(OrderDrift, match="Sales order 4711 is not there") as caught:
        run.execute(invoicing(4711))
    assert isinstance(caught.value.__cause__, NotFound)


def test_an_order_of_a_person_is_invoiced_too(run: Run, log: Log) -> None:
    with TfsoHook() as hook:
        order_id = hook.create_sales_order({"customer": {"id": 42, "name": "K"}, "internalMemo": "Ring"}).id
        hook.add_line(order_id, {"description": "Kaffe", "quantity": 1, "price": 8})
    assert run.execute(invoicing(order_id, expected_gross_amount=10))["invoiced"] is True
    assert log.order["internalMemo"].startswith("Ring")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("department_required", "DepartmentMissing"),
        ("project_required", "ProjectMissing"),
        ("invoicing_disabled", "InvoicingDisabled"),
    ],
)
def test_a_rule_of_the_organization_is_told_in_the_vendors_words(
    run: Run, log: Log, created: dict[str, Any], setting: str, said: str
) -> None:
    log.sandbox.configure(**{setting: True})
    with pytest.raises(BadRequest, match=said) as caught:
        run.execute(invoicing(created))
    assert caught.value.permanent
    assert log.invoices == []


def test_a_twin_with_lines_guards_the_invoice(run: Run, log: Log, created: dict[str, Any]) -> None:
    with TfsoHook() as hook:
        twin = hook.create_sales_order({"customer": {"id": 42, "name": "K"}, "internalMemo": log.order["internalMemo"]})
        hook.add_line(twin.id, {"description": "Kaffe", "quantity": 1, "price": 8})
    with pytest.raises(OrderDrift, match="belong to the same business order"):
        run.execute(invoicing(created))
    assert log.invoices == []


def test_a_task_that_dies_after_it_sent_the_invoice_is_followed_by_one_that_adopts(
    run: Run, log: Log, created: dict[str, Any]
) -> None:
    log.sandbox.configure(reinvoice="invoice_again")
    log.sandbox.add_fault(action="drop_after", method="PATCH", body='"status":"Invoice"')

    def die(_: Setbacks, error: TfsoHypatosError, what: str) -> Flow[None]:
        yield from ()
        if not isinstance(error, NotSent):
            raise OutcomeUncertain(what) from error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Setbacks, "weigh", die)
        with pytest.raises(OutcomeUncertain):
            run.execute(invoicing(created))
    assert run.execute(invoicing(created), try_number=2)["invoiced"] is False
    assert len(log.invoices) == 1


def test_the_invoice_task_of_the_same_dag_goes_on_without_taking_over(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    with DAG("orders", schedule=None):
        create = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k")
        output: Any = create.output
        invoice = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=output)
    invoice.sales_order_id = run.execute(create)
    run.execute(invoice)
    (change,) = log.sent("PATCH")
    # The same request says in the marker that the order is being invoiced.
    asked, marker = json.loads(change["body"]), log.order["internalMemo"]
    assert asked == {"status": "Invoice", "internalMemo": marker}
    assert marker.endswith("!")


def test_a_status_that_may_mean_being_invoiced_sends_nothing(
    run: Run, log: Log, created: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing, "is_known", lambda _: False)
    changes = len(log.changes)
    with pytest.raises(OutcomeUncertain, match="may mean that it is being invoiced"):
        run.execute(invoicing(created))
    assert len(log.changes) == changes


def test_the_addresses_are_stored_before_and_after(run: Run, connections: Any, created: dict[str, Any]) -> None:
    connections.tfso(extra={"invoice_url_template": "https://x.example/i/{invoice_number}"})
    result = run.execute(invoicing(created))
    assert run.xcom["tfso_invoice_url"] == f"https://x.example/i/{result['invoice_number']}"
    assert run.xcom["tfso_order_url"] == "https://app.24sevenoffice.com/"

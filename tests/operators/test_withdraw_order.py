"""Taking back an order that was rejected, against the sandbox."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tfso_hypatos.exceptions import InvalidInput, OrderBusy, OrderDrift
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.approval import ApproveSalesOrderOperator
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator
from tfso_hypatos.operators.withdrawal import WithdrawSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run

pytestmark = pytest.mark.usefixtures("connections")


def creating(order: dict[str, Any], lines: list[dict[str, Any]]) -> CreateSalesOrderOperator:
    return CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="web-10045")


@pytest.fixture
def created(run: Run, order: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of the task that created an order, which is confirmed already."""
    result: dict[str, Any] = run.execute(creating({**order, "status": "Confirmed"}, lines))
    return result


def withdrawing(sales_order_id: Any, **arguments: Any) -> WithdrawSalesOrderOperator:
    return WithdrawSalesOrderOperator(task_id="withdraw", sales_order_id=sales_order_id, **arguments)


def approving(sales_order_id: Any) -> ApproveSalesOrderOperator:
    return ApproveSalesOrderOperator(task_id="approve", sales_order_id=sales_order_id, approve_below=1e6)


def invoicing(sales_order_id: Any) -> InvoiceSalesOrderOperator:
    return InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=sales_order_id)


def test_the_order_is_deleted_and_the_result_says_so(run: Run, log: Log, created: dict[str, Any]) -> None:
    result = run.execute(withdrawing({**created, "approved": False}))
    of_order = {"sales_order_id": created["sales_order_id"], "order_key": "web-10045"}
    assert result == {**of_order, "outcome": "deleted", "changed": True}
    assert json.loads(json.dumps(result)) == result
    assert log.orders == []
    assert run.execute(withdrawing(created), try_number=2) == {**of_order, "outcome": "was gone", "changed": False}
    assert run.xcom["tfso_order_url"]


WHAT_SUBCLASSES_MAY_CALL_SOMETHING: dict[str, Any] = {
    "expected_gross_amount": "1.00",
    "expected_status": "Web",
    "item_status": "Web",
    "invoice_date": "soon",
    "due_date": "soon",
    "payment_terms": "soon",
    "distribution_method": "by hand",
}


@pytest.mark.parametrize(
    ("task", "own"),
    [
        (withdrawing, set()),
        (approving, {"invoice_date", "due_date", "payment_terms"}),
        (invoicing, WHAT_SUBCLASSES_MAY_CALL_SOMETHING.keys() - {"item_status"}),
    ],
)
def test_only_arguments_of_the_operator_itself_change_what_is_demanded_of_the_order(
    run: Run, created: dict[str, Any], task: Any, own: set[str]
) -> None:
    operator = task(created)
    for name in WHAT_SUBCLASSES_MAY_CALL_SOMETHING.keys() - own:
        setattr(operator, name, WHAT_SUBCLASSES_MAY_CALL_SOMETHING[name])
    assert run.execute(operator)["sales_order_id"] == created["sales_order_id"]


def test_where_deleting_is_forbidden_it_is_set_inactive(run: Run, log: Log, created: dict[str, Any]) -> None:
    log.sandbox.configure(delete_forbidden=True)
    assert run.execute(withdrawing(created))["outcome"] == "inactive"
    assert log.order["status"] == "Inactive"
    assert run.execute(withdrawing(created))["changed"] is False


def test_a_draft_is_made_of_it(run: Run, log: Log, created: dict[str, Any]) -> None:
    for changed in (True, False):
        result = run.execute(withdrawing(created, outcome="draft"))
        assert (result["outcome"], result["changed"]) == ("draft", changed)
    assert log.order["status"] == "Draft"


def test_after_a_deletion_the_same_key_makes_a_new_order(
    run: Run, log: Log, created: dict[str, Any], order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    run.execute(withdrawing(created))
    again = run.execute(creating(order, lines))
    assert again["created"] is True
    assert again["sales_order_id"] != created["sales_order_id"]


def test_an_inactive_order_is_not_billed_by_the_same_key(
    run: Run, log: Log, created: dict[str, Any], order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.configure(delete_forbidden=True)
    run.execute(withdrawing(created))
    with pytest.raises(OrderDrift, match="was set inactive"):
        run.execute(creating(order, lines))
    with TfsoHook() as hook:
        hook.update_sales_order(created["sales_order_id"], {"status": "Draft"})
    assert run.execute(creating({**order, "status": "Confirmed"}, lines))["created"] is False


def test_a_draft_is_taken_over_by_the_same_key(
    run: Run, log: Log, created: dict[str, Any], order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    run.execute(withdrawing(created, outcome="draft"))
    again = run.execute(creating({**order, "status": "Confirmed"}, lines))
    assert (again["created"], again["sales_order_id"]) == (False, created["sales_order_id"])


@pytest.mark.parametrize("outcome", ["withdraw", "draft"])
def test_an_invoiced_order_is_left_alone(run: Run, log: Log, created: dict[str, Any], outcome: str) -> None:
    run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created))
    changes = len(log.changes)
    with pytest.raises(OrderDrift, match="is invoiced as number"):
        run.execute(withdrawing(created, outcome=outcome))
    assert len(log.changes) == changes


def test_an_order_that_somebody_changed_is_not_deleted(run: Run, log: Log, created: dict[str, Any]) -> None:
    with TfsoHook() as hook:
        hook.update_line(created["sales_order_id"], created["line_ids"][0], {"description": "Gull"})
    with pytest.raises(OrderDrift, match="was edited") as caught:
        run.execute(withdrawing(created))
    assert caught.value.permanent
    assert len(log.orders) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sales_order_id": None}, "sales_order_id"),
        ({"sales_order_id": 1, "outcome": "burn"}, "outcome: one of withdraw, draft"),
        ({"sales_order_id": 1, "outcome": None}, "outcome: one of withdraw, draft"),
        ({"sales_order_id": {"sales_order_id": 1, "approved": True}}, "the order was approved"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(run: Run, log: Log, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        run.execute(withdrawing(**arguments))
    assert log.sent() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "drop_after"},
        {"action": "drop_before"},
        {"action": "status_after", "status": 500},
        {"action": "status_before", "status": 503},
        {"action": "commit_late", "seconds": 0.04},
        {"action": "rate_limit"},
        {"action": "unauthorized"},
    ],
    ids=lambda fault: fault["action"],
)
@pytest.mark.parametrize("outcome", ["withdraw", "draft"])
def test_whatever_goes_wrong_it_is_taken_back_once(
    run: Run, log: Log, created: dict[str, Any], fault: dict[str, Any], outcome: str
) -> None:
    change = {"method": "DELETE"} if outcome == "withdraw" else {"method": "PATCH", "body": '"status":"Draft"'}
    log.sandbox.add_fault(**fault, **change)
    result = run.execute(withdrawing(created, outcome=outcome))
    assert result["outcome"] == ("deleted" if outcome == "withdraw" else "draft")
    assert [each["status"] for each in log.orders] == ([] if outcome == "withdraw" else ["Draft"])


def test_an_invoice_and_a_withdrawal_at_once_leave_one_of_both(run: Run, log: Log, created: dict[str, Any]) -> None:
    log.sandbox.configure(reinvoice="invoice_again")

    def one(operator: Any) -> Any:
        try:
            return run.execute(operator)
        except (OrderDrift, OrderBusy) as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        invoice = InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created)
        invoiced, withdrawn = pool.map(one, [invoice, withdrawing(created)])
    assert len(log.invoices) + (len(log.orders) == 0) == 1
    assert isinstance(invoiced, Exception) != isinstance(withdrawn, Exception)

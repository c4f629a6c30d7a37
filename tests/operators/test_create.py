from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from airflow.sdk import DAG

from tfso_hypatos.clients.budget import BUDGETS
from tfso_hypatos.exceptions import (
    OrderDrift,
    OutcomeUncertain,
    TfsoHypatosError,
)
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run, Store

pytestmark = pytest.mark.usefixtures("skipped_pauses")

KEYS = {
    "order_key",
    "sales_order_id",
    "status",
    "created",
    "line_ids",
    "line_hashes",
    "customer_id",
    "currency",
    "payment_method_id",
    "net_amount",
    "tax_amount",
    "gross_amount",
}


def creating(order: Any, lines: Any, **arguments: Any) -> CreateSalesOrderOperator:
    return CreateSalesOrderOperator(
        task_id="create", **{"order": order, "lines": lines, "order_key": "web-10045", **arguments}
    )


def by_hand(log: Log, method: str, path: str, body: Any = None) -> None:
    """Change the books as a person in 24SevenOffice would."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "audience": "https://api.24sevenoffice.com",
        "login_organization": "100000000000001",
    }
    token = requests.post(log.sandbox.tfso_token_url, json=form, timeout=2).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.request(method, log.sandbox.tfso_url + path, json=body, headers=headers, timeout=2)
    assert answer.ok, answer.text


def test_the_result_is_plain_json_with_the_documented_keys(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    result = run.execute(creating(order, lines))
    assert result.keys() - {"holder"} == KEYS
    assert json.loads(json.dumps(result)) == result
    assert (result["created"], result["order_key"], result["status"]) == (True, "web-10045", "Draft")
    assert (result["net_amount"], result["tax_amount"], result["gross_amount"]) == ("550.46", "137.63", "688.09")
    assert result["line_ids"] == [line["id"] for line in log.order["lines"]]
    assert result["sales_order_id"] == log.order["id"]


def test_no_name_address_or_email_is_in_the_result_or_the_links(
    run: Run, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    result = run.execute(creating(order, lines))
    text = json.dumps([result, run.xcom], ensure_ascii=False)
    for private in ("Bjørn", "bjornas", "Kari", "Storgata", "0155", "Rørdeler"):
        assert private not in text


def test_the_order_in_the_books_is_what_was_given(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    run.execute(creating({**order, "internalMemo": "Ring først"}, lines))
    assert log.order["customer"] == order["customer"]
    assert log.order["date"] == "2026-11-20"
    assert log.order["internalMemo"].startswith("Ring først\naf:")
    assert [line["description"] for line in log.order["lines"]] == ["Rørdeler", "Rørdeler", "Frakt"]


def test_a_second_run_adopts_the_order(run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    first = run.execute(creating(order, lines))
    changes = len(log.changes)
    second = run.execute(creating(order, lines), try_number=2)
    assert second["created"] is False
    names = KEYS - {"created"}
    assert {name: second[name] for name in names} == {name: first[name] for name in names}
    assert len(log.changes) == changes


def test_another_run_of_the_dag_adopts_the_order_of_the_same_key(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines))
    run.run_id = "run-2"
    assert run.execute(creating(order, lines))["sales_order_id"] == first["sales_order_id"]
    assert len(log.orders) == 1


def test_without_a_key_a_retry_adopts_and_another_run_creates(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines, order_key=None))
    assert run.execute(creating(order, lines, order_key=None), try_number=2)["created"] is False
    assert first["order_key"] == "orders/run-1/create/-1"
    run.run_id = "run-2"
    assert run.execute(creating(order, lines, order_key=None))["created"] is True
    assert len(log.orders) == 2


def test_without_a_key_every_mapped_task_has_its_own_order(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    for index in range(3):
        run.execute(creating(order, lines, order_key=None), map_index=index)
    assert len(log.orders) == 3


def test_lines_that_equal_but_for_the_writing_of_numbers_are_the_same_order(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    run.execute(creating(order, lines))
    again = [{**line, "quantity": float(line["quantity"]), "price": f"{float(line['price']):.3f}"} for line in lines]
    assert run.execute(creating(json.dumps(order), json.dumps(again)), try_number=2)["created"] is False


FAULTS: list[dict[str, Any]] = [
    {"action": "drop_after"},
    {"action": "status_after", "status": 500},
    {"action": "status_after", "status": 503},
    {"action": "truncate"},
    {"action": "reset_body"},
    {"action": "commit_late", "seconds": 0.04},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['action']}{fault.get('status', '')}")
def test_an_unclear_creation_is_looked_for_and_not_repeated(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], fault: dict[str, Any]
) -> None:
    log.sandbox.add_fault(**fault, method="POST", path="/salesorders$")
    result = run.execute(creating(order, lines))
    assert result["sales_order_id"] == log.order["id"]
    assert len(log.order["lines"]) == 3
    assert len(log.sent("POST")) == 4


@pytest.mark.parametrize(
    ("fault", "skip"),
    [
        *(pytest.param(fault, 1, id=f"{fault['action']}{fault.get('status', '')}") for fault in FAULTS),
        *(pytest.param(FAULTS[0], skip, id=f"line {skip}") for skip in (0, 2)),
    ],
)
def test_an_unclear_line_is_looked_for_and_there_once(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], fault: dict[str, Any], skip: int
) -> None:
    log.sandbox.add_fault(**fault, method="POST", path="/lines$", skip=skip)
    run.execute(creating(order, lines))
    assert sorted(line["description"] for line in log.order["lines"]) == ["Frakt", "Rørdeler", "Rørdeler"]


def test_an_order_that_nobody_saw_is_uncertain_and_found_by_the_retry(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.add_fault(action="commit_late", seconds=0.5, method="POST", path="/salesorders$")
    with pytest.raises(OutcomeUncertain, match="Retry this task: it looks before it creates"):
        run.execute(creating(order, lines))
    time.sleep(0.45)
    assert run.execute(creating(order, lines), try_number=2)["created"] is False
    assert len(log.order["lines"]) == 3


def test_missing_lines_are_completed_after_a_failure_in_the_middle(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.add_fault(action="rate_limit", method="POST", path="/lines$", skip=1, retry_after=3600)
    with pytest.raises(TfsoHypatosError):
        run.execute(creating(order, lines))
    assert len(log.order["lines"]) == 1
    log.sandbox.clear_faults()
    # A retry is another process, an hour later.
    BUDGETS.clear()
    result = run.execute(creating(order, lines), try_number=2)
    assert len(log.order["lines"]) == 3
    assert result["created"] is False
    assert len(set(result["line_ids"])) == 3


def test_a_line_of_ours_that_stands_there_twice_is_removed(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines))
    twin = {"type": "text", "description": "Frakt", "quantity": 1, "price": 150.5}
    by_hand(log, "POST", f"/salesorders/{first['sales_order_id']}/lines", twin)
    second = run.execute(creating(order, lines), try_number=2)
    assert second["line_ids"] == first["line_ids"]
    assert [line["id"] for line in log.order["lines"]] == first["line_ids"]


def test_a_stray_order_of_ours_is_withdrawn(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines))
    by_hand(log, "POST", "/salesorders", {"customer": order["customer"], "internalMemo": log.order["internalMemo"]})
    assert run.execute(creating(order, lines), try_number=2)["sales_order_id"] == first["sales_order_id"]
    assert log.order["id"] == first["sales_order_id"]
    assert len(log.books["deleted_orders"]) == 1


def test_a_stray_order_that_may_not_be_deleted_is_set_inactive(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines))
    by_hand(log, "POST", "/salesorders", {"customer": order["customer"], "internalMemo": log.order["internalMemo"]})
    log.sandbox.configure(delete_forbidden=True)
    run.execute(creating(order, lines), try_number=2)
    assert [each["status"] for each in log.orders] == ["Draft", "Inactive"]
    assert log.orders[0]["id"] == first["sales_order_id"]


def test_other_content_under_the_same_key_is_drift_and_changes_nothing(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    run.execute(creating(order, lines))
    before, changes = log.books, len(log.changes)
    with pytest.raises(OrderDrift, match="was created with other content") as caught:
        run.execute(creating({**order, "date": "2026-12-01"}, lines[:2]), try_number=2)
    assert "order.date" in str(caught.value)
    assert caught.value.permanent
    assert log.books == before
    assert len(log.changes) == changes


def test_a_line_that_a_person_edited_is_drift(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines))
    by_hand(log, "PATCH", f"/salesorders/{first['sales_order_id']}/lines/{first['line_ids'][0]}", {"price": 1})
    changes = len(log.changes)
    with pytest.raises(OrderDrift, match="none of the wanted lines"):
        run.execute(creating(order, lines), try_number=2)
    assert len(log.changes) == changes


def test_a_line_that_a_person_added_is_drift(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines))
    by_hand(log, "POST", f"/salesorders/{first['sales_order_id']}/lines", {"description": "Rabatt", "price": -10})
    with pytest.raises(OrderDrift):
        run.execute(creating(order, lines), try_number=2)
    assert len(log.order["lines"]) == 4


def test_an_order_that_was_set_inactive_is_drift(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines))
    by_hand(log, "PATCH", f"/salesorders/{first['sales_order_id']}", {"status": "Inactive"})
    with pytest.raises(OrderDrift, match="was set inactive"):
        run.execute(creating(order, lines), try_number=2)
    assert len(log.orders) == 1


def test_an_invoiced_order_is_adopted(run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    first = run.execute(creating(order, lines))
    by_hand(log, "PATCH", f"/salesorders/{first['sales_order_id']}", {"status": "Invoice"})
    again = run.execute(creating(order, lines), try_number=2)
    assert (again["created"], again["status"]) == (False, "Invoice")
    assert len(log.orders) == 1


def test_the_marker_may_stand_in_the_reference_number(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    operator = creating(order, lines, marker_field="referenceNumber")
    run.execute(operator)
    assert log.order["referenceNumber"].startswith("af:")
    assert len(log.order["referenceNumber"]) <= 50
    assert "internalMemo" not in log.order
    assert run.execute(operator, try_number=2)["created"] is False


def test_the_remembered_order_is_used_where_the_list_lags(
    run: Run, log: Log, store: Store, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    first = run.execute(creating(order, lines), store=store)
    assert list(store.values()) == [str(first["sales_order_id"])]
    log.sandbox.configure(list_lag=60)
    assert run.execute(creating(order, lines), try_number=2, store=store)["created"] is False
    assert len(log.orders) == 1


def test_a_remembered_id_of_another_order_is_not_believed(
    run: Run, log: Log, store: Store, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    other = run.execute(creating(order, lines, order_key="web-1"), store=store)
    (name,) = store
    run.execute(creating(order, lines, order_key="web-2"), store=store)
    for kept in (other["sales_order_id"], "4711", "nonsense", "", None, [1], "-3"):
        for key in store:
            store[key] = str(kept) if isinstance(kept, int) else kept
        result = run.execute(creating(order, lines, order_key="web-2"), store=store, try_number=2)
        assert result["created"] is False
        assert result["sales_order_id"] != other["sales_order_id"]
    assert name in store
    assert len(log.orders) == 2


def test_a_reordered_mapped_list_adopts_nobody_elses_order(
    run: Run, log: Log, store: Store, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    # The store belongs to a map index: here index 0 gets another element of the list in its second try.
    first = run.execute(creating(order, lines, order_key="web-1"), map_index=0, store=store)
    second = run.execute(creating(order, lines, order_key="web-2"), map_index=0, store=store, try_number=2)
    assert second["created"] is True
    assert second["sales_order_id"] != first["sales_order_id"]
    assert len(log.orders) == 2


def test_a_state_store_that_fails_does_not_fail_the_task(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    class Broken:
        def get(self, name: str) -> Any:
            raise RuntimeError(name)

        def set(self, name: str, value: Any) -> None:
            raise RuntimeError(name)

    assert run.execute(creating(order, lines), store=Broken())["created"] is True


def test_the_address_of_the_order_is_stored_for_the_link(
    run: Run, connections: Any, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    connections.tfso(extra={"order_url_template": "https://x.example/{organization_id}/orders/{sales_order_id}"})
    result = run.execute(creating(order, lines))
    assert run.xcom == {"tfso_order_url": f"https://x.example/100000000000001/orders/{result['sales_order_id']}"}


def test_execute_by_hand_needs_an_order_key(order: dict[str, Any], lines: list[dict[str, Any]], log: Log) -> None:
    operator = creating(order, lines, order_key=None)
    with pytest.raises(TfsoHypatosError, match="order_key is needed"):
        operator.execute({})
    assert log.sandbox.requests() == []
    assert creating(order, lines).execute({})["created"] is True


@pytest.mark.parametrize("settle", [0, -1])
def test_a_settle_time_that_cannot_work_is_refused_before_anything_is_sent(
    run: Run, log: Log, order: dict[str, Any], lines: list[dict[str, Any]], settle: float
) -> None:
    with pytest.raises(TfsoHypatosError, match="settle_seconds"):
        run.execute(creating(order, lines, settle_seconds=settle))
    assert log.orders == []


def test_the_operator_belongs_into_a_dag(order: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    with DAG("orders", schedule=None) as dag:
        creating(order, lines)
    assert dag.task_ids == ["create"]

from __future__ import annotations

import datetime
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, TriggerRule
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.token import TOKENS
from tfso_hypatos.exceptions import (
    AuthenticationFailed,
    EventError,
    InvalidInput,
    TransactionNeverPosted,
)
from tfso_hypatos.flows import transaction
from tfso_hypatos.flows.results import InvoiceResult
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators import retry
from tfso_hypatos.sensors.invoice_transaction import RESULT_KEYS, InvoiceTransactionSensor
from tfso_hypatos.triggers import invoice_transaction, turn
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger

if TYPE_CHECKING:
    from tests.conftest import Connections, Log

pytestmark = pytest.mark.usefixtures("connections")


@pytest.fixture(autouse=True)
def _short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoice_transaction, "SHORTEST_INTERVAL", 0.01)
    monkeypatch.setattr(turn, "GATHERING", 0.001)


KEYS = {
    "sales_order_id",
    "status",
    "invoice_number",
    "invoice_date",
    "due_date",
    "remittance_reference",
    "transaction_id",
}


class Instance:
    """A task instance, as far as a sensor in reschedule mode looks at one."""

    dag_id, run_id, task_id, map_index, try_number = "d", "r", "t", -1, 1

    def __init__(self, started: datetime.datetime | None = None) -> None:
        self.started = started
        self.xcom: dict[str, Any] = {}

    def get_first_reschedule_date(self, _: Any) -> datetime.datetime | None:
        return self.started

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value


def sensing(sales_order_id: Any, **arguments: Any) -> InvoiceTransactionSensor:
    return InvoiceTransactionSensor(
        **{"task_id": "wait", "sales_order_id": sales_order_id, "poke_interval": 0.02, "timeout": 2, **arguments}
    )


def deferred(sensor: InvoiceTransactionSensor, **context: Any) -> TaskDeferred:
    any_context: Any = context
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(any_context)
    return caught.value


async def through_the_triggerer(sensor: InvoiceTransactionSensor) -> Any:
    """Run a deferrable sensor as Airflow does: defer, run the trigger, resume with its event."""
    request = deferred(sensor)
    class_path, kwargs = request.trigger.serialize()
    assert class_path.endswith(".InvoiceTransactionTrigger")
    run = InvoiceTransactionTrigger(**json.loads(json.dumps(kwargs))).run()
    event = await anext(run)
    await run.aclose()  # type: ignore[attr-defined]
    payload = json.loads(json.dumps(event.payload))
    return sensor.resume_execution(request.method_name, {**(request.kwargs or {}), "event": payload}, {})


async def test_every_mode_returns_the_same(sandbox: Any, order_id: int, log: Log) -> None:
    (invoice,) = log.invoices
    sandbox.configure(transaction_reads=10_000)
    results: list[Any] = []
    with pytest.raises(AirflowRescheduleException):
        sensing(order_id, mode="reschedule").execute({"ti": Instance()})  # type: ignore[typeddict-item]
    request = deferred(sensing(order_id, deferrable=True))
    sandbox.configure(transaction_reads=0)
    results.append(sensing(order_id).execute({}))
    results.append(sensing(order_id, mode="reschedule").execute({"ti": Instance()}))  # type: ignore[typeddict-item]
    results.append(sensing(order_id, deferrable=True).execute({}))
    event = await anext(InvoiceTransactionTrigger(**request.trigger.serialize()[1]).run())
    kwargs = {**(request.kwargs or {}), "event": event.payload}
    results.append(sensing(order_id, deferrable=True).resume_execution("execute_complete", kwargs, {}))
    assert all(result == results[0] for result in results)
    assert results[0].keys() == KEYS
    assert results[0]["transaction_id"] == invoice["transaction_id"]
    assert results[0]["invoice_number"] == invoice["number"]
    assert json.loads(json.dumps(results[0])) == results[0]
    assert "Bjørn" not in json.dumps(results[0], ensure_ascii=False)


def test_poking_looks_until_it_is_posted(sandbox: Any, order_id: int, log: Log) -> None:
    sandbox.configure(transaction_reads=3)
    before = len(log.sent("GET"))
    assert sensing(order_id).execute({})["transaction_id"]
    assert len(log.sent("GET")) - before == 4


async def test_a_deferred_wait_looks_until_it_is_posted(sandbox: Any, order_id: int, log: Log) -> None:
    sandbox.configure(transaction_reads=4)
    before = len(log.sent("GET"))
    assert (await through_the_triggerer(sensing(order_id, deferrable=True)))["transaction_id"]
    assert len(log.sent("GET")) - before == 5


def test_what_is_posted_already_is_not_deferred(order_id: int) -> None:
    assert sensing(order_id, deferrable=True).execute({})["transaction_id"]


def test_deferring_carries_the_time_out_and_ids_only(waiting_id: int) -> None:
    request = deferred(sensing({"sales_order_id": waiting_id, "order_key": "web-1"}, deferrable=True, timeout=123))
    assert request.timeout == datetime.timedelta(seconds=123)
    assert request.method_name == "execute_complete"
    assert request.kwargs == {"sales_order_id": waiting_id}
    _, kwargs = request.trigger.serialize()
    seen_at = datetime.datetime.fromisoformat(kwargs.pop("seen_at"))
    assert abs(datetime.datetime.now(datetime.UTC) - seen_at) < datetime.timedelta(minutes=1)
    assert kwargs == {
        "sales_order_id": waiting_id,
        "tfso_conn_id": "tfso_default",
        "poke_interval": 0.02,
        "organization": ORGANIZATION,
    }


async def test_a_deferred_wait_is_not_answered_by_another_organization(
    waiting_id: int, connections: Connections
) -> None:
    sensor = sensing(waiting_id, deferrable=True)
    request = deferred(sensor)
    connections.tfso(extra={"organization_id": OTHER_ORGANIZATION})
    event = await anext(InvoiceTransactionTrigger(**request.trigger.serialize()[1]).run())
    with pytest.raises(EventError, match="now points to another organization") as caught:
        sensor.resume_execution("execute_complete", {**(request.kwargs or {}), "event": event.payload}, {})
    assert caught.value.permanent


def test_the_moment_of_the_first_look_is_the_servers(waiting_id: int, sandbox: Any) -> None:
    sandbox.configure(clock_offset=-1800)
    _, kwargs = deferred(sensing(waiting_id, deferrable=True)).trigger.serialize()
    late = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(kwargs["seen_at"])
    assert datetime.timedelta(minutes=29) < late < datetime.timedelta(minutes=31)


def test_a_first_look_that_failed_gives_no_moment(
    waiting_id: int, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))
    sandbox.add_fault(action="status_before", status=503, method="GET", times=1)
    _, kwargs = deferred(sensing(waiting_id, deferrable=True)).trigger.serialize()
    assert kwargs["seen_at"] is None


def test_the_default_of_the_deployment_decides_on_deferring(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sensing(7).deferrable is False


def test_the_order_may_be_the_result_of_an_earlier_task(order_id: int) -> None:
    for form in (str(order_id), {"sales_order_id": order_id}, json.dumps({"sales_order_id": order_id})):
        assert sensing(form).execute({})["sales_order_id"] == order_id


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_wrong_id_is_told_and_nothing_is_sent(log: Log, deferrable: bool) -> None:
    with pytest.raises(InvalidInput, match="sales_order_id"):
        sensing("web-1", deferrable=deferrable).execute({})
    assert log.sandbox.requests() == []


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(("status", "said"), [("Inactive", "was set inactive"), ("", "was deleted")])
def test_an_order_that_will_never_be_posted_ends_the_wait(log: Log, deferrable: bool, status: str, said: str) -> None:
    with TfsoHook() as hook:
        order_id = hook.create_sales_order({"customer": {"id": 42, "name": "K"}}).id
        if status:
            hook.update_sales_order(order_id, {"status": status})
        else:
            hook.delete_sales_order(order_id)
    with pytest.raises(TransactionNeverPosted, match=said):
        sensing(order_id, deferrable=deferrable).execute({})


async def test_an_order_set_inactive_while_deferred_ends_the_wait_with_the_same_error(waiting_id: int) -> None:
    with TfsoHook() as hook:
        order_id = hook.create_sales_order({"customer": {"id": 42, "name": "K"}}).id
    sensor = sensing(order_id, deferrable=True)
    request = deferred(sensor)
    with TfsoHook() as hook:
        hook.update_sales_order(order_id, {"status": "Inactive"})
    event = await anext(InvoiceTransactionTrigger(**request.trigger.serialize()[1]).run())
    kwargs = {**(request.kwargs or {}), "event": event.payload}
    with pytest.raises(TransactionNeverPosted, match="was set inactive") as caught:
        sensor.resume_execution("execute_complete", kwargs, {})
    assert caught.value.permanent


@pytest.mark.parametrize("soft_fail", [False, True])
def test_soft_fail_skips_a_time_out_the_same_in_every_mode(waiting_id: int, soft_fail: bool) -> None:
    kind = AirflowSkipException if soft_fail else AirflowSensorTimeout
    with pytest.raises(kind):
        sensing(waiting_id, soft_fail=soft_fail, timeout=0.05).execute({})
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    rescheduling = sensing(waiting_id, soft_fail=soft_fail, mode="reschedule")
    with pytest.raises(kind):
        rescheduling.execute({"ti": Instance(long_ago)})  # type: ignore[typeddict-item]
    sensor = sensing(waiting_id, soft_fail=soft_fail, deferrable=True)
    with pytest.raises(kind):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {})


@pytest.mark.parametrize("airflow", ["3.2", "3.3"])
def test_soft_fail_skips_nothing_but_a_time_out(
    connections: Connections, waiting_id: int, airflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: Any = (AuthenticationFailed, TransactionNeverPosted, EventError)
    if airflow == "3.2":
        monkeypatch.setattr(retry, "must_end_the_task", lambda error: error.permanent)
        kinds = (AirflowFailException, EventError)
    sensor = sensing(waiting_id, soft_fail=True, deferrable=True)
    for event in (
        {"status": "error", "kind": "TransactionNeverPosted", "message": "m"},
        {"status": "error", "kind": "AuthenticationFailed", "message": "m"},
        {"status": "error", "kind": "Whatever", "message": "m"},
        {"status": "error", "message": "m"},
        None,
    ):
        kwargs = {"sales_order_id": waiting_id, "event": event}
        with pytest.raises(kinds):
            sensor.resume_execution("execute_complete", kwargs, {})
    connections.tfso(password="feil")
    for deferrable in (False, True):
        with pytest.raises(kinds):
            sensing(4711, soft_fail=True, deferrable=deferrable).execute({})


POSTED = {
    "sales_order_id": 7,
    "status": "Invoice",
    "invoice_number": 1,
    "invoice_date": "2026-11-20",
    "due_date": "2026-12-04",
    "remittance_reference": "1",
    "transaction_id": "0c9d1f4e",
}


def test_an_event_that_says_posted_is_the_result() -> None:
    assert sensing(7).execute_complete({}, {"status": "posted", "result": POSTED}, 7) == POSTED


def test_what_a_later_version_tells_on_top_is_left_out() -> None:
    event = {"status": "posted", "result": {**POSTED, "customer": "Kari"}, "more": 1}
    assert sensing(7).execute_complete({}, event, 7) == POSTED


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        [],
        "posted",
        {"status": "posted"},
        {"status": "success", "result": POSTED},
        {"status": "POSTED", "result": POSTED},
        {"status": "cancelled"},
        {"status": None, "result": POSTED},
        {"status": "posted", "result": None},
        {"status": "posted", "result": {}},
        {"status": "posted", "result": {**POSTED, "transaction_id": None}},
        {"status": "posted", "result": {**POSTED, "transaction_id": ""}},
        {"status": "posted", "result": {name: POSTED[name] for name in POSTED if name != "transaction_id"}},
        {"status": "posted", "result": {**POSTED, "sales_order_id": 8}},
        {"status": "posted", "result": {**POSTED, "sales_order_id": "7"}},
        {"status": "posted", "result": {**POSTED, "sales_order_id": None}},
        {"status": "error"},
        {"status": "error", "kind": "ServerError"},
        {"status": "error", "message": "m"},
        {"status": "error", "kind": "Sequence", "message": "m"},
        {"result": POSTED},
    ],
)
def test_any_other_event_raises(event: Any) -> None:
    with pytest.raises(EventError):
        sensing(7).execute_complete({}, event, 7)


def test_it_takes_from_an_event_all_that_a_posted_invoice_hands_on() -> None:
    assert tuple(InvoiceResult.__annotations__) == RESULT_KEYS


@pytest.mark.parametrize(("order_key", "name"), [("web-1", "web-1"), (None, None)])
def test_the_grid_can_name_it_after_the_wait(order_id: int, order_key: str | None, name: str | None) -> None:
    earlier = {"sales_order_id": order_id, "order_key": order_key}
    result = {**dict.fromkeys(RESULT_KEYS), "sales_order_id": order_id, "transaction_id": "t-1"}
    event = {"status": "posted", "result": result}
    for kwargs in ({"event": event}, {"event": event, "sales_order_id": order_id}):
        context: dict[str, Any] = {}
        sensing(earlier).resume_execution("execute_complete", kwargs, context)
        assert (context["sales_order_id"], context["order_key"]) == (order_id, name)
    context = {}
    sensing(order_id).resume_execution("execute_complete", {"event": event, "sales_order_id": order_id}, context)
    assert context["sales_order_id"] == order_id


def test_resumed_with_the_event_alone_the_sensor_goes_by_its_own_argument() -> None:
    event = {"status": "posted", "result": POSTED}
    assert sensing({"sales_order_id": 7}).execute_complete({}, event) == POSTED
    with pytest.raises(EventError):
        sensing(8).execute_complete({}, event)


def test_a_kind_of_error_that_is_none_of_ours_is_not_permanent() -> None:
    for kind in ("Sequence", "annotations", "NamedTuple", "Whatever"):
        with pytest.raises(EventError) as caught:
            sensing(7).execute_complete({}, {"status": "error", "kind": kind, "message": "m"}, 7)
        assert caught.value.permanent is False


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status_before", "status": 503},
        {"action": "drop_before"},
        {"action": "truncate"},
        {"action": "rate_limit"},
    ],
    ids=lambda fault: fault["action"],
)
def test_a_look_that_fails_for_a_passing_reason_does_not_fail_the_task(
    order_id: int, sandbox: Any, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))
    # After a 429 the budget of requests waits for a second, then for two.
    sandbox.add_fault(**fault, method="GET", times=1 if fault["action"] == "rate_limit" else 3)
    assert sensing(order_id).execute({})["transaction_id"]


def test_a_token_url_in_trouble_does_not_fail_the_task(
    order_id: int, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    TOKENS._tokens.clear()
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))
    sandbox.add_fault(action="status_before", status=503, path="token", times=3)
    assert sensing(order_id).execute({})["transaction_id"]


def test_a_permanent_error_ends_the_wait_at_once(connections: Connections, log: Log) -> None:
    connections.tfso(password="feil")
    with pytest.raises(AuthenticationFailed):
        sensing(7).execute({})
    assert len(log.sandbox.requests()) == 1


def test_an_unknown_status_waits_with_one_warning(
    order_id: int, sandbox: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction._warn_of_status.cache_clear()
    monkeypatch.setattr(transaction, "is_known", lambda _: False)
    sandbox.configure(transaction_reads=3)
    sensing(order_id).execute({})
    assert caplog.text.count("which this provider does not know; waiting on") == 1


def test_an_order_that_is_not_invoiced_yet_is_waited_for(log: Log) -> None:
    with TfsoHook() as hook:
        order_id = hook.create_sales_order({"customer": {"id": 42, "name": "K"}}).id
        hook.add_line(order_id, {"description": "Kaffe", "quantity": 1, "price": 8})

    def invoice() -> None:
        time.sleep(0.1)
        with TfsoHook() as hook:
            hook.update_sales_order(order_id, {"status": "Invoice"})

    thread = threading.Thread(target=invoice)
    thread.start()
    assert sensing(order_id).execute({})["status"] == "Invoice"
    thread.join()


def test_the_address_is_stored_before_the_wait(connections: Connections, waiting_id: int) -> None:
    connections.tfso(extra={"order_url_template": "https://x.example/{sales_order_id}"})
    instance = Instance()
    deferred(sensing(waiting_id, deferrable=True), ti=instance)
    assert instance.xcom == {"tfso_order_url": f"https://x.example/{waiting_id}"}


def test_the_sensor_belongs_into_a_dag() -> None:
    with DAG("orders", schedule=None) as dag:
        sensing(7, deferrable=True, trigger_rule=TriggerRule.ALL_DONE)
    assert dag.task_ids == ["wait"]

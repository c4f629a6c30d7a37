from __future__ import annotations

import inspect
import pickle
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, BaseOperator, RetryDecision, RetryPolicy
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from tfso_hypatos import exceptions
from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.exceptions import (
    ApiError,
    AuthenticationFailed,
    BatchFailed,
    ConfigurationError,
    Failure,
    InvalidInput,
    OrderDrift,
    OutcomeUncertain,
    Problem,
    RateLimited,
    ServerError,
    TfsoHypatosError,
    TimedOut,
    TokenUnavailable,
    TransactionNeverPosted,
)
from tfso_hypatos.get_provider_info import get_provider_info
from tfso_hypatos.operators import retry
from tfso_hypatos.operators.base import ApiOperator
from tfso_hypatos.operators.retry import ApiRetryPolicy
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrderOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Connections, Log


def make(kind: str, **arguments: Any) -> BaseOperator:
    kinds: dict[str, Callable[..., BaseOperator]] = {
        "create": lambda **more: CreateSalesOrderOperator(order={}, lines=[], order_key="k", **more),
        "invoice": lambda **more: InvoiceSalesOrderOperator(sales_order_id="x", **more),
        "enrich": lambda **more: EnrichSalesOrderOperator(external_id="K", **more),
        "create many": lambda **more: CreateSalesOrdersOperator(orders=[{}], **more),
        "invoice many": lambda **more: InvoiceSalesOrdersOperator(orders=["x"], **more),
        "enrich many": lambda **more: EnrichSalesOrdersOperator(orders=[{}], **more),
        "sensor": lambda **more: InvoiceTransactionSensor(sales_order_id="x", **more),
        "deferrable sensor": lambda **more: InvoiceTransactionSensor(sales_order_id="x", deferrable=True, **more),
    }
    return kinds[kind](task_id="t", **arguments)


KINDS = ["create", "invoice", "enrich", "create many", "invoice many", "enrich many", "sensor", "deferrable sensor"]


def decide(error: BaseException) -> RetryDecision:
    return ApiRetryPolicy().evaluate(error, 1, 3, None)


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("x"),
        InvalidInput([Problem("order", "x")]),
        AuthenticationFailed("x", status=401),
        OrderDrift("x"),
        TransactionNeverPosted("x"),
    ],
)
def test_a_permanent_error_ends_the_task(error: TfsoHypatosError) -> None:
    assert decide(error).action is RetryAction.FAIL


@pytest.mark.parametrize(
    "error", [ServerError("x", status=500), TimedOut("x"), OutcomeUncertain("x"), RateLimited("x", status=429)]
)
def test_a_passing_error_is_left_to_the_tasks_own_retries(error: TfsoHypatosError) -> None:
    assert decide(error).action is RetryAction.DEFAULT


def test_the_wait_that_the_server_asked_for_is_the_delay_of_the_retry() -> None:
    decision = decide(RateLimited("x", status=429, retry_after=900))
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(minutes=15))
    unavailable = TokenUnavailable("x")
    unavailable.retry_after = 12.5
    assert decide(unavailable).retry_delay == timedelta(seconds=12.5)


def test_an_error_of_somebody_else_is_none_of_our_business() -> None:
    assert decide(ValueError("x")).action is RetryAction.DEFAULT
    assert decide(KeyboardInterrupt()).action is RetryAction.DEFAULT


@pytest.mark.parametrize("seconds", [float("inf"), 1e20])
def test_a_wait_beyond_all_time_does_not_break_the_decision(seconds: float) -> None:
    decision = decide(RateLimited("x", status=429, retry_after=seconds))
    assert decision.action in (RetryAction.RETRY, RetryAction.DEFAULT)


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_has_our_policy(kind: str) -> None:
    assert isinstance(make(kind).retry_policy, ApiRetryPolicy)


@pytest.mark.parametrize("kind", KINDS)
def test_none_as_mapped_tasks_pass_it_becomes_our_policy(kind: str) -> None:
    assert isinstance(make(kind, retry_policy=None).retry_policy, ApiRetryPolicy)


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_of_the_user_is_kept(kind: str) -> None:
    class Own(RetryPolicy):
        def evaluate(self, *_: Any) -> RetryDecision:
            return RetryDecision.default()

    own = Own()
    assert make(kind, retry_policy=own).retry_policy is own


def operators_of_the_provider() -> dict[str, Any]:
    """Return every operator and sensor that Airflow is told of."""
    info = get_provider_info()
    modules = {name for kind in ("operators", "sensors") for each in info[kind] for name in each["python-modules"]}
    found = {
        name: each
        for module in sorted(modules)
        for name, each in vars(import_module(module)).items()
        if isinstance(each, type)
        and issubclass(each, BaseOperator)
        and each.__module__.startswith("tfso_hypatos.")
        and not name.startswith("_")
        and not inspect.isabstract(each)
        and each is not ApiOperator
    }
    assert len(found) >= 11
    return found


OPERATORS = operators_of_the_provider()


def needed(kind: Any) -> dict[str, Any]:
    """Return the arguments that an operator cannot do without."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    keywords = [each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    return {each.name: "x" for each in keywords if each.default is inspect.Parameter.empty}


class Own(RetryPolicy):
    def evaluate(self, *_: Any) -> RetryDecision:
        return RetryDecision.default()


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_our_policy_unless_it_or_its_dag_was_given_another(name: str) -> None:
    kind, own = OPERATORS[name], Own()
    assert isinstance(kind(task_id="t", **needed(kind)).retry_policy, ApiRetryPolicy)
    assert kind(task_id="t", retry_policy=own, **needed(kind)).retry_policy is own
    assert kind(task_id="t", default_args={"retry_policy": own}, **needed(kind)).retry_policy is own
    with DAG("d", default_args={"retries": 3}):
        assert isinstance(kind(task_id="t", **needed(kind)).retry_policy, ApiRetryPolicy)
    with DAG("d", default_args={"retry_policy": own}):
        assert kind(task_id="t", **needed(kind)).retry_policy is own


@pytest.mark.parametrize("name", OPERATORS)
def test_every_mapped_operator_has_it_too(name: str) -> None:
    kind, own = OPERATORS[name], Own()
    with DAG("d", default_args={"retries": 3}):
        mapped = kind.partial(task_id="t", **needed(kind)).expand(doc_md=["a", "b"])
    assert isinstance(mapped.unmap({"doc_md": "a"}).retry_policy, ApiRetryPolicy)
    with DAG("d", default_args={"retry_policy": own}):
        mapped = kind.partial(task_id="t", **needed(kind)).expand(doc_md=["a", "b"])
    assert mapped.unmap({"doc_md": "a"}).retry_policy is own


@pytest.mark.parametrize("name", OPERATORS)
def test_no_operator_has_more_constructors_than_its_own(name: str) -> None:
    """Airflow copies the params of the DAG for each of them, whenever the DAG file is read."""
    ours = [each for each in OPERATORS[name].__mro__ if each.__module__.startswith("tfso_hypatos.")]
    assert len([each for each in ours if "__init__" in vars(each)]) == 1


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("kind", KINDS)
def test_on_airflow_3_2_a_permanent_error_is_airflows_own_failure(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "HAS_RETRY_POLICIES", False)
    operator = make(kind)
    assert getattr(operator, "retry_policy", None) is None
    with pytest.raises(AirflowFailException, match="nothing was sent") as caught:
        operator.execute({})
    assert isinstance(caught.value.__cause__, InvalidInput)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("connections")
def test_on_airflow_3_3_a_permanent_error_keeps_its_type(kind: str) -> None:
    with pytest.raises(InvalidInput):
        make(kind).execute({})


def test_on_airflow_3_2_a_passing_error_keeps_its_type(
    connections: Connections, log: Log, monkeypatch: pytest.MonkeyPatch, free_port_url: str
) -> None:
    monkeypatch.setattr(retry, "HAS_RETRY_POLICIES", False)
    connections.hypatos(host=free_port_url, extra={"timeout": 0.1})
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=1))
    with pytest.raises(TokenUnavailable):
        make("enrich", patch={"headerText": "x"}).execute({})


def test_the_policy_can_be_serialized_with_its_dag() -> None:
    with DAG("orders", schedule=None) as dag:
        make("create", retries=2)
        InvoiceTransactionSensor(task_id="s", sales_order_id=7)
    whole = DagSerialization.to_dict(dag)
    assert len(whole["dag"]["tasks"]) == 2


def test_every_error_has_one_root_that_is_not_airflows() -> None:
    found = [value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(found) > 15
    for error in found:
        assert issubclass(error, TfsoHypatosError)
        assert "airflow" not in {parent.__module__.partition(".")[0] for parent in error.__mro__}
        assert not (error.permanent and error.ambiguous)


def test_an_error_survives_the_way_between_processes() -> None:
    original = RateLimited("text", status=429, problems=[Problem("a", "b")], tracking_id="t", retry_after=3)
    failed = BatchFailed("x", [Failure("web-1", "NotFound", "y")], {"NotFound": 2}, permanent=True, retry_after=3)
    for error in (original, InvalidInput([Problem("a", "b")]), OrderDrift("x", ["y"]), TimedOut("x"), failed):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)
    assert isinstance(original, ApiError)

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, XComArg
from airflow.sdk.definitions.mappedoperator import MappedOperator

from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.operators.approval import ApproveSalesOrderOperator
from tfso_hypatos.operators.failed_orders import CheckFailedOrdersOperator
from tfso_hypatos.operators.reconciliation import ReconcileSalesOrdersOperator
from tfso_hypatos.operators.retry import HAS_RETRY_POLICIES, ApiRetryPolicy
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    CreateSalesOrdersOperator,
    EnrichSalesOrderOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrderOperator,
    InvoiceSalesOrdersOperator,
)
from tfso_hypatos.operators.sales_order_list import ListSalesOrdersOperator
from tfso_hypatos.operators.withdrawal import WithdrawSalesOrderOperator
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from tests.conftest import Log
    from tests.operators.conftest import Run

CLASSES: list[type[Any]] = [
    CreateSalesOrderOperator,
    InvoiceSalesOrderOperator,
    EnrichSalesOrderOperator,
    InvoiceTransactionSensor,
    CreateSalesOrdersOperator,
    InvoiceSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    ListSalesOrdersOperator,
    ReconcileSalesOrdersOperator,
    ApproveSalesOrderOperator,
    WithdrawSalesOrderOperator,
    CheckFailedOrdersOperator,
]
DOCUMENTED: dict[Any, set[str]] = {
    CreateSalesOrderOperator: {"order", "lines", "order_key", "tfso_conn_id"},
    InvoiceSalesOrderOperator: {
        "sales_order_id",
        "order_key",
        "invoice_date",
        "due_date",
        "payment_terms",
        "distribution_method",
        "expected_gross_amount",
        "expected_status",
        "stop_variable",
        "tfso_conn_id",
    },
    EnrichSalesOrderOperator: {
        "external_id",
        "patch",
        "sales_order_id",
        "on_missing",
        "hypatos_conn_id",
        "tfso_conn_id",
    },
    InvoiceTransactionSensor: {"sales_order_id", "tfso_conn_id"},
    CreateSalesOrdersOperator: {"orders", "path", "results_path", "tfso_conn_id"},
    InvoiceSalesOrdersOperator: {
        "orders",
        "path",
        "results_path",
        "invoice_date",
        "due_date",
        "payment_terms",
        "distribution_method",
        "expected_status",
        "stop_variable",
        "preview",
        "tfso_conn_id",
    },
    CheckFailedOrdersOperator: {"failed_orders"},
    ListSalesOrdersOperator: {
        "status",
        "customer_id",
        "date_from",
        "date_to",
        "modified_from",
        "modified_to",
        "limit",
        "tfso_conn_id",
    },
    EnrichSalesOrdersOperator: {
        "orders",
        "path",
        "results_path",
        "on_missing",
        "external_id_format",
        "hypatos_conn_id",
        "tfso_conn_id",
    },
    ReconcileSalesOrdersOperator: {
        "date_from",
        "date_to",
        "report_path",
        "report_url",
        "statuses",
        "expected",
        "expected_path",
        "external_id_format",
        "external_ids",
        "unmarked",
        "not_invoiced_after_days",
        "not_posted_after_days",
        "grace_minutes",
        "check_lines",
        "repair",
        "repair_classes",
        "tfso_conn_id",
        "hypatos_conn_id",
    },
    ApproveSalesOrderOperator: {
        "sales_order_id",
        "order_key",
        "approve_below",
        "approve_below_currency",
        "invoice_date",
        "due_date",
        "payment_terms",
        "subject",
        "assigned_users",
        "tfso_conn_id",
    },
    WithdrawSalesOrderOperator: {"sales_order_id", "order_key", "outcome", "tfso_conn_id"},
}


def own_arguments(operator_class: type[Any]) -> list[str]:
    return [
        name
        for name, parameter in inspect.signature(operator_class.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]


def render(operator: BaseOperator, context: dict[str, Any], **dag_options: Any) -> None:
    operator.dag = DAG("orders", schedule=None, **dag_options)
    operator.render_template_fields(context)  # type: ignore[arg-type]


@pytest.mark.parametrize("operator_class", CLASSES)
def test_the_template_fields_are_the_documented_ones(operator_class: type[Any]) -> None:
    assert set(operator_class.template_fields) == DOCUMENTED[operator_class]
    assert set(operator_class.template_fields) <= set(own_arguments(operator_class))


@pytest.mark.parametrize("operator_class", CLASSES)
def test_every_template_field_is_rendered_also_deep_inside(operator_class: type[Any]) -> None:
    template = "{{ value }}"
    nested = {"a": template, "b": [template, {"c": template}], "d": 7, "e": None}
    for given, rendered in (
        (template, "rendered"),
        (nested, {"a": "rendered", "b": ["rendered", {"c": "rendered"}], "d": 7, "e": None}),
        ([template], ["rendered"]),
    ):
        operator = operator_class(task_id="t", **dict.fromkeys(operator_class.template_fields, given))
        render(operator, {"value": "rendered"})
        for name in operator_class.template_fields:
            assert getattr(operator, name) == rendered


@pytest.mark.parametrize("operator_class", CLASSES)
@pytest.mark.parametrize("value", ["{{ anything }}", "text", 7, None, object(), {"a": [1]}, XComArg])
def test_the_constructor_only_assigns(operator_class: type[Any], value: Any) -> None:
    with DAG("orders", schedule=None):
        if value is XComArg:
            value = CreateSalesOrderOperator(task_id="before", order={}, lines=[]).output
        arguments = dict.fromkeys(own_arguments(operator_class), value)
        operator = operator_class(task_id="t", **arguments)
    for name, given in arguments.items():
        assert getattr(operator, name) is given


@pytest.mark.parametrize("operator_class", CLASSES)
def test_arguments_are_given_by_name_only_and_documented(operator_class: type[Any]) -> None:
    parameters = inspect.signature(operator_class.__init__).parameters.values()
    kinds = {parameter.kind for parameter in parameters if parameter.name not in ("self", "kwargs")}
    assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    for name in own_arguments(operator_class):
        assert f":param {name}:" in str(operator_class.__doc__)


@pytest.mark.parametrize("operator_class", CLASSES)
def test_the_result_of_a_task_chains_to_the_next(operator_class: type[Any]) -> None:
    with DAG("orders", schedule=None) as dag:
        before = CreateSalesOrderOperator(task_id="before", order={}, lines=[])
        operator_class(task_id="t", **{operator_class.template_fields[0]: before.output, **required(operator_class)})
    assert dag.get_task("t").upstream_task_ids == {"before"}


def required(operator_class: type[Any]) -> dict[str, Any]:
    if operator_class is ReconcileSalesOrdersOperator:
        return {"date_to": "", "report_path": ""}
    return {"lines": []} if operator_class is CreateSalesOrderOperator else {}


@pytest.mark.usefixtures("connections")
def test_an_order_made_of_templates_arrives_as_meant(run: Run, log: Log) -> None:
    operator = CreateSalesOrderOperator(
        task_id="create",
        order={"customer": {"id": "{{ conf.customer }}", "name": "{{ conf.name }}"}, "date": "{{ conf.day }}"},
        lines=[{"description": "{{ conf.what }}", "quantity": "{{ conf.quantity }}", "price": "{{ conf.price }}"}],
        order_key="web-{{ conf.number }}",
    )
    conf = {
        "customer": 42,
        "name": "Bjørn Ås AS",
        "day": "2026-11-20",
        "what": "Kaffe",
        "quantity": 2,
        "price": 99.99,
        "number": 7,
    }
    render(operator, {"conf": conf})
    result = run.execute(operator)
    assert result["order_key"] == "web-7"
    assert result["net_amount"] == "199.98"
    assert log.order["customer"] == {"id": 42, "name": "Bjørn Ås AS"}
    assert '"price":99.99' in log.sent("POST", "/lines")[0]["body"]


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("native", [False, True])
def test_a_whole_order_may_come_out_of_one_template(run: Run, log: Log, native: bool) -> None:
    conf = {
        "order": {"customer": {"id": 42, "name": "Bjørn Ås AS", "postalCode": 155}},
        "lines": [{"description": "Kaffe", "quantity": 2, "price": 99.99}],
    }
    form = "{{{{ conf.{} }}}}" if native else "{{{{ conf.{} | tojson }}}}"
    operator = CreateSalesOrderOperator(
        task_id="create", order=form.format("order"), lines=form.format("lines"), order_key="k"
    )
    render(operator, {"conf": conf}, render_template_as_native_obj=native)
    assert run.execute(operator)["created"] is True
    assert log.order["customer"]["postalCode"] == "155"


def test_an_order_that_lost_its_form_in_a_template_is_told_what_to_do(run: Run) -> None:
    operator = CreateSalesOrderOperator(task_id="create", order="{{ conf }}", lines=[], order_key="k")
    render(operator, {"conf": {"customer": {"id": 1}}})
    assert operator.order == "{'customer': {'id': 1}}"


def mapped(dag: DAG, operator_class: type[Any], fixed: dict[str, Any], expanded: list[dict[str, Any]]) -> Any:
    with dag:
        operator_class.partial(task_id="mapped", **fixed).expand_kwargs(expanded)
    task = dag.get_task("mapped")
    assert isinstance(task, MappedOperator)
    return task


def has_our_policy(operator: Any) -> bool:
    """Return whether a task has our retry policy; where Airflow has none (3.2), whether it has none either."""
    policy = getattr(operator, "retry_policy", None)
    return isinstance(policy, ApiRetryPolicy) if HAS_RETRY_POLICIES else policy is None


@pytest.mark.usefixtures("connections")
def test_mapped_tasks_create_one_order_each(run: Run, log: Log) -> None:
    elements = [
        {
            "order": {"customer": {"id": number, "name": "K"}},
            "lines": [{"description": "Kaffe", "quantity": 1, "price": number}],
            "order_key": f"web-{number}",
        }
        for number in (1, 2, 3)
    ]
    task = mapped(DAG("orders", schedule=None), CreateSalesOrderOperator, {"settle_seconds": 0.2}, elements)
    for _ in range(2):
        for index, element in enumerate(elements):
            operator = task.unmap(element)
            assert has_our_policy(operator)
            assert operator.settle_seconds == 0.2
            assert run.execute(operator, map_index=index)["order_key"] == element["order_key"]
    assert [order["customer"]["id"] for order in log.orders] == [1, 2, 3]


@pytest.mark.parametrize(
    ("operator_class", "element"),
    [
        (InvoiceSalesOrderOperator, {"sales_order_id": 7}),
        (EnrichSalesOrderOperator, {"external_id": "K"}),
        (InvoiceTransactionSensor, {"sales_order_id": 7}),
        (CreateSalesOrdersOperator, {"path": "file:///x.jsonl"}),
        (InvoiceSalesOrdersOperator, {"orders": [7]}),
        (EnrichSalesOrdersOperator, {"orders": []}),
        (ApproveSalesOrderOperator, {"sales_order_id": 7}),
        (WithdrawSalesOrderOperator, {"sales_order_id": 7}),
    ],
)
def test_the_other_tasks_can_be_mapped_too(operator_class: type[Any], element: dict[str, Any]) -> None:
    task = mapped(DAG("orders", schedule=None), operator_class, {}, [element])
    operator = task.unmap(element)
    assert isinstance(operator, operator_class)
    assert has_our_policy(operator)


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("key", ["", "  ", "None"])
def test_a_key_that_rendered_to_nothing_is_refused(run: Run, log: Log, key: str) -> None:
    operator = CreateSalesOrderOperator(
        task_id="create",
        order={"customer": {"id": 1, "name": "K"}},
        lines=[{"description": "x"}],
        order_key="{{ key }}",
    )
    render(operator, {"key": None if key == "None" else key})
    with pytest.raises(InvalidInput, match="order_key"):
        run.execute(operator)
    assert log.sandbox.requests() == []


@pytest.mark.parametrize("operator_class", CLASSES)
def test_rendered_fields_are_shown_as_json_where_they_hold_some(operator_class: type[Any]) -> None:
    assert set(operator_class.template_fields_renderers) <= set(operator_class.template_fields)
    assert json.dumps(operator_class.template_fields_renderers)

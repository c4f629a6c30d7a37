"""The example DAGs, run for real and judged by the books."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Param
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import ParamValidationError
from airflow.sdk.execution_time import task_runner
from airflow.serialization.serialized_objects import DagSerialization

from tfso_hypatos.sandbox.server import Sandbox
from tfso_hypatos.sandbox.settings import ORGANIZATION
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor

DAGS = Path(__file__).resolve().parents[2] / "dags"

runs_a_dag = [
    pytest.mark.usefixtures("dags_folder"),
    # Airflow's in-process API is built on the test client of Starlette, which wants another HTTP library.
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]


def _dag(dag_id: str) -> DAG:
    """Return a DAG of the examples, impatient: it fails at once and looks often."""
    dag = DagBag(str(DAGS)).dags[dag_id]
    for task in dag.tasks:
        task.retries = 0
        if task.task_id == "wait":
            if isinstance(task, MappedOperator):
                task.partial_kwargs["poke_interval"] = 0.2
                continue
            assert isinstance(task, InvoiceTransactionSensor)
            task.poke_interval = 0.2
    return dag


def _run(dag: DAG, conf: dict[str, Any]) -> str:
    return str(dag.test(run_conf=conf).state)


def _books(sandbox: Sandbox) -> tuple[list[Any], list[Any], Mapping[str, Any]]:
    state = sandbox.state()
    books = state["organizations"][ORGANIZATION]
    assert books["deleted_orders"] == []
    return books["orders"], books["invoices"], state["enrichment"]


def _content(lines: list[Any]) -> list[tuple[str, Decimal, Decimal]]:
    return sorted((line["description"], Decimal(line["quantity"]), Decimal(line["price"])) for line in lines)


def test_the_examples_import_without_errors_and_warnings() -> None:
    bag = DagBag(str(DAGS))

    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    written = [re.findall(r'(?:DAG\(|dag_id=)"(\w+)"', path.read_text("utf-8")) for path in DAGS.glob("*.py")]
    assert sorted(bag.dags) == sorted(itertools.chain.from_iterable(written))


def test_the_form_can_be_sent_as_it_stands() -> None:
    dag = _dag("order_to_invoice")

    values = dag.params.validate()

    assert values["lines"][0]["price"] == 99.99
    assert all(dag.params.get_param(name).schema.get("title") for name in values)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("order_key", ""),
        ("order_date", "20 November"),
        ("customer_id", "forty-two"),
        ("lines", []),
        ("lines", [{"description": "Rørdeler", "quantity": 1}]),
        ("payment_days", 91),
        ("distribution_method", "pigeon"),
        ("country_code", "XX"),
    ],
)
def test_the_form_refuses_what_the_services_would_refuse(name: str, wrong: object) -> None:
    param: Param = _dag("order_to_invoice").params.get_param(name)

    with pytest.raises(ParamValidationError):
        param.resolve(wrong)


CONF: dict[str, Any] = {
    "order_key": "web-20001",
    "customer_name": "Ærlig Øl & Åkre AS",
    "payment_days": 30,
    "lines": [
        {"description": "Rørdeler \"15 mm\" & 'kobber'", "quantity": 3, "price": 99.99, "tax": {"number": 3}},
        {"description": "Montering på kjøkken", "quantity": 0.1, "price": 0.3, "tax": {"number": 3}},
        {"description": "Frakt", "quantity": 1, "price": 149.5, "tax": {"number": 3}},
        {"description": "Frakt", "quantity": 1, "price": 149.5, "tax": {"number": 3}},
    ],
}


class TestOrderToInvoice:
    pytestmark = runs_a_dag

    def test_one_order_becomes_one_posted_invoice_and_one_record(self, posting: Sandbox) -> None:
        assert _run(_dag("order_to_invoice"), CONF) == "success"

        (order,), (invoice,), records = _books(posting)
        expected = [(d, Decimal(str(q)), Decimal(str(p))) for d, q, p in map(_three, CONF["lines"])]
        assert _content(order["lines"]) == sorted(expected)
        assert order["customer"]["name"] == "Ærlig Øl & Åkre AS"
        assert order["customer"]["invoiceEmailAddresses"] == ["faktura@bjornas.example"]
        assert order["netAmount"] == Decimal("599.00")
        assert order["grossAmount"] == invoice["gross_amount"] == Decimal("748.76")
        assert order["invoice"]["transaction"]["id"] == invoice["transaction_id"]
        assert order["invoice"]["paymentTerms"] == {"type": "NumberOfDays", "value": 30}
        assert order["invoice"]["distributionMethod"] == "emaildistribution"
        record = records["web-20001"]
        assert len(records) == 1
        assert record["totalGrossAmount"] == Decimal("748.76")
        assert len(record["salesOrderLines"]) == 4
        assert record["customMetadata"]["tfso"]["invoiceNumber"] == str(invoice["number"])
        assert record["customMetadata"]["tfso"]["transactionId"] == invoice["transaction_id"]

    def test_sending_an_order_again_changes_nothing_and_other_lines_are_refused(self, posting: Sandbox) -> None:
        dag = _dag("order_to_invoice")
        assert _run(dag, CONF) == "success"
        before = _books(posting)

        assert _run(dag, CONF) == "success"
        assert _books(posting) == before

        other = copy.deepcopy(CONF)
        other["lines"][0]["price"] = 100
        assert _run(dag, other) == "failed"
        assert _books(posting) == before

        assert _run(dag, {**CONF, "order_key": "web-20002"}) == "success"
        orders, invoices, records = _books(posting)
        assert len(orders) == len(invoices) == 2
        assert sorted(records) == ["web-20001", "web-20002"]


def _three(line: Mapping[str, Any]) -> tuple[str, object, object]:
    return line["description"], line["quantity"], line["price"]


def _orders(count: int) -> list[dict[str, Any]]:
    line = {"description": "Rørdeler", "quantity": 3, "price": 99.99, "tax": {"number": 3}}
    return [
        {"order_key": f"web-{n}", "order": {"customer": {"id": n, "name": "Åse Sørby"}}, "lines": [line, line]}
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("dag_id", ["orders_to_invoices", "invoice_confirmed_orders"])
def test_a_mapped_sensor_takes_its_time_out_as_any_other(dag_id: str) -> None:
    dag = _dag(dag_id)
    wait = dag.get_task("wait")
    assert isinstance(wait, MappedOperator)
    unmapped: Any = wait.unmap({"sales_order_id": 7})

    serialized: Any = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))

    assert serialized.get_task("wait").partial_kwargs["timeout"] == timedelta(days=1)
    assert unmapped.timeout == 86_400


class TestOrdersToInvoices:
    pytestmark = runs_a_dag

    def test_many_orders_become_posted_invoices_and_records_once(self, posting: Sandbox) -> None:
        for _ in range(2):
            assert _run(_dag("orders_to_invoices"), {"orders": _orders(4)}) == "success"

        orders, invoices, records = _books(posting)
        assert sorted(order["customer"]["id"] for order in orders) == [1, 2, 3, 4]
        assert all(len(order["lines"]) == 2 for order in orders)
        assert sorted(invoice["order_id"] for invoice in invoices) == sorted(order["id"] for order in orders)
        assert sorted(records) == ["web-1", "web-2", "web-3", "web-4"]
        assert all("transactionId" in record["customMetadata"]["tfso"] for record in records.values())

    def test_orders_that_are_refused_hold_up_no_other_and_are_not_passed_over(self, posting: Sandbox) -> None:
        posting.configure(known_customers=[2, 3])
        ended = _dag("orders_to_invoices").test(run_conf={"orders": _orders(3)})

        states = {(each.task_id, each.rendered_map_index): str(each.state) for each in ended.get_task_instances()}
        done = [("create", None), ("invoice", None), ("wait", "web-2"), ("wait", "web-3"), ("enrich", None)]
        assert str(ended.state) == "failed"
        assert states == {
            **dict.fromkeys(done, "success"),
            ("check_create", None): "failed",
            ("check_invoice", None): "success",
        }
        _, invoices, records = _books(posting)
        assert len(invoices) == 2
        assert sorted(records) == ["web-2", "web-3"]

    def test_the_grid_shows_order_keys_from_the_first_moment_on(
        self, posting: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: dict[int, list[str | None]] = {}

        def render(context: Any, ti: Any, log: Any) -> str | None:
            label = original(context, ti=ti, log=log)
            if ti.task_id == "wait":
                shown.setdefault(ti.map_index, []).append(label)
            return label

        original = task_runner._render_map_index
        monkeypatch.setattr(task_runner, "_render_map_index", render)

        ended = _dag("orders_to_invoices").test(run_conf={"orders": _orders(2)})

        assert {index: set(labels) for index, labels in shown.items()} == {0: {"web-1"}, 1: {"web-2"}}
        # Once before it defers, and again when it goes on.
        assert all(len(labels) >= 2 for labels in shown.values())
        waits = [each for each in ended.get_task_instances() if each.task_id == "wait"]
        assert sorted(str(each.rendered_map_index) for each in waits) == ["web-1", "web-2"]

    def test_a_file_of_orders_becomes_invoices_and_files_of_results(self, posting: Sandbox, tmp_path: Path) -> None:
        path = tmp_path / "orders.jsonl"
        path.write_text("".join(f"{json.dumps(order)}\n" for order in _orders(5)))
        conf = {"path": path.as_uri(), "results": (tmp_path / "results").as_uri()}

        assert _run(_dag("orders_from_a_file"), conf) == "success"

        orders, invoices, _ = _books(posting)
        assert len(orders) == len(invoices) == 5
        results = [file.read_text().splitlines() for file in tmp_path.glob("results/*/invoiced/*.jsonl")]
        numbers = [json.loads(line)["invoice_number"] for lines in results for line in lines]
        assert sorted(numbers) == sorted(invoice["number"] for invoice in invoices)

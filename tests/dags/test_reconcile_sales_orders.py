"""The example DAG that reconciles, run for real on a messy book."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from tests.messy_book import Book, fill

from tfso_hypatos.links.sales_order import REPORT_URL
from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.sandbox.server import Sandbox

DAGS = Path(__file__).resolve().parents[2] / "dags"
KEYS = [f"web-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)]

runs_a_dag = [
    pytest.mark.usefixtures("dags_folder"),
    # Airflow's in-process API is built on the test client of Starlette, which wants another HTTP library.
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]


def dag() -> DAG:
    """Return the DAG, which fails at once."""
    found = DagBag(str(DAGS)).dags["reconcile_sales_orders"]
    for task in found.tasks:
        task.retries = 0
    return found


def test_the_form_can_be_sent_as_it_stands() -> None:
    form = dag().params
    values = form.validate()
    assert values["repair"] == "none"
    assert (values["date_from"], values["date_to"]) == (None, None)
    assert all(form.get_param(name).schema.get("title") for name in values)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("date_from", "first of November"),
        ("statuses", ["Invoiced"]),
        ("not_invoiced_after_days", -1),
        ("repair", "yes"),
        ("repair_classes", ["two_orders"]),
        ("report_path", ""),
    ],
)
def test_the_form_refuses_what_cannot_be(name: str, wrong: Any) -> None:
    form = dag().params
    with pytest.raises(ParamValidationError):
        form[name] = wrong


class TestReconcileSalesOrders:
    pytestmark = runs_a_dag

    def test_a_messy_book_is_reported_and_repaired(self, sandbox: Sandbox, connections: object, tmp_path: Path) -> None:
        book = Book(sandbox)
        fill(book)
        period = {"date_from": "2025-11-01", "date_to": "2025-11-30"}
        places = {"report_path": tmp_path.as_uri(), "report_url": "https://reports.example"}
        conf = {**period, **places, "order_keys": KEYS, "external_id_format": "{order_key}"}

        done = self._run({**conf, "repair": "apply"}, tmp_path)

        # The source of the form knows order numbers only: what was edited shows in nothing but its lines.
        unseen = {"in_order", "content_drift"}
        assert {name for name, count in done["summary"]["counts"].items() if count} >= {
            each.value for each in OrderClass
        } - unseen
        assert done["summary"]["repair"]["done"] == 3
        folder = quote(done["folder"])
        assert "%2B" in folder
        assert done["link"] == f"https://reports.example/{folder}/reconciliation.html"
        after = sandbox.state()
        assert after["enrichment"]["web-4"]["customMetadata"]["tfso"]["salesOrderId"] == str(book.ids["unenriched"])
        (books,) = [each for each in after["organizations"].values() if each["orders"]]
        assert {each["id"]: each["status"] for each in books["orders"]}[book.ids["stray"]] == "Inactive"
        assert books["deleted_orders"] == []

    def test_lists_that_were_emptied_in_the_form_are_left_out(
        self, sandbox: Sandbox, connections: object, tmp_path: Path
    ) -> None:
        emptied = {"statuses": None, "order_keys": None, "repair_classes": None}

        report = self._run({**emptied, "report_path": tmp_path.as_uri()}, tmp_path)

        assert set(report["summary"]["counts"].values()) == {0}
        assert not report["link"]

    def test_slashes_at_the_end_of_a_folder_are_not_doubled(
        self, sandbox: Sandbox, connections: object, tmp_path: Path
    ) -> None:
        places = {"report_path": f"{tmp_path.as_uri()}//", "report_url": "https://reports.example/november/"}

        report = self._run(places, tmp_path)

        assert report["link"] == f"https://reports.example/november/{quote(report['folder'])}/reconciliation.html"
        assert report["paths"]["html"] == f"{tmp_path.as_uri()}/{report['folder']}/reconciliation.html"

    @pytest.mark.parametrize(
        ("run_after", "days", "period"),
        [
            ("2025-12-01T07:00:00+00:00", {"date_to": "2024-02-29"}, ("2024-01-30", "2024-02-29")),
            ("2025-12-01T08:00:00+00:00", {"date_from": "2025-11-20"}, ("2025-11-20", "2025-12-01")),
        ],
    )
    def test_one_of_the_days_can_be_left_empty(
        self,
        sandbox: Sandbox,
        connections: object,
        tmp_path: Path,
        run_after: str,
        days: dict[str, str],
        period: tuple[str, str],
    ) -> None:
        when = {"run_after": datetime.datetime.fromisoformat(run_after)}

        report = self._run({**days, "report_path": tmp_path.as_uri()}, tmp_path, **when)

        assert (report["summary"]["date_from"], report["summary"]["date_to"]) == period

    @pytest.mark.parametrize(
        ("run_after", "logical_date"),
        [
            # One that a person starts has no logical date; that of a schedule may be the beginning of its interval.
            ("2025-12-01T05:00:00+00:00", None),
            ("2025-12-01T06:00:00+00:00", "2025-11-30T06:00:00+00:00"),
        ],
        ids=["manual", "scheduled"],
    )
    def test_without_dates_it_is_about_the_day_of_the_run_and_thirty_before(
        self, sandbox: Sandbox, connections: object, tmp_path: Path, run_after: str, logical_date: str | None
    ) -> None:
        book = Book(sandbox)
        for day in ("2025-10-31", "2025-11-01", "2025-12-01", "2025-12-02"):
            book.make(day, f"web-{day}", date=day)
        when = {
            "run_after": datetime.datetime.fromisoformat(run_after),
            "logical_date": None if logical_date is None else datetime.datetime.fromisoformat(logical_date),
        }

        report = self._run({"report_path": tmp_path.as_uri()}, tmp_path, **when)

        assert (report["summary"]["date_from"], report["summary"]["date_to"]) == ("2025-11-01", "2025-12-01")
        assert {each["sales_order_id"] for each in report["orders"]} == {
            str(book.ids[day]) for day in ("2025-11-01", "2025-12-01")
        }

    def _run(self, conf: dict[str, Any], folder: Path, **when: Any) -> dict[str, Any]:
        seen = set(folder.glob("*/reconciliation.json"))
        run = dag().test(run_conf=conf, **when)
        assert str(run.state) == "success"
        (new,) = set(folder.glob("*/reconciliation.json")) - seen
        assert (new.parent / "reconciliation.html").read_text().startswith("<!doctype html>")
        (task,) = run.get_task_instances()
        link = task.xcom_pull(task_ids="reconcile", key=REPORT_URL)
        paths = task.xcom_pull(task_ids="reconcile")["paths"]
        return {**json.loads(new.read_text()), "folder": new.parent.name, "link": link, "paths": paths}

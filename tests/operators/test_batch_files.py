"""Batches that are read from files and leave their results in files."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from tfso_hypatos.exceptions import BatchFailed, InvalidInput, PermissionDenied, ServerError, Stopped
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.arguments import TaskIdentity
from tfso_hypatos.operators.batch.folder import names_in
from tfso_hypatos.operators.batch.items import Job, check
from tfso_hypatos.operators.batch.loop import run_on_a_loop
from tfso_hypatos.operators.batch.results import Collected, Counts, Part, Written
from tfso_hypatos.operators.batch.run import BatchRun
from tfso_hypatos.operators.batch.sources import FileSource, ListSource
from tfso_hypatos.operators.batch.steps import Creation
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrdersOperator,
    EnrichSalesOrdersOperator,
    InvoiceSalesOrdersOperator,
)

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run


def item(number: int, customer: int = 42) -> dict[str, Any]:
    return {
        "order_key": f"web-{number}",
        "order": {"customer": {"id": customer, "name": "K"}},
        "lines": [{"description": "Kaffe", "quantity": 1, "price": "8.10"}],
    }


def written(path: Path, *items: Any) -> str:
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in items))
    return path.as_uri()


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def creating(path: str, results: Path | None = None, **arguments: Any) -> CreateSalesOrdersOperator:
    where = None if results is None else results.as_uri()
    return CreateSalesOrdersOperator(task_id="create", path=path, results_path=where, **arguments)


@pytest.mark.usefixtures("connections")
def test_a_file_becomes_invoices_by_way_of_folders(run: Run, log: Log, tmp_path: Path) -> None:
    path = written(tmp_path / "orders.jsonl", item(1), "", item(2), item(3))
    created = run.execute(creating(path, tmp_path / "created"))
    summary = {"total": 3, "done": 3, "failed": 0, "skipped": 0}
    assert created == {**summary, "results_path": (tmp_path / "created").as_uri()}
    invoice = InvoiceSalesOrdersOperator(
        task_id="invoice", orders=created, results_path=(tmp_path / "invoiced").as_uri()
    )
    assert run.execute(invoice).items() >= summary.items()
    enrich = EnrichSalesOrdersOperator(
        task_id="enrich", path=str(tmp_path / "invoiced"), results_path=str(tmp_path / "enriched"), on_missing="insert"
    )
    assert run.execute(enrich).items() >= summary.items()
    assert len(log.invoices) == len(log.records) == 3
    assert {each["order_key"] for each in lines_in(tmp_path / "invoiced")} == {"web-1", "web-2", "web-3"}
    assert not list(tmp_path.glob("*/.*"))


@pytest.mark.usefixtures("connections")
def test_a_file_without_results_path_returns_every_result(run: Run, log: Log, tmp_path: Path) -> None:
    results = run.execute(creating(written(tmp_path / "orders.jsonl", item(2), item(1), item(2))))
    assert [each["order_key"] for each in results] == ["web-2", "web-1", "web-2"]
    assert len(log.orders) == 2


@pytest.mark.usefixtures("connections")
def test_an_empty_file_leaves_a_folder_for_the_next_task(run: Run, log: Log, tmp_path: Path) -> None:
    created = run.execute(creating(written(tmp_path / "orders.jsonl"), tmp_path / "created"))
    assert created["total"] == 0
    assert run.execute(InvoiceSalesOrdersOperator(task_id="invoice", orders=created)) == []
    assert log.sandbox.requests() == []


@pytest.mark.usefixtures("connections")
def test_a_retry_does_only_what_is_not_done(
    run: Run, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.PART_SIZE", 2)
    log.sandbox.configure(known_customers=[42])
    path = written(tmp_path / "orders.jsonl", *(item(number, 43 if number == 3 else 42) for number in range(1, 7)))
    operator = creating(path, tmp_path / "created")
    with pytest.raises(BatchFailed, match="1 of 6 orders failed; 5 are done"):
        run.execute(operator)
    assert len(lines_in(tmp_path / "created")) == 5
    log.sandbox.configure(known_customers=None)
    before = len(log.changes), len(log.sent("GET"))
    assert run.execute(operator, try_number=2) == {
        "total": 6,
        "done": 1,
        "failed": 0,
        "skipped": 5,
        "results_path": (tmp_path / "created").as_uri(),
    }
    assert len(log.changes) - before[0] == 2
    # List, settle, list again, create, list, line, lines, order: those of one order, and looks that a busy machine made
    # too old. Five more orders would be looked at with three requests each.
    assert len(log.sent("GET")) - before[1] < 15
    assert sorted(each["order_key"] for each in lines_in(tmp_path / "created")) == [f"web-{n}" for n in range(1, 7)]


@pytest.mark.usefixtures("connections")
def test_a_retry_without_results_adopts_what_is_there(run: Run, log: Log, tmp_path: Path) -> None:
    log.sandbox.configure(known_customers=[42])
    operator = creating(written(tmp_path / "orders.jsonl", item(1), item(2, 43)))
    with pytest.raises(BatchFailed):
        run.execute(operator)
    log.sandbox.configure(known_customers=None)
    results = run.execute(operator, try_number=2)
    assert [each["created"] for each in results] == [False, True]
    assert len(log.orders) == 2


@pytest.mark.usefixtures("connections")
def test_an_order_with_other_content_is_not_taken_for_done(run: Run, tmp_path: Path) -> None:
    run.execute(creating(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created"))
    changed = item(1)
    changed["lines"][0]["price"] = 9
    with pytest.raises(BatchFailed, match="OrderDrift"):
        run.execute(creating(written(tmp_path / "orders.jsonl", changed), tmp_path / "created"), try_number=2)


@pytest.mark.usefixtures("connections")
def test_the_results_of_another_run_are_not_believed(run: Run, log: Log, tmp_path: Path) -> None:
    operator = creating(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
    run.execute(operator)
    before = len(log.sent())
    with pytest.raises(InvalidInput, match="holds files of another task or run"):
        type(run)(run_id="run-2").execute(operator)
    assert len(log.sent()) == before


@pytest.mark.usefixtures("connections")
def test_of_two_runs_that_begin_at_once_in_one_folder_at_least_one_fails(
    run: Run, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = type(run)(run_id="run-2")
    (tmp_path / "created").mkdir()
    both_have_looked = threading.Barrier(2)
    looked = threading.local()

    def look(folder: Any) -> list[str]:
        names = names_in(folder)
        if not hasattr(looked, "once"):
            looked.once = True
            both_have_looked.wait(30)
        return names

    monkeypatch.setattr("tfso_hypatos.operators.batch.results.names_in", look)

    def create(each: Run, number: int) -> Any:
        try:
            path = written(tmp_path / f"orders-{number}.jsonl", item(number))
            return each.execute(creating(path, tmp_path / "created"))
        except InvalidInput as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(create, (run, other), (1, 2)))
    refused = [each for each in outcomes if isinstance(each, str)]
    assert refused
    assert all("holds files of another task or run" in each for each in refused)
    assert len(log.orders) == len(lines_in(tmp_path / "created")) == 2 - len(refused)


@pytest.mark.usefixtures("connections")
def test_a_folder_that_another_run_has_begun_with_is_refused_before_its_first_result(
    run: Run, log: Log, tmp_path: Path
) -> None:
    operator = creating(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
    log.sandbox.configure(missing_scopes=["api.invoicing.salesorder:write"])
    with pytest.raises(PermissionDenied):
        run.execute(operator)
    log.sandbox.configure(missing_scopes=[])
    with pytest.raises(InvalidInput, match="holds files of another task or run"):
        type(run)(run_id="run-2").execute(operator)
    assert run.execute(operator, try_number=2)["done"] == 1


def invoicing(created: dict[str, Any], **arguments: Any) -> InvoiceSalesOrdersOperator:
    return InvoiceSalesOrdersOperator(task_id="invoice", orders=created, **arguments)


@pytest.mark.usefixtures("connections")
def test_an_order_that_was_taken_out_of_the_input_is_not_handed_on(run: Run, log: Log, tmp_path: Path) -> None:
    log.sandbox.configure(known_customers=[42])
    operator = creating(written(tmp_path / "orders.jsonl", item(1), item(2), item(3, 43)), tmp_path / "created")
    with pytest.raises(BatchFailed, match="1 of 3 orders failed; 2 are done"):
        run.execute(operator)
    written(tmp_path / "orders.jsonl", item(1))
    created = run.execute(operator, try_number=2)
    assert (created["total"], created["skipped"]) == (1, 1)
    (invoiced,) = run.execute(invoicing(created))
    assert invoiced["order_key"] == "web-1"
    assert [invoice["order_id"] for invoice in log.invoices] == [invoiced["sales_order_id"]]


@pytest.mark.usefixtures("connections")
def test_of_the_results_of_an_order_whose_input_was_changed_only_the_last_counts(
    run: Run, log: Log, tmp_path: Path
) -> None:
    log.sandbox.configure(known_customers=[42])
    operator = creating(written(tmp_path / "orders.jsonl", item(1), item(2), item(3, 43)), tmp_path / "created")
    with pytest.raises(BatchFailed):
        run.execute(operator)
    # The file is exported once more, with a blank more in one line.
    again = item(2)
    again["lines"][0]["description"] = "Kaffe "
    written(tmp_path / "orders.jsonl", item(1), again, item(3))
    created = run.execute(operator, try_number=2)
    assert len(lines_in(tmp_path / "created")) == 4
    summary = run.execute(invoicing(created, results_path=str(tmp_path / "invoiced")))
    assert summary.items() >= {"total": 3, "done": 3, "failed": 0, "skipped": 0}.items()
    assert len(log.orders) == len(log.invoices) == 3


@pytest.mark.usefixtures("connections")
def test_a_task_that_is_cleared_after_it_succeeded_looks_at_every_order_again(
    run: Run, log: Log, tmp_path: Path
) -> None:
    log.sandbox.configure(reinvoice="invoice_again")
    operator = creating(written(tmp_path / "orders.jsonl", item(1), item(2), item(3)), tmp_path / "created")
    invoice = invoicing(run.execute(operator), results_path=str(tmp_path / "invoiced"))
    deleted = log.orders[0]["id"]
    with TfsoHook() as hook:
        hook.delete_sales_order(deleted)
    with pytest.raises(BatchFailed, match="1 of 3 orders failed; 2 are done"):
        run.execute(invoice)
    with pytest.MonkeyPatch.context() as patch:
        failing_once(patch, "web-2")
        with pytest.raises(BatchFailed, match="1 of 3 orders failed; 2 are done"):
            run.execute(operator, try_number=2)
    with pytest.raises(InvalidInput, match="has not succeeded"):
        run.execute(invoice, try_number=2)
    # The retry of the cleared task is a retry like others: it does what is left.
    summary = run.execute(operator, try_number=3)
    assert (summary["total"], summary["done"], summary["skipped"]) == (3, 1, 2)
    assert run.execute(invoice, try_number=3).items() >= {"total": 3, "failed": 0}.items()
    assert len(log.invoices) == len({each["order_id"] for each in log.invoices}) == 3
    assert deleted not in {each["order_id"] for each in log.invoices}


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("tries_before", [0, 1])
def test_a_batch_that_was_killed_before_it_wrote_a_result_is_no_empty_success(
    run: Run, log: Log, tmp_path: Path, tries_before: int
) -> None:
    operator = creating(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
    for _ in range(tries_before):
        run.execute(operator)
    # What a process leaves that is killed in its first seconds.
    killed = TaskIdentity("orders", "run-1", "create", -1, tries_before + 1)
    Written((tmp_path / "created").as_uri(), killed)
    invoice = InvoiceSalesOrdersOperator(task_id="invoice", path=(tmp_path / "created").as_uri())
    with pytest.raises(InvalidInput, match="holds the results of a task that has not succeeded: let it succeed first"):
        run.execute(invoice)
    assert log.invoices == []
    assert run.execute(operator, try_number=tries_before + 2)["total"] == 1
    assert len(run.execute(invoice, try_number=2)) == len(log.invoices) == 1


def failing_once(patch: pytest.MonkeyPatch, key: str) -> None:
    """Let an order fail for a passing reason."""
    create = Creation._create

    async def create_or_fail(self: Creation, intent: Any) -> dict[str, Any]:
        if intent.order_key == key:
            raise ServerError("later", status=500)
        return await create(self, intent)

    patch.setattr(Creation, "_create", create_or_fail)


@pytest.mark.usefixtures("connections")
def test_the_results_of_a_batch_that_has_not_succeeded_are_not_taken(run: Run, log: Log, tmp_path: Path) -> None:
    log.sandbox.configure(known_customers=[42])
    with pytest.raises(BatchFailed):
        run.execute(creating(written(tmp_path / "orders.jsonl", item(1), item(2, 43)), tmp_path / "created"))
    with pytest.raises(InvalidInput, match=r"created holds the results of a task that has not succeeded: .* clear it"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=str(tmp_path / "created")))
    assert log.invoices == []


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("how", ["file", "line", "manifest"])
def test_results_that_got_lost_are_missed(run: Run, log: Log, tmp_path: Path, how: str) -> None:
    operator = creating(written(tmp_path / "orders.jsonl", item(1), item(2)), tmp_path / "created", concurrency=1)
    created = run.execute(operator)
    (part,) = (tmp_path / "created").glob("*.jsonl")
    (manifest,) = (tmp_path / "created").glob("*.json")
    said = r"1 of 2 results in .*created (is|are) gone: clear the task that wrote them"
    if how == "file":
        part.unlink()
        said = said.replace("1 of 2", "2 of 2")
    elif how == "line":
        part.write_text(part.read_text()[:-9])
    else:
        manifest.write_text(manifest.read_text()[:-9])
        said = "cannot be read: clear the task that wrote it"
    with pytest.raises(InvalidInput, match=said):
        run.execute(invoicing(created))
    assert log.invoices == []
    assert len(run.execute(invoicing(run.execute(operator, try_number=2)))) == len(log.invoices) == 2


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("pattern", ["*.jsonl", "*.json"])
def test_a_part_of_a_folder_is_not_taken_for_all_of_it(run: Run, log: Log, tmp_path: Path, pattern: str) -> None:
    run.execute(creating(written(tmp_path / "orders.jsonl", item(1), item(2)), tmp_path / "created"))
    (part,) = (tmp_path / "created").glob(pattern)
    with pytest.raises(InvalidInput, match=r"is a part of the results of a task, .*: give the folder"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=part.as_uri()))
    assert log.invoices == []


@pytest.mark.usefixtures("connections")
def test_two_processes_that_took_different_orders_are_not_believed(run: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        run.execute(creating(written(tmp_path / "orders.jsonl", item(number)), tmp_path / f"created-{number}"))
    for file in (tmp_path / "created-2").iterdir():
        file.rename(tmp_path / "created-1" / file.name)
    with pytest.raises(InvalidInput, match="two processes that took different orders"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=str(tmp_path / "created-1")))


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("cut", ["blank", "cut off", "other"])
def test_a_line_that_a_try_left_unfinished_does_not_stop_the_next(
    run: Run, log: Log, tmp_path: Path, cut: str, caplog: pytest.LogCaptureFixture
) -> None:
    log.sandbox.configure(known_customers=[42])
    operator = creating(
        written(tmp_path / "orders.jsonl", item(1), item(2), item(3, 43)), tmp_path / "created", concurrency=1
    )
    with pytest.raises(BatchFailed):
        run.execute(operator)
    (part,) = (tmp_path / "created").glob("*.jsonl")
    text = part.read_text()
    part.write_text({"blank": f"{text}\n", "cut off": text[:-9], "other": f"{text}[]\n"}[cut])
    log.sandbox.configure(known_customers=None)
    summary = run.execute(operator, try_number=2)
    assert summary["skipped"] == (1 if cut == "cut off" else 2)
    lines = {"blank": 0, "cut off": 2, "other": 3}
    assert f"{part.name} line {lines[cut]} is no result" in caplog.text or cut == "blank"
    assert len(run.execute(invoicing(summary))) == len(log.orders) == len(log.invoices) == 3


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        ((1, 2, 1), (1, 2, 3), 3),
        ((1, 2, 3), (1, 3, 2), 2),
        ((1, 2), (1, 2, 3, 4), 3),
        ((1, 2, 3), (1, 2), 3),
        ((1, 2, 2), (1, 2), 3),
        ((1, 2, 3), (1, "{", 3), 2),
    ],
)
def test_a_file_that_is_another_one_the_second_time_ends_the_batch(
    run: Run,
    log: Log,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[int, ...],
    after: tuple[Any, ...],
    first: int,
) -> None:
    orders = tmp_path / "orders.jsonl"
    real = check

    def swapping(*arguments: Any) -> Any:
        plan = real(*arguments)
        written(orders, *(item(each) if isinstance(each, int) else each for each in after))
        return plan

    monkeypatch.setattr("tfso_hypatos.operators.batch.items.check", swapping)
    operator = creating(written(orders, *map(item, before)), tmp_path / "created", concurrency=1)
    counts = f"0 of {len(before)} orders failed.*; {first - 1} (is|are) done"
    with pytest.raises(
        BatchFailed, match=rf"^{counts}.*InvalidInput: item {first}\b.*: is not what it was .* the file was changed"
    ) as caught:
        run.execute(operator)
    assert caught.value.permanent
    assert "nothing was sent" not in str(caught.value)
    assert len(log.orders) == len(lines_in(tmp_path / "created")) == first - 1
    with pytest.raises(InvalidInput, match="has not succeeded"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=str(tmp_path / "created")))


def overlapping_tries(run: Run, folder: Path, orders: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leave results of two tries of the create task, of which the second read the folder too early."""
    first, second = folder.with_name("first"), folder
    one = run.execute(creating(orders, first))
    two = run.execute(creating(orders, second), try_number=2)
    assert one["done"] == two["done"]
    results = lines_in(first)[0], lines_in(second)[0]
    assert "holder" in results[0]
    assert "holder" not in results[1]
    for part in first.glob("*.jsonl"):
        part.rename(second / part.name)
    return results


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("later", ["first", "second"])
def test_results_of_tries_that_overlapped_are_invoiced_once_under_nobodys_holder(
    run: Run, log: Log, tmp_path: Path, later: str
) -> None:
    folder = tmp_path / "created"
    overlapping_tries(run, folder, written(tmp_path / "orders.jsonl", item(1), item(2)))
    if later == "first":
        (part,) = folder.glob("*-001-*")
        part.rename(folder / part.name.replace("-001-", "-003-"))
    with DAG("orders", schedule=None):
        invoice = InvoiceSalesOrdersOperator(task_id="invoice", path=str(folder), results_path=str(tmp_path / "done"))
    log.sandbox.configure(reinvoice="invoice_again")
    assert run.execute(invoice).items() >= {"total": 4, "done": 2, "failed": 0, "skipped": 2}.items()
    assert len(log.invoices) == 2
    # Each is taken over first: the try that wrote the holder may be alive.
    assert len(log.sent("PATCH")) == 4


@pytest.mark.usefixtures("connections")
def test_results_of_one_order_that_ask_for_different_invoices_are_refused(run: Run, log: Log, tmp_path: Path) -> None:
    one, two = overlapping_tries(run, tmp_path / "created", written(tmp_path / "orders.jsonl", item(1)))
    path = written(tmp_path / "mine.jsonl", one, {**two, "due_date": "2026-12-24"})
    with pytest.raises(InvalidInput, match="names the same order as item 1, with other content"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=path))
    assert log.invoices == []


def test_of_the_results_of_one_order_the_one_without_a_holder_counts_or_else_the_last() -> None:
    def repeats(*results: str) -> Any:
        def job(result: str) -> Job:
            async def work() -> dict[str, Any]:
                return {}

            return Job("k", "k", result, {}, work, origin="same", held=result.startswith("held"))

        return check(ListSource(results), job).repeats

    assert repeats("held 1", "free", "held 2", "held 1") == {0: 1, 2: 1, 3: 1}
    assert repeats("free", "held 1") == {1: 0}
    assert repeats("held 1", "held 2", "held 3") == {0: 2, 1: 2}
    assert repeats("held 1", "held 1", "free", "free") == {0: 2, 1: 2, 3: 2}


@pytest.mark.usefixtures("connections")
def test_a_file_that_comes_after_the_check_moves_nothing(tmp_path: Path) -> None:
    written(tmp_path / "b.jsonl", "1")
    source = FileSource(tmp_path.as_uri())
    before = list(source)
    written(tmp_path / "a.jsonl", "2")
    assert list(source) == before


@pytest.mark.usefixtures("connections")
def test_mapped_batches_that_share_a_folder_are_told_how_not_to(run: Run, tmp_path: Path) -> None:
    operator = creating(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
    run.execute(operator, map_index=0)
    with pytest.raises(InvalidInput, match=r"for a mapped task \{\{ ti\.map_index \}\}"):
        run.execute(operator, map_index=1)


@pytest.mark.usefixtures("connections")
def test_what_was_done_before_an_end_is_written(run: Run, log: Log, tmp_path: Path) -> None:
    operator = creating(
        written(tmp_path / "orders.jsonl", *map(item, range(1, 9))), tmp_path / "created", concurrency=1
    )
    add = Written.add

    def kill_after_three(self: Written, position: int, *rest: Any) -> None:
        add(self, position, *rest)
        if position == 2:
            operator.on_kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Written, "add", kill_after_three)
        with pytest.raises(Stopped):
            run.execute(operator)
    assert len(log.orders) == len(lines_in(tmp_path / "created")) == 3
    again = creating(str(operator.path), tmp_path / "created")
    summary = run.execute(again, try_number=2)
    assert (summary["done"], summary["skipped"]) == (5, 3)
    assert len(log.orders) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"order_key": "web-1", "order"', "item 1, orders.jsonl line 1: text: is not JSON"),
        ("web-1", "item 1, orders.jsonl line 1: item: an object with named fields is needed"),
        ("[]", "an object with named fields is needed"),
        ('{"a":' * 100_000, "item 1, orders.jsonl line 1: text: is nested too deeply"),
        ('{"order_key": "web-1", "lines": ' + "[" * 200 + "]" * 200 + "}", "lines[0]: an object with named fields"),
        (
            '{"order_key": "web-1", "order_key": "web-3"}',
            "line 1: text: has two members of the name 'order_key' in one",
        ),
        ('{"order_key": "web-1", "order": {"memo": 1e300000000}}', "('web-1'): order.memo: a number of at most 1000"),
    ],
)
@pytest.mark.usefixtures("connections")
def test_a_line_that_is_no_item_is_named(run: Run, log: Log, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run.execute(creating(written(tmp_path / "orders.jsonl", text, item(2))))
    assert said in str(caught.value)
    assert log.sandbox.requests() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"sales_order_id": 7, "net_amount": 1e300000000}', "(7): item.net_amount: a number of at most 1000 digits"),
        ('{"sales_order_id": 7, "line_ids": ' + "[" * 200 + "]" * 200 + "}", "(7): item: is nested more than 100"),
    ],
)
@pytest.mark.usefixtures("connections")
def test_what_would_take_too_much_memory_is_not_read_into_a_result(
    run: Run, log: Log, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=written(tmp_path / "orders.jsonl", text)))
    assert said in str(caught.value)
    assert log.sandbox.requests() == []


@pytest.mark.usefixtures("connections")
def test_a_file_that_is_not_there_or_no_text_is_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="path: there is no file"):
        run.execute(creating((tmp_path / "none.jsonl").as_uri()))
    (tmp_path / "orders.jsonl").write_bytes(b'{"order_key": "\xff"}\n')
    with pytest.raises(InvalidInput, match="is not text in UTF-8"):
        run.execute(creating((tmp_path / "orders.jsonl").as_uri()))


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("times", [1, 9])
def test_results_that_cannot_be_written_let_the_orders_that_were_begun_end(
    run: Run, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.PART_SIZE", 1)
    # One of three is done long before the others, which are in the middle of their work when its result is lost.
    log.sandbox.add_fault(action="slow", seconds=0.3, method="POST", path="/lines$", skip=1, times=2)
    write = Written.write
    failed: list[Part] = []

    def full(self: Written, part: Part) -> None:
        if len(failed) < times:
            failed.append(part)
            raise OSError("no space left on device")
        write(self, part)

    operator = creating(written(tmp_path / "orders.jsonl", *map(item, range(9))), tmp_path / "created", concurrency=3)
    with monkeypatch.context() as patch:
        patch.setattr(Written, "write", full)
        with pytest.raises(OSError, match="no space") as caught:
            run.execute(operator)
    assert "of 9 orders are done, 0 failed, " in caught.value.__notes__[0]
    assert 3 <= len(log.orders) < 9
    assert all(len(order["lines"]) == 1 for order in log.orders)
    assert len(lines_in(tmp_path / "created")) == (len(log.orders) if times == 1 else 0)
    assert run.execute(operator, try_number=2)["failed"] == 0
    assert len(log.orders) == len(lines_in(tmp_path / "created")) == 9


@pytest.mark.usefixtures("connections")
def test_a_file_that_cannot_be_read_to_its_end_lets_the_orders_that_were_begun_end(
    run: Run, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.sources.READ_AHEAD", 1)
    path = written(tmp_path / "orders.jsonl", *map(item, range(4)))
    read, passes = FileSource.__iter__, []

    def broken(self: FileSource) -> Any:
        passes.append(self)
        for entry in read(self):
            if len(passes) == 2 and entry.position == 3:
                raise OSError("the storage is gone")
            yield entry

    monkeypatch.setattr(FileSource, "__iter__", broken)
    with pytest.raises(OSError, match="storage is gone"):
        run.execute(creating(path, tmp_path / "created", concurrency=4))
    assert len(lines_in(tmp_path / "created")) == len(log.orders) == 3
    assert all(len(order["lines"]) == 1 for order in log.orders)


class FakeStep:
    """Does nothing with an order and returns a result of the usual size."""

    hooks = ()

    def job(self, item: Any) -> Job:
        async def work() -> dict[str, Any]:
            return {"order_key": key, "sales_order_id": 7, "line_hashes": [f"{key}-{n}" for n in range(60)]}

        key = item["order_key"]
        return Job(key, key, json.dumps(item["lines"]), {"order_key": key}, work)


@pytest.mark.parametrize("count", [0, 1, 250])
def test_a_file_is_read_in_a_thread_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    source, step = FileSource(written(tmp_path / "orders.jsonl", *map(item, range(count)))), FakeStep()
    plan = check(source, step.job)
    read, loops = FileSource.__iter__, []

    def watched(self: FileSource) -> Any:
        for entry in read(self):
            loops.append(asyncio._get_running_loop())
            yield entry

    monkeypatch.setattr(FileSource, "__iter__", watched)
    run = BatchRun(step, plan, source, Collected(plan), 16, lambda: False)
    run_on_a_loop(run.run, lambda: None)
    assert run.counts().done == count
    assert loops == [None] * count


def peak_of(tmp_path: Path, count: int) -> int:
    """Return the most memory that a batch of so many orders needs, in bytes."""
    path = tmp_path / f"{count}.jsonl"
    lines = [{"description": "x" * 200, "price": n} for n in range(10)]
    with path.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"order_key": f"web-{number}", "lines": lines}) + "\n")
    identity = TaskIdentity("d", "r", "t", -1, 1)
    gc.collect()
    tracemalloc.start()
    try:
        source, step = FileSource(path.as_uri()), FakeStep()
        plan = check(source, step.job)
        results = Written((tmp_path / f"results-{count}").as_uri(), identity)
        run = BatchRun(step, plan, source, results, 16, lambda: False)
        run_on_a_loop(run.run, lambda: None)
        assert run.counts().done == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_stays_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.PART_SIZE", 100)
    peak_of(tmp_path, 200)
    few, many = peak_of(tmp_path, 600), peak_of(tmp_path, 3600)
    # A line is 2,500 bytes and a result 800; what grows are a few short hashes for each order.
    assert (many - few) / 3000 < 300


def test_a_part_is_never_seen_half_written(tmp_path: Path) -> None:
    results = Written(str(tmp_path), TaskIdentity("d", "r", "t", -1, 1))
    (tmp_path / ".begun.jsonl").write_text('{"order_')
    results.write(Part("a.jsonl", '{"order_key":"web-1"}\n'))
    results.outcome(Counts(1, 1, 0, 0))
    assert [entry.given for entry in FileSource(str(tmp_path))] == ['{"order_key":"web-1"}\n']


def test_what_is_collected_is_in_the_order_of_the_items() -> None:
    step = FakeStep()
    entries = [item(2), item(1), item(2)]
    plan = check(ListSource(entries), step.job)
    collected = Collected(plan)
    for position in (1, 0):
        collected.add(position, step.job(entries[position]), {"n": position})
    counts = Counts(3, 2, 0, 1)
    assert [each["n"] for each in collected.outcome(counts)] == [0, 1, 0]

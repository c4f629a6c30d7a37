"""Whose a folder of results is, and which of the results in it count."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operators.batch_files import item, lines_in, reading, written
from tests.operators.batches import failing, invoicing

from tfso_hypatos.exceptions import BatchFailed, InvalidInput, PermissionDenied, ServerError
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.arguments import TaskIdentity
from tfso_hypatos.operators.batch.folder import names_in
from tfso_hypatos.operators.batch.results import Written
from tfso_hypatos.operators.sales_order import InvoiceSalesOrdersOperator

if TYPE_CHECKING:
    from tests.conftest import Log
    from tests.operators.conftest import Run


@pytest.mark.usefixtures("connections")
def test_the_results_of_another_run_are_not_believed(run: Run, log: Log, tmp_path: Path) -> None:
    operator = reading(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
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
            return each.execute(reading(path, tmp_path / "created"))
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
    operator = reading(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
    log.sandbox.configure(missing_scopes=["api.invoicing.salesorder:write"])
    with pytest.raises(PermissionDenied):
        run.execute(operator)
    log.sandbox.configure(missing_scopes=[])
    with pytest.raises(InvalidInput, match="holds files of another task or run"):
        type(run)(run_id="run-2").execute(operator)
    assert run.execute(operator, try_number=2)["done"] == 1


@pytest.mark.usefixtures("connections")
def test_an_order_that_was_taken_out_of_the_input_is_not_handed_on(run: Run, log: Log, tmp_path: Path) -> None:
    log.sandbox.configure(known_customers=[42])
    operator = reading(written(tmp_path / "orders.jsonl", item(1), item(2), item(3, 43)), tmp_path / "created")
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
    operator = reading(written(tmp_path / "orders.jsonl", item(1), item(2), item(3, 43)), tmp_path / "created")
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
    operator = reading(written(tmp_path / "orders.jsonl", item(1), item(2), item(3)), tmp_path / "created")
    invoice = invoicing(run.execute(operator), results_path=str(tmp_path / "invoiced"))
    deleted = log.orders[0]["id"]
    with TfsoHook() as hook:
        hook.delete_sales_order(deleted)
    with pytest.raises(BatchFailed, match="1 of 3 orders failed; 2 are done"):
        run.execute(invoice)
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, ServerError("later", status=500), "web-2")
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
    operator = reading(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
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


@pytest.mark.usefixtures("connections")
def test_the_results_of_a_batch_that_has_not_succeeded_are_not_taken(run: Run, log: Log, tmp_path: Path) -> None:
    log.sandbox.configure(known_customers=[42])
    with pytest.raises(BatchFailed):
        run.execute(reading(written(tmp_path / "orders.jsonl", item(1), item(2, 43)), tmp_path / "created"))
    with pytest.raises(InvalidInput, match=r"created holds the results of a task that has not succeeded: .* clear it"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=str(tmp_path / "created")))
    assert log.invoices == []


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("how", ["file", "line", "manifest"])
def test_results_that_got_lost_are_missed(run: Run, log: Log, tmp_path: Path, how: str) -> None:
    operator = reading(written(tmp_path / "orders.jsonl", item(1), item(2)), tmp_path / "created", concurrency=1)
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
    run.execute(reading(written(tmp_path / "orders.jsonl", item(1), item(2)), tmp_path / "created"))
    (part,) = (tmp_path / "created").glob(pattern)
    with pytest.raises(InvalidInput, match=r"is a part of the results of a task, .*: give the folder"):
        run.execute(InvoiceSalesOrdersOperator(task_id="invoice", path=part.as_uri()))
    assert log.invoices == []


@pytest.mark.usefixtures("connections")
def test_two_processes_that_took_different_orders_are_not_believed(run: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        run.execute(reading(written(tmp_path / "orders.jsonl", item(number)), tmp_path / f"created-{number}"))
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
    operator = reading(
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
def test_mapped_batches_that_share_a_folder_are_told_how_not_to(run: Run, tmp_path: Path) -> None:
    operator = reading(written(tmp_path / "orders.jsonl", item(1)), tmp_path / "created")
    run.execute(operator, map_index=0)
    with pytest.raises(InvalidInput, match=r"for a mapped task \{\{ ti\.map_index \}\}"):
        run.execute(operator, map_index=1)

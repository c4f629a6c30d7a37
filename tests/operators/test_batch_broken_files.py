"""Files that change, cannot be read or cannot be written while a batch is at work."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operators.batch_files import item, lines_in, reading, written

from tfso_hypatos.exceptions import BatchFailed, InvalidInput, Stopped
from tfso_hypatos.operators.batch.items import check
from tfso_hypatos.operators.batch.results import Part, Written
from tfso_hypatos.operators.batch.sources import FileSource
from tfso_hypatos.operators.sales_order import InvoiceSalesOrdersOperator
from tfso_hypatos.sandbox.delivery import Exchange

if TYPE_CHECKING:
    from tests.conftest import Connections, Log
    from tests.operators.conftest import Run


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
    operator = reading(written(orders, *map(item, before)), tmp_path / "created", concurrency=1)
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


@pytest.mark.usefixtures("connections")
def test_a_file_that_comes_after_the_check_moves_nothing(tmp_path: Path) -> None:
    written(tmp_path / "b.jsonl", "1")
    source = FileSource(tmp_path.as_uri())
    before = list(source)
    written(tmp_path / "a.jsonl", "2")
    assert list(source) == before


@pytest.mark.usefixtures("connections")
def test_what_was_done_before_an_end_is_written(run: Run, log: Log, tmp_path: Path) -> None:
    operator = reading(written(tmp_path / "orders.jsonl", *map(item, range(1, 9))), tmp_path / "created", concurrency=1)
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
    again = reading(str(operator.path), tmp_path / "created")
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
        run.execute(reading(written(tmp_path / "orders.jsonl", text, item(2))))
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
        run.execute(reading((tmp_path / "none.jsonl").as_uri()))
    (tmp_path / "orders.jsonl").write_bytes(b'{"order_key": "\xff"}\n')
    with pytest.raises(InvalidInput, match="is not text in UTF-8"):
        run.execute(reading((tmp_path / "orders.jsonl").as_uri()))


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("times", [1, 9])
def test_results_that_cannot_be_written_let_the_orders_that_were_begun_end(
    run: Run, log: Log, connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    connections.tfso(extra={"timeout": 60})
    monkeypatch.setattr("tfso_hypatos.operators.batch.run.PART_SIZE", 1)
    # One of three is done before the others, which are in the middle of their work when its result is lost.
    log.sandbox.add_fault(action="slow", method="POST", path="/lines$", skip=1, times=2)
    write = Written.write
    failed: list[Part] = []
    lost = threading.Event()

    def full(self: Written, part: Part) -> None:
        if len(failed) < times:
            failed.append(part)
            lost.set()
            raise OSError("no space left on device")
        write(self, part)

    held: list[bool] = []

    async def until_lost(*_: Any, **__: Any) -> None:
        held.append(await asyncio.to_thread(lost.wait, 20))

    operator = reading(written(tmp_path / "orders.jsonl", *map(item, range(9))), tmp_path / "created", concurrency=3)
    with monkeypatch.context() as patch:
        patch.setattr(Written, "write", full)
        patch.setattr(Exchange, "wait", until_lost)
        with pytest.raises(OSError, match="no space") as caught:
            run.execute(operator)
    assert held == [True, True]
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
        run.execute(reading(path, tmp_path / "created", concurrency=4))
    assert len(lines_in(tmp_path / "created")) == len(log.orders) == 3
    assert all(len(order["lines"]) == 1 for order in log.orders)

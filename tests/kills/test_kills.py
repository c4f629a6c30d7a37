"""One kill at each kind of boundary; ``matrix.py`` has all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.kills.matrix import WORLDS, Cell, play
from tests.kills.rig import KEY, Rig
from tests.kills.verdict import ORGANIZATION, judge, judge_rejected, judge_results

from tfso_hypatos.flows.intent import key_of

SAMPLE = (
    "create/before:5/kept/memo",
    "create/sent:3/forgotten/memo",
    "create/late:-2/kept/memo",
    "create/read:3/forgotten/memo",
    "create/unkept/kept/memo",
    "create/kept/kept/memo",
    "create/read:4/unread:8/kept/memo",
    "invoice/unread:-1/forgotten/memo",
    "invoice/late:-1/kept/memo",
    "invoice/unpushed/kept/memo",
    "enrich/pushed/kept/memo",
    "create/late:-1/kept/reference",
    "create/unread:3/forgotten/lagging",
    "create/sent:9/kept/files",
    "invoice/unread:9/kept/list",
    "invoice/named:4/kept/files",
    "withdraw/late:-2/kept/inactive",
    "withdraw/unread:6/kept/withdraw",
    "withdraw/sent:-1/kept/draft",
)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.mark.parametrize("name", SAMPLE)
def test_a_kill_breaks_no_promise(rig: Rig, name: str) -> None:
    cell = Cell.parse(name)
    # Not as late as the matrix has it: other tests may keep this machine busy.
    with rig.shop(late=0.12, **WORLDS[cell.world]) as shop:
        outcome = play(shop, cell)
    assert outcome.killed == len(cell.kills)
    assert (outcome.verdict.broken, outcome.verdict.person) == (0, 0), outcome.verdict


def _order(number: int, lines: int, invoices: int) -> dict[str, Any]:
    one = {"description": "Frakt", "quantity": 1, "price": 150.5}
    memo = f"af:{key_of(ORGANIZATION, KEY)}/aaaaaaaaaa/aaaaaaaaaaaa"
    return {
        "id": number,
        "status": "Draft",
        "internalMemo": memo,
        "lines": [one] * lines,
        "invoice_numbers": list(range(invoices)),
    }


def _result(key: str) -> dict[str, str]:
    return {"order_key": key}


@pytest.mark.parametrize(
    ("returned", "results"),
    [
        ([_result(KEY), _result("web-2")], 0),
        ([_result(KEY)], 1),
        ([_result(KEY), _result("web-2"), _result(KEY)], 1),
        ([], 2),
    ],
)
def test_the_judge_sees_what_is_not_handed_on_or_twice(returned: list[dict[str, str]], results: int) -> None:
    assert judge_results(returned, [KEY, "web-2"]).broken == results


@pytest.mark.parametrize(
    ("orders", "broken"),
    [
        ([_order(1, 1, 1), _order(2, 1, 0)], "orders"),
        ([_order(1, 2, 1)], "lines"),
        ([_order(1, 1, 2)], "invoices"),
        ([_order(1, 1, 1)], "lost"),
        ([], "lost"),
        ([_order(1, 1, 1), _order(2, 0, 0)], "strays"),
    ],
)
def test_the_judge_sees_what_is_broken(orders: list[dict[str, Any]], broken: str) -> None:
    books = {"organizations": {ORGANIZATION: {"orders": orders}}, "enrichment": {}}
    assert getattr(judge(books, [KEY], finished=True), broken) == 1


@pytest.mark.parametrize(
    ("status", "deleted", "invoices", "outcome", "wrong"),
    [
        ("Draft", True, 0, "deleted", 0),
        ("Draft", True, 1, "deleted", 1),
        ("Draft", False, 0, "deleted", 1),
        ("Inactive", False, 0, "inactive", 0),
        ("Inactive", False, 1, "inactive", 1),
        ("Invoice", False, 1, "draft", 1),
        ("Invoice", False, 1, None, 0),
    ],
)
def test_the_judge_sees_what_was_taken_back_wrongly(
    status: str, deleted: bool, invoices: int, outcome: str | None, wrong: int
) -> None:
    order = {**_order(1, 1, invoices), "status": status}
    books = {"orders": [] if deleted else [order], "deleted_orders": [order] if deleted else []}
    told = [{"sales_order_id": 1, "outcome": outcome}] if outcome else []
    verdict = judge_rejected({"organizations": {ORGANIZATION: books}}, [KEY], told, finished=True)
    assert verdict.broken == verdict.taken_back == wrong

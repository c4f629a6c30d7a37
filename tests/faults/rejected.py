"""A chain whose order is rejected: its tasks, and what the books say about it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.faults.chain import Chain, Passed
from tests.faults.classes import SETTLE
from tests.faults.orders import ONE, BusinessOrder

from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator
from tfso_hypatos.operators.withdrawal import WithdrawSalesOrderOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from tests.faults.bench import Target

REJECTED_BROKEN = ("taken back though invoiced", "not taken back")
SHOWS = {"inactive": "Inactive", "draft": "Draft"}
"""The status of an order that the withdraw task says was set aside."""


@dataclass
class RejectedChain(Chain):
    """Create, withdraw; a person may invoice the order while it is taken over."""

    _person: threading.Timer | None = None

    def play(self) -> Passed:
        """Run every task, and wait until the person has ended, too."""
        passed = super().play()
        if self._person is not None:
            self._person.join()
        return passed

    def _tasks(self) -> Any:
        return {"create": self._create, "withdraw": self._withdraw}

    def _create(self, _: dict[str, Any]) -> BaseOperator:
        status = {"status": "Confirmed"} if self.way.rejected == "draft" else {}
        return CreateSalesOrderOperator(
            task_id="create",
            **{**ONE.item, "order": {**ONE.order, **status}},
            marker_field=self.way.marker_field,
            tfso_conn_id=f"tfso_{self.conn}",
        )

    def _withdraw(self, results: dict[str, Any]) -> BaseOperator:
        created = results["create"]
        if self.way.rejected == "by-hand" and self._person is None and self.run_id == "run-1":
            self._person = threading.Timer(SETTLE / 2, self._invoice, [created["sales_order_id"]])
            self._person.start()
        return WithdrawSalesOrderOperator(
            task_id="withdraw",
            sales_order_id=created,
            outcome="draft" if self.way.rejected == "draft" else "withdraw",
            tfso_conn_id=f"tfso_{self.conn}",
        )

    def _invoice(self, order_id: int) -> None:
        """Invoice the order as a person does; it may be gone, and a fault may hit that, too."""
        with contextlib.suppress(TfsoHypatosError), TfsoHook(f"tfso_{self.conn}_patient") as hook:
            hook.update_sales_order(order_id, {"status": "Invoice"})


def of_the_withdrawal(targets: Sequence[Target]) -> list[Target]:
    """Return the requests of the withdraw task: the first of them looks, the second takes the order over."""
    take_over = next(place for place, target in enumerate(targets) if target.method == "PATCH")
    return list(targets[take_over - 1 :])


def judge_rejected(
    books: Mapping[str, Any], business: BusinessOrder, passes: Sequence[Passed], *, final: bool
) -> dict[str, str]:
    """Judge what became of an order that is to be taken back.

    :param books: of 24SevenOffice.
    :param business: the business order.
    :param passes: what was played so far; the last one ended last.
    :param final: whether nothing more is played.
    """
    broken: dict[str, str] = {}
    mine = {order["id"]: order for order in books["orders"] if order["memo"] == business.key}
    if len(books["invoices"]) > 1:
        broken["double invoice"] = f"{business.key}: {len(books['invoices'])} invoices"
    lost = [order["id"] for order in books["deleted_orders"] if order["invoice_numbers"]]
    lost += [order["id"] for order in mine.values() if order["invoice_numbers"] and order["status"] != "Invoice"]
    if lost:
        broken["taken back though invoiced"] = f"{business.key}: orders {lost}"
    active = [order for order in mine.values() if order["status"] != "Inactive"]
    if final and len(active) > 1:
        broken["duplicate order"] = f"{business.key}: orders {[order['id'] for order in active]} are left"
    for passed in passes:
        if passed.crashes:
            broken["crash"] = passed.crashes[0]
        told = passed.results.get("withdraw")
        if told is not None and not _is_so(told, mine):
            broken["not taken back"] = f"{business.key}: order {told['sales_order_id']} was reported {told['outcome']}"
    return broken


def _is_so(told: Mapping[str, Any], mine: Mapping[int, Mapping[str, Any]]) -> bool:
    order = mine.get(told["sales_order_id"])
    if told["outcome"] in ("deleted", "was gone"):
        return order is None
    return order is not None and order["status"] == SHOWS[told["outcome"]]


def is_in_the_right(books: Mapping[str, Any], passed: Passed) -> bool:
    """Say whether a pass has failed as it should: the order is invoiced, or was set inactive by the first one."""
    set_aside = any(order["status"] == "Inactive" for order in books["orders"])
    return passed.ending() == "OrderDrift" and bool(books["invoices"] or set_aside)

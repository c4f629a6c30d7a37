"""Growth: how requests and time for an order grow with its lines, and with the customer's earlier orders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import requests
from airflow.sdk import DAG
from tests.benchmarks import plain
from tests.benchmarks.processes import control, sandbox
from tests.benchmarks.tables import Row, Scale
from tests.benchmarks.timing import in_turn, milliseconds
from tests.operators.conftest import Run

from tfso_hypatos.clients.tfso_lists import PAGE_SIZE
from tfso_hypatos.operators.sales_order import CreateSalesOrderOperator, InvoiceSalesOrderOperator


def of_lines(count: int) -> str:
    """Return the name of a line of the table."""
    return f"{count} line{'s' * (count > 1)}"


def of_pages(count: int) -> str:
    """Return the name of a line of the table."""
    return f"1 line, {count} page{'s' * (count > 1)} of earlier orders of the customer"


LINES = (1, 10, 50)
PAGES = (1, 5, 20)
ROWS = (*map(of_lines, LINES), *map(of_pages, PAGES))
ROUNDS = {Scale.TINY: 1, Scale.QUICK: 2, Scale.FULL: 20}
REGULAR = 42
"""The customer who has earlier orders."""

KEYS = itertools.count(10_000)


def ours(customer: Callable[[], int], count: int) -> None:
    """Let our operators take an order to its invoice."""
    run = Run(run_id=f"run-{next(KEYS)}")
    # In a DAG: only there does the invoice task go on as the holder of the order, instead of taking it over.
    with DAG(run.dag_id, schedule=None):
        create = CreateSalesOrderOperator(
            task_id="create",
            order_key=f"web-{next(KEYS)}",
            order=plain.order(customer()),
            lines=plain.lines(count),
        )
        created = run.execute(create)
        run.execute(InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created))


class Peer:
    """The loop without a protocol, on one connection that is kept alive."""

    def __init__(self, url: str) -> None:
        self._root = f"{url}/tfso/v1"
        self._session = requests.Session()
        self._session.headers.update(plain.bearer(url))

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """Send one request."""
        answer = self._session.request(method, self._root + path, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def run(self, customer: Callable[[], int], count: int) -> None:
        """Take an order to its invoice."""
        plain.order_to_invoice(self.send, plain.order(customer()), plain.lines(count))

    def close(self) -> None:
        """Close its connection."""
        self._session.close()


def requests_for(url: str, call: Callable[[], None]) -> int:
    """Return how many requests something makes."""
    before = control(url, "GET", "requests")["total"]
    call()
    return int(control(url, "GET", "requests")["total"]) - int(before)


def compare(url: str, name: str, customer: Callable[[], int], count: int, most: int, rounds: int) -> Row:
    """Return one line.

    :param most: requests that ours may make.
    """
    peer, others = Peer(url), itertools.count(100_000)
    contestants = {"ours": lambda: ours(customer, count), "peer": lambda: peer.run(lambda: next(others), count)}
    times = in_turn({name: _times(call) for name, call in contestants.items()}, rounds=rounds, calls=1)
    numbers = {name: requests_for(url, call) for name, call in contestants.items()}
    peer.close()
    shown = {name: f"{numbers[name]} requests, {milliseconds(times[name].best)}" for name in contestants}
    ratio = times["ours"].best / times["peer"].best
    return Row(name, shown["ours"], f"`requests` {shown['peer']}", ratio, f"≤ {most} requests", numbers["ours"] <= most)


def _times(call: Callable[[], None]) -> Callable[[int], None]:
    def run(calls: int) -> None:
        for _ in range(calls):
            call()

    return run


def fill(url: str, count: int) -> None:
    """Give the regular customer earlier orders."""
    peer = Peer(url)
    for _ in range(count):
        peer.send("POST", "/salesorders", plain.order(REGULAR))
    peer.close()


def measure(scale: Scale) -> list[Row]:
    """Measure, and return the lines of the table."""
    rounds, rows = ROUNDS[scale], []
    new_customers = itertools.count(1000)
    with sandbox() as url:
        for count in LINES[:1] if scale == Scale.TINY else LINES:
            # A first order of its customer: one page in every list.
            most = count + 9
            rows.append(compare(url, of_lines(count), lambda: next(new_customers), count, most, rounds))
    for pages in PAGES[:1] if scale == Scale.TINY else PAGES:
        with sandbox() as url:
            # The pages that are measured hold the measured orders, too.
            fill(url, pages * PAGE_SIZE - rounds - 5)
            # Listed before the order is created, after, and before it is invoiced.
            most = 10 + 3 * (pages - 1)
            rows.append(compare(url, of_pages(pages), lambda: REGULAR, 1, most, rounds))
    return rows

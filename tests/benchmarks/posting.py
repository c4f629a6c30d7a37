"""A sandbox with invoiced orders, some of which are posted in the course of a hurried hour.

python tests/benchmarks/posting.py ORDERS     prints the address; then, for every line "SHARE SECONDS" that it is given,
spreads the posting of that share of the orders over these seconds, and prints all ids, and when which is posted, as
JSON; the others stay unposted
"""

from __future__ import annotations

import datetime
import json
import random
import sys
from functools import partial

from tfso_hypatos.sandbox.server import Sandbox
from tfso_hypatos.sandbox.settings import ORGANIZATION
from tfso_hypatos.sandbox.state import Order

HOUR = datetime.timedelta(hours=1)
NEVER = datetime.timedelta(days=1)


def fill(sandbox: Sandbox, count: int) -> list[Order]:
    """Put orders into the books that were invoiced an hour ago."""
    # Straight into the books, before anything is asked: thirty thousand requests would take longer than the benchmark.
    books = sandbox._service.tfso.books_of(ORGANIZATION)
    orders = [books.create({"customer": {"id": 42, "name": "Bjørn Ås Rørleggerservice AS"}}) for _ in range(count)]
    for order in orders:
        books.add_line(order, {"description": "Kaffe", "quantity": 1, "price": 8})
        books.invoice(order, NEVER.total_seconds())
        order.created = order.modified = order.modified - HOUR
    return orders


def spread(sandbox: Sandbox, orders: list[Order], share: float, seconds: float) -> dict[int, float]:
    """Let a share of the orders be posted, evenly over the seconds to come; return when each is, since the epoch."""
    begin = sandbox._service.clock.now()
    chosen = random.Random(1).sample(orders, round(share * len(orders)))
    moments = {}
    for order in orders:
        order.is_posted, order.modified = False, begin - HOUR
        order.invoices[-1].posted_at = begin + NEVER
    for number, order in enumerate(chosen):
        posted_at = begin + datetime.timedelta(seconds=(number + 0.5) / len(chosen) * seconds)
        order.invoices[-1].posted_at = posted_at
        moments[order.id] = posted_at.timestamp()
    return moments


def main(count: int) -> None:
    """Answer until the standard input ends."""
    sandbox = Sandbox()
    orders = fill(sandbox, count)
    with sandbox:
        sys.stdout.write(f"{sandbox.url}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            share, seconds = map(float, line.split())
            moments = sandbox._ask(partial(spread, sandbox, orders, share, seconds))
            sys.stdout.write(json.dumps([[order.id for order in orders], moments]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""The lines of the ledger: which ones, page after page.

Rests on https://rest-api.developer.24sevenoffice.com/doc/v1 (``GET /transactionlines``).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

from tfso_hypatos.clients.messages import Flow, Request, Response, ask
from tfso_hypatos.clients.tfso import read_each
from tfso_hypatos.clients.tfso_lists import next_link
from tfso_hypatos.exceptions import BadRequest, UnexpectedResponse
from tfso_hypatos.models.tfso_ledger import TransactionLine

PAGE_SIZE = 100
"""Lines asked for at once; the default is 50, clients are known to ask for 200."""

_DOING = "list transaction lines"


def walk_transaction_lines(
    date_from: datetime.date,
    date_to: datetime.date,
    visit: Callable[[Sequence[TransactionLine]], None],
    *,
    limit: int = PAGE_SIZE,
) -> Flow[None]:
    """Read every page of ledger lines.

    :param date_from: first day.
    :param date_to: the day after the last one: the API leaves it out.
    :param visit: given every page as it comes.
    :param limit: lines a page.
    :raises PermissionDenied: if the scope ``api.accounting.transaction:read`` is not granted.
    :raises UnexpectedResponse: if the pages lead in a circle.
    """
    days = {"dateFrom": date_from.isoformat(), "dateTo": date_to.isoformat()}
    response = yield from _first_page(days, limit)
    followed: set[str] = set()
    before: list[TransactionLine] = []
    page = 1
    while True:
        lines: list[TransactionLine] = read_each(TransactionLine, response.value, _DOING)
        if lines and lines == before:
            raise UnexpectedResponse("the pages of 24SevenOffice's list of transaction lines lead in a circle")
        visit(lines)
        link = next_link(response.headers)
        if link is not None and link in followed:
            raise UnexpectedResponse("the pages of 24SevenOffice's list of transaction lines lead in a circle")
        # A server that gives no links at all has pages all the same.
        if link is None and ("link" in response.headers or len(lines) < limit):
            return
        page, before = page + 1, lines
        if link is None:
            response = yield from ask(_page(days, limit, page))
        else:
            followed.add(link)
            response = yield from ask(_linked(link))


def _first_page(days: dict[str, str], limit: int) -> Flow[Response]:
    try:
        return (yield from ask(_page(days, limit, 1)))
    except BadRequest as refusal:
        # No maximum is documented: a server that has a lower one knows its own size of a page.
        if "limit" not in str(refusal).lower():
            raise
        return (yield from ask(Request("GET", "/transactionlines", _DOING, query=days)))


def _page(days: dict[str, str], limit: int, page: int) -> Request:
    return Request("GET", "/transactionlines", _DOING, query={**days, "limit": str(limit), "page": str(page)})


def _linked(link: str) -> Request:
    if link.startswith("?"):
        return Request("GET", f"/transactionlines{link}", _DOING)
    return Request("GET", link, _DOING, is_link=True)

"""24SevenOffice: sales orders, lines, attachments and lookups."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from tfso_hypatos.sandbox import contract, jsontext, lookups
from tfso_hypatos.sandbox.attachments import read_attachment
from tfso_hypatos.sandbox.contract import Operation
from tfso_hypatos.sandbox.invoicing import check_invoicing, no_lines
from tfso_hypatos.sandbox.limits import Limiter
from tfso_hypatos.sandbox.listing import TOKEN, Listing, StaleTokenError
from tfso_hypatos.sandbox.messages import JSON, Answer, Call, in_json
from tfso_hypatos.sandbox.refusals import Refusals
from tfso_hypatos.sandbox.rules import Violation
from tfso_hypatos.sandbox.settings import Settings
from tfso_hypatos.sandbox.state import Books, Clock, Order
from tfso_hypatos.sandbox.tokens import Tokens
from tfso_hypatos.sandbox.views import Views

_Values: TypeAlias = Mapping[str, Any]
_FINAL = frozenset({"Invoice"})
_SENT_WITH_INVOICING = frozenset({"status", "invoice", "internalMemo", "referenceNumber"})
_NEEDS_LINES = frozenset({"Invoice", "AdvanceInvoice"})
_OWN = frozenset({"id", "createdAt", "modifiedAt"})


class Tfso:
    """Answers requests to 24SevenOffice.

    :param settings: the sandbox's settings.
    :param tokens: every token given out.
    :param clock: the server's clock.
    """

    def __init__(self, settings: Settings, tokens: Tokens, clock: Clock) -> None:
        self.books: dict[str, Books] = {}
        self._settings = settings
        self._tokens = tokens
        self._clock = clock
        self._limiter = Limiter()
        self._refusals = Refusals(settings)
        self._views = Views(settings)
        self._contract = contract.load("24sevenoffice")
        self._handlers: dict[str, Callable[[Call, Operation, _Values, Any], Answer]] = {
            "createSalesOrder": self._create,
            "listSalesOrders": self._list,
            "getSalesOrder": self._read,
            "updateSalesOrder": self._update,
            "deleteSalesOrder": self._delete,
            "listSalesOrderLines": self._list_lines,
            "addSalesOrderLine": self._add_line,
            "getSalesOrderLine": self._read_line,
            "updateSalesOrderLine": self._update_line,
            "deleteSalesOrderLine": self._delete_line,
            "listSalesOrderAttachments": self._list_attachments,
            "addSalesOrderAttachment": self._attach,
            "listSalesTypes": lambda *_: in_json(200, lookups.SALES_TYPES),
            "getSalesType": self._sales_type,
            "listPaymentMethods": lambda *_: in_json(200, lookups.PAYMENT_METHODS),
            "getOrganization": lambda call, *_: in_json(200, lookups.organization(call.organization)),
            "listTransactionLines": self._transaction_lines,
        }

    def answer(self, call: Call) -> Answer:
        """Answer a request.

        :param call: the request.
        :raises RefusalError: the answer is an error.
        """
        if call.path == "/oauth/token":
            if call.method != "POST":
                raise self._refusals.generic(call, 405)
            return self._tokens.for_tfso(call)
        if not self._limiter.take(self._settings.tfso_rate, self._settings.tfso_window):
            wait = str(self._limiter.reset(self._settings.tfso_window))
            raise self._refusals.generic(call, 429, headers={"Retry-After": wait})
        token = self._tokens.bearer(call)
        if token is None:
            raise self._refusals.generic(call, 401)
        call.organization = token.organization
        operation = self._operation(call)
        values = self._values(call, operation)
        return self._handlers[operation.name](call, operation, values, self._body(call, operation))

    def books_of(self, organization: str) -> Books:
        """Return the books of an organization; new ones when it has none yet.

        :param organization: its id.
        """
        return self.books.setdefault(organization, Books(organization, self._clock))

    def _operation(self, call: Call) -> Operation:
        operation = self._contract.find(call.method, call.path)
        if operation is None:
            raise self._refusals.generic(call, 405 if self._contract.knows(call.path) else 404)
        is_refused = self._settings.delete_forbidden and call.method == "DELETE"
        if is_refused or any(scope in self._settings.missing_scopes for scope in operation.scopes):
            raise self._refusals.generic(call, 403)
        return operation

    def _values(self, call: Call, operation: Operation) -> _Values:
        in_path, wrong_path = operation.read_path(call.path)
        in_query, wrong_query = operation.read_query(call.query)
        ignored = self._settings.ignore_filters
        wrong = wrong_path + [each for each in wrong_query if each.path[0] not in ignored]
        wrong += [Violation((name,), "not supported", "") for name in self._settings.refuse_filters if name in in_query]
        if wrong:
            raise self._refusals.invalid(call, wrong)
        return {**in_query, **in_path}

    def _body(self, call: Call, operation: Operation) -> Any:
        if JSON not in operation.bodies:
            return None
        if call.content_type != JSON:
            raise self._refusals.generic(call, 415)
        try:
            value = jsontext.read(call.body)
        except ValueError as error:
            raise self._refusals.generic(call, 400, f"The body is not JSON: {error}") from error
        body = operation.bodies[JSON]
        check = body.strict if self._settings.strict_order_properties else body.check
        wrong = check(value)
        if wrong:
            raise self._refusals.invalid(call, wrong)
        known: Any = body.known_part(value)
        return {name: member for name, member in known.items() if name not in _OWN}

    def _order(self, call: Call, values: _Values) -> tuple[Books, Order]:
        books = self.books_of(call.organization)
        order = books.orders.get(values["id"])
        if order is None:
            raise self._refusals.generic(call, 404, f"Sales order {values['id']} not found")
        return books, order

    def _open_order(self, call: Call, values: _Values) -> tuple[Books, Order]:
        books, order = self._order(call, values)
        if order.status in _FINAL:
            raise self._refusals.generic(call, 409, f"Sales order {order.id} is already invoiced")
        return books, order

    def _line(self, call: Call, order: Order, values: _Values) -> int:
        number: int = values["lineId"]
        if number not in order.lines:
            raise self._refusals.generic(call, 404, f"Line {number} not found on sales order {order.id}")
        return number

    def _shown(self, order: Order) -> Answer:
        return in_json(200, self._views.order(order, self._clock.now()))

    def _note_posting(self, order: Order, now: datetime.datetime) -> None:
        """Let the posting of an invoice count as a change of its order, unless it is silent."""
        if order.is_posted or not order.invoices or not self._views.is_posted(order, order.invoices[-1], now):
            return
        order.is_posted = True
        posted_at = order.invoices[-1].posted_at
        if not self._settings.silent_posting and posted_at != order.modified:
            order.modified = posted_at if posted_at > order.modified else now

    def _check_customer(self, call: Call, body: _Values) -> None:
        known = self._settings.known_customers
        number = body.get("customer", {}).get("id")
        if known is not None and number is not None and number not in known:
            raise self._refusals.business(call, "CustomerNotFound", f"Customer {number} not found", ["customer.id"])

    def _create(self, call: Call, _operation: Operation, _values: _Values, body: Any) -> Answer:
        self._check_customer(call, body)
        if body.get("status") in _NEEDS_LINES:
            raise no_lines(self._refusals, call)
        return self._shown(self.books_of(call.organization).create(body, call.list_lag))

    def _list(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        try:
            listing = Listing(self._settings, values)
        except StaleTokenError as error:
            raise self._refusals.invalid(call, [Violation((TOKEN,), "format", "")]) from error
        now = self._clock.now()
        for order in self.books_of(call.organization).orders.values():
            self._note_posting(order, now)
        lag = max(self._settings.list_lag, call.list_lag)
        orders, following = listing.page(self.books_of(call.organization), now, lag)
        address = f"{call.root}/salesorders"
        links = [f'<{address}?{listing.first()}>; rel="first"']
        if following:
            links.append(f'<{address}?{following}>; rel="next"')
        shown = [self._views.order(order, now, whole=False) for order in orders]
        return in_json(200, shown, {"Link": ", ".join(links)})

    def _read(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        _, order = self._order(call, values)
        now = self._clock.now()
        self._note_posting(order, now)
        shown = self._views.order(order, now)
        order.reads += 1
        self._note_posting(order, now)
        if "application/hal+json" not in call.headers.get("accept", ""):
            return in_json(200, shown)
        whole = {**shown, "_embedded": {"lines": list(order.lines.values())}}
        return in_json(200, whole, {"Content-Type": "application/hal+json; charset=utf-8"})

    def _update(self, call: Call, _operation: Operation, values: _Values, body: Any) -> Answer:
        books, order = self._order(call, values)
        self._check_customer(call, body)
        if order.status in _FINAL:
            return self._update_invoiced(call, books, order, body)
        wanted = body.get("status")
        if wanted in _NEEDS_LINES:
            check_invoicing(self._refusals, self._settings, call, order, body)
        books.change(order, {name: value for name, value in body.items() if (name, value) != ("status", "Invoice")})
        if wanted == "Invoice":
            books.invoice(order, self._settings.transaction_delay)
        return self._shown(order)

    def _update_invoiced(self, call: Call, books: Books, order: Order, body: _Values) -> Answer:
        is_again = body.get("status") == "Invoice" and not body.keys() - _SENT_WITH_INVOICING
        if not is_again or self._settings.reinvoice == "conflict":
            raise self._refusals.generic(call, 409, f"Sales order {order.id} is already invoiced")
        if self._settings.reinvoice == "invoice_again":
            books.change(order, body)
            books.invoice(order, self._settings.transaction_delay)
        return self._shown(order)

    def _delete(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        books, order = self._open_order(call, values)
        books.delete(order)
        return Answer(204)

    def _list_lines(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        _, order = self._order(call, values)
        return in_json(200, list(order.lines.values()))

    def _add_line(self, call: Call, _operation: Operation, values: _Values, body: Any) -> Answer:
        books, order = self._open_order(call, values)
        return in_json(200, order.lines[books.add_line(order, body)])

    def _read_line(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        _, order = self._order(call, values)
        return in_json(200, order.lines[self._line(call, order, values)])

    def _update_line(self, call: Call, _operation: Operation, values: _Values, body: Any) -> Answer:
        books, order = self._open_order(call, values)
        number = self._line(call, order, values)
        books.change_line(order, number, body)
        return in_json(200, order.lines[number])

    def _delete_line(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        books, order = self._open_order(call, values)
        books.remove_line(order, self._line(call, order, values))
        return Answer(204)

    def _list_attachments(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        _, order = self._order(call, values)
        return in_json(200, [self._views.attachment(metadata) for metadata in order.attachments])

    def _attach(self, call: Call, operation: Operation, values: _Values, _body: Any) -> Answer:
        books, order = self._order(call, values)
        if order.status in _FINAL:
            raise self._refusals.generic(call, 403, f"Sales order {order.id} is already invoiced")
        if call.content_type not in operation.bodies:
            raise self._refusals.generic(call, 415)
        file = read_attachment(call)
        if file is None:
            raise self._refusals.generic(call, 400, "The request holds no file")
        if file.is_too_large:
            raise self._refusals.generic(call, 413)
        return in_json(201, self._views.attachment(books.attach(order, file.name, file.media_type, file.size)))

    def _sales_type(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        for sales_type in lookups.SALES_TYPES:
            if sales_type["id"] == values["id"]:
                return in_json(200, sales_type)
        raise self._refusals.generic(call, 404)

    def _transaction_lines(self, call: Call, _operation: Operation, values: _Values, _body: Any) -> Answer:
        missing = [Violation((name,), "required", "") for name in ("dateFrom", "dateTo") if name not in values]
        if missing:
            raise self._refusals.invalid(call, missing)
        books = self.books_of(call.organization)
        lines, pages = lookups.transaction_lines(books, self._views, self._clock.now(), values)
        links = (f'<{call.root}/transactionlines?{query}>; rel="{name}"' for name, query in pages)
        return in_json(200, lines, {"Link": ", ".join(links)})

"""What can go wrong, as one tree.

The root is :class:`Exception`, not ``AirflowException``: Airflow skips a sensor under ``soft_fail`` for some of its
own exceptions, and only a time-out may do that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


def _revive(
    kind: type[TfsoHypatosError], arguments: tuple[object, ...], attributes: dict[str, object]
) -> TfsoHypatosError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


class TfsoHypatosError(Exception):
    """Root of every error this provider raises.

    ``permanent``: the same try would fail again, so a task that meets it ends at once.
    ``ambiguous``: the request may have been carried out although no readable answer came.
    ``retry_after``: seconds the server, or the budget of requests, asks to wait, or None.
    """

    permanent: bool = False
    ambiguous: bool = False
    retry_after: float | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Without this, a process that is handed an error would call its constructor with the text alone.
        return _revive, (type(self), self.args, self.__dict__)


class ConfigurationError(TfsoHypatosError):
    """The Airflow connection or an argument cannot work as it is."""

    permanent = True


class Problem(NamedTuple):
    """One thing that is wrong with an input: where it stands, and the rule it breaks."""

    place: str
    rule: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}"


class InvalidInput(TfsoHypatosError):
    """A value given by the caller breaks a rule of the API; nothing was sent.

    :param problems: every broken rule, with the place of the value (``order.deliveryCustomer.postalCode``).
    """

    permanent = True

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)) + " (nothing was sent)")


class ConnectionFailed(TfsoHypatosError):
    """No connection to the server came about, so the request was never sent."""


class TokenUnavailable(TfsoHypatosError):
    """No access token could be fetched for now, so the request it was for was never sent."""


class Delay(NamedTuple):
    """A wait of a flow for the budget of requests of this process.

    :param until: moment at which it ended, or would have.
    :param seconds: how long it was.
    :param reason: what it was for, with the setting.
    :param used_up: whether an allowance was used up, which takes long; else requests only keep a distance.
    """

    until: float
    seconds: float
    reason: str
    used_up: bool


class NotSent(TfsoHypatosError):
    """The request was held back because what it rested on had grown too old; look again.

    ``not_after``: the moment from which it was too old. ``delays``: the flow's last waits for the budget of requests.
    """

    not_after: float = 0.0
    delays: Sequence[Delay] = ()


class Stopped(TfsoHypatosError):
    """The task was asked to stop before its next change; nothing more was sent."""


class TooManyOrders(TfsoHypatosError):
    """More sales orders are there than a task may hand on; none is left out silently."""

    permanent = True


class InvoicingStopped(TfsoHypatosError):
    """A person stopped invoicing; nothing more was sent. They clear the task when it may go on."""

    permanent = True


class StopSwitchUnreadable(InvoicingStopped):
    """It could not be found out whether a person has stopped invoicing, so nothing more was sent."""

    permanent = False


class NoAnswer(TfsoHypatosError):
    """The request was sent and no readable answer came back: it may have been carried out."""

    ambiguous = True


class TimedOut(NoAnswer):
    """The server did not answer in time: the request may have been carried out."""


class UnexpectedResponse(NoAnswer):
    """The server answered something that is not an answer to this request."""


class ApiError(TfsoHypatosError):
    """The API refused a request.

    :param message: one sentence: what was tried, on which id, what the vendor answered.
    :param status: HTTP status code.
    :param problems: the vendor's field paths and rules, if it named any.
    :param error_types: the vendor's own names of the error (``NoLines``).
    :param tracking_id: 24SevenOffice's ``trackingId``.
    :param trace_id: the ``X-Trace-Id`` header.
    :param retry_after: seconds the server asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        problems: Sequence[Problem] = (),
        error_types: Sequence[str] = (),
        tracking_id: str | None = None,
        trace_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problems = tuple(problems)
        self.error_types = tuple(error_types)
        self.tracking_id = tracking_id
        self.trace_id = trace_id
        self.retry_after = retry_after


class BadRequest(ApiError):
    """The request breaks a rule of the API or of the organization (HTTP 400, 415, 422 and other 4xx)."""

    permanent = True


class AuthenticationFailed(ApiError):
    """The credentials or the token were refused (HTTP 401, or any refusal by the token URL)."""

    permanent = True


class PermissionDenied(ApiError):
    """The token lacks a scope, or the organization has not approved it (HTTP 403)."""

    permanent = True


class NotFound(ApiError):
    """There is no such record (HTTP 404)."""

    permanent = True


class Conflict(ApiError):
    """The record's state forbids the change, for example because it is invoiced (HTTP 409)."""

    permanent = True


class RateLimited(ApiError):
    """Too many requests (HTTP 429), or not sent because they would be; ``retry_after`` says how long to wait."""


class ServerError(ApiError):
    """The server failed (HTTP 5xx); it may have carried the request out before it did."""

    ambiguous = True


class OutcomeUncertain(TfsoHypatosError):
    """Whether a change took effect, or what a status means, could not be found out. The next try looks first."""


class InvoicingUnconfirmed(OutcomeUncertain):
    """24SevenOffice accepted to invoice an order and does not show it as invoiced; a retry could invoice it again."""

    permanent = True


class OrderBusy(TfsoHypatosError):
    """Another run is at work on the same business order, or the server is too slow. The next try looks first."""


class OrderDrift(TfsoHypatosError):
    """24SevenOffice holds something else than this task was asked for; a person has to decide.

    :param message: which order, what differs, what to do next.
    :param differences: each difference with its place.
    """

    permanent = True

    def __init__(self, message: str, differences: Sequence[str] = ()) -> None:
        self.differences = tuple(differences)
        super().__init__(message)


class ApprovalOutdated(TfsoHypatosError):
    """Airflow shows people the request of an earlier try, which differs from what is to be approved now."""

    permanent = True


class Failure(NamedTuple):
    """One order of a batch that failed: which one, and how."""

    order: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.order}: {self.kind}: {self.message}"


class BatchFailed(TfsoHypatosError):
    """Some orders of a batch failed or were not tried; the others are done.

    Permanent only if every order was tried and would fail again.

    :param message: how many are done and how many are not.
    :param failures: the first of those that failed.
    :param counts: how many failed with which error.
    :param permanent: whether a retry would fail again.
    :param retry_after: the longest wait that the server asked for.
    """

    def __init__(
        self,
        message: str,
        failures: Sequence[Failure],
        counts: Mapping[str, int],
        *,
        permanent: bool = False,
        retry_after: float | None = None,
    ) -> None:
        self.failures = tuple(failures)
        self.counts = dict(counts)
        self.permanent = permanent
        self.retry_after = retry_after
        more = sum(self.counts.values()) - len(self.failures)
        listed = [str(failure) for failure in self.failures] + ([f"and {more} more, see the log"] if more > 0 else [])
        by_kind = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.counts.items()))
        super().__init__(f"{message} ({by_kind}). {' | '.join(listed)}")


class PreviewIncomplete(BatchFailed):
    """Some orders of a dry run could not be looked at; nothing was changed."""


class OrdersLeftOut(TfsoHypatosError):
    """Orders of an earlier task failed, and the tasks after it went on without them; a person has to decide."""

    permanent = True


class TransactionNeverPosted(TfsoHypatosError):
    """The order was set inactive or deleted, so its invoice transaction will never come."""

    permanent = True


class EventError(TfsoHypatosError):
    """A trigger sent an event that the task does not understand, or reported an error."""

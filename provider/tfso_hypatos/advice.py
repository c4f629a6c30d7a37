"""What to do about an error: one table for the log of a failed task and for messages to people."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from tfso_hypatos import exceptions
from tfso_hypatos.exceptions import BatchFailed, OutcomeUncertain, TfsoHypatosError

WIDTH = 110
"""Characters of a line in the log: Airflow's page cuts off what is longer, until its reader finds the switch."""


class Advice(NamedTuple):
    """What is behind an error; the error's own text says more.

    :param happened: what happened.
    :param certain: what is certain about the order.
    :param next: what to do next.
    """

    happened: str
    certain: str
    next: str


_NOTHING_SENT = "Nothing was sent because of it, so the order is as it was."
_MAY_BE_DONE = "A change may have taken effect; the next try finds that out before it does anything."
_WAIT = "Nothing while the task has retries left. After the last one: clear the task when the service is well again."
_CLEAR = "then clear the task."

ADVICE: Mapping[type[TfsoHypatosError], Advice] = {
    TfsoHypatosError: Advice("Something failed.", _MAY_BE_DONE, "Read the error, then clear the task."),
    exceptions.ConfigurationError: Advice(
        "The connection or an argument cannot work as it is.",
        _NOTHING_SENT,
        f"Correct what the error names, {_CLEAR}",
    ),
    exceptions.InvalidInput: Advice(
        "A value breaks a rule of the API.", _NOTHING_SENT, f"Correct the value that the error names, {_CLEAR}"
    ),
    exceptions.ConnectionFailed: Advice("The service could not be reached.", "That request was never sent.", _WAIT),
    exceptions.TokenUnavailable: Advice("No access token could be fetched.", "That request was never sent.", _WAIT),
    exceptions.NotSent: Advice(
        "A change came too late after the look that it rested on.", "The change was not sent.", _WAIT
    ),
    exceptions.Stopped: Advice(
        "The task was stopped before its next change.",
        "Changes sent before may have taken effect; the next try looks first.",
        "Clear the task if the order is still wanted.",
    ),
    exceptions.TooManyOrders: Advice(
        "The filters let through more orders than the task may hand on.",
        "None was handed on, and nothing is billed.",
        f"Narrow the filters, or raise the limit, {_CLEAR}",
    ),
    exceptions.InvoicingStopped: Advice(
        "A person has stopped invoicing.",
        "No further order is billed; the error says how many are.",
        "Ask who set the stop variable, and why. When invoicing may go on, set it back, then clear the task.",
    ),
    exceptions.StopSwitchUnreadable: Advice(
        "It could not be found out whether a person has stopped invoicing.",
        "No further order is billed; the error says how many are.",
        "Nothing while the task has retries left. After the last one: see that Airflow can read the Variable, then "
        "clear the task.",
    ),
    exceptions.NoAnswer: Advice("A request got no readable answer.", _MAY_BE_DONE, _WAIT),
    exceptions.TimedOut: Advice("The service did not answer in time.", _MAY_BE_DONE, _WAIT),
    exceptions.UnexpectedResponse: Advice(
        "The service answered something that is no answer to the request.",
        _MAY_BE_DONE,
        "Check the API URL of the connection if it happens again; else nothing while the task has retries left.",
    ),
    exceptions.ApiError: Advice(
        "The API refused a request.", "The refused request changed nothing.", f"Do as the refusal says, {_CLEAR}"
    ),
    exceptions.BadRequest: Advice(
        "The request breaks a rule of the API or of the organization.",
        "The refused request changed nothing; what was done before it is kept.",
        f"Correct what the refusal names, {_CLEAR} It goes on with the order that is there.",
    ),
    exceptions.AuthenticationFailed: Advice(
        "The credentials were refused.",
        "The refused request changed nothing.",
        f"Check client id, secret and organization of the connection, {_CLEAR}",
    ),
    exceptions.PermissionDenied: Advice(
        "A scope is missing, or the organization has not accepted it.",
        "The refused request changed nothing.",
        f"Have the scope accepted for the application, {_CLEAR}",
    ),
    exceptions.NotFound: Advice(
        "There is no such record.",
        "The request changed nothing.",
        f"Check whether it was deleted, or is in another organization or company, {_CLEAR}",
    ),
    exceptions.Conflict: Advice(
        "The record's state forbids the change.",
        "The refused request changed nothing.",
        f"Look at the record, decide what is wanted, {_CLEAR}",
    ),
    exceptions.RateLimited: Advice("Too many requests.", "That request was not carried out.", _WAIT),
    exceptions.ServerError: Advice("The service failed.", _MAY_BE_DONE, _WAIT),
    OutcomeUncertain: Advice(
        "It could not be found out whether a change took effect.",
        "Nothing is sent a second time without a fresh look.",
        "Nothing while the task has retries left. After the last one: look at the order in 24SevenOffice, then clear "
        "the task; it looks first.",
    ),
    exceptions.InvoicingUnconfirmed: Advice(
        "24SevenOffice accepted to invoice the order and does not show it as invoiced.",
        "Nobody invoices it again as long as its marker ends with '!'.",
        "Do not invoice it by hand. When the order shows its invoice, clear the task. If it never does, ask "
        "24SevenOffice, with the trace id; only if they say that it was not invoiced, remove the "
        "'!', then clear the task.",
    ),
    exceptions.OrderBusy: Advice(
        "Another run is at work on the same business order, or the service is too slow.",
        "This try gave way; the other one may have changed the order.",
        _WAIT,
    ),
    exceptions.OrderDrift: Advice(
        "24SevenOffice holds something else than the task was asked for.",
        "This try changes nothing any more; the error says whether the order is billed.",
        f"Decide which of the two is right, undo the edit or change what the task is given, {_CLEAR}",
    ),
    exceptions.ApprovalOutdated: Advice(
        "What is to be approved has changed since the task first asked.",
        "Nobody is asked with an old bill, and nothing is billed.",
        "Trigger the DAG anew with the same order key: it takes over what is there, and asks anew.",
    ),
    BatchFailed: Advice(
        "Some orders of the batch failed or were not tried.",
        "The others are done, and are not done again.",
        "Do about each failed order what its own error says (they stand in the log), then clear the task.",
    ),
    exceptions.PreviewIncomplete: Advice(
        "Some orders of a dry run could not be looked at.",
        "It was a dry run: nothing was changed, and nothing is billed.",
        "Do about each of them what its own error says (they stand in the log), then clear the task: it looks at all "
        "of them again.",
    ),
    exceptions.OrdersLeftOut: Advice(
        "Orders of an earlier task failed, and the tasks after it went on without them.",
        "The other orders are done. The log of that task says what is certain about each failed order.",
        "Do about each failed order what its own error says, then clear that earlier task with those after it: it does "
        "what is left. If an order is not to be done in this run, mark this task as success.",
    ),
    exceptions.TransactionNeverPosted: Advice(
        "The order was set inactive or deleted while its invoice was waited for.",
        "Its invoice transaction will not come.",
        "Find out in 24SevenOffice who did it and whether the order was billed; then decide.",
    ),
    exceptions.EventError: Advice(
        "The triggerer reported an error, or something that the task does not understand.",
        "Waiting only reads: nothing was changed.",
        "Read the error and the triggerer's log, then clear the task; it waits again.",
    ),
}


def advice_for(error: BaseException) -> Advice:
    """Return what to do about an error; of its own class, or of the nearest one above it."""
    for kind in type(error).__mro__:
        if kind in ADVICE:
            return ADVICE[kind]
    return ADVICE[TfsoHypatosError]


def farewell(error: BaseException) -> str:
    """Return what ends the log of a failed task: the error and what to do about it, in lines that fit on a screen."""
    advice = advice_for(error)
    parts = (
        f"What happened: {advice.happened} ({type(error).__name__})",
        *(f"  {line}" for line in str(error).splitlines()),
        f"What is certain: {advice.certain}",
        f"What to do next: {advice.next}",
    )
    return "\n".join(line for part in parts for line in _wrapped(part))


def _wrapped(text: str) -> list[str]:
    # An address that is cut in two leads nowhere, so a long word has a line of its own.
    return textwrap.wrap(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


def needs_person(error: TfsoHypatosError) -> bool:
    """Say whether an error that ended a task is one for a person, and not one that passes."""
    if isinstance(error, BatchFailed):
        return error.permanent or any(_kind_needs_person(name) for name in error.counts)
    return error.permanent or isinstance(error, OutcomeUncertain)


def _kind_needs_person(name: str) -> bool:
    kind = getattr(exceptions, name, None)
    if not (isinstance(kind, type) and issubclass(kind, TfsoHypatosError)):
        # An error that nobody thought of.
        return True
    return kind.permanent or issubclass(kind, OutcomeUncertain)

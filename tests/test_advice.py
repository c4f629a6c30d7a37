"""What a failed task says last: for every error, in lines that fit on a screen."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from tfso_hypatos import exceptions
from tfso_hypatos.advice import ADVICE, WIDTH, advice_for, farewell, needs_person
from tfso_hypatos.exceptions import BatchFailed, Failure, InvalidInput, OrderDrift, Problem, TfsoHypatosError
from tfso_hypatos.operators import retry
from tfso_hypatos.operators.retry import ending_at_once

ERRORS = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, TfsoHypatosError) and kind.__module__ == exceptions.__name__
]
FOR_PEOPLE = {
    *("ConfigurationError", "InvalidInput", "BadRequest", "AuthenticationFailed", "PermissionDenied", "NotFound"),
    *("Conflict", "OutcomeUncertain", "InvoicingUnconfirmed", "OrderDrift", "TransactionNeverPosted"),
    *("ApprovalOutdated", "InvoicingStopped", "TooManyOrders", "OrdersLeftOut"),
}


def made(kind: type[TfsoHypatosError]) -> TfsoHypatosError:
    arguments: dict[type[TfsoHypatosError], Any] = {
        InvalidInput: ([Problem("order.date", "a date is needed")],),
    }
    if issubclass(kind, BatchFailed):
        return kind("2 of 3 orders failed", [Failure("web-1", "OrderDrift", "differs")], {"OrderDrift": 2})
    if issubclass(kind, exceptions.ApiError):
        return kind("the vendor's own words", status=400)
    return kind(*arguments.get(kind, ("the vendor's own words",)))


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_an_advice_of_its_own(kind: type[TfsoHypatosError]) -> None:
    assert kind in ADVICE
    assert all(text.strip() == text and text.endswith(".") and len(text) > 10 for text in ADVICE[kind])


@pytest.mark.parametrize("kind", ERRORS)
def test_the_farewell_has_the_error_and_what_to_do_about_it(kind: type[TfsoHypatosError]) -> None:
    error = made(kind)
    lines = farewell(error).splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [
        "What happened",
        "What is certain",
        "What to do next",
    ]
    for text in (*ADVICE[kind], f"({kind.__name__})", str(error)):
        assert " ".join(text.split()) in " ".join(farewell(error).split())


@pytest.mark.parametrize("kind", ERRORS)
def test_no_line_of_the_farewell_is_cut_off_by_the_page(kind: type[TfsoHypatosError]) -> None:
    assert max(map(len, farewell(made(kind)).splitlines())) <= WIDTH


def test_long_errors_are_broken_between_words_and_addresses_are_left_whole() -> None:
    address = "https://api.example/" + "a" * WIDTH
    lines = farewell(OrderDrift("quantity differs; " * 20 + address)).splitlines()
    assert f"  {address}" in lines
    assert max(len(line) for line in lines if address not in line) <= WIDTH


def test_the_lines_of_an_error_stay_lines() -> None:
    lines = farewell(OrderDrift("order 1 differs\norder 2 differs")).splitlines()
    assert lines[1:3] == ["  order 1 differs", "  order 2 differs"]


def test_an_error_that_was_made_later_has_the_advice_of_the_one_above_it() -> None:
    class Novelty(OrderDrift):
        """A new one."""

    assert advice_for(Novelty("x")) == ADVICE[OrderDrift]
    assert advice_for(ValueError("x")) == ADVICE[TfsoHypatosError]


@pytest.mark.parametrize("kind", [each for each in ERRORS if not issubclass(each, BatchFailed)])
def test_permanent_and_unclear_errors_are_for_people(kind: type[TfsoHypatosError]) -> None:
    assert needs_person(made(kind)) == (kind.__name__ in FOR_PEOPLE)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"ServerError": 3}, False),
        ({"ServerError": 3, "OrderDrift": 1}, True),
        ({"OutcomeUncertain": 1}, True),
        ({"KeyError": 1}, True),
        ({"Problem": 1}, True),
    ],
)
def test_a_batch_is_for_people_if_one_of_its_orders_is(counts: dict[str, int], expected: bool) -> None:
    assert needs_person(BatchFailed("some failed", [], counts)) == expected
    assert needs_person(BatchFailed("some failed", [], counts, permanent=True))


@pytest.mark.parametrize("kind", ERRORS)
def test_the_log_of_a_failed_task_ends_with_the_advice(
    kind: type[TfsoHypatosError], caplog: pytest.LogCaptureFixture
) -> None:
    error = made(kind)
    with pytest.raises(kind), ending_at_once():
        raise error
    (record,) = caplog.records
    assert record.getMessage() == f"The task failed.\n{farewell(error)}"
    assert record.levelno == logging.ERROR


def test_the_advice_stands_there_without_retry_policies_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "HAS_RETRY_POLICIES", False)
    with pytest.raises(AirflowFailException), ending_at_once():
        raise OrderDrift("differs")
    assert [record.getMessage() for record in caplog.records] == [
        f"The task failed.\n{farewell(OrderDrift('differs'))}"
    ]


def test_errors_of_others_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="x"), ending_at_once():
        raise ValueError("x")
    assert caplog.records == []


def test_the_table_has_no_error_that_does_not_exist() -> None:
    assert ADVICE.keys() == set(ERRORS)

"""The business orders that the source knows of, from a list or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfso_hypatos.clients.messages import decode
from tfso_hypatos.exceptions import ConfigurationError, InvalidInput, Problem
from tfso_hypatos.flows.expected import Expected, expected_of
from tfso_hypatos.operators.arguments import given
from tfso_hypatos.operators.batch.items import MOST_PROBLEMS
from tfso_hypatos.operators.batch.sources import source_of
from tfso_hypatos.reports.store import Store


def keep_expected(expected: Any, path: Any, organization: str, store: Store) -> list[str]:
    """Check and keep every business order that the source knows of.

    :param expected: a list, its JSON text, or what a batch returned.
    :param path: a file or a folder.
    :param organization: organization id.
    :param store: where they are kept.
    :return: what a reader of the report should know.
    :raises ConfigurationError: if both are given.
    :raises InvalidInput: naming item and rule of everything that is wrong, up to a limit.
    """
    if given(expected) and given(path):
        raise ConfigurationError("either expected or expected_path is needed, and not both")
    problems: list[Problem] = []
    repeats = 0
    for entry in source_of(expected if given(expected) else None, path if given(path) else None):
        try:
            one = _read(entry.given, organization)
        except InvalidInput as error:
            problems += [Problem(f"{entry.place}: {place}", rule) for place, rule in error.problems]
            if len(problems) >= MOST_PROBLEMS:
                break
            continue
        repeats += not store.add_expected(one)
    if problems:
        raise InvalidInput(problems[:MOST_PROBLEMS])
    return (
        [f"Items of the source left out, for they repeat the order key of another one: {repeats}."] if repeats else []
    )


def _read(item: Any, organization: str) -> Expected:
    if isinstance(item, str) and item.lstrip().startswith(("{", '"', "[")):
        try:
            item = decode(item)
        except ValueError:
            raise InvalidInput([Problem("text", "is not JSON")]) from None
    if isinstance(item, Sequence) and not isinstance(item, str):
        # As a key, a whole list of orders with their names would stand in the report.
        raise InvalidInput([Problem("text", "is a list: one item in each line is needed")])
    return expected_of(item, organization)

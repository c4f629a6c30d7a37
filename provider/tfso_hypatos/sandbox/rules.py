"""JSON Schema (Draft 2020-12) on values whose numbers are Decimals, with the path of every broken rule."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal
from typing import Any, NamedTuple, TypeAlias

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_WIDE = Context(prec=120)


class Violation(NamedTuple):
    """One broken rule: where, which keyword of the schema, and in words."""

    path: tuple[str | int, ...]
    keyword: str
    message: str


Check: TypeAlias = Callable[[Any], list[Violation]]


def check_for(schema: Mapping[str, Any]) -> Check:
    """Return a function that lists what breaks a schema.

    :param schema: a plain schema.
    """
    validator = _Validator(schema, format_checker=_FORMATS)

    def check(value: Any) -> list[Violation]:
        return [found for error in validator.iter_errors(value) for found in _violations(error)]

    return check


def _violations(error: ValidationError) -> Iterator[Violation]:
    branch = _meant_branch(error)
    if branch:
        for part in branch:
            yield from _violations(part)
        return
    # Decimal('1.50') in a message would tell the client of Python.
    message = re.sub(r"Decimal\('([^']*)'\)", r"\1", error.message)
    yield Violation(tuple(error.absolute_path), str(error.validator), message)


def _meant_branch(error: ValidationError) -> list[ValidationError]:
    """Return the errors of the one alternative the client evidently meant, or nothing."""
    branches: dict[Any, list[ValidationError]] = {}
    for part in error.context or ():
        branches.setdefault(part.relative_schema_path[0], []).append(part)
    meant = [parts for parts in branches.values() if not any(_is_other_kind(part) for part in parts)]
    return meant[0] if len(meant) == 1 else []


def _is_other_kind(error: ValidationError) -> bool:
    is_whole = not error.relative_path
    return error.validator == "const" or (is_whole and error.validator in {"type", "maxProperties"})


def _is_number(_checker: object, value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_integer(_checker: object, value: object) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def _required(_validator: Any, names: list[str], value: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for name in names:
            if name not in value:
                yield ValidationError(f"{name!r} is a required property", path=(name,))


def _additional(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    for name in value:
        if name in known:
            continue
        if rule is False:
            yield ValidationError(f"{name!r} is not allowed", path=(name,))
        elif isinstance(rule, dict):
            yield from validator.descend(value[name], rule, path=name)


def _multiple_of(_validator: Any, step: Any, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if _is_number(None, value) and _WIDE.remainder(Decimal(str(value)), Decimal(str(step))):
        yield ValidationError(f"{value} is not a multiple of {step}")


_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return bool(_DATE.match(value) and datetime.date.fromisoformat(value))


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return bool(_DATE_TIME.match(value) and datetime.datetime.fromisoformat(value))


@_FORMATS.checks("email")
def _is_email(value: object) -> bool:
    return not isinstance(value, str) or bool(_EMAIL.match(value))


@_FORMATS.checks("guid", raises=ValueError)
def _is_guid(value: object) -> bool:
    return not isinstance(value, str) or bool(uuid.UUID(value))


@_FORMATS.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int | Decimal) or -(2**31) <= value < 2**31


# The stubs leave the function untyped.
_extend: Any = extend
_Validator: Any = _extend(
    Draft202012Validator,
    {"required": _required, "additionalProperties": _additional, "multipleOf": _multiple_of},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"number": _is_number, "integer": _is_integer}),
)

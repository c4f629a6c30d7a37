"""The two kinds of model: strict for what is sent, lenient for what is read; and the types they share."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from tfso_hypatos.exceptions import InvalidInput, Problem, UnexpectedResponse
from tfso_hypatos.models.sendable import TOO_LONG, is_long, refuse_unsendable

FLOAT_DIGITS = 15
"""A double holds every decimal of up to 15 significant digits; beyond, its shortest text may be another number."""

WHOLE_DIGITS = 18
"""Digits of the largest whole number taken: every one of them fits into 64 bits."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


class Model(BaseModel):
    """What both kinds share: the vendors' camelCase names, Python names accepted too, no values in error texts."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, hide_input_in_errors=True, ser_json_inf_nan="null"
    )

    def to_wire(self) -> dict[str, Any]:
        """Return what the caller gave, and nothing else, under the vendor's names."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Sent(Model):
    """Something that is sent: an unknown field or a broken limit is refused before it travels."""

    model_config = ConfigDict(extra="forbid")


class Read(Model):
    """Something that is read: unknown fields are kept, unknown words accepted."""

    model_config = ConfigDict(extra="allow")


SentT = TypeVar("SentT", bound=Sent)
ReadT = TypeVar("ReadT", bound=Read)
T = TypeVar("T")


def _to_text(value: object) -> object:
    # A postal code in run conf or a natively rendered template arrives as a number.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _to_amount(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise PydanticCustomError("amount", "a number is needed")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if isinstance(value, str) and not _NUMBER.fullmatch(text):
        raise PydanticCustomError("amount", 'a number is needed, with "." before the decimals and no grouping')
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise PydanticCustomError("amount", "a number is needed") from None
    if not amount.is_finite():
        raise PydanticCustomError("amount", "a finite number is needed, not NaN or infinity")
    if is_long(amount):
        raise PydanticCustomError("amount", TOO_LONG)
    if isinstance(value, float) and len(amount.normalize().as_tuple().digits) > FLOAT_DIGITS:
        raise PydanticCustomError(
            "amount",
            "a floating-point number of more than {digits} significant digits may not be the one meant: "
            "give it as text",
            {"digits": FLOAT_DIGITS},
        )
    return amount


def _refuse_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("null", "null is not allowed; leave the field out")
    return value


def _to_whole(value: object) -> int:
    # Rendered templates are text, run conf may hold 7.0 for 7; True is no id although Python calls it an int.
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
        return int(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        digits = FLOAT_DIGITS if isinstance(value, float) else WHOLE_DIGITS
        if number.is_finite() and number.adjusted() < digits and number == number.to_integral_value():
            return int(number)
    raise PydanticCustomError("whole", "a whole number is needed")


def _to_day(value: object) -> datetime.date:
    # Left alone, pydantic would take 20260101 as seconds since 1970.
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value.strip()):
        try:
            return datetime.date.fromisoformat(value.strip())
        except ValueError:
            raise PydanticCustomError("day", "there is no such day") from None
    if isinstance(value, datetime.datetime):
        # A point in time is another day in another zone; only a bare midnight is a day in disguise.
        if value.tzinfo is None and value.time() == datetime.time.min:
            return value.date()
    elif isinstance(value, datetime.date):
        return value
    raise PydanticCustomError("day", "a date without a time is needed, as YYYY-MM-DD")


def _or_none(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    # A record that cannot be read cannot be recognized either, and would be created a second time.
    try:
        return handler(value)
    except ValidationError:
        return None


def _to_loose_day(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, str):
        day = re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?=$|[T ])", value.strip())
        return day.group() if day else None
    return value if isinstance(value, datetime.date) else None


def _to_street(value: object) -> object:
    # A list that holds anything but text stays a list, so that it is refused instead of sent as Python's own notation.
    if isinstance(value, list | tuple) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return value


def _to_moment(value: object) -> object:
    # Samples of the API have a blank where ISO 8601 has a T.
    return value.strip().replace(" ", "T", 1) if isinstance(value, str) else value


def _to_aware(value: datetime.datetime) -> datetime.datetime:
    # The documented times end in Z; a naive one could not be compared with them.
    return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)


Text = Annotated[str, BeforeValidator(_to_text)]
"""Text; a whole number is taken as its digits."""

Street = Annotated[str, BeforeValidator(_to_street), BeforeValidator(_to_text)]
"""A street; a list of lines is joined by line feeds."""

Amount = Annotated[Decimal, BeforeValidator(_to_amount)]
"""Money or a quantity, exact from JSON text to JSON text."""

Given = Annotated[T | None, BeforeValidator(_refuse_null)]
"""A member that may be left out, and is never null."""

Whole = Annotated[int, BeforeValidator(_to_whole)]
"""A whole number, such as an id; its digits as text are taken too."""

Day = Annotated[datetime.date, BeforeValidator(_to_day)]
"""A business date: a date or its ISO form, never a point in time."""

Maybe = Annotated[T | None, WrapValidator(_or_none)]
"""A member that nothing depends on: None when missing, null or malformed."""

LooseDay = Annotated[datetime.date, BeforeValidator(_to_loose_day)]
"""A date; of a date-time the date as written."""

Moment = Annotated[datetime.datetime, BeforeValidator(_to_moment), AfterValidator(_to_aware)]
"""A point in time, with a blank or a T between date and time; without a zone it is UTC."""


def amount(value: object, place: str) -> Decimal:
    """Return an argument as an exact amount.

    :param value: a number, or text as it comes out of a template.
    :param place: what the caller calls it.
    :raises InvalidInput: if it is no finite number, or a floating-point number of too many digits.
    """
    try:
        return _to_amount(value)
    except PydanticCustomError as error:
        raise InvalidInput([Problem(place, error.message())]) from None


def plain_number(value: int | Decimal) -> str:
    """Return a number's shortest plain text, so that equal numbers have equal texts: 1.50, 1.5 and 15E-1.

    :param value: the number, of no more digits than can be sent.
    """
    text = format(Decimal(value), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def validate(model: type[SentT], data: object, place: str) -> SentT:
    """Return the input as a model.

    :param model: the model.
    :param data: the caller's value: a mapping under the vendor's or the Python names, or the model itself.
    :param place: what the caller calls it ("order", "lines[0]"), the beginning of every place in an error.
    :raises InvalidInput: if a rule is broken; names every place and rule, and no value.
    """
    if isinstance(data, model):
        return data
    if not isinstance(data, Mapping):
        raise InvalidInput([Problem(place, f"an object with named fields is needed, not {type(data).__name__}")])
    refuse_unsendable(data, place)
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidInput(problems(error, place)) from None


def read(model: type[ReadT], data: object, what: str) -> ReadT:
    """Return an answer of the API as a model.

    :param model: the model.
    :param data: the decoded body.
    :param what: what was asked for, in a person's words.
    :raises UnexpectedResponse: if the answer has another shape; names the fields and no value.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        rules = "; ".join(map(str, problems(error, what)))
        raise UnexpectedResponse(f"an answer of another shape than documented: {rules}") from None


def problems(error: ValidationError, place: str) -> list[Problem]:
    """Return what a validation found as places and rules, without any value of the input."""
    found = error.errors(include_url=False, include_context=True, include_input=False)
    return [Problem(_place(place, detail["loc"]), _rule(detail)) for detail in found]


def _place(place: str, steps: tuple[int | str, ...]) -> str:
    for step in steps:
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
    return place


def _rule(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a field that can be sent"
        # pydantic calls a limit on a type with a validator of its own too_long, and its bearer a Value.
        case "string_too_long" | "too_long" if context.get("field_type", "Value") == "Value":
            return f"at most {context['max_length']} characters"
        case "string_too_short" | "too_short" if context.get("field_type", "Value") == "Value":
            return f"at least {context['min_length']} characters"
        case "string_type":
            return "text is needed"
        case _:
            return detail["msg"][:1].lower() + detail["msg"][1:]

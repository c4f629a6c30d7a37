"""Which sales orders a caller wants listed."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tfso_hypatos.models.base import Day, Given, Sent, Whole


def _to_zoned(value: object) -> object:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        raise PydanticCustomError("zoned", "a date and time with a time zone is needed (2026-11-20T06:00:00+01:00)")
    return value


Zoned = Annotated[datetime.datetime, BeforeValidator(_to_zoned)]
"""A point in time, whose zone is said."""


class ListFilter(Sent):
    """Which sales orders to list (API: GET /salesorders); all bounds belong to what is listed."""

    status: Given[Literal["Draft", "Web", "Proposal", "Confirmed", "Invoice", "AdvanceInvoice"]] = None
    customer_id: Given[Annotated[Whole, Field(gt=0)]] = None
    date_from: Given[Day] = None
    date_to: Given[Day] = None
    modified_from: Given[Zoned] = None
    modified_to: Given[Zoned] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        days = self.date_from is not None and self.date_to is not None and self.date_from > self.date_to
        moments = (
            self.modified_from is not None and self.modified_to is not None and self.modified_from > self.modified_to
        )
        if days or moments:
            raise PydanticCustomError("order", "no order can be after the one bound and before the other")
        return self

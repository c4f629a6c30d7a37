"""How the DAG of a trial is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.faults.orders import ONE, SEVERAL, BusinessOrder


@dataclass(frozen=True)
class Way:
    """How the DAG is written.

    :param handed_on: the invoice task is in the DAG of the create task, and goes on under its holder.
    :param marker_field: where the marker stands.
    :param batch: several orders in each task, whose results are handed on as a ``list`` or in ``files``; empty: one.
    :param rejected: the order is not invoiced but taken back: by ``withdraw``; where nothing can be deleted:
        ``inactive``; as a ``draft``; or while somebody invoices it ``by-hand``. Empty: it is invoiced.
    """

    handed_on: bool
    marker_field: str
    batch: str = ""
    rejected: str = ""

    @property
    def orders(self) -> Sequence[BusinessOrder]:
        """What its tasks are given."""
        return SEVERAL if self.batch else (ONE,)

    def __str__(self) -> str:
        how = "handed-on" if self.handed_on else "taken-over"
        kind = self.batch or self.rejected
        return f"{kind}+{how};{self.marker_field}" if kind else f"{how};{self.marker_field}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the way that :meth:`__str__` wrote."""
        how, marker_field = text.split(";")
        kind, _, holder = how.rpartition("+")
        is_batch = kind in ("list", "files")
        return cls(holder == "handed-on", marker_field, kind if is_batch else "", "" if is_batch else kind)


SINGLE = tuple(Way(handed_on, field) for handed_on in (True, False) for field in ("internalMemo", "referenceNumber"))

BATCH = (
    Way(True, "internalMemo", "list"),
    Way(False, "internalMemo", "files"),
    Way(True, "referenceNumber", "files"),
    Way(False, "referenceNumber", "list"),
)
"""Each two of the three choices in all their combinations."""

REJECTED = (
    Way(False, "internalMemo", rejected="withdraw"),
    Way(False, "referenceNumber", rejected="inactive"),
    Way(False, "internalMemo", rejected="draft"),
    Way(False, "referenceNumber", rejected="by-hand"),
)
"""The ways to take an order back."""

"""The arguments of a reconciliation, as they arrive after rendering, checked before anything is read."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tfso_hypatos.exceptions import InvalidInput, Problem
from tfso_hypatos.flows.expected import Expected
from tfso_hypatos.flows.reconciliation import FIRST_YEAR, LAST_YEAR, OrderFacts, Period
from tfso_hypatos.hooks.settings import is_url
from tfso_hypatos.models.tfso import Status
from tfso_hypatos.operators.arguments import given, structured
from tfso_hypatos.operators.external_ids import filled_format, rule_of_format
from tfso_hypatos.reports.classes import OrderClass
from tfso_hypatos.reports.rows import REPAIR_MODES

REPAIRABLE = (OrderClass.NOT_ENRICHED, OrderClass.ENRICHMENT_DIFFERS, OrderClass.STRAY_WITHOUT_LINES)
"""Classes whose repair can be repeated, and undone."""

CHECK_LINES = ("open", "all")
UNMARKED = ("report", "ignore")

_EXTERNAL_ID_FIELDS = ("sales_order_id", "invoice_number", "reference_number", "customer_id", "order_key")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class ExternalIds:
    """How the key of an order's record in Hypatos is known.

    :param pattern: text with fields of the order between braces, or None.
    :param by_order: keys by sales order ids; these are taken first.
    """

    pattern: str | None = None
    by_order: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_given(self) -> bool:
        """Whether Hypatos is to be asked at all."""
        return self.pattern is not None or bool(self.by_order)

    def of(self, order: OrderFacts, expected: Expected | None) -> str | None:
        """Return the key of an order's record, or None if it cannot be known."""
        if not self.is_given:
            return None
        found = self.by_order.get(str(order.order_id))
        if found is None and expected is not None:
            found = expected.external_id
        if found is None and self.pattern is not None:
            found = filled_format(self.pattern, _fields_of(order, expected))
        # Hypatos takes no white space in a key, so there can be no such record.
        return found if found is not None and re.fullmatch(r"\S+", found) else None


def _fields_of(order: OrderFacts, expected: Expected | None) -> Mapping[str, object]:
    return {
        "sales_order_id": order.order_id,
        "invoice_number": order.invoice_number,
        "reference_number": order.reference_number,
        "customer_id": order.customer_id,
        "order_key": expected.order_key if expected else None,
    }


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be reconciled, and how."""

    period: Period
    external_ids: ExternalIds
    not_invoiced_after_days: int
    not_posted_after_days: int
    grace: datetime.timedelta
    all_lines: bool
    ignore_unmarked: bool
    repair: str
    repair_classes: frozenset[str]
    concurrency: int
    report_url: str | None


class Reader:
    """Reads arguments and collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def day(self, value: Any, place: str) -> datetime.date:
        """Return a day: a date, its ISO form, or a date-time's day as written."""
        text = str(value).strip()[:10] if isinstance(value, datetime.datetime) else str(value).strip()
        try:
            if _DAY.fullmatch(text) and FIRST_YEAR <= int(text[:4]) <= LAST_YEAR:
                return datetime.date.fromisoformat(text)
        except ValueError:
            pass
        rule = f"a date is needed, as YYYY-MM-DD, of the years {FIRST_YEAR} to {LAST_YEAR}"
        self.problems.append(Problem(place, rule))
        return datetime.date.min

    def whole(self, value: Any, place: str, least: int) -> int:
        """Return a whole number, also when a template rendered it as text."""
        text = str(value).strip()
        if not isinstance(value, bool) and re.fullmatch(r"[0-9]{1,6}", text) and int(text) >= least:
            return int(text)
        self.problems.append(Problem(place, f"a whole number is needed, {least} or more"))
        return least

    def choice(self, value: Any, place: str, choices: Sequence[str]) -> str:
        """Return one of the choices."""
        if value in choices:
            return str(value)
        self.problems.append(Problem(place, f"one of {', '.join(choices)}"))
        return choices[0]

    def choices(self, value: Any, place: str, choices: Sequence[str]) -> frozenset[str]:
        """Return some of the choices: of a list, its JSON text, or words with commas between them."""
        if isinstance(value, str) and not value.lstrip().startswith("["):
            value = [word.strip() for word in value.split(",") if word.strip()]
        value = structured(value, place) if given(value) else []
        if not isinstance(value, Sequence) or any(each not in choices for each in value):
            self.problems.append(Problem(place, f"a list of some of {', '.join(choices)}"))
            return frozenset()
        return frozenset(str(each) for each in value)

    def address(self, value: Any, place: str) -> str | None:
        """Return a web address that the name of a file can be put behind, or None if none was given."""
        if not given(value):
            return None
        text = str(value)
        if is_url(text) and not {"?", "#"} & set(text) and "@" not in urlsplit(text).netloc:
            return text
        rule = (
            "a web address is needed that begins with https:// or http:// and has no user, ? or # in it: the name of "
            "the report is put behind it"
        )
        self.problems.append(Problem(place, rule))
        return None

    def external_ids(self, arguments: Mapping[str, Any]) -> ExternalIds:
        """Return how the keys of the records are known."""
        pattern, by_order = (arguments[name] for name in ("external_id_format", "external_ids"))
        pattern = str(pattern) if given(pattern) else None
        if pattern is not None and (rule := rule_of_format(pattern, _EXTERNAL_ID_FIELDS)) is not None:
            self.problems.append(Problem("external_id_format", rule))
        by_order = structured(by_order, "external_ids") if given(by_order) else {}
        if not isinstance(by_order, Mapping):
            self.problems.append(Problem("external_ids", "a mapping from sales order ids to keys is needed"))
            by_order = {}
        return ExternalIds(pattern, {str(order_id): str(key) for order_id, key in by_order.items()})


def wanted_of(arguments: Mapping[str, Any]) -> Wanted:
    """Return what is to be reconciled.

    :param arguments: the operator's arguments by name.
    :raises InvalidInput: naming every argument that is wrong.
    """
    reader = Reader()
    statuses = reader.choices(arguments["statuses"], "statuses", [status.value for status in Status])
    first, last = (reader.day(arguments[name], name) for name in ("date_from", "date_to"))
    if not reader.problems and first > last:
        reader.problems.append(Problem("date_to", "must not be before date_from: both days are included"))
    repair = reader.choice(arguments["repair"], "repair", REPAIR_MODES)
    classes = reader.choices(arguments["repair_classes"], "repair_classes", [kind.value for kind in REPAIRABLE])
    external_ids = reader.external_ids(arguments)
    if repair != "none" and not classes and not any(problem.place == "repair_classes" for problem in reader.problems):
        reader.problems.append(Problem("repair_classes", "name what may be repaired"))
    minutes = reader.whole(arguments["grace_minutes"], "grace_minutes", 0)
    wanted = Wanted(
        period=Period(first, last, statuses),
        external_ids=external_ids,
        not_invoiced_after_days=reader.whole(arguments["not_invoiced_after_days"], "not_invoiced_after_days", 0),
        not_posted_after_days=reader.whole(arguments["not_posted_after_days"], "not_posted_after_days", 0),
        grace=datetime.timedelta(minutes=minutes),
        all_lines=reader.choice(arguments["check_lines"], "check_lines", CHECK_LINES) == "all",
        ignore_unmarked=reader.choice(arguments["unmarked"], "unmarked", UNMARKED) == "ignore",
        repair=repair,
        repair_classes=classes if repair != "none" else frozenset(),
        concurrency=reader.whole(arguments["concurrency"], "concurrency", 1),
        report_url=reader.address(arguments["report_url"], "report_url"),
    )
    if not given(arguments["report_path"]):
        reader.problems.append(Problem("report_path", "a folder is needed"))
    if reader.problems:
        raise InvalidInput(reader.problems)
    return wanted

"""How the sandbox behaves, above all where the vendors' documentation leaves it open."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, get_type_hints

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - the fixed secret of a local stand-in, printed by it
ORGANIZATION = "100000000000001"
REINVOICE = ("unchanged", "conflict", "invoice_again")


class Meaning(NamedTuple):
    """What a setting does, and the kind of value it takes."""

    about: str
    kind: str


@dataclass
class Settings:
    """Every switch of the sandbox; each can be changed while it runs."""

    organizations: Annotated[list[str], Meaning("organization ids that have connected the app", "names")] = field(
        default_factory=lambda: [ORGANIZATION]
    )
    sample_orders: Annotated[
        bool, Meaning("begin, also after a reset, with orders that people have made", "switch")
    ] = False
    client_id: Annotated[str, Meaning("client id of both APIs", "text")] = CLIENT_ID
    client_secret: Annotated[str, Meaning("client secret of both APIs", "text")] = CLIENT_SECRET
    token_lifetime: Annotated[float, Meaning("seconds a new token is valid", "number")] = 86400
    missing_scopes: Annotated[list[str], Meaning("scopes that no token has: their operations answer 403", "names")] = (
        field(default_factory=list)
    )
    clock_offset: Annotated[
        float, Meaning("seconds the server's clock runs ahead of this machine's (negative: behind)", "signed")
    ] = 0

    page_default: Annotated[int, Meaning("orders per page when no limit is asked for", "count")] = 25
    page_maximum: Annotated[int, Meaning("most orders per page", "count")] = 100
    page_token_lifetime: Annotated[
        float | None, Meaning("seconds a continuationToken is valid (none: for ever)", "number?")
    ] = None
    newest_first: Annotated[bool, Meaning("list the newest order first", "switch")] = False
    ignore_filters: Annotated[
        list[str], Meaning("list filters to ignore, as an older server does (referenceNumber)", "names")
    ] = field(default_factory=list)
    refuse_filters: Annotated[list[str], Meaning("list filters to refuse with 400", "names")] = field(
        default_factory=list
    )
    list_lag: Annotated[float, Meaning("seconds until a new order appears in lists", "number")] = 0
    change_lag: Annotated[
        float, Meaning("seconds until a changed order appears in lists filtered by modifiedFrom", "number")
    ] = 0
    bare_lists: Annotated[bool, Meaning("leave the ledger transaction out of lists", "switch")] = False

    transaction_delay: Annotated[float, Meaning("seconds from invoicing to the ledger transaction", "number")] = 0
    transaction_reads: Annotated[
        int, Meaning("reads of an invoiced order that still show no ledger transaction", "number")
    ] = 0
    silent_posting: Annotated[bool, Meaning("leave modifiedAt as it is when an invoice is posted", "switch")] = False
    reinvoice: Annotated[
        str, Meaning("what invoicing an invoiced order does: unchanged, conflict or invoice_again", "reinvoice")
    ] = "unchanged"
    invoicing_disabled: Annotated[bool, Meaning("refuse to invoice (the organization's own switch)", "switch")] = False
    department_required: Annotated[bool, Meaning("refuse to invoice without a department dimension", "switch")] = False
    project_required: Annotated[bool, Meaning("refuse to invoice without a project dimension", "switch")] = False
    delete_forbidden: Annotated[bool, Meaning("answer 403 to every DELETE of 24SevenOffice", "switch")] = False
    known_customers: Annotated[list[int] | None, Meaning("customer ids that exist (none: every id)", "ids?")] = None
    strict_order_properties: Annotated[
        bool, Meaning("refuse unknown members of an order instead of ignoring them", "switch")
    ] = False
    street_as_list: Annotated[bool, Meaning("answer a street of several lines as a list", "switch")] = False
    blank_timestamps: Annotated[bool, Meaning("write date-times with a blank instead of the T", "switch")] = False
    empty_error_bodies: Annotated[
        bool, Meaning("answer 401, 403, 404 and 409 of 24SevenOffice without a body", "switch")
    ] = False
    tfso_rate: Annotated[int | None, Meaning("requests per window of 24SevenOffice (none: no limit)", "count?")] = None
    tfso_window: Annotated[float, Meaning("seconds of that window", "number")] = 1

    hypatos_strict: Annotated[bool, Meaning("refuse unknown members of a record instead of keeping them", "switch")] = (
        False
    )
    hypatos_insert_error: Annotated[int, Meaning("status for an invalid body in an insert: 400 or 422", "count")] = 400
    hypatos_rate: Annotated[int | None, Meaning("requests per window of Hypatos (none: no limit)", "count?")] = None
    hypatos_window: Annotated[float, Meaning("seconds of that window", "number")] = 1

    def change(self, changes: Mapping[str, Any]) -> None:
        """Take new values; nothing is changed when one of them is wrong.

        :param changes: settings by name.
        :raises ValueError: a name is unknown or a value does not fit.
        """
        meanings = self.meanings()
        for name, value in changes.items():
            if name not in meanings:
                raise ValueError(f"there is no setting {name!r}")
            if not _fits(meanings[name].kind, value):
                raise ValueError(f"setting {name!r} does not take {value!r}")
        for name, value in changes.items():
            setattr(self, name, _plain(value))

    @classmethod
    def meanings(cls) -> dict[str, Meaning]:
        """Return what each setting means, by name."""
        hints = get_type_hints(cls, include_extras=True)
        return {name: hint.__metadata__[0] for name, hint in hints.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return every setting by name."""
        return dataclasses.asdict(self)


def _fits(kind: str, value: Any) -> bool:
    if kind.endswith("?"):
        return value is None or _fits(kind[:-1], value)
    if kind in {"number", "signed"}:
        return _is_number(value) and (kind == "signed" or value >= 0)
    if kind == "count":
        return _is_number(value) and value >= 1 and value == int(value)
    if kind == "names":
        return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    if kind == "ids":
        return isinstance(value, list | tuple) and all(_is_number(number) for number in value)
    if kind == "switch":
        return isinstance(value, bool)
    return isinstance(value, str) and (kind == "text" or value in REINVOICE)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return list(value)
    if _is_number(value):
        return int(value) if value == int(value) else float(value)
    return value


def _is_number(value: object) -> bool:
    # Values come from JSON (Decimal), from code and from the command line.
    return not isinstance(value, bool | str | list | tuple | dict) and hasattr(value, "__float__")

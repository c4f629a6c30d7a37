"""The classes that a reconciliation puts orders into, what each means, and what to do next."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class OrderClass(StrEnum):
    """What is the matter with an order; more classes may follow."""

    TWO_INVOICES = "two_invoices"
    CONTENT_DRIFT = "content_drift"
    TWO_ORDERS = "two_orders"
    INVOICING_UNCONFIRMED = "invoicing_unconfirmed"
    NOT_FOUND = "not_found"
    NOT_INVOICED = "not_invoiced"
    NOT_POSTED = "not_posted"
    LEDGER_DIFFERS = "ledger_differs"
    NOT_ENRICHED = "not_enriched"
    ENRICHMENT_DIFFERS = "enrichment_differs"
    STRAY_WITHOUT_LINES = "stray_without_lines"
    MARKER_MISSING = "marker_missing"
    IN_ORDER = "in_order"


class Meaning(NamedTuple):
    """What a class says.

    :param title: its name for people.
    :param about: what it means.
    :param next_step: what to do.
    :param urgency: ``alarm`` (money is at stake), ``act``, ``note`` or ``good``.
    """

    title: str
    about: str
    next_step: str
    urgency: str


MEANINGS: dict[OrderClass, Meaning] = {
    OrderClass.TWO_INVOICES: Meaning(
        "Two invoices for one key",
        "Orders that carry the marker of one business order are both invoiced: the customer may be billed twice.",
        "Compare the two invoices. If they bill the same sale, credit one; if one is a copy made for another sale, "
        "remove the marker from its memo.",
        "alarm",
    ),
    OrderClass.CONTENT_DRIFT: Meaning(
        "Content drift",
        "The order does not hold what was asked for: customer, currency, payment method, lines, total or fingerprint "
        "differ.",
        "Not invoiced: correct the order in 24SevenOffice or the source, then clear its task. Invoiced: compare the "
        "invoice with the source, and credit it if it is wrong.",
        "alarm",
    ),
    OrderClass.TWO_ORDERS: Meaning(
        "Two orders with one marker",
        "More than one active order carries the marker of the same business order; only one may be billed.",
        "Keep the one with the right lines. Set the other one inactive, or remove the marker from a copy made for "
        "another sale.",
        "alarm",
    ),
    OrderClass.INVOICING_UNCONFIRMED: Meaning(
        "Invoicing not confirmed",
        "24SevenOffice was asked to invoice the order, or shows an invoice number, and does not show it as invoiced.",
        "Do not invoice it by hand. Look at the order again later; if it stays so, ask 24SevenOffice whether there is "
        "an invoice.",
        "alarm",
    ),
    OrderClass.NOT_FOUND: Meaning(
        "Not found",
        "A business order of the source has no active order with its marker among those that were looked at.",
        "First look among the customer's orders, those without a marker too, for this sale: somebody may have removed "
        "the marker and invoiced it by hand. If it is there, put the marker into its memo, or set the inactive order "
        "active again. Run the DAG only if there is none.",
        "act",
    ),
    OrderClass.NOT_INVOICED: Meaning(
        "Not invoiced",
        "The order is older than the days allowed and not invoiced.",
        "With a marker: clear or run the invoice task. Without one it is a person's: a draft, a proposal or a web "
        "order is not to be billed before that person confirms it. If the sale was called off, set the order inactive.",
        "act",
    ),
    OrderClass.NOT_POSTED: Meaning(
        "Invoiced, not posted",
        "The invoice has been there for longer than the days allowed and no ledger transaction shows.",
        "Look at the invoice in 24SevenOffice: a closed period or a missing account keeps it from being posted.",
        "act",
    ),
    OrderClass.LEDGER_DIFFERS: Meaning(
        "Ledger differs",
        "The transaction that the order names is not in the ledger under its invoice number.",
        "Have the accountant look up the transaction: it may have been reversed, or posted on a far-off date.",
        "act",
    ),
    OrderClass.NOT_ENRICHED: Meaning(
        "Posted, not enriched",
        "The invoice is posted and Hypatos has no record of it, or one that does not name the transaction.",
        "Run the enrich task again, or let this report repair it: writing the record twice does no harm.",
        "act",
    ),
    OrderClass.ENRICHMENT_DIFFERS: Meaning(
        "Enrichment differs",
        "The record in Hypatos holds other amounts, another invoice or another order than 24SevenOffice.",
        "If it names this order, enrich it again, or let this report repair it; if it names another one, correct the "
        "external id.",
        "act",
    ),
    OrderClass.STRAY_WITHOUT_LINES: Meaning(
        "Stray without lines",
        "The order carries a marker and has no lines: its creation was cut off. It cannot be invoiced as it is.",
        "If another order with the same marker has the lines, let this report set this one inactive; otherwise run its "
        "DAG again, which completes it.",
        "act",
    ),
    OrderClass.MARKER_MISSING: Meaning(
        "Marker missing",
        "The order carries no marker: a person made it, or somebody removed the marker, and then the order may be "
        "created and billed a second time.",
        "If a DAG made it, put the marker back: the log of the create task shows it, and so does the row of a sale "
        "that is not found. If a person made it, nothing is to be done.",
        "note",
    ),
    OrderClass.IN_ORDER: Meaning(
        "In order", "Nothing is to be done, or not yet.", "Nothing is to be done.", "good"
    ),
}  # fmt: skip
"""In the order in which they are shown: the most urgent first."""

"""What is read from the ledger of 24SevenOffice: which transaction posted which invoice."""

from __future__ import annotations

from tfso_hypatos.models.base import Amount, LooseDay, Maybe, Read, Text, Whole


class LedgerTransaction(Read):
    """The transaction that a line belongs to (API: GET /transactionlines)."""

    id: Maybe[Text] = None
    number: Maybe[Text] = None


class LedgerInvoice(Read):
    """The invoice that a line is about; its number is text here (API: GET /transactionlines)."""

    number: Maybe[Text] = None


class LedgerCustomer(Read):
    """The customer, or the supplier, that a line is about (API: GET /transactionlines)."""

    id: Maybe[Whole] = None


class TransactionLine(Read):
    """One line of the ledger (API: GET /transactionlines)."""

    id: Maybe[Text] = None
    transaction: Maybe[LedgerTransaction] = None
    invoice: Maybe[LedgerInvoice] = None
    customer: Maybe[LedgerCustomer] = None
    date: Maybe[LooseDay] = None
    amount: Maybe[Amount] = None

    @property
    def invoice_number(self) -> str | None:
        """The number of the invoice that the line is about, or None."""
        return ((self.invoice.number or "").strip() or None) if self.invoice else None

    @property
    def customer_id(self) -> int | None:
        """The id of the customer or supplier, or None."""
        return self.customer.id if self.customer else None

    @property
    def transaction_id(self) -> str | None:
        """The id of the transaction, or None."""
        return ((self.transaction.id or "").strip() or None) if self.transaction else None

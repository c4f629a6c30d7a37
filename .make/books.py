"""The books of the sandbox: printed for a person, and held against what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

_CENT = Decimal("0.01")


def table(books: Mapping[str, Any]) -> str:
    """Return the books as a person reads them.

    :param books: what the sandbox holds.
    """
    lines: list[str] = []
    for organization in books["organizations"].values():
        for order in organization["orders"]:
            lines += _order(order)
        for invoice in organization["invoices"]:
            lines += _invoice(invoice)
    for external_id, record in books["enrichment"].items():
        lines += _record(external_id, record)
    return "\n".join(lines)


def _order(order: Mapping[str, Any]) -> Iterator[str]:
    customer = order["customer"]
    yield ""
    yield f"24SevenOffice: sales order {order['id']}"
    yield _row("Customer", f"{customer['name']} (id {customer['id']})")
    yield _row("Date", order["date"])
    yield _row("Status", order["status"])
    yield _row("Marker", order.get("internalMemo", ""))
    yield ""
    yield f"    {'Line':<8}{'Description':<30}{'Quantity':>10}{'Price':>12}{'VAT':>7}{'Net':>14}"
    for line in order["lines"]:
        rate = f"{_plain(line['tax']['rate'])} %"
        yield (
            f"    {line['id']:<8}{line['description']:<30}{_plain(line['quantity']):>10}"
            f"{_money(line['price']):>12}{rate:>7}{_money(_net(line)):>14}"
        )
    for name in ("net", "tax", "gross"):
        yield f"    {'VAT' if name == 'tax' else name.capitalize():<67}{_money(order[f'{name}Amount']):>14}"


def _invoice(invoice: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"24SevenOffice: invoice {invoice['number']}"
    yield _row("Sales order", invoice["order_id"])
    yield _row("Invoice date", invoice["date"])
    yield _row("Due date", invoice["due_date"])
    yield _row("KID", invoice["remittance_reference"])
    yield _row("Gross", f"{_money(invoice['gross_amount'])} NOK")
    yield _row("Transaction", f"{invoice['transaction_id']}, posted {invoice['posted_at']}")


def _record(external_id: str, record: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"Hypatos: sales order {external_id}"
    amounts = (record.get(f"total{name}Amount") for name in ("Net", "Tax", "Gross"))
    yield _row("Net, VAT, gross", "   ".join("-" if amount is None else _money(amount) for amount in amounts))
    yield _row("Lines", ", ".join(line.get("itemText", "?") for line in record.get("salesOrderLines", [])))
    for name, value in record.get("customMetadata", {}).get("tfso", {}).items():
        yield _row(f"tfso.{name}", value)


def _row(name: str, value: object) -> str:
    return f"    {name:<26}{value}"


def problems(books: Mapping[str, Any], asked: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with the books after one business order; nothing, if all is well.

    :param books: what the sandbox holds.
    :param asked: the lines that were asked for.
    """
    (organization,) = books["organizations"].values()
    orders, invoices = organization["orders"], organization["invoices"]
    records = list(books["enrichment"].values())
    found = [
        f"there are {len(things)} {name}, not one"
        for name, things in (("sales orders", orders), ("invoices", invoices), ("Hypatos records", records))
        if len(things) != 1
    ]
    if found:
        return found
    order, invoice, record = orders[0], invoices[0], records[0]
    metadata = record.get("customMetadata", {}).get("tfso", {})
    net = sum((_net(line) for line in asked), Decimal(0))
    checks = {
        f"the lines of sales order {order['id']} are not those that were asked for, each once": (
            Counter(map(_content, order["lines"])) == Counter(map(_content, asked))
        ),
        f"the net amount {order['netAmount']} is not {net}": Decimal(order["netAmount"]) == net,
        "the invoice is for another order": invoice["order_id"] == order["id"],
        "the invoice is for another amount": invoice["gross_amount"] == order["grossAmount"],
        "the invoice is not posted": order["invoice"].get("transaction", {}).get("id") == invoice["transaction_id"],
        "Hypatos has another amount": Decimal(record.get("totalGrossAmount", 0)) == Decimal(order["grossAmount"]),
        "Hypatos has other lines": len(record.get("salesOrderLines", [])) == len(asked),
        "Hypatos has another invoice": metadata.get("invoiceNumber") == str(invoice["number"]),
        "Hypatos has another transaction": metadata.get("transactionId") == invoice["transaction_id"],
    }
    return [problem for problem, is_right in checks.items() if not is_right]


def _content(line: Mapping[str, Any]) -> tuple[str, Decimal, Decimal]:
    return line["description"], _exact(line["quantity"]), _exact(line["price"])


def _net(line: Mapping[str, Any]) -> Decimal:
    return (_exact(line["quantity"]) * _exact(line["price"])).quantize(_CENT, ROUND_HALF_UP)


def _exact(number: object) -> Decimal:
    # A float that came as JSON means its shortest text: 99.99 is 99.99.
    return Decimal(str(number))


def _plain(number: object) -> str:
    text = format(_exact(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _money(amount: object) -> str:
    return f"{_exact(amount):,.2f}".replace(",", " ")

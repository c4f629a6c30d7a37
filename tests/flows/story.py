"""What happened in a trial, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.flows.world import World

from tfso_hypatos.clients.messages import Pause, Request


def told(world: World, findings: Sequence[str]) -> str:
    """Return every event of a trial, and the books at its end."""
    lines = [f"{', '.join(findings) or 'all held'}", ""]
    lines += [f"{at:8.2f}  {who:42s} {_text(what)}" for at, who, what in world.log]
    lines += ["", "The books:"]
    for order in world.server.orders.values():
        memo = order.fields.get("internalMemo")
        lines.append(f"  order {order.id} {order.status} {memo!r} lines {order.sells}")
    lines += [
        f"  invoice of order {invoice.order_id} at {invoice.at:.2f}: {invoice.sells}"
        for invoice in world.server.invoices
    ]
    return "\n".join(lines)


def _text(what: Any) -> str:
    if isinstance(what, Request):
        return f"{what.method} {what.path}{_body(what.body)}"
    if isinstance(what, Pause):
        return f"pauses {what.seconds:.1f} s: {what.reason}"
    if isinstance(what, Exception):
        return f"raises {type(what).__name__}: {what}"
    if isinstance(what, float):
        return f"{what:.2f}"
    if isinstance(what, tuple) and not hasattr(what, "_fields"):
        return " ".join(map(_text, what))
    return str(what)[:200]


def _body(body: Any) -> str:
    if not isinstance(body, Mapping):
        return ""
    shown = {name: body[name] for name in ("status", "internalMemo", "description") if name in body}
    return " " + ", ".join(f"{name}={value!s}" for name, value in shown.items())

"""Secrets and tokens appear nowhere that a person or another system could read them."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import requests
from airflow.sdk.exceptions import TaskDeferred

from tfso_hypatos.clients.repeat import Patience
from tfso_hypatos.clients.token import TOKENS
from tfso_hypatos.exceptions import TfsoHypatosError
from tfso_hypatos.hooks.hypatos import HypatosHook
from tfso_hypatos.hooks.tfso import TfsoHook
from tfso_hypatos.operators.sales_order import (
    CreateSalesOrderOperator,
    EnrichSalesOrderOperator,
    InvoiceSalesOrderOperator,
)
from tfso_hypatos.sensors.invoice_transaction import InvoiceTransactionSensor
from tfso_hypatos.triggers.invoice_transaction import InvoiceTransactionTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.sdk import BaseOperator
    from tests.conftest import Connections, Log

SECRET = "s3cr3t+/&=æ"
PAIR = "sandbox-client:s3cr3t%2B%2F%26%3D%C3%A6"
FORMS = (
    SECRET,
    "s3cr3t",
    base64.b64encode(PAIR.encode()).decode(),
    base64.b64encode(f"sandbox-client:{SECRET}".encode()).decode(),
)


class Seen(logging.Handler):
    """Keeps the text of everything that is logged, with its tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.getMessage()} {record.args!r}")
        if record.exc_info:
            self.texts.append("".join(traceback.format_exception(*record.exc_info)))

    def note(self, *things: object) -> None:
        """Keep anything else that a person may see."""
        self.texts += [f"{thing!r} {thing!s}" for thing in things]

    def error(self, error: BaseException) -> None:
        """Keep an error with its causes and its traceback, and everything it carries."""
        self.texts.append("".join(traceback.format_exception(error)))
        chain: list[BaseException] = [error]
        for each in chain:
            self.note(each, each.args, vars(each))
            chain += [before for before in (each.__cause__, each.__context__) if before and before not in chain]


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Collect every log record of every library, down to DEBUG."""
    handler, root = Seen(), logging.getLogger()
    level = root.level
    levels = {name: logging.getLogger(name).level for name in ("urllib3", "aiohttp", "asyncio", "tfso_hypatos")}
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect every token that is given out."""
    given: list[str] = []
    put = TOKENS.put

    def watched(credentials: Any, token: Any) -> None:
        given.append(token.value)
        put(credentials, token)

    monkeypatch.setattr(TOKENS, "put", watched)
    return given


@pytest.fixture(autouse=True)
def _secret(connections: Connections, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.configure(client_secret=SECRET)
    connections.tfso(password=SECRET, extra={"timeout": 0.5})
    connections.hypatos(password=SECRET, extra={"timeout": 0.5})
    monkeypatch.setattr("tfso_hypatos.triggers.invoice_transaction.SHORTEST_INTERVAL", 0.01)
    monkeypatch.setattr("tfso_hypatos.hooks.base.Patience", lambda **_: Patience(attempts=3, longest_wait=0.01))


def check(seen: Seen, tokens: list[str]) -> None:
    assert seen.texts
    for text in seen.texts:
        for form in (*FORMS, *tokens):
            assert form not in text, text


FAULTS: list[dict[str, Any]] = [
    {"action": "drop_after", "method": "POST", "path": "/salesorders$"},
    {"action": "status_after", "status": 500, "method": "POST", "path": "/lines$"},
    {"action": "unauthorized", "method": "POST", "path": "/lines$", "skip": 1},
    {"action": "status_before", "status": 502, "html": True, "method": "GET", "skip": 2},
    {"action": "truncate", "method": "PATCH", "body": '"status":"Invoice"'},
    {"action": "rate_limit", "api": "hypatos", "method": "PATCH", "reset": 0},
    {"action": "status_before", "status": 503, "path": "token"},
    {"action": "truncate", "path": "token", "skip": 1},
]


def chain(order: dict[str, Any], lines: list[dict[str, Any]]) -> list[Callable[[Any], BaseOperator]]:
    return [
        lambda _: CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k"),
        lambda result: InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=result),
        lambda result: InvoiceTransactionSensor(task_id="wait", sales_order_id=result, poke_interval=0.01),
        lambda result: EnrichSalesOrderOperator(
            task_id="enrich", external_id="K", sales_order_id=result, on_missing="insert"
        ),
    ]


def test_a_whole_chain_with_faults_gives_no_secret_away(
    seen: Seen, tokens: list[str], log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    log.sandbox.configure(hypatos_window=0)
    for fault in FAULTS:
        log.sandbox.add_fault(**fault)
    result: Any = None
    for make in chain(order, lines):
        operator = make(result)
        for _ in range(5):
            try:
                result = operator.execute({})
                break
            except TfsoHypatosError as error:
                seen.error(error)
        seen.note(result, operator, vars(operator), getattr(operator, "_hooks", ()))
    assert len(log.invoices) == 1
    assert log.records["K"]["salesOrderNumber"] == str(log.order["id"])
    assert len(tokens) >= 2
    check(seen, tokens)


async def test_the_triggerer_gives_no_secret_away(
    seen: Seen, tokens: list[str], log: Log, order: dict[str, Any], lines: list[dict[str, Any]]
) -> None:
    created = CreateSalesOrderOperator(task_id="create", order=order, lines=lines, order_key="k").execute({})
    sensor = InvoiceTransactionSensor(task_id="wait", sales_order_id=created, deferrable=True, poke_interval=0.01)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({})
    seen.note(caught.value, vars(caught.value))
    class_path, kwargs = caught.value.trigger.serialize()
    seen.note(class_path, json.dumps(kwargs))
    InvoiceSalesOrderOperator(task_id="invoice", sales_order_id=created).execute({})
    for fault in FAULTS[3:]:
        log.sandbox.add_fault(**fault)
    trigger = InvoiceTransactionTrigger(**kwargs)
    async for event in trigger.run():
        seen.note(event, event.payload, trigger, vars(trigger))
    check(seen, tokens)


@pytest.mark.parametrize("hook_class", [TfsoHook, HypatosHook])
@pytest.mark.parametrize("trouble", ["secret", "unreachable", "token page", "broken", "slow", "401"])
async def test_no_failure_gives_a_secret_away(
    seen: Seen,
    tokens: list[str],
    connections: Connections,
    log: Log,
    free_port_url: str,
    hook_class: type[TfsoHook | HypatosHook],
    trouble: str,
) -> None:
    faults: dict[str, dict[str, Any]] = {
        "secret": {"action": "slow", "times": 0},
        "unreachable": {"action": "slow", "times": 0},
        "token page": {"action": "truncate", "path": "token", "times": 99},
        "broken": {"action": "drop_before", "times": 99},
        "slow": {"action": "hang_before", "seconds": 1, "times": 99},
        "401": {"action": "unauthorized", "path": "salesorders|enrichment", "times": 99},
    }
    if trouble == "secret":
        log.sandbox.configure(client_secret="another")
    if trouble == "unreachable":
        connections.tfso(password=SECRET, host=free_port_url, extra={"token_url": f"{free_port_url}/token"})
        connections.hypatos(password=SECRET, host=free_port_url)
    if trouble == "slow":
        connections.tfso(password=SECRET, extra={"timeout": 0.05})
        connections.hypatos(password=SECRET, extra={"timeout": 0.05})
    log.sandbox.add_fault(**faults[trouble])
    with hook_class() as hook:
        seen.note(hook.test_connection())
        try:
            if isinstance(hook, TfsoHook):
                hook.create_sales_order({"customer": {"id": 1, "name": "K"}})
            else:
                hook.patch_sales_order("K", {"externalId": "K"})
        except TfsoHypatosError as error:
            seen.error(error)
    async with hook_class() as hook:
        try:
            if isinstance(hook, TfsoHook):
                await hook.acreate_sales_order({"customer": {"id": 1, "name": "K"}})
            else:
                await hook.apatch_sales_order("K", {"externalId": "K"})
        except TfsoHypatosError as error:
            seen.error(error)
        seen.note(hook, await hook.atransport(), hook.settings, hook.service(hook.settings))
    check(seen, tokens)


def test_airflow_is_told_what_to_mask(monkeypatch: pytest.MonkeyPatch, tokens: list[str]) -> None:
    masked: list[Any] = []
    for module in ("base", "tfso", "hypatos"):
        monkeypatch.setattr(f"tfso_hypatos.hooks.{module}.mask_secret", masked.append)
    with TfsoHook() as hook:
        hook.list_sales_orders()
    with HypatosHook() as hypatos:
        hypatos.transport.token()
    assert SECRET in masked
    assert FORMS[2] in masked
    assert len(tokens) == 2
    assert set(tokens) <= set(masked)


def test_airflow_is_told_what_to_mask_also_for_tokens_of_the_session(
    monkeypatch: pytest.MonkeyPatch, tokens: list[str], sandbox: Any
) -> None:
    masked: list[Any] = []
    monkeypatch.setattr("tfso_hypatos.hooks.tfso.mask_secret", masked.append)
    hook = TfsoHook()
    with hook, hook.get_conn() as session:
        answer = session.get(f"{sandbox.tfso_url}/salesorders", timeout=2)
    assert isinstance(answer, requests.Response)
    assert set(tokens) == set(masked)


def test_personal_data_is_in_no_log(seen: Seen, log: Log, order: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    for fault in FAULTS[:5]:
        log.sandbox.add_fault(**fault)
    result: Any = None
    for make in chain(order, lines)[:2]:
        for _ in range(5):
            try:
                result = make(result).execute({})
                break
            except TfsoHypatosError as error:
                seen.texts.append(str(error))
    ours = "\n".join(seen.texts)
    for private in ("Bjørn", "bjornas", "Kari", "Storgata", "Rørdeler"):
        assert private not in ours

"""The example of the documentation that mails a message, with the notifier of Airflow's provider for e-mail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from tests.notifications.failures import failed
from tests.notifications.mail_server import MailServer, mail_server

from tfso_hypatos.exceptions import OrderDrift
from tfso_hypatos.notifications.order_needs_person import OrderNeedsPersonNotifier

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mail_about_orders.py"


@pytest.fixture
def callback() -> OrderNeedsPersonNotifier:
    """Return what the example gives to each of its tasks."""
    spec = spec_from_file_location("mail_about_orders", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    (notifier,) = {each for task in module.create.dag.tasks for each in task.on_failure_callback}
    assert isinstance(notifier, OrderNeedsPersonNotifier)
    return notifier


def call(notifier: OrderNeedsPersonNotifier, context: Any) -> None:
    notifier(context)


def wait_for(notifier: OrderNeedsPersonNotifier, context: Any) -> None:
    asyncio.run(notifier.async_notify(context))


@pytest.fixture(params=[call, wait_for], ids=["called", "awaited"])
def notify(request: pytest.FixtureRequest) -> Callable[[OrderNeedsPersonNotifier, Any], None]:
    """Return each way in which Airflow uses a notifier."""
    way: Callable[[OrderNeedsPersonNotifier, Any], None] = request.param
    return way


def connect(monkeypatch: pytest.MonkeyPatch, server: MailServer) -> None:
    extra = {"disable_ssl": True, "disable_tls": True, "retry_limit": 1}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))


def test_the_person_has_a_mail_about_each_order(
    callback: OrderNeedsPersonNotifier,
    notify: Callable[[OrderNeedsPersonNotifier, Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mail_server() as server:
        connect(monkeypatch, server)
        for text in ("a < b", "Ås is not Aas"):
            notify(callback, failed(OrderDrift(text)))
    first, second = server.mails
    assert first["To"] == "orders@example.com"
    assert first["From"] == "airflow@example.com"
    assert first["Subject"] == "Order 'web-10045' (sales order 1001) needs a person: OrderDrift"
    bodies = [mail.get_body().get_content() for mail in (first, second)]  # type: ignore[union-attr]  # they have one
    assert "Error: a &lt; b" in bodies[0]
    assert "Error: Ås is not Aas" in bodies[1]
    assert all("What to do next: " in body for body in bodies)


def test_what_the_mail_server_does_not_take_is_in_the_log(
    callback: OrderNeedsPersonNotifier,
    notify: Callable[[OrderNeedsPersonNotifier, Any], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with mail_server(refuses=True) as server:
        connect(monkeypatch, server)
        notify(callback, failed(OrderDrift("differs")))
    assert server.mails == []
    assert "nobody here" in caplog.text
    assert "What to do next: " in caplog.text

"""One Airflow and one browser for all tests; what the browser showed is kept when a test fails."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.browser import chromium, stage
from tests.browser.forms import connect
from tests.browser.ui import AirflowUi

from tfso_hypatos.sandbox import jsontext

if TYPE_CHECKING:
    from playwright.sync_api import Page

KEPT = stage.ROOT / "build" / "browser"
"""Where to look after a failure."""


@pytest.fixture(scope="session")
def program() -> str:
    """Return the path of a Chromium; without one there is nothing to test, unless it must be there."""
    found = chromium.find()
    if found is None and os.environ.get("BROWSER_REQUIRED"):
        pytest.fail(f"BROWSER_REQUIRED is set, and {chromium.missing()}", pytrace=False)
    if found is None:
        # A browser is a program of the system, which pip does not bring; CI sets BROWSER_REQUIRED.
        pytest.skip(chromium.missing())
    return found


@pytest.fixture(scope="session")
def on_stage(program: str) -> Iterator[stage.Stage]:
    """Return a real Airflow and a sandbox."""
    shutil.rmtree(KEPT, ignore_errors=True)
    with stage.running() as running:
        yield running


@pytest.fixture(scope="session")
def browser_page(program: str) -> Iterator[Page]:
    """Return the one page that all tests use."""
    with chromium.blank_page(program) as page:
        yield page


@pytest.fixture(scope="session")
def connected(on_stage: stage.Stage, browser_page: Page) -> None:
    """Create both connections through their forms."""
    with _kept(browser_page, on_stage, "connections"):
        connect(AirflowUi(browser_page, on_stage.airflow.url), on_stage.sandbox)


@pytest.fixture
def ui(connected: None, browser_page: Page, on_stage: stage.Stage) -> AirflowUi:
    """Return the UI of an Airflow with both connections."""
    return AirflowUi(browser_page, on_stage.airflow.url)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Keep what is needed to understand a failure."""
    ui, running = pyfuncitem.funcargs.get("ui"), pyfuncitem.funcargs.get("on_stage")
    if not isinstance(ui, AirflowUi) or not isinstance(running, stage.Stage):
        return (yield)
    with _kept(ui.page, running, pyfuncitem.name):
        return (yield)


@contextmanager
def _kept(page: Page, running: stage.Stage, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        folder = KEPT / name
        folder.mkdir(parents=True, exist_ok=True)
        error.add_note(f"What the browser showed, Airflow's log and the sandbox's books: {folder}")
        (folder / "airflow.log").write_text(running.airflow.last_lines(400))
        (folder / "books.json").write_text(jsontext.pretty(running.sandbox.state()))
        (folder / "page.txt").write_text(f"{page.url}\n\n{page.locator('body').inner_text()}")
        page.screenshot(path=folder / "page.png", full_page=True)
        raise

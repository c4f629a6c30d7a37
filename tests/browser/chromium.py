"""Which Chromium is driven, and how."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1440, 900

PATIENCE = 120.0
"""Seconds for anything to appear: the machine may have a lot to do besides."""


def find() -> str | None:
    """Return the path of a Chromium: the one that the environment variable CHROMIUM names, or one on the PATH."""
    wanted = os.environ.get("CHROMIUM")
    return shutil.which(wanted) if wanted else next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """Say that there is none, and what to do."""
    wanted = os.environ.get("CHROMIUM")
    if wanted:
        return f"CHROMIUM={wanted} is no program"
    return f"no Chromium is found (none of {', '.join(NAMES)}): install one, or name it: make browser CHROMIUM=/path"


@contextmanager
def blank_page(program: str) -> Iterator[Page]:
    """Start a headless browser with a blank page, and end it.

    :param program: path of a Chromium.
    """
    from playwright.sync_api import sync_playwright

    # A sandbox of Chromium's own needs rights that containers and the root user lack; it only opens pages of ours.
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB", timezone_id="UTC", reduced_motion="reduce"
            )
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            context.set_default_timeout(PATIENCE * 1000)
            yield context.new_page()
        finally:
            browser.close()

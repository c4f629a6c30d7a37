"""Pictures for the documentation: small files, without times that would change from one day to the next."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.chromium import HEIGHT, WIDTH

if TYPE_CHECKING:
    from PIL.Image import Image
    from playwright.sync_api import Locator, Page

FOLDER = Path(__file__).parents[2] / "docs" / "images"

MOST_BYTES = 200_000
COLOURS = 256
UNCHANGED = 0.002
"""A picture of which no larger part differs from the one that is there is left as it is."""

# Whatever a clock, a counter of the process or a random number has written.
STEADY = r"""() => {
    const day = later => new Date(Date.now() + later * 86400000).toISOString().slice(0, 10);
    const fixed = [
        [/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?Z?( UTC)?/g, "2026-11-20 09:00:00"],
        [day(0), "2026-11-20"],
        [day(14), "2026-12-04"],
        [/\b[A-Z][a-z]{2} \d\d?, \d{4},? \d\d:\d\d/g, "Nov 20, 2026 09:00"],
        [/\b\d\d:\d\d:\d\d\.\d{3}\b/g, "00:00:02.000"],
        [/^\d\d:\d\d:\d\d$/g, "00:00:02"],
        [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, "01a1ffcb-2c06-713a-ad1a-2795715b1590"],
    ];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode;
        const changed = fixed.reduce((text, [found, instead]) => text.replaceAll(found, instead), node.data);
        if (changed !== node.data) node.data = changed;
    }
    if (document.activeElement) document.activeElement.blur();
}"""


def take(page: Page, name: str, height: int = HEIGHT, hovered: Locator | None = None) -> None:
    """Write a picture of a page, 1440 pixels wide.

    :param page: the page.
    :param name: name of the file.
    :param height: height in pixels.
    :param hovered: what the mouse is over, which keeps a message from going away; left out, nothing.
    """
    page.set_viewport_size({"width": WIDTH, "height": height})
    if hovered is None:
        page.mouse.move(WIDTH - 1, height - 1)
    else:
        hovered.hover()
    title = page.get_by_role("dialog").get_by_role("heading").first
    if title.is_visible():
        title.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    page.evaluate(STEADY)
    if hovered is not None and not hovered.is_visible():
        raise AssertionError(f"{name}: what was to be shown is gone")
    _save(page.screenshot(animations="disabled", caret="hide"), FOLDER / name)


def _save(png: bytes, path: Path) -> None:
    from PIL import Image

    new = Image.open(io.BytesIO(png)).convert("RGB")
    few = new.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    if path.exists() and _differing(few.convert("RGB"), Image.open(path).convert("RGB")) < UNCHANGED:
        print(f"unchanged  {path.name}", flush=True)
        return
    few.save(path, optimize=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise AssertionError(f"{path.name} has {size} bytes, more than {MOST_BYTES}")
    print(f"written    {path.name}  {size // 1000} kB", flush=True)


def _differing(one: Image, other: Image) -> float:
    from PIL import ImageChops

    if one.size != other.size:
        return 1.0
    grey = ImageChops.difference(one, other).convert("L")
    same: int = grey.histogram()[0]
    pixels: int = one.width * one.height
    return 1 - same / pixels

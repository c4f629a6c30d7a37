"""What the documents show is what the tests run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tfso_hypatos import exceptions
from tfso_hypatos.get_provider_info import get_provider_info
from tfso_hypatos.sandbox.control import _HANDLERS
from tfso_hypatos.sandbox.faults import ACTIONS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("reference/*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
RUN = [ROOT / "dags", ROOT / "tests", DOCS / "examples"]
"""Where tests find what they run."""

INCLUDE = re.compile(r"^```{literalinclude} (\S+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(\S*).*?\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


@pytest.mark.parametrize("page", PAGES[2:], ids=NAMES[2:])
def test_python_in_a_page_is_included_from_a_file(page: Path) -> None:
    assert blocks(page, "python") == [], "include it: ```{literalinclude} ../dags/minimal_order.py, :start-after: …"


def test_the_readme_shows_the_minimal_dag_as_it_is_run() -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    assert block in (ROOT / "dags" / "minimal_order.py").read_text()
    assert len(block.splitlines()) <= 15


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_has_no_leftovers_of_a_merge(page: Path) -> None:
    assert re.findall(r"^(?:<{7}|={7}|>{7}).*", page.read_text(), flags=re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_page_includes_is_there_and_is_run(page: Path) -> None:
    for name, options in INCLUDE.findall(page.read_text()):
        file = (page.parent / name).resolve()
        assert any(file.is_relative_to(folder) for folder in RUN), f"{name} is in no folder that tests look into"
        text = file.read_text()
        markers = re.findall(r':(?:start-after|end-before): "(.*)"', options)
        assert len(markers) == 2
        assert [marker for marker in markers if text.count(marker) != 1] == []


def listed() -> set[str]:
    """Return the pages that stand in a table of contents."""
    tables = "\n".join(blocks(DOCS / "index.md", "{toctree}"))
    entries = {f"{line}.md" for line in tables.splitlines() if line and not line.startswith(":")}
    assert [entry for entry in entries if not (DOCS / entry).exists()] == []
    return entries


def test_every_error_is_in_the_table() -> None:
    table = (DOCS / "operators.md").read_text().partition("## Errors")[2]
    roots = {exceptions.TfsoHypatosError, exceptions.ApiError}
    kinds = {kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert [kind.__name__ for kind in kinds - roots if f"`{kind.__name__}`" not in table] == []


def test_every_page_is_in_a_table_of_contents() -> None:
    written = {page.relative_to(DOCS).as_posix() for page in PAGES if page.is_relative_to(DOCS)}
    assert written - listed() == {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if not target.startswith(("http://", "https://"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_anchors_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text()):
        text = ((page.parent / target) if target else page).read_text()
        headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def connection_types() -> dict[str, dict[str, Any]]:
    return {kind["connection-type"]: kind for kind in get_provider_info()["connection-types"]}


@pytest.mark.parametrize("kind", ["tfso", "hypatos"])
def test_the_connections_page_names_every_field_of_the_form(kind: str) -> None:
    page = (ROOT / "docs" / "connections.md").read_text()
    assert [name for name in connection_types()[kind]["conn-fields"] if f"`{name}`" not in page] == []


@pytest.mark.parametrize("page", ["README.md", "docs/connections.md"])
def test_connections_in_a_shell_block_are_of_our_types(page: str) -> None:
    shell = "\n".join(blocks(ROOT / page, "shell"))
    connections = [json.loads(text) for text in re.findall(r"AIRFLOW_CONN_\w+='(.*?)'", shell, flags=re.DOTALL)]
    assert {connection["conn_type"] for connection in connections} == {"tfso", "hypatos"}


def test_the_sandbox_page_names_every_fault() -> None:
    page = (DOCS / "reference" / "sandbox.md").read_text()
    assert [action for action in ACTIONS if f"`{action}`" not in page] == []


def test_the_sandbox_page_names_every_question_to_the_control_api() -> None:
    page = (DOCS / "reference" / "sandbox.md").read_text()
    assert [f"{method} {name}" for method, name in _HANDLERS if f"`{method} {name}`" not in page] == []


def test_every_picture_of_the_screen_is_shown_somewhere_and_small() -> None:
    shown = "\n".join(page.read_text() for page in PAGES)
    pictures = sorted((DOCS / "images").glob("*.png"))
    assert [picture.name for picture in pictures if f"images/{picture.name})" not in shown] == []
    assert [picture.name for picture in pictures if picture.stat().st_size > 200_000] == []

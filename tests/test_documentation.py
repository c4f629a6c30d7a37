"""What the documents show is what the tests run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tfso_hypatos.get_provider_info import get_provider_info

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = "\n".join(path.read_text() for path in sorted((ROOT / "dags").glob("*.py")))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_a_page_stands_in_an_example_dag(page: Path) -> None:
    assert all(block in CODE for block in blocks(page, "python"))


def test_the_readme_shows_a_dag_of_fifteen_lines_at_most() -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    assert len(block.splitlines()) <= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if not target.startswith(("http://", "https://"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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

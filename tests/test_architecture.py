"""The house: imports point downwards only, and nothing below the hooks knows of Airflow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "provider" / "tfso_hypatos"
PACKAGE = "tfso_hypatos"
MODULES = sorted(ROOT.rglob("*.py"))

ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    "get_provider_info": set(),
    "exceptions": set(),
    "advice": {"exceptions"},
    "asset_uris": set(),
    "words": set(),
    "models": {"exceptions"},
    "clients": {"models", "exceptions"},
    "flows": {"clients", "models", "exceptions"},
    "reports": {"flows", "clients", "models", "exceptions"},
    "hooks": {"flows", "clients", "models", "exceptions", "words"},
    "links": {"hooks"},
    "assets": {"asset_uris", "exceptions", "hooks"},
    "notifications": {"advice", "exceptions", "links"},
    "triggers": {"hooks", "flows", "exceptions"},
    "operators": {
        *("advice", "assets", "links", "hooks", "reports", "flows", "clients", "models", "exceptions", "words"),
    },
    "sensors": {"triggers", "assets", "links", "hooks", "flows", "exceptions", "operators"},
    "sandbox": set(),
}
"""What each floor may import beside itself. A sensor shares the arguments and the retries of the operators."""

WITHOUT_AIRFLOW = (
    *("exceptions", "words", "advice", "asset_uris", "models", "clients", "flows", "reports", "sandbox"),
    *("get_provider_info", "__init__"),
)

DEPRECATED = (
    "airflow.models.baseoperator",
    "airflow.models.dag",
    "airflow.models.param",
    "airflow.models.xcom",
    "airflow.hooks.base",
    "airflow.sensors.base",
    "airflow.utils.context",
    "airflow.utils.timezone",
    "airflow.decorators",
    "airflow.exceptions",
    "airflow.configuration",
    "airflow.DAG",
    "airflow.operators",
    "airflow.utils.log.secrets_masker",
)


def floor_of(module: Path) -> str:
    return module.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(module: Path) -> Iterator[str]:
    """Return every name that a module imports, at the top, in functions, and for type checking."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_a_module_imports_only_from_the_floors_below(module: Path) -> None:
    floor = floor_of(module)
    for name in imported(module):
        root, _, below = name.partition(".")
        if root == PACKAGE:
            wanted = below.partition(".")[0]
            assert wanted == floor or wanted in ALLOWED[floor], f"{floor} must not import {name}"


@pytest.mark.parametrize("module", [module for module in MODULES if floor_of(module) in WITHOUT_AIRFLOW], ids=named)
def test_below_the_hooks_nothing_imports_airflow(module: Path) -> None:
    assert [name for name in imported(module) if name.partition(".")[0] == "airflow"] == []


@pytest.mark.parametrize("name", ["get_provider_info.py", "__init__.py"])
def test_what_airflow_imports_first_imports_nothing(name: str) -> None:
    roots = {each.partition(".")[0] for each in imported(ROOT / name)}
    assert roots <= {"__future__", "typing"}


@pytest.mark.parametrize("module", [module for module in MODULES if floor_of(module) == "sandbox"], ids=named)
def test_the_sandbox_judges_by_itself(module: Path) -> None:
    roots = [name for name in imported(module) if name.startswith(PACKAGE)]
    assert all(name.startswith(f"{PACKAGE}.sandbox") for name in roots)
    assert not any(name.partition(".")[0] == "pydantic" for name in imported(module))


def python_files() -> list[Path]:
    top = ROOT.parent.parent
    return MODULES + sorted((top / "dags").glob("**/*.py"))


@pytest.mark.parametrize("module", python_files(), ids=lambda module: module.name)
def test_nothing_deprecated_of_airflow_is_imported(module: Path) -> None:
    for name in imported(module):
        assert not any(name == old or name.startswith(f"{old}.") for old in DEPRECATED), f"{name} is deprecated"


def test_every_floor_of_the_house_is_known() -> None:
    assert {floor_of(module) for module in MODULES} == set(ALLOWED)


def test_flows_and_calls_touch_no_socket_and_no_clock_but_the_drivers() -> None:
    io = {"requests", "aiohttp", "socket", "asyncio", "threading", "urllib3", "http"}
    drivers = {
        "sync_transport.py",
        "async_transport.py",
        "budget.py",
        "connections.py",
        "socket_errors.py",
        "token.py",
        "transport.py",
    }
    for module in MODULES:
        if floor_of(module) in ("flows", "models") or (floor_of(module) == "clients" and module.name not in drivers):
            used = {name for name in imported(module) if name.partition(".")[0] in io}
            # A pure function that parses a header.
            assert used <= {"requests.utils.parse_header_links"}, module


@pytest.mark.parametrize("module", [module for module in MODULES if floor_of(module) == "triggers"], ids=named)
def test_the_triggerer_is_never_blocked_by_a_sync_library(module: Path) -> None:
    assert not {name.partition(".")[0] for name in imported(module)} & {"requests", "time", "threading"}

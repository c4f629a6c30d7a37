"""What the reference pages say about this provider, taken from the provider itself, as MyST Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fields import model_tables

from tfso_hypatos.get_provider_info import get_provider_info
from tfso_hypatos.sandbox.settings import Meaning, Settings

_KINDS = {
    "names": "texts",
    "ids": "numbers",
    "number": "number",
    "signed": "number",
    "count": "whole number",
    "switch": "no value",
}

# What Airflow calls, or the inside needs, and nobody who writes a DAG.
_INNER = frozenset(
    (
        *("execute", "execute_complete", "resume_execution", "on_kill", "poke", "run", "serialize"),
        *("template_fields", "template_fields_renderers", "operator_extra_links", "ui_color"),
        *("conn_name_attr", "default_conn_name", "conn_type", "hook_name", "service_name"),
        *("service", "insert_headers", "read_settings", "test_flow", "timing"),
    )
)

_SHOWN = ("operators", "sensors", "triggers", "hooks", "notifications")


def substitutions() -> dict[str, str]:
    """Return each generated part by the name under which a page asks for it."""
    info = get_provider_info()
    parts = {
        "provider_facts": facts(info),
        "provider_configuration": configuration(info.get("config", {})),
        "extra_links": bullets(f"`{path}`" for path in info.get("extra-links", ())),
        "sandbox_options": sandbox_options(),
        **model_tables(),
    }
    for kind in ("operators", "sensors", "triggers", "hooks", "notifications"):
        parts[f"{kind}_modules"] = modules(names(info.get(kind, ())))
    for connection in info["connection-types"]:
        parts[f"{connection['connection-type']}_fields"] = connection_fields(connection)
    return parts


def names(entries: Iterable[Mapping[str, Any] | str]) -> list[str]:
    """Return the modules or classes that a section of the provider info names, each once.

    :param entries: the section: objects with ``python-modules``, or names.
    """
    found = [name for entry in entries for name in ([entry] if isinstance(entry, str) else entry["python-modules"])]
    return list(dict.fromkeys(found))


def modules(found: Sequence[str]) -> str:
    """Return the documentation of modules and classes, made from their docstrings.

    :param found: their dotted names.
    """
    directives = []
    for name in found:
        if name.rpartition(".")[2][0].isupper():
            directives.append(f".. autoclass:: {name}")
        else:
            directives.append(f".. automodule:: {name}\n   :members:")
    # Docstrings are written in reStructuredText, whatever the page around them is.
    return "\n\n".join(f"```{{eval-rst}}\n{directive}\n```" for directive in directives)


def is_inner(name: str) -> bool:
    """Say whether a documented member is left out of the reference.

    :param name: its name.
    """
    return name in _INNER or name.isupper()


def connection_fields(connection: Mapping[str, Any]) -> str:
    """Return the fields of a connection's form.

    :param connection: the connection type, as the provider info describes it.
    """
    behaviour = connection["ui-field-behaviour"]
    labels, hints = behaviour["relabeling"], behaviour.get("placeholders", {})
    rows = [(labels[name], f"`{name}`", "text", hints.get(name, "")) for name in ("host", "login", "password")]
    for name, field in connection["conn-fields"].items():
        rows.append((field["label"], f"`extra.{name}`", _takes(field["schema"]), field["description"]))
    return table(("In the form", "In JSON", "Takes", ""), rows)


def _takes(schema: Mapping[str, Any]) -> str:
    choices = [f"`{choice}`" for choice in schema.get("enum", ()) if choice is not None]
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    said = " or ".join(choices) or " or ".join(
        {"string": "text", "boolean": "true or false"}.get(kind, kind) for kind in kinds if kind != "null"
    )
    least = schema.get("minimum")
    bound = f", {least} at least" if least else ", above 0" if "exclusiveMinimum" in schema else ""
    default = schema.get("default")
    shown = "" if default is None else f"; `{str(default).lower()}`"
    return said + bound + shown


def configuration(sections: Mapping[str, Any]) -> str:
    """Return the provider's own settings in ``airflow.cfg``.

    :param sections: the section ``config`` of the provider info.
    """
    if not sections:
        return "None of its own in `airflow.cfg`: what can be set, is set in a connection or a task."
    rows = []
    for section, content in sections.items():
        for option, about in content["options"].items():
            variable = f"AIRFLOW__{section.upper()}__{option.upper()}"
            rows.append((f"`[{section}] {option}`", f"`{variable}`", f"`{about['default']}`", about["description"]))
    return table(("Option", "Environment", "Left empty", ""), rows)


def facts(info: Mapping[str, Any]) -> str:
    """Return what Airflow learns about the provider.

    :param info: the provider info.
    """
    rows = [
        ("Package", f"`{info['package-name']}`"),
        ("Name", info["name"]),
        ("About", info["description"]),
        *((f"API of {each['integration-name']}", f"<{each['external-doc-url']}>") for each in info["integrations"]),
        *(
            (f"Connection type `{each['connection-type']}`", f"{each['hook-name']}, `{each['hook-class-name']}`")
            for each in info["connection-types"]
        ),
        *((f"{kind.capitalize()[:-1]}", f"`{name}`") for kind in _SHOWN for name in names(info.get(kind, ()))),
        *(
            (f"Assets `{scheme}://`", "checked by the provider")
            for each in info["asset-uris"]
            for scheme in each["schemes"]
        ),
    ]
    return table(("", ""), rows)


def sandbox_options() -> str:
    """Return the settings of the sandbox as options of its command line."""
    defaults = {field.name: getattr(Settings(), field.name) for field in dataclasses.fields(Settings)}
    rows = [_option(name, meaning, defaults[name]) for name, meaning in Settings.meanings().items()]
    return table(("Option", "Takes", "Left out", ""), rows)


def _option(name: str, meaning: Meaning, default: object) -> tuple[str, ...]:
    if isinstance(default, list):
        left_out = ", ".join(f"`{each}`" for each in default)
    else:
        left_out = "" if default is None or isinstance(default, bool) else f"`{default}`"
    return f"`--{name.replace('_', '-')}`", _KINDS.get(meaning.kind.rstrip("?"), "text"), left_out, meaning.about


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    :param head: the columns' names.
    :param rows: the cells.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {item}" for item in items)

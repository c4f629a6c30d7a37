"""Tables of the fields of the models: what may be sent, within which limits, and what is read."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from enum import Enum
from inspect import cleandoc
from textwrap import indent
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from tfso_hypatos.models import hypatos, tfso, tfso_read

_MODULES = (tfso, tfso_read, hypatos)
_LIMITS = {"ge": "{} at least", "le": "{} at most"}
_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "object", "null": "null"}


def model_tables() -> dict[str, str]:
    """Return the tables of each module of models, by the name under which a page asks for them."""
    return {f"{module.__name__.rpartition('.')[2]}_models": _tables(module) for module in _MODULES}


def _tables(module: ModuleType) -> str:
    return "\n\n".join(["```{eval-rst}", f".. py:module:: {module.__name__}", *_classes(module), "```"])


def _classes(module: ModuleType) -> Iterator[str]:
    for name, kind in vars(module).items():
        if not isinstance(kind, type) or kind.__module__ != module.__name__ or name.startswith("_"):
            continue
        if issubclass(kind, BaseModel):
            yield _model(kind)
        elif issubclass(kind, Enum):
            words = ", ".join(f"``{word.value}``" for word in kind)
            yield f"{_head(kind)}\n\n   {words}"


def _head(kind: type) -> str:
    return f".. py:class:: {kind.__name__}\n\n{indent(cleandoc(kind.__doc__ or ''), '   ')}"


def _model(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(by_alias=True)
    required = schema.get("required", ())
    lines = [
        _head(model),
        "",
        "   .. list-table::",
        "      :header-rows: 1",
        "      :width: 100%",
        "      :widths: 30 30 40",
        "",
        *_row("Field", "Takes", ""),
    ]
    for name, field in schema["properties"].items():
        about = field.get("description", "")
        if name in required:
            about = f"**required**; {about}" if about else "**required**"
        lines += _row(f"``{name}``", _takes(field, model.__module__), about)
    return "\n".join(lines)


def _row(*cells: str) -> list[str]:
    first, *others = (f" {cell}" if cell else "" for cell in cells)
    return [f"      * -{first}", *(f"        -{cell}" for cell in others)]


def _takes(field: Mapping[str, Any], module: str) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f":py:class:`{name} <{vars(importlib.import_module(module))[name].__module__}.{name}>`"
    if "enum" in field:
        return ", ".join(f"``{choice or '(empty)'}``" for choice in field["enum"])
    if "const" in field:
        return f"``{field['const']}``"
    bounds = (text.format(field[name]) for name, text in _LIMITS.items() if name in field)
    limits = ", ".join([*_length(field), *bounds])
    if "items" in field:
        kind = f"list of {_takes(field['items'], module)}"
    elif "anyOf" in field:
        kind = _one_of([each for each in field["anyOf"] if each.get("type") != "null"], module)
    elif field.get("format") in ("date", "date-time"):
        kind = field["format"]
    else:
        kind = _WORDS.get(field.get("type", ""), field.get("type", "anything"))
    return ", ".join(filter(None, (kind, limits)))


def _length(field: Mapping[str, Any]) -> Iterator[str]:
    least, most = field.get("minLength"), field.get("maxLength")
    if most is not None:
        yield f"{most} characters{'' if least == most else ' at most'}"
    elif least is not None:
        yield "not empty" if least == 1 else f"{least} characters at least"


def _one_of(kinds: list[Mapping[str, Any]], module: str) -> str:
    # An amount is taken as a number or as its digits in text.
    if [kind.get("type") for kind in kinds] == ["number", "string"]:
        return "amount"
    return " or ".join(dict.fromkeys(_takes(kind, module) for kind in kinds))

"""OpenAPI schemas made plain: no references, nothing combined by allOf, so that every rule stands where it applies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = frozenset(
    {
        "additionalProperties", "const", "enum", "format", "maxItems", "maxLength", "maxProperties", "maximum",
        "minItems", "minLength", "minimum", "multipleOf", "pattern", "required", "type",
    }
)  # fmt: skip


def plain(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema, or of a parameter, with references followed and allOf merged.

    :param document: the OpenAPI document.
    :param node: what to copy.
    """
    if "$ref" in node:
        return plain(document, _target(document, node["$ref"]))
    if "in" in node and "name" in node:
        return dict(node)
    schema = {name: value for name, value in node.items() if name in _KEPT}
    if "properties" in node:
        schema["properties"] = {name: plain(document, part) for name, part in node["properties"].items()}
    if "items" in node:
        schema["items"] = plain(document, node["items"])
    if "oneOf" in node:
        schema["oneOf"] = [plain(document, part) for part in node["oneOf"]]
    if isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = plain(document, node["additionalProperties"])
    for part in node.get("allOf", ()):
        _merge(schema, plain(document, part))
    if "unevaluatedProperties" in node:
        # Once nothing is combined any more, both keywords say the same.
        schema["additionalProperties"] = node["unevaluatedProperties"]
    return schema


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a plain schema that refuses members it does not name, at every depth.

    :param schema: a plain schema.
    """
    copy = dict(schema)
    if "properties" in schema:
        copy["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        copy.setdefault("additionalProperties", False)
    if "items" in schema:
        copy["items"] = closed(schema["items"])
    if "oneOf" in schema:
        copy["oneOf"] = [closed(part) for part in schema["oneOf"]]
    return copy


def known_part(schema: Mapping[str, Any], value: Any) -> Any:
    """Return a value without the members that a plain schema does not name, at every depth.

    :param schema: a plain schema.
    :param value: a value that fits it.
    """
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return {name: known_part(known[name], member) for name, member in value.items() if name in known}
    if isinstance(value, list) and "items" in schema:
        return [known_part(schema["items"], member) for member in value]
    return value


def _target(document: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    node: Any = document
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]
    found: Mapping[str, Any] = node
    return found


def _merge(schema: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if name == "properties":
            properties = schema.setdefault("properties", {})
            for member, rules in value.items():
                properties[member] = {**properties.get(member, {}), **rules}
        elif name == "required":
            schema["required"] = [*schema.get("required", ()), *value]
        else:
            schema[name] = value

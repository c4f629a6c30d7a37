"""The OpenAPI documents: which operations there are, and what each of them takes."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import unquote

import yaml

from tfso_hypatos.sandbox.rules import Check, Violation, check_for
from tfso_hypatos.sandbox.schemas import closed, known_part, plain

_METHODS = ("get", "post", "patch", "delete")
_INTEGER = re.compile(r"-?\d{1,18}\Z")


@dataclass(frozen=True, slots=True)
class Body:
    """The body of one operation in one media type.

    :param schema: its schema, without references.
    :param check: finds what breaks the schema.
    :param strict: the same, where no unknown member is allowed either.
    """

    schema: Mapping[str, Any]
    check: Check
    strict: Check

    def known_part(self, value: Any) -> Any:
        """Return the value without the members that the document does not know.

        :param value: a body that passed the check.
        """
        return known_part(self.schema, value)


class Parameter(NamedTuple):
    """A path or query parameter: its name, its JSON type, and the check of its value."""

    name: str
    kind: str
    check: Check


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an API.

    :param name: its operationId.
    :param method: HTTP method.
    :param pattern: matches the path below the API root.
    :param path_parameters: in the order they stand in the path.
    :param query_parameters: by name.
    :param bodies: by media type.
    :param scopes: what a token needs for it.
    """

    name: str
    method: str
    pattern: re.Pattern[str]
    path_parameters: tuple[Parameter, ...]
    query_parameters: Mapping[str, Parameter]
    bodies: Mapping[str, Body]
    scopes: tuple[str, ...]

    def read_path(self, path: str) -> tuple[dict[str, Any], list[Violation]]:
        """Return the path parameters and what is wrong with them.

        :param path: path below the API root, percent-encoded.
        """
        match = self.pattern.match(path)
        texts = match.groups() if match else ()
        return _read((parameter, unquote(text)) for parameter, text in zip(self.path_parameters, texts, strict=True))

    def read_query(self, query: Mapping[str, str]) -> tuple[dict[str, Any], list[Violation]]:
        """Return the query parameters this operation knows and what is wrong with them.

        :param query: the parameters as they came; unknown ones are passed over.
        """
        known = self.query_parameters
        return _read((known[name], text) for name, text in query.items() if name in known)


class Contract:
    """One OpenAPI document, ready to check requests.

    :param document: the parsed document.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._operations = tuple(_operations(document))

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation behind a method and a path, or None.

        :param method: HTTP method.
        :param path: path below the API root, percent-encoded.
        """
        for operation in self._operations:
            if operation.method == method and operation.pattern.match(path):
                return operation
        return None

    def knows(self, path: str) -> bool:
        """Say whether any operation has this path.

        :param path: path below the API root, percent-encoded.
        """
        return any(operation.pattern.match(path) for operation in self._operations)


@functools.cache
def load(name: str) -> Contract:
    """Return the contract carried in this package under this name; it is read and compiled once.

    :param name: "24sevenoffice" or "hypatos".
    """
    text = resources.files("tfso_hypatos.sandbox").joinpath("openapi", f"{name}.yaml").read_text("utf-8")
    return Contract(yaml.load(text, Loader=_Loader))  # noqa: S506 - a safe loader, extended by Decimal below


# The C loader is ten times as fast; libyaml is not everywhere.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the base is chosen at run time
    """A safe loader in which 0.0001 is exactly that."""


def _exact(loader: Any, node: yaml.ScalarNode) -> Decimal:
    return Decimal(str(loader.construct_scalar(node)))


_Loader.add_constructor("tag:yaml.org,2002:float", _exact)


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                shared = item.get("parameters", [])
                yield _operation(document, path, method, item[method], shared)


def _operation(
    document: Mapping[str, Any], path: str, method: str, spec: Mapping[str, Any], shared: list[Any]
) -> Operation:
    parameters = [plain(document, parameter) for parameter in (*shared, *spec.get("parameters", []))]
    names = re.findall(r"\{(\w+)\}", path)
    in_path = {p["name"]: _parameter(document, p) for p in parameters if p["in"] == "path"}
    content = spec.get("requestBody", {}).get("content", {})
    return Operation(
        name=spec["operationId"],
        method=method.upper(),
        pattern=re.compile(re.sub(r"\{\w+\}", "([^/]+)", path) + r"\Z"),
        path_parameters=tuple(in_path[name] for name in names),
        query_parameters={p["name"]: _parameter(document, p) for p in parameters if p["in"] == "query"},
        bodies={media: _body(document, part["schema"]) for media, part in content.items()},
        scopes=tuple(scope for rule in spec.get("security", []) for scopes in rule.values() for scope in scopes),
    )


def _body(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Body:
    whole = plain(document, schema)
    return Body(whole, check_for(whole), check_for(closed(whole)))


def _parameter(document: Mapping[str, Any], spec: Mapping[str, Any]) -> Parameter:
    schema = plain(document, spec["schema"])
    return Parameter(spec["name"], str(schema.get("type", "string")), check_for(schema))


def _read(pairs: Iterator[tuple[Parameter, str]]) -> tuple[dict[str, Any], list[Violation]]:
    values: dict[str, Any] = {}
    violations: list[Violation] = []
    for parameter, text in pairs:
        is_integer = parameter.kind == "integer" and _INTEGER.match(text)
        value = int(text) if is_integer else text
        values[parameter.name] = value
        violations += [Violation((parameter.name,), found.keyword, found.message) for found in parameter.check(value)]
    return values, violations

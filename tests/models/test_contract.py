"""Every member, limit, word and required mark of the models against the OpenAPI documents: a wrong one shows."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib import resources
from typing import Any, NamedTuple, get_args

import jsonschema
import pytest
import yaml

from tfso_hypatos.clients.messages import encode
from tfso_hypatos.exceptions import InvalidInput
from tfso_hypatos.models import hypatos, tfso
from tfso_hypatos.models.base import Sent, validate

TFSO = "24sevenoffice.yaml"
HYPATOS = "hypatos.yaml"

MODELS: dict[str, tuple[str, str, type[Sent]]] = {
    "order": (TFSO, "SalesOrderCreate", tfso.SalesOrderCreate),
    "change": (TFSO, "SalesOrderPatch", tfso.SalesOrderPatch),
    "line": (TFSO, "LineInput", tfso.Line),
    "record": (HYPATOS, "SalesOrder", hypatos.EnrichmentSalesOrder),
    "patch": (HYPATOS, "SalesOrderMergePatch", hypatos.EnrichmentPatch),
}

SET_BY_THE_SERVER = {"id", "createdAt", "modifiedAt", "invoice.number", "invoice.transaction", "invoice.transaction.id"}
"""In the write schemas of the API, and still not ours to send."""

WORD_OF_ITS_OWN = [("order.status", "Invoice")]
"""In the list of the API, and refused by us: see test_tfso.py."""

SEVERAL_SHAPES = {"paymentTerms", "accrual"}
"""One of several objects at the API: tested by hand in test_tfso.py. The payment terms of Hypatos are one object."""

REQUIRED: Mapping[str, Any] = {
    "customer": {"id": 1, "name": "A"},
    "id": 1,
    "name": "A",
    "dimensionType": 1,
    "value": "1",
    "externalId": "SO-1",
}

PATTERNS: Mapping[str, tuple[list[str], list[str]]] = {
    r"^\S+$": (["SO-1", "UserID#1/%?", "æ", "x" * 5000], ["", "a b", "a\n", "\t", "a\u00a0b"]),
    r"^[0-9a-fA-F]{24}$": (["63cac12c37bb02accb396cae", "A" * 24], ["a" * 23, "a" * 25, "g" * 24, "a" * 24 + "\n"]),
    "^[A-Z]{3}$": (["NOK"], ["nok", "NO", "NOKK", "NOK\n", "ÆØÅ"]),
}


class Member(NamedTuple):
    path: str
    name: str
    schema: Mapping[str, Any]
    nullable: bool
    model: type[Sent]


@functools.cache
def document(name: str) -> Any:
    return yaml.safe_load(resources.files("tfso_hypatos.sandbox").joinpath("openapi", name).read_text("utf-8"))


def resolve(name: str, schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return a schema with its references and parts put together, and whether it takes null."""
    found = dict(schema)
    nullable = False
    if "$ref" in found:
        target = document(name)["components"]["schemas"][found.pop("$ref").rsplit("/", 1)[1]]
        resolved, nullable = resolve(name, target)
        return {**resolved, **found}, nullable
    choices = found.get("oneOf", [])
    if {"type": "null"} in choices:
        (choice,) = [choice for choice in choices if choice != {"type": "null"}]
        return resolve(name, choice)[0], True
    for part in found.pop("allOf", []):
        merged, _ = resolve(name, part)
        found["properties"] = {**found.get("properties", {}), **merged.get("properties", {})}
        found["required"] = [*found.get("required", []), *merged.get("required", [])]
    kinds = found.get("type")
    if isinstance(kinds, list):
        nullable = "null" in kinds
        (found["type"],) = [kind for kind in kinds if kind != "null"]
    return found, nullable


def sent_by(annotation: object) -> type[Sent]:
    """Return the one model inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Sent):
        return annotation
    (found,) = {sent for part in get_args(annotation) for sent in models_in(part)}
    return found


def models_in(annotation: object) -> set[type[Sent]]:
    if isinstance(annotation, type) and issubclass(annotation, Sent):
        return {annotation}
    return {sent for part in get_args(annotation) for sent in models_in(part)}


def by_alias(model: type[Sent]) -> dict[str, Any]:
    return {str(info.alias): info for info in model.model_fields.values()}


def walk(name: str, schema: Mapping[str, Any], model: type[Sent], path: str) -> Iterator[Member]:
    """Return every member below an object, with the model it belongs to."""
    resolved, _ = resolve(name, schema)
    root = path.partition(".")[2]
    fields = by_alias(model)
    expected = {key for key in resolved["properties"] if f"{root}.{key}".lstrip(".") not in SET_BY_THE_SERVER}
    assert set(fields) == expected, path
    assert {key for key, info in fields.items() if info.is_required()} == set(resolved.get("required", [])), path
    for key in expected:
        member, nullable = resolve(name, resolved["properties"][key])
        nullable = nullable or None in member.get("enum", [])
        yield Member(f"{path}.{key}", key, member, nullable, model)
        inner, _ = resolve(name, member["items"]) if member.get("type") == "array" else (member, False)
        if "properties" in inner and not (name == TFSO and key in SEVERAL_SHAPES):
            yield from walk(name, inner, sent_by(fields[key].annotation), f"{path}.{key}")


def members(which: str) -> list[Member]:
    name, schema, model = MODELS[which]
    return list(walk(name, {"$ref": f"#/components/schemas/{schema}"}, model, which))


def probes(schema: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Return values at the edges of a schema, and whether it takes them."""
    if "enum" in schema:
        yield from ((word, True) for word in schema["enum"] if word is not None)
        yield from ((word, False) for word in ("no such word", "invoice", "nok", "NO", " NOK"))
        return
    match schema.get("type"):
        case "string":
            yield from texts(schema)
        case "integer":
            yield from integers(schema)
        case "number":
            yield from numbers(schema)
        case "boolean":
            yield from ((True, True), (False, True), ("perhaps", False), (2, False))
        case "array":
            yield from (([], True), ("text", False), ({}, False), ([None], False))
        case "object" if "properties" in schema:
            yield from (("text", False), (1, False), ([], False), ({"noSuchField": 1}, False))
        case "object":
            yield from (({}, True), ({"a": "b"}, True), ("text", False), ([], False))


def texts(schema: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength", 0)
    yield from ((True, False), (1.5, False), ({}, False))
    if schema.get("format") == "date":
        yield from (("2026-01-31", True), ("2024-02-29", True))
        yield from ((bad, False) for bad in ("2026-02-30", "31.01.2026", "20260131", 20260131, "2026-01-31T00:00:00Z"))
    elif "pattern" in schema:
        good, bad = PATTERNS[schema["pattern"]]
        yield from itertools.chain(((text, True) for text in good), ((text, False) for text in bad))
    elif longest is None:
        yield from (("x" * 5000, True), ("", shortest == 0))
    else:
        yield from (("x" * longest, True), ("å" * longest, True), ("x" * (longest + 1), False))
        yield ("x" * shortest, True)
        yield from [("x" * (shortest - 1), False)] if shortest else []


def integers(schema: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    least = schema.get("minimum")
    yield from ((7, True), ("7", True), (7.0, True), (Decimal("7.0"), True))
    no_integers: list[Any] = [True, 1.5, "1.5", "seven", "", float("nan"), Decimal("sNaN"), 1e300, []]
    yield from ((bad, False) for bad in no_integers)
    yield (-100, least is None)
    yield from [(least, True), (least - 1, False)] if least is not None else []
    short = schema.get("format") == "int32"
    yield from ((2**31 - 1, True), (2**31, not short), (-(2**31), True), (-(2**31) - 1, not short))


def numbers(schema: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    least, most, step = (schema.get(key) for key in ("minimum", "maximum", "multipleOf"))
    no_numbers: list[Any] = [True, "words", "1,5", float("nan"), "Infinity", 0.12345678901234568, []]
    yield from ((bad, False) for bad in no_numbers)
    yield from ((Decimal(7), True), ("7", True))
    tiny = Decimal("1e-12")
    yield from [(Decimal(str(least)), True), (Decimal(str(least)) - tiny, False)] if least is not None else [(-7, True)]
    if most is not None:
        yield from ((Decimal(str(most)), True), (Decimal(str(most)) + (tiny if step is None else 1), False))
    else:
        yield (10**20, True)
    if step is not None:
        yield from ((Decimal(str(step)), True), (Decimal("0.00010"), True), (Decimal("0.00005"), False))
        yield from ((Decimal("-1E+40"), True), (Decimal("1E+40"), False), (Decimal("0E-40"), True))


def accepted(member: Member, value: object) -> bool:
    needed = {key: REQUIRED[key] for key, info in by_alias(member.model).items() if info.is_required()}
    try:
        validate(member.model, {**needed, member.name: value}, "p")
    except InvalidInput as error:
        # A refusal for another reason would hide a limit that is missing here.
        return any(not re.match(rf"p\.{member.name}\b", problem.place) for problem in error.problems)
    return True


@pytest.mark.parametrize("which", MODELS)
def test_every_value_at_an_edge(which: str) -> None:
    whole_references = {"yourReference.id", "ourReference.id"}
    wrong = []
    for member in members(which):
        path = member.path.partition(".")[2]
        schema = {**member.schema, "type": "integer"} if path in whole_references else member.schema
        for value, good in [*probes(schema), (None, member.nullable)]:
            if (member.path, value) not in WORD_OF_ITS_OWN and accepted(member, value) is not good:
                wrong.append(f"{member.path}: {value!r:.60} should be {'accepted' if good else 'refused'}")
    assert not wrong


@pytest.mark.parametrize("which", MODELS)
def test_an_unknown_field_is_refused_everywhere(which: str) -> None:
    for model in {member.model for member in members(which)}:
        assert model.model_config["extra"] == "forbid"


@pytest.mark.parametrize("which", ["record", "patch"])
def test_hypatos_has_all_57_members(which: str) -> None:
    assert len(members(which)) == 57


def test_the_code_lists() -> None:
    schemas = document(HYPATOS)["components"]["schemas"]
    assert {None, *hypatos.CURRENCIES} == set(schemas["CurrencyCode"]["enum"])
    assert {None, *hypatos.LANGUAGES} == set(schemas["LanguageCode"]["enum"])
    assert (len(hypatos.CURRENCIES), len(hypatos.LANGUAGES)) == (181, 184)


def sample(member: Member, path: str) -> Any:
    given = {"invoiceEmailAddresses": ["a@b.no"], "paymentTerms": {"type": "FixedDate", "value": "2026-01-31"}}
    given["accrual"] = {"startDate": "2026-01-31", "length": 12}
    if member.name in given and path.startswith(("order", "change", "line")):
        return given[member.name]
    return next(value for value, good in probes(member.schema) if good and value != "Invoice")


@pytest.mark.parametrize("which", MODELS)
def test_a_full_object_is_valid_by_the_document(which: str) -> None:
    name, schema, model = MODELS[which]
    full: dict[str, Any] = {}
    for member in members(which):
        *above, key = member.path.split(".")[1:]
        place: Any = full
        for step in above:
            place = place[step][0] if isinstance(place[step], list) else place[step]
        inner = resolve(name, member.schema["items"])[0] if member.schema.get("type") == "array" else member.schema
        nested = "properties" in inner and not (name == TFSO and key in SEVERAL_SHAPES)
        value = {} if nested else sample(member, member.path)
        place[key] = [value] if nested and member.schema.get("type") == "array" else value
    wire = json.loads(encode(validate(model, full, which).to_wire()))
    checker = jsonschema.Draft202012Validator(
        {**document(name), "$ref": f"#/components/schemas/{schema}"},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )
    checker.validate(wire)
    assert wire.keys() == full.keys()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what earlier runs saved: the counts of an object, a kernel's check or stubs.

The shipped schema says what such a document holds (JSON Schema, as far as it uses that); one reader serves
`--baseline`, `--prelink` and `diff`. Not tested are `required` and `additionalProperties`: an earlier version
wrote fewer keys, a later one may write more. The reader asks for the keys that it needs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from pfestubs import model
from pfestubs.errors import InputError, InstallationError
from pfestubs.layouts import LAYOUTS
from pfestubs.model.findings import RULES, Scope
from pfestubs.read.file_types import is_document
from pfestubs.read.source import read_document, read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_OFFSET: Final = re.compile(r"\+0x[0-9a-f]+\Z")
_TABLE_RULE: Final = "table-damaged"
_DAMAGE_RULES: Final = (_TABLE_RULE, "area-damaged")
_LIMIT: Final = 1 << 64
_TYPES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "object": ("an object", lambda value: isinstance(value, dict)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "string": ("text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "integer": ("a number of 64 bits", lambda value: type(value) is int and abs(value) < _LIMIT),
}


def is_saved(path: str) -> bool:
    """Return whether the file at `path` is a saved document, packed or not, by how it begins."""
    return is_document(read_head(path))


def read_saved_count(path: str) -> model.ObjectCounts:
    """Read the counts of an object from the document that `pfestubs count --format json` wrote."""
    return _counts(_Document(path, [model.COUNT_SCHEMA], "give vmlinux.o or its saved count"))


def read_baseline(path: str) -> model.KernelFigures:
    """Read an earlier kernel's figures from the document that `pfestubs check --format json` wrote."""
    return _check_figures(_Document(path, [model.CHECK_SCHEMA], "save one with pfestubs check --format json"))


def read_saved_figures(path: str) -> model.KernelFigures:
    """Read a kernel's figures from a document of `check`, `count` or `stubs`."""
    document = _Document(path, list(_FIGURES), "save one with --format json")
    return _FIGURES[document.values["schema"]](document)


class _Document:
    """A JSON document of one of `schemas`.

    Raises:
        InputError: it is something else, with the first value that is not as its schema says.
        InstallationError: the schema's file is missing.
    """

    def __init__(self, path: str, schemas: Sequence[str], advice: str) -> None:
        wanted = " or ".join(schemas)
        self.path, self._advice = path, advice
        try:
            values = json.loads(read_document(path).decode(), object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise InputError(
                path,
                f"is not the JSON document {wanted}, in UTF-8 without a byte order mark: {error}",
                advice,
            ) from error
        self.values: Mapping[str, Any] = values if isinstance(values, dict) else {}
        name = self.values.get("schema")
        if name not in schemas:
            raise self.wrong("schema", name, wanted)
        _, kind, version = str(name).split("/")
        try:
            schema = json.loads(
                files("pfestubs").joinpath(f"schemas/{kind}-{version}.json").read_text("utf-8")
            )
        except OSError as error:
            raise InstallationError(f"the schema {name}") from error
        for keys, found, expected in _mismatches(self.values, schema, schema):
            key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys)
            raise self.wrong(key.removeprefix("."), found, expected)

    def wrong(self, key: str, found: object, expected: str = "") -> InputError:
        problem = f"'{key}' is missing" if found is None else f"'{key}' is {_short(found)}"
        return InputError(self.path, problem + (f", expected {expected}" if expected else ""), self._advice)

    def need(self, table: Mapping[str, Any], key: str, where: str = "") -> Any:
        """Return the value of a key that every version writes."""
        if table.get(key) is None:
            raise self.wrong(f"{where}{key}", None)
        return table[key]


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise ValueError(f"it has the key {_short(twice)} twice in one object")
    return values


def _short(value: object) -> str:
    """Return a value for a sentence, cut at 40 characters; a container only by its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


# -- as the schema says ------------------------------------------------------------------------------------


_Path = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


def _mismatches(
    value: Any, schema: Any, root: Mapping[str, Any], path: _Path = ()
) -> Iterator[tuple[_Path, object, str]]:
    """Yield what is not as `schema`, a part of `root`, describes it, and what was expected."""
    if schema is False:
        yield path, value, "no such key"
        return
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", _TYPES)
    if not any(_TYPES[type_][1](value) for type_ in types):
        yield path, value, " or ".join(_TYPES[type_][0] for type_ in types)
        return
    yield from ((path, value, expected) for expected in _expected(value, schema, root))
    if isinstance(value, dict):
        for key, part in schema.get("properties", {}).items():
            if key in value:
                yield from _mismatches(value[key], part, root, (*path, key))
    for number, item in enumerate(value) if isinstance(value, list) and "items" in schema else ():
        yield from _mismatches(item, schema["items"], root, (*path, number))
    for part in _chosen(value, schema, root):
        yield from _mismatches(value, part, root, path)


def _expected(value: Any, schema: Any, root: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a value of the right type should be and is not."""
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None and not any(type(value) is type(one) and value == one for one in allowed):
        named = ", ".join("null" if one is None else str(one) for one in allowed)
        yield named if "const" in schema else f"one of {named}"
    if "minimum" in schema and type(value) is int and value < schema["minimum"]:
        yield f"at least {schema['minimum']}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"text such as {schema['pattern']}"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            wanted = schema.get("maxItems", schema.get("minItems"))
            yield f"{wanted} items" if wanted else "no items"
        if "contains" in schema and not any(_conforms(item, schema["contains"], root) for item in value):
            yield "a list with one of another kind"


def _chosen(value: Any, schema: Any, root: Mapping[str, Any]) -> Sequence[Any]:
    """Return the parts of a schema that describe the same value."""
    parts = list(schema.get("allOf", ()))
    if "anyOf" in schema and not any(_conforms(value, part, root) for part in schema["anyOf"]):
        parts.append(schema["anyOf"][0])
    if "if" in schema:
        parts.append(schema.get("then" if _conforms(value, schema["if"], root) else "else", {}))
    return parts


def _conforms(value: Any, schema: Any, root: Mapping[str, Any]) -> bool:
    return next(_mismatches(value, schema, root), None) is None


# -- what the documents say ----------------------------------------------------------------------------------


def _counts(document: _Document) -> model.ObjectCounts:
    values = document.values
    table = document.need(values, "entries")
    names = ("text", "inittext", "exittext", "total")
    *kinds, total = (document.need(table, name, "entries.") for name in names)
    entries = model.EntryCounts(*kinds)
    if total != entries.total:
        raise document.wrong("entries.total", total, f"the sum of the kinds, {entries.total}")
    layout, stubs = LAYOUTS.get(values.get("layout", "")), None
    if layout is not None:
        reserved = document.need(values, "stubs")
        stubs = {area.name: document.need(reserved, area.name, "stubs.") for area in layout.areas}
    return model.ObjectCounts(
        file=document.path,
        bits=document.need(values, "class"),
        byte_order=document.need(values, "byte_order"),
        layout=layout,
        entries=entries,
        stubs=stubs,
    )


def _check_figures(document: _Document) -> model.KernelFigures:
    values = document.values
    headroom = document.need(values, "headroom")
    if "bytes" not in headroom:  # null where no branch is measured
        raise document.wrong("headroom.bytes", None)
    name = document.need(values, "layout")
    layout = LAYOUTS.get(name)
    known = [spec.name for spec in layout.areas] if layout else []
    areas: dict[str, model.AreaFigures] = {}
    for i, area in enumerate(values.get("areas") or ()):
        own, reserved, used = (
            document.need(area, key, f"areas[{i}].") for key in ("name", "reserved", "used")
        )
        if own not in known or own in areas:
            raise document.wrong(f"areas[{i}].name", own, f"each of {', '.join(known)} once")
        areas[own] = model.AreaFigures(reserved, used)
    rules = [
        document.need(finding, "rule", f"findings[{i}].")
        for i, finding in enumerate(values.get("findings") or ())
    ]
    failing = sum(rule in RULES and RULES[rule].scope is Scope.LOCATION for rule in rules)
    # The findings of a damaged table hide those of its locations.
    unserved = None if _TABLE_RULE in rules or "findings" not in values else failing
    damage = next((rule for rule in rules if rule in _DAMAGE_RULES), None)
    kernel = values.get("kernel") or {}  # since 0.2, and byte order and class
    return model.KernelFigures(
        model.KernelIdentity(
            document.path,
            name,
            values.get("class"),
            values.get("byte_order"),
            kernel.get("release"),
            build_id=kernel.get("build_id"),
        ),
        source="check",
        locations=document.need(values, "locations"),
        stub_size=values.get("stub_size"),
        areas=areas,
        unserved=unserved,
        headroom=headroom["bytes"],
        damage=damage,
    )


def _count_figures(document: _Document) -> model.KernelFigures:
    counts = _counts(document)
    layout = counts.layout
    return model.KernelFigures(
        model.KernelIdentity(counts.file, layout.name if layout else None, counts.bits, counts.byte_order),
        source="count",
        locations=counts.entries.text + counts.entries.inittext,
        entries=counts.entries,
        areas={name: model.AreaFigures(number, None) for name, number in (counts.stubs or {}).items()},
    )


def _stubs_figures(document: _Document) -> model.KernelFigures:
    layout = LAYOUTS[document.need(document.values, "layout")]
    functions: Counter[str] = Counter()
    indices: dict[str, set[int]] = {spec.name: set() for spec in layout.areas}
    unserved = 0
    for i, stub in enumerate(document.need(document.values, "stubs")):
        functions[_OFFSET.sub("", document.need(stub, "function", f"stubs[{i}]."))] += 1
        area = stub.get("area")
        if area is None:
            unserved += 1
        elif area in indices:
            indices[area].add(document.need(stub, "index", f"stubs[{i}]."))
        else:
            raise document.wrong(f"stubs[{i}].area", area, f"one of {', '.join(indices)}, null")
    # In a whole listing only a location without a stub can leave a gap.
    gaps = sum(max(used) + 1 - len(used) for used in indices.values() if used)
    partial = gaps > unserved
    return model.KernelFigures(
        model.KernelIdentity(document.path, layout.name),
        source="stubs",
        locations=functions.total(),
        stub_size=document.need(document.values, "stub_size"),
        functions=functions,
        unserved=unserved or None,  # a function whose stub fails after boot (init-trampoline-only) has one
        areas={} if partial else {name: model.AreaFigures(None, len(used)) for name, used in indices.items()},
        partial=partial,
    )


_FIGURES: Final = {
    model.CHECK_SCHEMA: _check_figures,
    model.COUNT_SCHEMA: _count_figures,
    model.STUBS_SCHEMA: _stubs_figures,
}

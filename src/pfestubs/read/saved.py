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
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs.errors import InputError, InstallationError
from pfestubs.layouts import LAYOUTS
from pfestubs.model import (
    CHECK_SCHEMA,
    COUNT_SCHEMA,
    STUBS_SCHEMA,
    AreaFigures,
    EntryCounts,
    KernelFigures,
    KernelIdentity,
    ObjectCounts,
)
from pfestubs.model.findings import RULES, Scope
from pfestubs.read.file_types import is_document
from pfestubs.read.source import read_document, read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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


def read_saved_count(path: str) -> ObjectCounts:
    """Read the counts of an object from the document that `pfestubs count --format json` wrote."""
    return _counts(_Document(path, [COUNT_SCHEMA], "give vmlinux.o or its saved count"))


def read_baseline(path: str) -> KernelFigures:
    """Read an earlier kernel's figures from the document that `pfestubs check --format json` wrote."""
    return _check_figures(_Document(path, [CHECK_SCHEMA], "save one with pfestubs check --format json"))


def read_saved_figures(path: str) -> KernelFigures:
    """Read a kernel's figures from a document of `check`, `count` or `stubs`."""
    document = _Document(path, list(_FIGURES), "save one with --format json")
    return _FIGURES[document.values["schema"]](document)


class _Document:
    """A JSON document of one of `schemas`.

    Raises:
        InputError: it is something else, with the first value that is not as its schema says.
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
        mismatch = _Schema(str(name)).test(self.values)
        if mismatch is not None:
            raise self.wrong(*mismatch)

    def wrong(self, key: str, found: object, expected: str) -> InputError:
        problem = f"'{key}' is missing" if found is None else f"'{key}' is {_short(found)}"
        return InputError(self.path, f"{problem}, expected {expected}", self._advice)

    def need(self, table: Mapping[str, Any], key: str, where: str = "") -> Any:
        """Return the value of a key that every version writes."""
        if table.get(key) is None:
            raise self.wrong(f"{where}{key}", None, "it")
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


class _Mismatch(NamedTuple):
    """The first value that is not as described: its name, the value (None if missing), what was expected."""

    name: str
    found: object
    expected: str


class _Schema:
    """One of the shipped schemas, by the name in a document: "pfestubs/check/1".

    Raises:
        InstallationError: the file is missing.
    """

    def __init__(self, name: str) -> None:
        _, kind, version = name.split("/")
        try:
            text = files("pfestubs").joinpath("schemas", f"{kind}-{version}.json").read_text("utf-8")
        except OSError as error:
            raise InstallationError(f"the schema {name}") from error
        self._root: Mapping[str, Any] = json.loads(text)

    def test(self, value: Any, schema: Any = None, name: str = "") -> _Mismatch | None:
        """Return what is wrong with a document, or with a part of it that `schema` describes, if anything."""
        schema = self._root if schema is None else schema
        if schema is False:
            return _Mismatch(name, value, "no such key")
        if "$ref" in schema:
            schema = self._root["$defs"][schema["$ref"].rpartition("/")[2]]
        if "type" in schema:
            types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
            if not any(_TYPES[type_][1](value) for type_ in types):
                return _Mismatch(name, value, " or ".join(_TYPES[type_][0] for type_ in types))
        return (
            _test_scalar(value, schema, name)
            or (self._test_object(value, schema, name) if isinstance(value, dict) else None)
            or (self._test_list(value, schema, name) if isinstance(value, list) else None)
            or self._test_combined(value, schema, name)
        )

    def _test_object(self, value: Mapping[str, Any], schema: Any, name: str) -> _Mismatch | None:
        for key, part in schema.get("properties", {}).items():
            if key in value:
                found = self.test(value[key], part, key)
                if found is not None:  # the whole name is made only now: lists have thousands of items
                    return found._replace(name=f"{name}{name and '.'}{found.name}")
        return None

    def _test_list(self, value: list[Any], schema: Any, name: str) -> _Mismatch | None:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            wanted = schema.get("maxItems", schema.get("minItems"))
            return _Mismatch(name, value, f"{wanted} items" if wanted else "no items")
        if "contains" in schema and all(self.test(item, schema["contains"], "") for item in value):
            return _Mismatch(name, value, "a list with one of another kind")
        for number, item in enumerate(value) if "items" in schema else ():
            found = self.test(item, schema["items"], "")
            if found is not None:
                return found._replace(name=f"{name}[{number}]{found.name and '.'}{found.name}")
        return None

    def _test_combined(self, value: Any, schema: Any, name: str) -> _Mismatch | None:
        for part in schema.get("allOf", ()):
            found = self.test(value, part, name)
            if found is not None:
                return found
        if "anyOf" in schema:
            tests = [self.test(value, part, name) for part in schema["anyOf"]]
            if None not in tests:
                return tests[0]
        if "if" in schema:
            branch = "else" if self.test(value, schema["if"], name) else "then"
            return self.test(value, schema.get(branch, {}), name)
        return None


def _test_scalar(value: Any, schema: Any, name: str) -> _Mismatch | None:
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None and not any(type(value) is type(one) and value == one for one in allowed):
        named = ", ".join("null" if one is None else str(one) for one in allowed)
        return _Mismatch(name, value, named if "const" in schema else f"one of {named}")
    if "minimum" in schema and type(value) is int and value < schema["minimum"]:
        return _Mismatch(name, value, f"at least {schema['minimum']}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        return _Mismatch(name, value, f"text such as {schema['pattern']}")
    return None


# -- what the documents say ----------------------------------------------------------------------------------


def _counts(document: _Document) -> ObjectCounts:
    values = document.values
    table = document.need(values, "entries")
    names = ("text", "inittext", "exittext", "total")
    *kinds, total = (document.need(table, name, "entries.") for name in names)
    entries = EntryCounts(*kinds)
    if total != entries.total:
        raise document.wrong("entries.total", total, f"the sum of the kinds, {entries.total}")
    layout, stubs = LAYOUTS.get(values.get("layout", "")), None
    if layout is not None:
        reserved = document.need(values, "stubs")
        stubs = {area.name: document.need(reserved, area.name, "stubs.") for area in layout.areas}
    return ObjectCounts(
        file=document.path,
        bits=document.need(values, "class"),
        byte_order=document.need(values, "byte_order"),
        layout=layout,
        entries=entries,
        stubs=stubs,
    )


def _check_figures(document: _Document) -> KernelFigures:
    values = document.values
    headroom = document.need(values, "headroom")
    if "bytes" not in headroom:  # null where no branch is measured
        raise document.wrong("headroom.bytes", None, "it")
    name = document.need(values, "layout")
    layout = LAYOUTS.get(name)
    known = [spec.name for spec in layout.areas] if layout else []
    areas: dict[str, AreaFigures] = {}
    for i, area in enumerate(values.get("areas") or ()):
        own, reserved, used = (
            document.need(area, key, f"areas[{i}].") for key in ("name", "reserved", "used")
        )
        if own not in known or own in areas:
            raise document.wrong(f"areas[{i}].name", own, f"each of {', '.join(known)} once")
        areas[own] = AreaFigures(reserved, used)
    rules = [
        document.need(finding, "rule", f"findings[{i}].")
        for i, finding in enumerate(values.get("findings") or ())
    ]
    failing = sum(rule in RULES and RULES[rule].scope is Scope.LOCATION for rule in rules)
    # The findings of a damaged table hide those of its locations.
    unserved = None if _TABLE_RULE in rules or "findings" not in values else failing
    damage = next((rule for rule in rules if rule in _DAMAGE_RULES), None)
    kernel = values.get("kernel") or {}  # since 0.2, and byte order and class
    return KernelFigures(
        KernelIdentity(
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


def _count_figures(document: _Document) -> KernelFigures:
    counts = _counts(document)
    layout = counts.layout
    return KernelFigures(
        KernelIdentity(counts.file, layout.name if layout else None, counts.bits, counts.byte_order),
        source="count",
        locations=counts.entries.text + counts.entries.inittext,
        entries=counts.entries,
        areas={name: AreaFigures(number, None) for name, number in (counts.stubs or {}).items()},
    )


def _stubs_figures(document: _Document) -> KernelFigures:
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
    return KernelFigures(
        KernelIdentity(document.path, layout.name),
        source="stubs",
        locations=functions.total(),
        stub_size=document.need(document.values, "stub_size"),
        functions=functions,
        unserved=unserved or None,  # a function whose stub fails after boot (init-trampoline-only) has one
        areas={} if partial else {name: AreaFigures(None, len(used)) for name, used in indices.items()},
        partial=partial,
    )


_FIGURES: Final = {CHECK_SCHEMA: _check_figures, COUNT_SCHEMA: _count_figures, STUBS_SCHEMA: _stubs_figures}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what earlier runs saved: the counts of an object, a kernel's check or stubs.

The shipped schema says what such a document holds (`pfestubs.read.schema`); one reader serves `--baseline`,
`--prelink` and `diff`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pfestubs.errors import UnreadableError
from pfestubs.layouts import LAYOUTS, AreaRole
from pfestubs.model import (
    CHECK_SCHEMA,
    COUNT_SCHEMA,
    STUBS_SCHEMA,
    AreaCounts,
    AreaFigures,
    ByteOrder,
    EntryCounts,
    KernelFigures,
    KernelIdentity,
    ObjectCounts,
)
from pfestubs.model.findings import RULES, Scope
from pfestubs.read.file_types import is_document
from pfestubs.read.schema import Schema
from pfestubs.read.source import read_document, read_head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OFFSET: Final = re.compile(r"\+0x[0-9a-f]+\Z")
_TABLE_RULE: Final = "table-damaged"
_DAMAGE_RULES: Final = (_TABLE_RULE, "area-damaged")
_SAVE_AGAIN: Final = "save it again with --format json and -o FILE"


def is_saved(path: str) -> bool:
    """Return whether the file at `path` is a saved document, by how it begins.

    Raises:
        UnreadableError: it cannot be read.
    """
    return is_document(read_head(path))


def read_saved_count(path: str) -> ObjectCounts:
    """Read the counts of an object from the document that `pfestubs count --format json` wrote.

    Raises:
        UnreadableError: it is not such a document.
    """
    return _counts(_Document(path, [COUNT_SCHEMA], "give vmlinux.o or its saved count"))


def read_baseline(path: str) -> KernelFigures:
    """Read an earlier kernel's figures from the document that `pfestubs check --format json` wrote.

    Raises:
        UnreadableError: it is not such a document.
    """
    return _totals(_Document(path, [CHECK_SCHEMA], "save one with pfestubs check --format json"))


def read_saved_figures(path: str) -> KernelFigures:
    """Read a kernel's figures from a document of `check`, `count` or `stubs`.

    Raises:
        UnreadableError: it is not such a document.
    """
    document = _Document(path, list(_FIGURES), "save one with --format json")
    return _FIGURES[document.values["schema"]](document)


class _Document:
    """A JSON document of one of `schemas`.

    Raises:
        UnreadableError: it is something else, with the first value that is not as its schema says.
    """

    def __init__(self, path: str, schemas: Sequence[str], advice: str) -> None:
        wanted = " or ".join(schemas)
        self.path, self._advice = path, advice
        values = _parse(path, read_document(path), wanted, advice)
        self.values: Mapping[str, Any] = values if isinstance(values, dict) else {}
        name = self.values.get("schema")
        if name not in schemas:
            raise self.wrong("schema", name, wanted)
        mismatch = Schema(str(name)).mismatch(self.values)
        if mismatch is not None:
            raise self.wrong(*mismatch)

    def wrong(self, key: str, found: object, expected: str) -> UnreadableError:
        problem = f"'{key}' is missing" if found is None else f"'{key}' is {_short(found)}"
        return UnreadableError(self.path, f"{problem}, expected {expected}", self._advice)

    def need(self, table: Mapping[str, Any], key: str, where: str = "") -> Any:
        """Return the value of a key that every version writes."""
        if table.get(key) is None:
            raise self.wrong(f"{where}{key}", None, "it")
        return table[key]


def _parse(path: str, data: bytes, wanted: str, advice: str) -> object:
    """Return the value of a JSON document in UTF-8."""
    try:
        text = data.decode()
        if "\0" in text or text.startswith("\ufeff"):
            raise UnicodeDecodeError("utf-8", data, 0, 1, "another encoding")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            path, "is not in UTF-8 without a byte order mark, as pfestubs writes it", _SAVE_AGAIN
        ) from error
    try:
        return json.loads(text, parse_int=_parse_int, object_pairs_hook=_object)
    except _DuplicateKeyError as error:
        raise UnreadableError(
            path, f"has the key {_short(str(error))} twice in one object", _SAVE_AGAIN
        ) from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError(path, f"is not the JSON document {wanted}", advice) from error


class _DuplicateKeyError(ValueError):
    """An object has two values for the key that is the message."""


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        raise _DuplicateKeyError(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return values


def _parse_int(digits: str) -> int | str:
    """Return a number, or its digits where it has more than any that pfestubs writes."""
    return int(digits) if len(digits) <= 20 else digits


def _short(value: object) -> str:
    """Return a value for a sentence, cut at 40 characters; a container only by its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


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
        counts = {area.role: document.need(reserved, area.name, "stubs.") for area in layout.areas}
        stubs = AreaCounts(counts.get(AreaRole.RESERVE), counts[AreaRole.END], counts[AreaRole.INIT])
    return ObjectCounts(
        file=document.path,
        machine=document.need(values, "machine"),
        bits=document.need(values, "class"),
        byte_order=ByteOrder(document.need(values, "byte_order")),
        relocation=document.need(values, "relocation"),
        layout=layout,
        entries=entries,
        stubs=stubs,
    )


def _totals(document: _Document) -> KernelFigures:
    """Return what a baseline needs of a saved check."""
    values = document.values
    headroom = document.need(values, "headroom")
    if "bytes" not in headroom:  # null where no branch is measured
        raise document.wrong("headroom.bytes", None, "it")
    order = values.get("byte_order")  # since 0.2, and the class, and which kernel it is
    kernel = values.get("kernel") or {}
    return KernelFigures(
        KernelIdentity(
            document.path,
            document.need(values, "layout"),
            values.get("class"),
            None if order is None else ByteOrder(order),
            kernel.get("release"),
            build_id=kernel.get("build_id"),
        ),
        source="check",
        locations=document.need(values, "locations"),
        headroom=headroom["bytes"],
    )


def _check_figures(document: _Document) -> KernelFigures:
    values, totals = document.values, _totals(document)
    layout = LAYOUTS.get(totals.kernel.layout or "")
    known = [spec.name for spec in layout.areas] if layout else []
    areas: dict[str, AreaFigures] = {}
    for i, area in enumerate(document.need(values, "areas")):
        name, reserved, used = (
            document.need(area, key, f"areas[{i}].") for key in ("name", "reserved", "used")
        )
        if name not in known or name in areas:
            raise document.wrong(
                f"areas[{i}].name", name, f"each of {', '.join(known)} once" if known else "no areas"
            )
        areas[name] = AreaFigures(reserved, used)
    rules = [
        document.need(finding, "rule", f"findings[{i}].")
        for i, finding in enumerate(document.need(values, "findings"))
    ]
    failing = sum(rule in RULES and RULES[rule].scope is Scope.LOCATION for rule in rules)
    # The findings of a damaged table hide those of its locations.
    unserved = None if _TABLE_RULE in rules else failing
    damage = next((rule for rule in rules if rule in _DAMAGE_RULES), None)
    return replace(totals, stub_size=values.get("stub_size"), areas=areas, unserved=unserved, damage=damage)


def _count_figures(document: _Document) -> KernelFigures:
    counts = _counts(document)
    layout, stubs = counts.layout, counts.stubs
    areas = {}
    if layout is not None and stubs is not None:
        areas = {spec.name: AreaFigures(stubs.of(spec.role), None) for spec in layout.areas}
    return KernelFigures(
        KernelIdentity(counts.file, layout.name if layout else None, counts.bits, counts.byte_order),
        source="count",
        locations=counts.entries.text + counts.entries.inittext,
        entries=counts.entries,
        areas=areas,
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
        areas={} if partial else {name: AreaFigures(None, len(used)) for name, used in indices.items()},
        partial=partial,
    )


_FIGURES: Final = {
    CHECK_SCHEMA: _check_figures,
    COUNT_SCHEMA: _count_figures,
    STUBS_SCHEMA: _stubs_figures,
}

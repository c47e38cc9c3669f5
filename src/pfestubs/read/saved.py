# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what earlier runs saved: the counts of an object, a kernel's check or stubs.

Validated by hand, key by key: the schemas' validator is not a run-time dependency.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pfestubs.errors import UnreadableError
from pfestubs.layouts import LAYOUTS, AreaRole
from pfestubs.model import (
    CHECK_SCHEMA,
    COUNT_SCHEMA,
    STUBS_SCHEMA,
    AreaCounts,
    Baseline,
    ByteOrder,
    EntryCounts,
    ObjectCounts,
)
from pfestubs.model.figures import AreaFigures, KernelFigures
from pfestubs.read.shapes import CHECK_SHAPE, COUNT_SHAPE, INTEGER_LIMIT, STUBS_SHAPE
from pfestubs.read.source import read_document, read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_Value = TypeVar("_Value")
_OFFSET: Final = re.compile(r"\+0x[0-9a-f]+\Z")
LOCATION_RULES: Final = frozenset(
    {
        "location-not-nop",
        "area-exhausted",
        "stub-out-of-range",
        "return-out-of-range",
        "tracer-unreachable",
        "init-trampoline-only",
    }
)
"""The rules of `check` of which a location has at most one finding (`LocationRule`)."""
_MACHINES: Final = {"ppc64": (64, "R_PPC64_ADDR64"), "ppc": (32, "R_PPC_ADDR32")}
"""Class and relocation by machine."""
_TABLE_RULE: Final = "table-damaged"


def is_elf(path: str) -> bool:
    """Return whether the file at `path` starts as an ELF file does.

    Raises:
        UnreadableError: it cannot be read.
    """
    return read_head(path, 4) == b"\x7fELF"


def read_saved_count(path: str) -> ObjectCounts:
    """Read the counts of an object from the document that `pfestubs count --format json` wrote.

    Raises:
        UnreadableError: it is not such a document.
    """
    return _counts(_read(path, COUNT_SCHEMA, "give vmlinux.o or its saved count"))


def _counts(document: _Document) -> ObjectCounts:
    values, table = document.values, document.table("entries")
    names = ("text", "inittext", "exittext")
    entries = EntryCounts(*(document.count(table, name, f"entries.{name}") for name in names))
    total = document.count(table, "total", "entries.total")
    if total != entries.total:
        raise document.wrong("entries.total", total, f"the sum of the kinds, {entries.total}")
    machine = document.choice("machine", list(_MACHINES))
    bits, relocation = _MACHINES[machine]
    for key, found, expected in (
        ("class", values["class"], bits),
        ("relocation", values["relocation"], relocation),
    ):
        if found != expected:
            raise document.wrong(key, found, f"{expected} for {machine}")
    layout = document.choice("layout", [*LAYOUTS, None])
    stubs = None
    if layout is None and values["stubs"] is not None:
        raise document.wrong("stubs", values["stubs"], "null for an unknown layout")
    if layout is not None:
        table = document.table("stubs")
        counts = {
            area.role: document.count(table, area.name, f"stubs.{area.name}")
            for area in LAYOUTS[layout].areas
        }
        stubs = AreaCounts(counts.get(AreaRole.RESERVE), counts[AreaRole.END], counts[AreaRole.INIT])
    return ObjectCounts(
        file=document.path,
        machine=machine,
        bits=bits,
        byte_order=ByteOrder(document.choice("byte_order", [order.value for order in ByteOrder])),
        relocation=relocation,
        layout=LAYOUTS[layout] if layout is not None else None,
        entries=entries,
        stubs=stubs,
    )


def read_baseline(path: str) -> Baseline:
    """Read an earlier kernel's figures from the document that `pfestubs check --format json` wrote.

    Raises:
        UnreadableError: it is not such a document.
    """
    return _baseline(_read(path, CHECK_SCHEMA, "save one with pfestubs check --format json"))


def _baseline(document: _Document) -> Baseline:
    headroom = document.table("headroom").get("bytes")
    if headroom is not None and (type(headroom) is not int or abs(headroom) >= INTEGER_LIMIT):
        raise document.wrong("headroom.bytes", headroom, "a number of bytes or null")
    bits = byte_order = None
    if "class" in document.values:  # since 0.2
        bits = document.choice("class", [64, 32])
        byte_order = ByteOrder(document.choice("byte_order", [order.value for order in ByteOrder]))
    return Baseline(
        file=document.path,
        layout=document.choice("layout", [*LAYOUTS, "inline"]),
        locations=document.count(document.values, "locations", "locations"),
        headroom=headroom,
        bits=bits,
        byte_order=byte_order,
    )


# -- for a comparison ----------------------------------------------------------------------------------------


def read_saved_figures(path: str) -> KernelFigures | None:
    """Read a kernel's figures from a document of `check`, `count` or `stubs`; None if the file is not JSON.

    Raises:
        UnreadableError: it is JSON, but not such a document.
    """
    if not read_head(path, 64).lstrip().startswith((b"{", b"[")):
        return None
    document = _Document(path, read_document(path), tuple(_FIGURES), "save one with --format json")
    return _FIGURES[document.values["schema"]](document)


def _check_figures(document: _Document) -> KernelFigures:
    values, totals = document.values, _baseline(document)
    layout = totals.layout
    areas: dict[str, AreaFigures] = {}
    for i, area in enumerate(document.objects("areas")):
        name, reserved, used = (f"areas[{i}].{key}" for key in ("name", "reserved", "used"))
        key = document.text(area, "name", name)
        known = [spec.name for spec in LAYOUTS[layout].areas] if layout in LAYOUTS else []
        if key not in known or key in areas:
            raise document.wrong(name, key, f"each of {', '.join(known)} once" if known else "no areas")
        areas[key] = AreaFigures(
            document.count(area, "reserved", reserved), document.count(area, "used", used)
        )
    kernel = document.table("kernel") if "kernel" in values else {}  # since 0.2
    return KernelFigures(
        file=document.path,
        source="check",
        layout=layout,
        locations=totals.locations,
        bits=totals.bits,
        byte_order=totals.byte_order,
        stub_size=document.optional(values, "stub_size", document.count),
        areas=areas,
        unserved=_unserved(document),
        headroom=totals.headroom,
        release=document.optional(kernel, "release", document.text),
        build_id=document.optional(kernel, "build_id", document.text),
    )


def _unserved(document: _Document) -> int | None:
    """Return the count of locations that fail; None for a damaged table, whose findings come first."""
    findings = enumerate(document.objects("findings"))
    rules = [document.text(finding, "rule", f"findings[{i}].rule") for i, finding in findings]
    return None if _TABLE_RULE in rules else sum(rule in LOCATION_RULES for rule in rules)


def _count_figures(document: _Document) -> KernelFigures:
    counts = _counts(document)
    layout, stubs = counts.layout, counts.stubs
    areas = {}
    if layout is not None and stubs is not None:
        areas = {spec.name: AreaFigures(stubs.of(spec.role), None) for spec in layout.areas}
    return KernelFigures(
        file=counts.file,
        source="count",
        layout=layout.name if layout else None,
        locations=counts.entries.text + counts.entries.inittext,
        bits=counts.bits,
        byte_order=counts.byte_order,
        entries=counts.entries,
        areas=areas,
    )


def _stubs_figures(document: _Document) -> KernelFigures:
    layout = LAYOUTS[document.choice("layout", LAYOUTS)]
    functions: Counter[str] = Counter()
    indices: dict[str, set[int]] = {spec.name: set() for spec in layout.areas}
    unserved = 0
    for i, stub in enumerate(document.objects("stubs")):
        functions[_OFFSET.sub("", document.text(stub, "function", f"stubs[{i}].function"))] += 1
        area = stub.get("area")
        if area is None:
            unserved += 1
        elif isinstance(area, str) and area in indices:
            indices[area].add(document.count(stub, "index", f"stubs[{i}].index"))
        else:
            raise document.wrong(f"stubs[{i}].area", area, f"one of {', '.join(indices)}, null")
    # In a whole listing only a location without a stub can leave a gap.
    gaps = sum(max(used) + 1 - len(used) for used in indices.values() if used)
    partial = gaps > unserved
    return KernelFigures(
        file=document.path,
        source="stubs",
        layout=layout.name,
        locations=functions.total(),
        stub_size=document.count(document.values, "stub_size", "stub_size"),
        functions=functions,
        areas={} if partial else {name: AreaFigures(None, len(used)) for name, used in indices.items()},
        partial=partial,
    )


_SHAPES: Final = {CHECK_SCHEMA: CHECK_SHAPE, COUNT_SCHEMA: COUNT_SHAPE, STUBS_SCHEMA: STUBS_SHAPE}
_FIGURES: Final = {
    CHECK_SCHEMA: _check_figures,
    COUNT_SCHEMA: _count_figures,
    STUBS_SCHEMA: _stubs_figures,
}


def _read(path: str, schema: str, advice: str) -> _Document:
    return _Document(path, read_document(path), (schema,), advice)


class _Document:
    """A JSON document of one of `schemas`; every reading of a key either succeeds or raises a sentence."""

    def __init__(self, path: str, data: bytes, schemas: Sequence[str], advice: str) -> None:
        wanted = " or ".join(schemas)
        self.path, self._advice = path, advice
        try:
            values = json.loads(data, parse_int=_parse_int)
        except (ValueError, RecursionError) as e:
            raise UnreadableError(path, f"is not the JSON document {wanted}", advice) from e
        self.values: Mapping[str, Any] = values if isinstance(values, dict) else {}
        if self.values.get("schema") not in schemas:
            raise self.wrong("schema", self.values.get("schema"), wanted)
        mismatch = _SHAPES[self.values["schema"]](self.values, "")
        if mismatch is not None:
            raise self.wrong(*mismatch)

    def wrong(self, key: str, found: object, expected: str) -> UnreadableError:
        problem = f"'{key}' is missing" if found is None else f"'{key}' is {_short(found)}"
        return UnreadableError(self.path, f"{problem}, expected {expected}", self._advice)

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, value, "an object")
        return value

    def objects(self, key: str) -> Sequence[Mapping[str, Any]]:
        value = self.values.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, value, "a list")
        for i, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.wrong(f"{key}[{i}]", item, "an object")
        return value

    def choice(self, key: str, allowed: Collection[object]) -> Any:
        value = self.values.get(key, self)  # a missing key is not null
        if isinstance(value, dict | list | bool | float) or value not in allowed:
            names = ", ".join("null" if name is None else str(name) for name in allowed)
            raise self.wrong(key, None if value is self else value, f"one of {names}")
        return value

    def text(self, table: Mapping[str, Any], key: str, name: str) -> str:
        value = table.get(key)
        if not isinstance(value, str):
            raise self.wrong(name, value, "text")
        return value

    def count(self, table: Mapping[str, Any], key: str, name: str) -> int:
        value = table.get(key)
        if type(value) is not int or not 0 <= value < 1 << 64:  # a bool is an int, too
            raise self.wrong(name, value, "a count")
        return value

    def optional(
        self, table: Mapping[str, Any], key: str, get: Callable[[Mapping[str, Any], str, str], _Value]
    ) -> _Value | None:
        return None if table.get(key) is None else get(table, key, key)


def _parse_int(digits: str) -> int | str:
    """Return a number, or its digits where it has more than any that pfestubs writes."""
    return int(digits) if len(digits) <= 20 else digits


def _short(value: object) -> str:
    """Return a value for a sentence, cut at 40 characters; a container only by its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."

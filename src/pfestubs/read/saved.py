# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what earlier runs saved: the counts of an object, the check of a kernel as a baseline.

Validated by hand, key by key: the schemas' validator is not a run-time dependency.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pfestubs.errors import UnreadableError
from pfestubs.layouts import LAYOUTS, AreaRole
from pfestubs.model import (
    CHECK_SCHEMA,
    COUNT_SCHEMA,
    AreaCounts,
    Baseline,
    ByteOrder,
    EntryCounts,
    ObjectCounts,
)
from pfestubs.read.elf import mapped

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_INTEGER_LIMIT: Final = 1 << 64


def is_elf(path: str) -> bool:
    """Return whether the file at `path` starts as an ELF file does.

    Raises:
        UnreadableError: it cannot be read.
    """
    with mapped(path) as data:
        return bytes(data[:4]) == b"\x7fELF"


def read_saved_count(path: str) -> ObjectCounts:
    """Read the counts of an object from the document that `pfestubs count --format json` wrote.

    Raises:
        UnreadableError: it is not such a document.
    """
    document = _read(path, COUNT_SCHEMA, "give vmlinux.o or its saved count")
    values, table = document.values, document.table("entries")
    names = ("text", "inittext", "exittext")
    entries = EntryCounts(*(document.count(table, name, f"entries.{name}") for name in names))
    total = document.count(table, "total", "entries.total")
    if total != entries.total:
        raise document.wrong("entries.total", total, f"the sum of the kinds, {entries.total}")
    layout = document.choice("layout", [*LAYOUTS, None])
    stubs = None
    if layout is not None:
        table = document.table("stubs")
        counts = {
            area.role: document.count(table, area.name, f"stubs.{area.name}")
            for area in LAYOUTS[layout].areas
        }
        stubs = AreaCounts(counts.get(AreaRole.RESERVE), counts[AreaRole.END], counts[AreaRole.INIT])
    return ObjectCounts(
        file=path,
        machine=document.choice("machine", ["ppc64", "ppc"]),
        bits=document.choice("class", [64, 32]),
        byte_order=ByteOrder(document.choice("byte_order", [order.value for order in ByteOrder])),
        relocation=document.text(values, "relocation", "relocation"),
        layout=LAYOUTS[layout] if layout is not None else None,
        entries=entries,
        stubs=stubs,
    )


def read_baseline(path: str) -> Baseline:
    """Read an earlier kernel's figures from the document that `pfestubs check --format json` wrote.

    Raises:
        UnreadableError: it is not such a document.
    """
    document = _read(path, CHECK_SCHEMA, "save one with pfestubs check --format json")
    headroom = document.table("headroom").get("bytes")
    if headroom is not None and (type(headroom) is not int or abs(headroom) >= _INTEGER_LIMIT):
        raise document.wrong("headroom.bytes", headroom, "a number of bytes or null")
    bits = byte_order = None
    if "class" in document.values:  # since 0.2
        bits = document.choice("class", [64, 32])
        byte_order = ByteOrder(document.choice("byte_order", [order.value for order in ByteOrder]))
    return Baseline(
        file=path,
        layout=document.choice("layout", [*LAYOUTS, "inline"]),
        locations=document.count(document.values, "locations", "locations"),
        headroom=headroom,
        bits=bits,
        byte_order=byte_order,
    )


def _read(path: str, schema: str, advice: str) -> _Document:
    with mapped(path) as data:
        return _Document(path, bytes(data), schema, advice)


class _Document:
    """A JSON document of a known schema; every reading of a key either succeeds or raises a sentence."""

    def __init__(self, path: str, data: bytes, schema: str, advice: str) -> None:
        self.path, self._advice = path, advice
        try:
            values = json.loads(data, parse_int=_parse_int)
        except (ValueError, RecursionError) as e:
            raise UnreadableError(path, f"is not the JSON document {schema}", advice) from e
        self.values: Mapping[str, Any] = values if isinstance(values, dict) else {}
        if self.values.get("schema") != schema:
            raise self.wrong("schema", self.values.get("schema"), schema)

    def wrong(self, key: str, found: object, expected: str) -> UnreadableError:
        problem = f"'{key}' is missing" if found is None else f"'{key}' is {_short(found)}"
        return UnreadableError(self.path, f"{problem}, expected {expected}", self._advice)

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, value, "an object")
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


def _parse_int(digits: str) -> int | str:
    """Return a number, or its digits where it has more than any that pfestubs writes."""
    return int(digits) if len(digits) <= 20 else digits


def _short(value: object) -> str:
    """Return a value for a sentence, cut at 40 characters; a container only by its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."

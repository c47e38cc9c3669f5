# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what earlier runs saved: the count of an object (a promise), the check of a kernel (a baseline).

Validated by hand, key by key: the schemas' validator is no run-time dependency.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pfestubs.errors import UnreadableError
from pfestubs.formats.check.json import SCHEMA as CHECK_SCHEMA
from pfestubs.formats.count import SCHEMA as COUNT_SCHEMA
from pfestubs.layouts import LAYOUTS
from pfestubs.read.elf import mapped
from pfestubs.rules import sizing
from pfestubs.rules.check import Baseline, ExpectedCounts
from pfestubs.rules.sizing import Entries, Stubs

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_expected_counts(path: str) -> ExpectedCounts:
    """What the object before the link promised, from the object itself or from its saved count.

    Raises:
        UnreadableError: it is neither, or is damaged.
        UnsuitableError: it is an object that has no entries or does not say its reserve.
    """
    with mapped(path) as data:
        if bytes(data[:4]) != b"\x7fELF":
            return _promise(_Document(path, bytes(data), COUNT_SCHEMA, "give vmlinux.o or its saved count"))
    from pfestubs.read.vmlinux_o import read_vmlinux_o  # not needed for a saved count

    count = sizing.count(read_vmlinux_o(path))
    layout = count.layout.name if count.layout else None
    return ExpectedCounts(path, layout, count.entries, count.stubs, count.bits, count.byte_order)


def read_baseline(path: str) -> Baseline:
    """An earlier kernel's figures from its saved check.

    Raises:
        UnreadableError: it is not the JSON that `pfestubs check` writes.
    """
    with mapped(path) as data:
        document = _Document(path, bytes(data), CHECK_SCHEMA, "save one with pfestubs check --format json")
    headroom = document.table("headroom").get("bytes")
    if headroom is not None and type(headroom) is not int:
        raise document.wrong("headroom.bytes", headroom, "a number of bytes or null")
    return Baseline(path, document.count(document.values, "locations", "locations"), headroom)


def _promise(document: _Document) -> ExpectedCounts:
    table = document.table("entries")
    names = ("text", "inittext", "exittext")
    entries = Entries(*(document.count(table, name, f"entries.{name}") for name in names))
    total = document.count(table, "total", "entries.total")
    if total != entries.total:
        raise document.wrong("entries.total", total, f"the sum of the kinds, {entries.total}")
    bits, order = document.values.get("class"), document.values.get("byte_order")
    if bits not in {None, 32, 64}:
        raise document.wrong("class", bits, "32 or 64")
    if order not in {None, "little", "big"}:
        raise document.wrong("byte_order", order, "little or big")
    layout = document.values.get("layout")
    if layout is None:
        return ExpectedCounts(document.path, None, entries, None, bits, order)
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise document.wrong("layout", layout, f"one of {', '.join(LAYOUTS)} or null")
    table = document.table("stubs")
    counts = {
        area.name: document.count(table, area.name, f"stubs.{area.name}") for area in LAYOUTS[layout].areas
    }
    stubs = Stubs(counts.get("text"), counts["text_end"], counts["inittext"])
    return ExpectedCounts(document.path, layout, entries, stubs, bits, order)


class _Document:
    """A JSON document of a known schema; every reading of a key either succeeds or raises a sentence."""

    def __init__(self, path: str, data: bytes, schema: str, advice: str) -> None:
        self.path, self._advice = path, advice
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as e:
            raise UnreadableError(path, f"is not the JSON document {schema}", advice) from e
        self.values: Mapping[str, Any] = values if isinstance(values, dict) else {}
        if self.values.get("schema") != schema:
            raise self.wrong("schema", self.values.get("schema"), schema)

    def wrong(self, key: str, found: object, expected: str) -> UnreadableError:
        return UnreadableError(self.path, f"has {_short(found)} for {key}, expected {expected}", self._advice)

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, value, "an object")
        return value

    def count(self, table: Mapping[str, Any], key: str, name: str) -> int:
        value = table.get(key)
        if type(value) is not int or not 0 <= value < 1 << 64:  # a bool is an int, too
            raise self.wrong(name, value, "a count")
        return value


def _short(value: object) -> str:
    """A value in a sentence; a container only by its kind."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 64 else "a huge number"
    return text if len(text) <= 40 else f"{text[:40]}..."

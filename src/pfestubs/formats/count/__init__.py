# SPDX-License-Identifier: GPL-2.0-or-later
"""What `pfestubs count` found: as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.text import dump_json, escape_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pfestubs.rules.sizing import Count

SCHEMA: Final = "pfestubs/count/1"


def count_json(count: Count) -> str:
    """The JSON document `pfestubs/count/1`."""
    entries: dict[str, Any] = {**asdict(count.entries), "total": count.entries.total}
    return dump_json(
        {
            "schema": SCHEMA,
            "file": count.file,
            "machine": count.machine,
            "class": count.bits,
            "byte_order": count.byte_order,
            "relocation": count.relocation,
            "layout": count.layout.name if count.layout else None,
            "entries": entries,
            "stubs": _stubs(count),
        }
    )


def count_text(count: Count) -> str:
    """A few lines for people."""
    layout = f"layout {count.layout.name}" if count.layout else "layout unknown (no stub symbols)"
    entries = count.entries
    lines = [
        f"{escape_line(count.file)}: {count.machine}, {count.byte_order}-endian, {layout}",
        f"entries: {entries.total:,} (text {entries.text:,}, inittext {entries.inittext:,}, "
        f"exittext {entries.exittext:,})",
    ]
    stubs = _stubs(count)
    if stubs is not None:
        lines.append("stubs:   " + ", ".join(f"{name} {number:,}" for name, number in stubs.items()))
    return "\n".join(lines) + "\n"


def _stubs(count: Count) -> dict[str, int] | None:
    if count.layout is None or count.stubs is None:
        return None
    return {area.name: count.stubs.of_area(area.name) for area in count.layout.areas}


FORMATS: Final[Mapping[str, Callable[[Count], str]]] = {"text": count_text, "json": count_json}

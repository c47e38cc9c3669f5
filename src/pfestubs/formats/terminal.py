# SPDX-License-Identifier: GPL-2.0-or-later
"""Colour and tables for terminals, with rich; the one module that imports it for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pfestubs.rules.analyses.address_map import AddressMap, AddressSpan

_CODES: Final = {"bad": "\x1b[31;1m", "good": "\x1b[32;1m", "bold": "\x1b[1m"}
_OFF: Final = "\x1b[0m"
_MAP_MIN: Final = 20
"""The least columns for a map that shows anything."""
_IN_REACH: Final = "."
_MAP_LEGEND: Final = "map: = text, # stubs, . in range of the area, | tracer, ^ trampoline"
_MAP_MARKS: Final = {"text": "=", "area": "#", "tracer": "|", "trampoline": "^"}


def paint(text: str, style: str, *, colour: bool) -> str:
    """Return `text` in a style ("bad", "good" or "bold") where colour is wanted."""
    return f"{_CODES[style]}{text}{_OFF}" if colour else text


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, colour: bool) -> list[str]:
    """Return the lines of a table; a column's title starts with ">" if its cells are right-aligned.

    Lines are never wrapped, they are also for grep. Not a `rich.table.Table`: that takes 1 ms per row, and a
    distribution has thousands of modules.
    """
    from rich.cells import cell_len

    cells = [[title.removeprefix(">") for title in columns], *rows]
    if len(cells) == 1:
        return []
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    right = [title.startswith(">") for title in columns]
    lines = []
    for row in cells:
        padded = []
        for cell, width, to_right in zip(row, widths, right, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if to_right else cell + space)
        lines.append("  ".join(padded).rstrip())
    return [paint(lines[0], "bold", colour=colour), *lines[1:]]


def area_map(address_map: AddressMap, width: int) -> list[str]:
    """Return the lines of a map of the texts and what is in them, at most `width` columns wide, to scale.

    A gap that would be longer than the texts is cut short.
    """
    from pfestubs.formats.address_map import MapScale, part_label

    scale = MapScale(address_map.spans)
    rows: dict[str, list[tuple[str, AddressSpan]]] = {}
    for part in address_map.parts:
        label = part_label(part) if part.kind in {"text", "area"} else "tracers"
        marks = rows.setdefault(label, [])
        if part.reach is not None:
            marks.append((_IN_REACH, part.reach))
        if part.span.size:
            marks.append((_MAP_MARKS[part.kind], part.span))
    label_width = max(map(len, rows), default=0) + 2
    columns = width - label_width
    if columns < _MAP_MIN or not address_map.spans:
        return []
    lines = [_MAP_LEGEND] if width >= len(_MAP_LEGEND) else []
    for label, marks in rows.items():
        cells = [" "] * columns
        for mark, span in marks:
            first = min(int(scale.at(span.start) * columns), columns - 1)
            last = min(max(first + 1, round(scale.at(span.stop) * columns)), columns)
            cells[first:last] = mark * (last - first)
        lines.append(f"{label:<{label_width}}{''.join(cells)}".rstrip())
    return lines

# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's addresses as positions in a picture, and that picture for terminals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pfestubs.formats.text import escape_line, size_text
from pfestubs.model.ppc import span_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pfestubs.rules.analyses.address_map import AddressMap, MapPart, TextSizes

_CUT: Final = 0.06
"""Share of the picture that a gap has which would otherwise be longer than the texts together."""
_THIN: Final = 0.2
"""Percent of the width that the thinnest bar has."""
_MAP_MIN: Final = 20
"""The least columns for a map that shows anything."""
_IN_REACH: Final = "."
_MAP_LEGEND: Final = "map: = text, # stubs, . in range of the area, | tracer, ^ trampoline"
_MAP_MARKS: Final = {"text": "=", "area": "#", "tracer": "|", "trampoline": "^"}


@dataclass(frozen=True)
class MapGap:
    """A gap between the texts: its share of the picture, its bytes, and whether it is cut short."""

    start: float
    stop: float
    bytes: int
    cut: bool


class MapScale:
    """Positions of addresses, from 0 (the start of the first text) to 1 (the end of the last)."""

    def __init__(self, spans: Sequence[range]) -> None:
        self.spans = spans
        text = sum(map(span_size, spans))
        gaps = [after.start - before.stop for before, after in pairwise(spans)]
        drawn = [gap if gap <= text else int(text * _CUT) for gap in gaps]
        total = max(1, text + sum(drawn))
        self._starts: list[float] = []
        self._unit = 1 / total
        self.gaps: list[MapGap] = []
        position = 0
        for i, span in enumerate(spans):
            self._starts.append(position / total)
            position += span_size(span)
            if i < len(gaps):
                stop = position + drawn[i]
                self.gaps.append(MapGap(position / total, stop / total, gaps[i], gaps[i] != drawn[i]))
                position = stop

    def at(self, address: int) -> float:
        """Return the position of an address; one outside the picture is at its nearest edge."""
        last = 0.0
        for i, (span, start) in enumerate(zip(self.spans, self._starts, strict=True)):
            if address < span.start:
                if not i or self.gaps[i - 1].cut:
                    return last
                return start - (span.start - address) * self._unit
            last = start + (min(address, span.stop) - span.start) * self._unit
        return last

    def percent(self, address: int) -> float:
        """Return the position of an address in percent."""
        return 100 * self.at(address)

    def bar(self, span: range) -> tuple[float, float]:
        """Return the position and the width of addresses in percent, wide enough to be seen."""
        x = self.percent(span.start)
        width = max(_THIN, self.percent(span.stop) - x)
        return min(x, 100 - width), width


def text_sentence(sizes: TextSizes, name: Callable[[str], str] = escape_line) -> str:
    """Return how large the two texts are, and where kernel text has no traced function for long.

    `name` writes names from files as the format needs it.
    """
    sentence = f"kernel text {size_text(sizes.text)}, init text {size_text(sizes.inittext)}"
    if sizes.gap is not None:
        sentence += (
            f"; the largest gap without a traced function is {size_text(sizes.gap.bytes)}, after"
            f" {name(sizes.gap.before)}, before {name(sizes.gap.after)}"
        )
    return sentence


def part_label(part: MapPart) -> str:
    """Return the name of a part of the map as pictures and tables show it."""
    if part.kind == "text":
        return {"text": "kernel text", "inittext": "init text"}[part.name]
    return f"area {part.name}" if part.kind == "area" else part.name


def area_map(address_map: AddressMap, width: int) -> list[str]:
    """Return the lines of a map of the texts and what is in them, at most `width` columns wide, to scale.

    A gap that would be longer than the texts is cut short.
    """
    scale = MapScale(address_map.spans)
    rows: dict[str, list[tuple[str, range]]] = {}
    for part in address_map.parts:
        label = part_label(part) if part.kind in {"text", "area"} else "tracers"
        marks = rows.setdefault(label, [])
        if part.reach is not None:
            marks.append((_IN_REACH, part.reach))
        if part.span:
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

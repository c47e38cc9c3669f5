# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of a report as plain shapes: positions across in percent, so that any width is sharp.

Shapes have a class (`kind`), which the style sheet colours: an area by its role, `bad` for what fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from pfestubs.formats.address_map import MapScale, part_label
from pfestubs.formats.text import escape_line, plural, size_text
from pfestubs.model import ppc
from pfestubs.rules.analyses.report import BIN_SIZE, BINS, CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.rules.analyses.address_map import MapPart
    from pfestubs.rules.analyses.plan import PlanResult
    from pfestubs.rules.analyses.report import DistanceHistogram, ReportResult

_ROW: Final = 22
"""Pixels of a row."""
_BAR: Final = 14
_TICKS: Final = 8
"""Intervals that the scale of addresses has at most."""
_PLOT: Final = 200
"""Pixels of the histogram's bars and of the profile."""
_AXIS: Final = 22
_LEAST: Final = 2.0
"""Pixels of the lowest bar: a single location is seen too."""
_THIN: Final = 0.2
"""Percent of the width that the thinnest bar has."""
_SLOTS: Final = BINS + 4
"""Places in the histogram: the bins, a gap, and the locations without a stub."""
_SLOT: Final = 100 / _SLOTS
_WITHOUT: Final = BINS + 3
_TOP: Final = 18
"""Pixels above the histogram's bars."""
_SHOWN: Final = 40 << 20
"""The distance, in bytes, at the edge of the profile; farther ones are drawn there."""
_NAME: Final = 32
"""Characters of a name in a picture."""

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Box:
    """A rectangle; `x` and `width` in percent, `y` and `height` in pixels."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A straight line; `x` in percent, `y` in pixels."""

    kind: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Label:
    """A text; `x` in percent, `y` (of its baseline) in pixels."""

    text: str
    x: float
    y: float
    anchor: Anchor = "start"
    kind: str = ""


@dataclass
class Picture:
    """A picture of `height` pixels and any width; boxes are drawn first, labels last."""

    height: float
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


def roles(result: ReportResult) -> Mapping[str, str]:
    """Return the class of each series: an area by its role, the calls of a kernel without stubs."""
    return {use.area.name: use.area.role.value for use in result.check.areas} or {CALLS: "reserve"}


def lacking(result: ReportResult) -> str:
    """Return what a location that fails has not got: a stub, or a call in a kernel without stubs."""
    return "stub" if result.check.areas else "call"


def draw_map(result: ReportResult) -> Picture:
    """Return the address map: a row per part; a pale band shows from where an area can be reached."""
    check = result.check
    scale = MapScale(check.address_map.spans)
    kinds = roles(result)
    parts = [part for part in check.address_map.parts if part.span.size]
    bottom = len(parts) * _ROW + 4
    picture = Picture(bottom + _AXIS)
    for gap in scale.gaps:
        x, width = 100 * gap.start, 100 * (gap.stop - gap.start)
        cut = ", not to scale" if gap.cut else ""
        picture.boxes.append(
            Box("gap", x, 0, width, bottom, f"{size_text(gap.bytes)} between the texts{cut}")
        )
        if gap.cut:
            picture.labels.append(Label("≈", x + width / 2, bottom - 2, "middle", "tick"))
    for row, part in enumerate(parts):
        y = row * _ROW + 4
        x = min(100 * scale.at(part.span.start), 100 - _THIN)
        stop = max(x + _THIN, 100 * scale.at(part.span.stop))
        kind = kinds[part.name] if part.kind == "area" else part.kind
        if part.reach is not None:
            low, high = 100 * scale.at(part.reach.start), 100 * scale.at(part.reach.stop)
            title = f"every stub of area {part.name} can be reached from here"
            picture.boxes.append(Box(f"reach {kind}", low, y, high - low, _BAR, title))
        title = f"{part_label(part)}: {part.span.start:#x} to {part.span.stop:#x}"
        if part.stubs != 0:
            picture.boxes.append(Box(f"part {kind}", x, y, stop - x, _BAR, title))
        picture.labels.append(_beside(_part_text(part), x, stop, y + 11))
    picture.lines += [Line("axis", 0, bottom, 100, bottom)]
    picture.labels += _address_ticks(result, scale, bottom + 15)
    return picture


def _part_text(part: MapPart) -> str:
    label = part_label(part)
    if part.kind == "area":
        return f"{label}, {plural(part.stubs or 0, 'stub')}"
    return f"{label}, {size_text(part.span.size)}" if part.kind == "text" else escape_line(label)


def _beside(text: str, x: float, stop: float, y: float) -> Label:
    """Return a label inside a wide bar, else to the side of it that has room."""
    if stop - x > 50:
        return Label(text, x + 1, y, kind="inside")
    return Label(text, stop + 1, y) if x < 50 else Label(text, x - 1, y, "end")


def _address_ticks(result: ReportResult, scale: MapScale, y: float) -> Iterator[Label]:
    """Yield distances from the start of the first text, in steps of a power of two."""
    spans = result.check.address_map.spans
    if not spans:
        return
    start, stop = spans[0].start, spans[-1].stop
    total = sum(span.size for span in spans) + sum(gap.bytes for gap in scale.gaps if not gap.cut)
    step = 1 << max(2, (max(1, total // _TICKS) - 1).bit_length())
    yield Label("0", 0, y, kind="tick")
    for offset in range(step, min(stop - start, step * 4 * _TICKS), step):
        inside = any(span.start <= start + offset < span.stop for span in spans)
        x = 100 * scale.at(start + offset)
        if (inside or not any(gap.cut for gap in scale.gaps)) and x < 92:
            yield Label(f"+{_round_size(offset)}", x, y, "middle", "tick")


def _round_size(size: int) -> str:
    """Return a power of two, or few times it, without decimals."""
    return size_text(size).replace(".0 ", " ")


def draw_histogram(result: ReportResult) -> Picture:
    """Return the locations by distance, the series stacked, an older kernel's first."""
    new, old = result.histogram, result.older.histogram if result.older else None
    top = max([1, *bin_totals(new), *(bin_totals(old) if old else [])])
    picture = Picture(_TOP + _PLOT + _AXIS)
    for side in (0, BINS + 1):
        picture.boxes.append(Box("outside", side * _SLOT, _TOP, _SLOT, _PLOT))
    if old is not None:
        picture.boxes += _old_bars(old, top)
    picture.boxes += _bars(new, top, roles(result), inset=_SLOT * (0.18 if old else 0.04))
    base = _TOP + _PLOT
    if new.without:
        noun = lacking(result)
        title = f"{plural(new.without, 'location')} without a {noun}"
        picture.boxes.append(_bar("bad", _WITHOUT, new.without, top, title))
        picture.labels.append(Label(f"no {noun}: {new.without:,}", 100, _TOP - 4, "end", "bad"))
    picture.lines += [Line("axis", 0, base, 100, base), Line("grid", 0, _TOP, 100 * _WITHOUT / _SLOTS, _TOP)]
    picture.lines += [Line("limit", place * _SLOT, _TOP, place * _SLOT, base) for place in (1, BINS + 1)]
    picture.labels.append(Label(plural(top, "function"), 0, _TOP - 4, kind="tick"))
    for mib in (-32, -16, 0, 16, 32):
        x = (1 + (mib << 20) / BIN_SIZE + BINS / 2) * _SLOT
        anchor: Anchor = "start" if mib == -32 else "middle"
        picture.labels.append(Label(f"{mib:+d} MiB" if mib else "0", x, base + 15, anchor, "tick"))
    return picture


def _bar(kind: str, place: int, count: int, top: int, title: str) -> Box:
    """Return a bar of the full width; one that is higher than `top` is cut there."""
    height = min(_PLOT, max(_LEAST, _PLOT * count / top))
    return Box(kind, place * _SLOT, _TOP + _PLOT - height, _SLOT, height, title)


def _old_bars(old: DistanceHistogram, top: int) -> Iterator[Box]:
    for place, count in [*enumerate(bin_totals(old)), (_WITHOUT, old.without)]:
        if count:
            where = "without any" if place == _WITHOUT else f"at {bin_text(place)}"
            yield _bar("old", place, count, top, f"old kernel: {plural(count, 'location')} {where}")


def _bars(histogram: DistanceHistogram, top: int, kinds: Mapping[str, str], inset: float) -> Iterator[Box]:
    """Yield the stacked bars of the bins, `inset` percent narrower on each side."""
    for place in range(BINS + 2):
        level = float(_TOP + _PLOT)
        for name, counts in histogram.counts.items():
            count = counts[place]
            if not count:
                continue
            kind = kinds[name] if 0 < place <= BINS else "bad"
            title = f"{_series_text(name)}: {plural(count, 'location')} at {bin_text(place)}"
            bar = _bar(kind, place, count, top, title)
            level -= bar.height
            yield replace(bar, x=bar.x + inset, width=bar.width - 2 * inset, y=level)


def bin_totals(histogram: DistanceHistogram) -> list[int]:
    """Return the locations by bin, all series together."""
    return [sum(column) for column in zip(*histogram.counts.values(), strict=True)]


def _series_text(name: str) -> str:
    return "calls" if name == CALLS else f"area {name}"


def bin_text(place: int) -> str:
    """Return the distances of a bin of the histogram."""
    if place == 0:
        return "less than -32 MiB"
    if place == BINS + 1:
        return "more than +32 MiB"
    low = (ppc.BACKWARD_LIMIT + (place - 1) * BIN_SIZE) >> 20
    high = low + (BIN_SIZE >> 20)
    return f"{f'{low:+d}' if low else '0'} to {f'{high:+d}' if high else '0'} MiB"


def draw_profile(result: ReportResult) -> Picture:
    """Return the distances along the text between a branch's limits, and at the foot what has no stub."""
    scale = MapScale(result.check.address_map.spans)
    kinds = roles(result)
    picture = Picture(_PLOT + 20 + _AXIS)
    middle = _PLOT / 2
    margin = middle - middle * ppc.FORWARD_LIMIT / _SHOWN

    def level(distance: int) -> float:
        return middle - middle * max(-1.0, min(1.0, distance / _SHOWN))

    picture.boxes.append(Box("outside", 0, 0, 100, margin))
    picture.boxes.append(Box("outside", 0, _PLOT - margin, 100, margin))
    for gap in scale.gaps:
        x, width = 100 * gap.start, 100 * (gap.stop - gap.start)
        picture.boxes.append(Box("gap", x, 0, width, _PLOT + 20, f"{size_text(gap.bytes)} between the texts"))
    for column in result.profile:
        x = 100 * scale.at(column.span.start)
        width = max(_THIN, 100 * scale.at(column.span.stop) - x)
        x = min(x, 100 - width)
        where = f"from {column.span.start:#x}"
        for name, distances in column.distances.items():
            high, low = level(distances.greatest), level(distances.least)
            title = (
                f"{where}: {plural(distances.locations, 'location')}, {_series_text(name)},"
                f" {size_text(distances.least)} to {size_text(distances.greatest)}"
            )
            height = max(3.0, low - high)
            picture.boxes.append(Box(kinds[name], x, (high + low - height) / 2, width, height, title))
        if column.without:
            title = f"{where}: {plural(column.without, 'location')} without a {lacking(result)}"
            picture.boxes.append(Box("bad", x, _PLOT + 4, width, 14, title))
    for distance, kind, text in (
        (ppc.FORWARD_LIMIT, "limit", "+32 MiB"),
        (0, "grid", "0"),
        (ppc.BACKWARD_LIMIT, "limit", "-32 MiB"),
    ):
        y = level(distance)
        picture.lines.append(Line(kind, 0, y, 100, y))
        picture.labels.append(Label(text, 0.5, y - 4, kind="tick"))
    bottom = _PLOT + 20
    picture.lines.append(Line("axis", 0, bottom, 100, bottom))
    picture.labels += _address_ticks(result, scale, bottom + 15)
    if result.stop is not None:
        x = 100 * scale.at(result.stop)
        picture.lines.append(Line("stop", x, 0, x, bottom))
        name = escape_line(result.check.stops_at or "")
        name = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
        label = f"stops at {name}"
        picture.labels.append(
            Label(label, x - 0.6, 13, "end", "bad") if x > 50 else Label(label, x + 0.6, 13, kind="bad")
        )
    return picture


def draw_reserves(plan: PlanResult) -> Picture:
    """Return the reserves that work, with the one as linked and the one to set."""
    linked, recommended = plan.reserve or 0, plan.recommended
    limit = max(plan.entries, linked, recommended or 0, 1) * 1.25

    def at(reserve: float) -> float:
        return 100 * min(1.0, reserve / limit)

    markers: Sequence[tuple[str, int, str]] = [
        ("bad" if not plan.outcomes[0].ok else "marker", linked, f"as linked: {linked:,}"),
        *([("good", recommended, f"recommended: {recommended:,}")] if recommended is not None else []),
    ]
    bottom = (len(markers) + 1) * _ROW + 4
    picture = Picture(bottom + _AXIS)
    for span in plan.working:
        x, stop = at(span[0]), at(span[-1] + 1)
        if x < 100:
            title = f"reserves that work: {span[0]:,} to {span[-1]:,}"
            picture.boxes.append(Box("working", x, 4, max(0.3, stop - x), bottom - 4, title))
    if len(plan.working) == 1:
        span = plan.working[0]
        picture.labels.append(_beside(f"{span[0]:,} to {span[-1]:,} work", at(span[0]), at(span[-1]), 15))
    else:
        text = "none works" if not plan.working else f"{len(plan.working):,} ranges work"
        picture.labels.append(Label(text, 1, 15))
    for row, (kind, reserve, text) in enumerate(markers, 1):
        x, y = at(reserve), row * _ROW + 4
        picture.boxes.append(Box(f"part {kind}", max(0.0, x - 0.3), y, 0.6, _BAR, text))
        picture.labels.append(Label(text, x + 1.2, y + 11) if x < 50 else Label(text, x - 1.2, y + 11, "end"))
    picture.lines.append(Line("axis", 0, bottom, 100, bottom))
    step = 10 ** max(0, len(str(int(limit / 4))) - 1)
    step *= next(factor for factor in (1, 2, 5, 10) if limit / (step * factor) <= _TICKS)
    for reserve in range(0, int(limit * 0.95) + 1, step):
        anchor: Anchor = "middle" if reserve else "start"
        picture.labels.append(Label(f"{reserve:,}", at(reserve), bottom + 15, anchor, "tick"))
    return picture

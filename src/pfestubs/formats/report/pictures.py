# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of a report as plain shapes: positions across in percent, so that any width is sharp.

Shapes have a class (`kind`), which the style sheet colours: an area by its role, `bad` for what fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pfestubs.formats.address_map import MapScale, part_label
from pfestubs.formats.text import escape_line, plural, size_text
from pfestubs.model import ppc
from pfestubs.rules.analyses.relink import GrowthShape
from pfestubs.rules.analyses.report import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.rules.analyses.address_map import AddressSpan, MapPart
    from pfestubs.rules.analyses.conditions import CurvePoint, GrowthCurve
    from pfestubs.rules.analyses.plan import PlanResult
    from pfestubs.rules.analyses.report import ReportedKernel

_ROW: Final = 22
"""Pixels of a row."""
_BAR: Final = 14
_TICKS: Final = 8
"""Intervals that a scale has at most."""
_HEAD: Final = 34
"""Pixels above a plot, for labels."""
_PLOT: Final = 200
"""Pixels of a plot."""
_FOOT: Final = 20
"""Pixels below the profile, for what has no stub."""
_AXIS: Final = 22
_THIN: Final = 0.2
"""Percent of the width that the thinnest bar has."""
_SHOWN: Final = 40 << 20
"""The distance, in bytes, at the edge of the profile; farther ones are drawn there."""
_NAME: Final = 24
"""Characters of a name in a picture."""

Anchor = Literal["start", "middle", "end"]


class Box(NamedTuple):
    """A rectangle; `x` and `width` in percent, `y` and `height` in pixels."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str = ""


class Line(NamedTuple):
    """A straight line; `x` in percent, `y` in pixels."""

    kind: str
    x1: float
    y1: float
    x2: float
    y2: float


class Curve(NamedTuple):
    """A line through points: `x` in percent, `y` in pixels."""

    kind: str
    points: Sequence[tuple[float, float]]


class Label(NamedTuple):
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
    curves: list[Curve] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


class ProfileScale:
    """Positions in the picture of distances; the script that draws it for another reserve has the same."""

    top, plot, shown = _HEAD, _PLOT, _SHOWN

    def __init__(self, spans: Sequence[AddressSpan]) -> None:
        self.addresses = MapScale(spans)

    def level(self, distance: int) -> float:
        """Return the position of a distance, pixels from the top."""
        return self.top + self.plot / 2 * (1 - max(-1.0, min(1.0, distance / self.shown)))

    def across(self, span: AddressSpan) -> tuple[float, float]:
        """Return the position and the width of addresses, in percent."""
        x = 100 * self.addresses.at(span.start)
        width = max(_THIN, 100 * self.addresses.at(span.stop) - x)
        return min(x, 100 - width), width


def series_text(name: str) -> str:
    """Return the name of a series."""
    return "calls" if name == CALLS else f"area {name}"


def lacking(kernel: ReportedKernel) -> str:
    """Return what a location that fails has not got: a stub, or a call in a kernel without stubs."""
    return "call" if CALLS in kernel.series else "stub"


def draw_map(kernel: ReportedKernel) -> Picture:
    """Return the address map: a row per part; a pale band shows from where an area can be reached."""
    scale = MapScale(kernel.address_map.spans)
    parts = [part for part in kernel.address_map.parts if part.span.size]
    bottom = len(parts) * _ROW + 4
    picture = Picture(bottom + _AXIS)
    for gap in scale.gaps:
        x, width = 100 * gap.start, 100 * (gap.stop - gap.start)
        cut = ", not to scale" if gap.cut else ""
        title = f"{size_text(gap.bytes)} between the texts{cut}"
        picture.boxes.append(Box("gap", x, 0, width, bottom, title))
        if gap.cut:
            picture.labels.append(Label("≈", x + width / 2, bottom - 2, "middle", "tick"))
    for row, part in enumerate(parts):
        y = row * _ROW + 4
        x = min(100 * scale.at(part.span.start), 100 - _THIN)
        stop = max(x + _THIN, 100 * scale.at(part.span.stop))
        kind = kernel.series[part.name].value if part.kind == "area" else part.kind
        if part.reach is not None:
            low, high = 100 * scale.at(part.reach.start), 100 * scale.at(part.reach.stop)
            title = f"every stub of area {part.name} can be reached from here"
            picture.boxes.append(Box(f"reach {kind}", low, y, high - low, _BAR, title))
        title = f"{part_label(part)}: {part.span.start:#x} to {part.span.stop:#x}"
        if part.stubs != 0:
            picture.boxes.append(Box(f"part {kind}", x, y, stop - x, _BAR, title))
        picture.labels.append(_beside(_part_text(part), x, stop, y + 11))
    picture.lines.append(Line("axis", 0, bottom, 100, bottom))
    picture.labels += _address_ticks(kernel.address_map.spans, scale, bottom + 15)
    return picture


def _part_text(part: MapPart) -> str:
    label = part_label(part)
    if part.kind == "area":
        return f"{label}, {plural(part.stubs or 0, 'stub')}"
    return f"{label}, {size_text(part.span.size)}" if part.kind == "text" else escape_line(label)


def _beside(text: str, x: float, stop: float, y: float, kind: str = "") -> Label:
    """Return a label inside a wide bar, else to the side of it that has room."""
    if stop - x > 50:
        return Label(text, x + 1, y, kind="inside")
    return Label(text, stop + 1, y, kind=kind) if x < 50 else Label(text, x - 1, y, "end", kind)


def _address_ticks(spans: Sequence[AddressSpan], scale: MapScale, y: float) -> Iterator[Label]:
    """Yield distances from the start of the first text, in steps of a power of two."""
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
            yield Label(f"+{round_size(offset)}", x, y, "middle", "tick")


def round_size(size: int) -> str:
    """Return a power of two, or few times it, without decimals."""
    return size_text(size).replace(".0 ", " ")


def draw_profile(kernel: ReportedKernel, *, failed: bool) -> Picture:
    """Return the distances along the text between a branch's limits, and at the foot what has no stub."""
    scale = ProfileScale(kernel.address_map.spans)
    bottom = _HEAD + _PLOT + _FOOT
    picture = Picture(bottom + _AXIS)
    forward, backward = scale.level(ppc.FORWARD_LIMIT), scale.level(ppc.BACKWARD_LIMIT)
    picture.boxes.append(Box("outside", 0, _HEAD, 100, forward - _HEAD))
    picture.boxes.append(Box("outside", 0, backward, 100, _HEAD + _PLOT - backward))
    for gap in scale.addresses.gaps:
        x, width = 100 * gap.start, 100 * (gap.stop - gap.start)
        title = f"{size_text(gap.bytes)} between the texts"
        picture.boxes.append(Box("gap", x, _HEAD, width, bottom - _HEAD, title))
    picture.boxes += _profile_boxes(kernel, scale)
    for distance, kind in ((ppc.FORWARD_LIMIT, "limit"), (0, "grid"), (ppc.BACKWARD_LIMIT, "limit")):
        y = scale.level(distance)
        picture.lines.append(Line(kind, 0, y, 100, y))
        text = f"{round(distance / (1 << 20)):+d} MiB" if distance else "0"
        picture.labels.append(Label(text, 0.5, y - 4, kind="tick"))
    picture.lines.append(Line("axis", 0, bottom, 100, bottom))
    picture.labels += _address_ticks(kernel.address_map.spans, scale.addresses, bottom + 15)
    if kernel.reserve_end is not None:
        location, stubs = kernel.reserve_end
        x = 100 * scale.addresses.at(location)
        kind = "bad" if failed else "note"
        picture.lines.append(Line(f"cause {kind}", x, 4, x, forward + 8))
        lines = ("the reserve ends here:", f"{plural(stubs, 'stub')} out of reach")
        picture.labels += [_at(text, x, y, kind) for text, y in zip(lines, (13, 27), strict=True)]
    if kernel.stop is not None:
        x = 100 * scale.addresses.at(kernel.stop)
        picture.lines.append(Line("stop", x, scale.level(0), x, bottom))
        name = escape_line(kernel.stop_name)
        name = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
        picture.labels += [
            _at(text, x, y, "bad") for text, y in (("ftrace stops at", backward - 4), (name, backward + 13))
        ]
    return picture


def _at(text: str, x: float, y: float, kind: str) -> Label:
    """Return a label beside a vertical line."""
    return Label(text, x - 0.6, y, "end", kind) if x > 50 else Label(text, x + 0.6, y, kind=kind)


def _profile_boxes(kernel: ReportedKernel, scale: ProfileScale) -> Iterator[Box]:
    """Yield the distances of each piece; those of kernel text ("data") change with the reserve."""
    for column in kernel.profile:
        x, width = scale.across(column.span)
        where = f"from {column.span.start:#x}"
        data = " data" if column.in_text else ""
        for name, distances in column.distances.items():
            high, low = scale.level(distances.greatest), scale.level(distances.least)
            title = (
                f"{where}: {plural(distances.locations, 'location')}, {series_text(name)},"
                f" {size_text(distances.least)} to {size_text(distances.greatest)}"
            )
            height = max(3.0, low - high)
            y = min(max(_HEAD, (high + low - height) / 2), _HEAD + _PLOT - height)
            yield Box(f"{kernel.series[name].value}{data}", x, y, width, height, title)
        if column.without:
            title = f"{where}: {plural(column.without, 'location')} without a {lacking(kernel)}"
            yield Box(f"bad{data}", x, _HEAD + _PLOT + 4, width, _BAR, title)


class GrowthScale:
    """Positions in the picture of growth: reserves across, growth in bytes up."""

    bottom = _HEAD + _PLOT

    def __init__(self, points: Sequence[CurvePoint], minimum: int | None) -> None:
        self.right = max(1, points[-1].reserve)
        working = [point.growth.values() for point in points if point.growth]
        # The least of the three is what counts: the others are cut where they are much larger.
        least, most = (max(map(end, working), default=0) for end in (min, max))
        self.top = max(1 << 20, minimum or 0, min(2 * least, most))

    def across(self, reserve: int) -> float:
        """Return the position of a reserve, in percent."""
        return 100 * reserve / self.right

    def level(self, growth: int) -> float:
        """Return the position of a growth, pixels from the top."""
        return self.bottom - _PLOT * min(1.0, growth / self.top)


def draw_growth(plan: PlanResult, curve: GrowthCurve) -> Picture:
    """Return the growth left against the reserve: a line per shape, their minimum, and what fails hatched."""
    minimum = plan.required[0] if plan.required else None
    scale = GrowthScale(curve.points, minimum)
    bottom = scale.bottom
    picture = Picture(bottom + _AXIS)
    for works, group in groupby(curve.points, key=lambda point: bool(point.growth)):
        members = list(group)
        if works:
            picture.curves += _growth_curves(members, scale)
            continue
        x, stop = (scale.across(members[end].reserve) for end in (0, -1))
        title = f"reserves that fail: {members[0].reserve:,} to {members[-1].reserve:,}"
        picture.boxes.append(Box("bad fails", x, _HEAD, max(_THIN, stop - x), _PLOT, title))
        if stop - x > 12:
            picture.labels.append(Label("fails", (x + stop) / 2, _HEAD + _PLOT / 2, "middle", "bad"))
    step = 1 << max(18, (scale.top // 4 - 1).bit_length())
    for size in range(step, scale.top + 1, step):
        picture.lines.append(Line("grid", 0, scale.level(size), 100, scale.level(size)))
        picture.labels.append(Label(f"+{round_size(size)}", 0.5, scale.level(size) - 4, kind="tick"))
    if minimum is not None:
        y = scale.level(minimum)
        picture.lines.append(Line("limit", 0, y, 100, y))
        picture.labels.append(Label(f"required: {size_text(minimum)}", 99.5, y - 4, "end", "tick"))
    picture.lines.append(Line("axis", 0, bottom, 100, bottom))
    linked = plan.reserve or 0
    marks = [(linked, f"as linked: {linked:,}", "note" if plan.outcomes[0].ok else "bad")]
    if plan.recommended not in {None, linked}:
        marks.append((plan.recommended or 0, f"recommended: {plan.recommended:,}", "good"))
    for (reserve, text, kind), y in zip(marks, (13, 27), strict=False):
        x = scale.across(reserve)
        picture.lines.append(Line(f"mark {kind}", x, y - 9, x, bottom))
        picture.labels.append(_at(text, x, y, kind))
    step = 10 ** max(0, len(str(scale.right // 4)) - 1)
    step *= next(factor for factor in (1, 2, 5, 10) if scale.right / (step * factor) <= _TICKS)
    for reserve in range(0, int(scale.right * 0.95) + 1, step):
        anchor: Anchor = "middle" if reserve else "start"
        picture.labels.append(Label(f"{reserve:,}", scale.across(reserve), bottom + 15, anchor, "tick"))
    return picture


def _growth_curves(points: Sequence[CurvePoint], scale: GrowthScale) -> Iterator[Curve]:
    """Yield the lines of neighbouring reserves that work: their minimum first, filled, below the others."""
    xs = [scale.across(point.reserve) for point in points]
    least = [scale.level(min(point.growth.values())) for point in points]
    floor: list[tuple[float, float]] = [(xs[-1], scale.bottom), (xs[0], scale.bottom)]
    yield Curve("least", [*zip(xs, least, strict=True), *floor])
    for shape in GrowthShape:
        levels = [scale.level(point.growth[shape]) for point in points]
        yield Curve(shape.value, list(zip(xs, levels, strict=True)))

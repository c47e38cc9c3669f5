# SPDX-License-Identifier: GPL-2.0-or-later
"""Cells of the tables of a report; the template has the titles and the order of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.formats.address_map import part_label
from pfestubs.formats.report.pictures import ProfileScale, lacking
from pfestubs.formats.text import bytes_text, hex_address, size_text
from pfestubs.layouts import AreaRole
from pfestubs.rules.analyses.conditions import GROWTH_MAX
from pfestubs.rules.analyses.relink import GrowthShape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.rules.analyses.conditions import CurvePoint, GrowthCurve
    from pfestubs.rules.analyses.plan import PlanResult
    from pfestubs.rules.analyses.planner import GrowthLimit
    from pfestubs.rules.analyses.report import DistanceRange, ProfileColumn, ReportedKernel, TightGroup
    from pfestubs.rules.check.check import AreaUse

_SHAPES: Final = {
    GrowthShape.EARLY: "in one piece, directly after area text",
    GrowthShape.EVEN: "spread evenly over the text",
    GrowthShape.LATE: "in one piece, after the last function",
}
SERVES: Final = {
    AreaRole.RESERVE: "text, while its next stub is in range",
    AreaRole.END: "text that the reserve does not serve",
    AreaRole.INIT: "init text",
}
_ID_DIGITS: Final = 12
"""Digits of a build ID that tell two builds apart."""


class Cell(NamedTuple):
    """A cell: its text, its class, a number to sort by, and what fails.

    `bar` is the class and the filled share, in percent, of a bar before the text; `swatch` a class.
    """

    text: str
    kind: str = ""
    value: int | None = None
    bad: str = ""
    bar: tuple[str, float] | None = None
    swatch: str = ""


def number(value: int | None, bad: object = None) -> Cell:
    """Return a number with separators, "-" for None, marked if it is bad."""
    return Cell("-" if value is None else f"{value:,}", "number bad" if bad else "number", value)


def address(value: int | None) -> Cell:
    """Return an address, "-" for None."""
    return Cell("-" if value is None else hex_address(value), "address")


def shape_words(plan: PlanResult, shape: GrowthShape) -> str:
    """Return where text is added."""
    if plan.reserve is None and shape is GrowthShape.EARLY:
        return "in one piece, at the start of the text"
    return _SHAPES[shape]


def distances(found: DistanceRange | None) -> Cell:
    """Return the distances of some functions of a series, and how many they are."""
    text = f"{found.least:,} to {found.greatest:,} ({found.locations:,})" if found else "-"
    return Cell(text, "number")


def piece(kernel: ReportedKernel, column: ProfileColumn, curve: GrowthCurve | None) -> Mapping[str, float]:
    """Return the figures from which the script draws a piece of text with another reserve."""
    if curve is None or not column.in_text:
        return {}
    x, width = ProfileScale(kernel.address_map.spans).across(column.span)
    count = column.without + sum(found.locations for found in column.distances.values())
    low, high = (end - curve.reserve for end in column.ends)
    figures = {"x": round(x, 3), "width": round(width, 3)}
    return figures | {"first": column.first - curve.first, "count": count, "low": low, "high": high}


def curve_figures(curve: GrowthCurve, linked: int) -> Mapping[str, float]:
    """Return the figures that the script needs for all pieces."""
    return {
        "size": curve.stub_size,
        "end": curve.end - curve.reserve,
        "linked": linked,
        "moving": curve.moving - curve.first,
        "after": curve.after - curve.first,
        "top": ProfileScale.top,
        "plot": ProfileScale.plot,
        "shown": ProfileScale.shown,
    }


def sizes(point: CurvePoint) -> list[Cell]:
    """Return the growth that a reserve allows, by shape."""
    found = [point.growth.get(shape) for shape in GrowthShape]
    texts = ("-" if size is None else "no limit" if size >= GROWTH_MAX else size_text(size) for size in found)
    return [Cell(text, "number") for text in texts]


def use_cell(use: AreaUse) -> Cell:
    """Return the use of an area. A full one is as it should be; only too few stubs look like a failure."""
    count, used, short = use.area.count, use.used, use.needed - use.area.count
    if short > 0:
        return Cell("", "share", bad=f"{short:,} too few", bar=("bad", 100))
    text = f"all {used:,} used" if used else "none needed"
    return Cell(
        text if used == count else f"{used:,} of {count:,}",
        "share",
        bar=("used", 100 * used / count if count else 0),
    )


def reserve_name(plan: PlanResult, reserve: int | None) -> str:
    """Return a reserve, and what it is."""
    known = ((plan.reserve, "as linked"), (plan.recommended, "recommended"))
    names = ", ".join(name for value, name in known if value == reserve)
    return "-" if reserve is None else f"{reserve:,} ({names})"


def room(limit: GrowthLimit) -> Cell:
    """Return by how much text can grow, or what it must lose."""
    if not limit.works:
        return Cell("never works", "number bad")
    if limit.bytes is None:
        return Cell("no limit", "number")
    if limit.bytes < 0:
        return Cell(f"must lose {bytes_text(-limit.bytes)}", "number bad")
    return Cell(bytes_text(limit.bytes), "number")


def compared(new: ReportedKernel, old: ReportedKernel) -> list[Sequence[Cell]]:
    """Return the figures of two kernels and their changes."""
    rows: list[Sequence[Cell]] = []
    for (label, now), (_, before) in zip(_figures(new), _figures(old), strict=True):
        change = "-" if now is None or before is None else f"{now - before:+,}".replace("+0", "0", 1)
        rows.append((Cell(label), number(before), number(now), Cell(change, "number")))
    around = (
        Cell(f"{k.sizes.gap.before} and {k.sizes.gap.after}" if k.sizes.gap else "-", "name")
        for k in (old, new)
    )
    return [*rows, (Cell("It is between"), *around, Cell(""))]


def kernel_name(kernel: ReportedKernel, other: ReportedKernel) -> str:
    """Return a name that tells a kernel from the other: two of one release by build ID, else by file."""
    own, others = kernel.identity, other.identity
    if own.release is None or own.release != others.release:
        return own.release or own.file
    if own.build_id is None or own.build_id == others.build_id:
        return f"{own.release}, {own.file}"
    return f"{own.release}, build {own.build_id[:_ID_DIGITS]}"


def _figures(kernel: ReportedKernel) -> Iterator[tuple[str, int | None]]:
    yield "Functions", kernel.locations
    yield f"Functions without a {lacking(kernel)}", kernel.without
    yield "Headroom, bytes", kernel.headroom
    yield "Kernel text, bytes", kernel.sizes.text
    yield "Init text, bytes", kernel.sizes.inittext
    for side, label in enumerate(("Least distance, bytes", "Greatest distance, bytes")):
        yield label, None if kernel.extremes is None else kernel.extremes[side]
    yield (
        "Largest gap without a traced function, bytes",
        None if kernel.sizes.gap is None else kernel.sizes.gap.bytes,
    )


def neighbours(group: TightGroup) -> Cell:
    """Return how many more functions a row stands for, and which is the farthest."""
    if group.count == 1:
        return Cell("none", "name", 0)
    farthest = next((name for name in group.ends if name != group.function), group.function)
    return Cell(f"{group.count - 1:,}, to {farthest}", "name", group.count - 1)


HELPERS: Final = {
    "cell_of": Cell,
    "part_label": part_label,
    "serves": SERVES,
    **{
        helper.__name__: helper
        for helper in (number, address, shape_words, distances, piece, sizes, use_cell, reserve_name, room)
    },
    "neighbours": neighbours,
    "kernel_name": kernel_name,
}
"""What the template makes its cells with."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of a report: titles, and rows of cells that the template draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.formats.address_map import part_label
from pfestubs.formats.report.pictures import ProfileScale, lacking, series_text
from pfestubs.formats.text import bytes_text, hex_address, size_text
from pfestubs.layouts import AreaRole
from pfestubs.rules.analyses.plan import GROWTH_MAX
from pfestubs.rules.analyses.relink import GrowthShape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.rules.analyses.plan import GrowthCurve, GrowthLimit, PlanResult
    from pfestubs.rules.analyses.report import ReportedKernel, ReportResult, TightGroup
    from pfestubs.rules.check.check import AreaUse

_SHAPES: Final = {
    GrowthShape.EARLY: "in one piece, directly after area text",
    GrowthShape.EVEN: "spread evenly over the text",
    GrowthShape.LATE: "in one piece, after the last function",
}
_SERVES: Final = {
    AreaRole.RESERVE: "text, while its next stub is in range",
    AreaRole.END: "text that the reserve does not serve",
    AreaRole.INIT: "init text",
}
_ID_DIGITS: Final = 12
"""Digits of a build ID that tell two builds apart."""


class Cell(NamedTuple):
    """A cell: its text, its class (">" aligns numbers), a number to sort by, and what fails.

    `bar` is the class and the filled share, in percent, of a bar before the text; `swatch` a class.
    """

    text: str
    kind: str = ""
    value: int | None = None
    bad: str = ""
    bar: tuple[str, float] | None = None
    swatch: str = ""


@dataclass(frozen=True)
class PageTable:
    """A table; `data` are figures of the rows, and of the table, for the script."""

    label: str
    titles: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: Sequence[Mapping[str, float]] = ()
    own: Mapping[str, float] | None = None
    id: str = ""
    sortable: bool = False


def number(value: int | None, kind: str = "number") -> Cell:
    """Return a number with separators, "-" for None."""
    return Cell("-" if value is None else f"{value:,}", kind, value)


def _address(value: int | None) -> Cell:
    return Cell("-" if value is None else hex_address(value), "address")


def _name(text: str, bad: str = "") -> Cell:
    return Cell(text, "name", bad=bad)


def shape_words(plan: PlanResult, shape: GrowthShape) -> str:
    """Return where text is added."""
    if plan.reserve is None and shape is GrowthShape.EARLY:
        return "in one piece, at the start of the text"
    return _SHAPES[shape]


def addresses(kernel: ReportedKernel) -> PageTable:
    """Return the parts of the address map."""
    rows = []
    for part in kernel.address_map.parts:
        single = part.kind in {"tracer", "trampoline"}
        low, high = part.reach or (None, None)
        stop, size = (None, None) if single else (part.span.stop, part.span.size)
        cells = (_address(part.span.start), _address(stop), number(size), _address(low), _address(high))
        rows.append((_name(part_label(part)), *cells))
    return PageTable("Addresses", ("Part", "From", "To", "Bytes", "Reached from", "to"), rows)


def profile(kernel: ReportedKernel, curve: GrowthCurve | None) -> PageTable:
    """Return the distances along the text; with a curve, the figures from which the script draws them."""
    titles = ["From", "To", *(f"{series_text(name).capitalize()}, bytes" for name in kernel.series)]
    scale = ProfileScale(kernel.address_map.spans)
    rows, data = [], []
    for column in kernel.profile:
        cells = []
        for name in kernel.series:
            found = column.distances.get(name)
            text = f"{found.least:,} to {found.greatest:,} ({found.locations:,})" if found else "-"
            cells.append(Cell(text, "number"))
        bad = "number bad" if column.without else "number"
        ends = _address(column.span.start), _address(column.span.stop)
        rows.append((*ends, *cells, number(column.without, bad)))
        x, width = scale.across(column.span)
        figures: dict[str, float] = {}
        if curve is not None and column.in_text:
            figures = {"x": round(x, 3), "width": round(width, 3), "first": column.first - curve.first}
            figures["count"] = column.without + sum(d.locations for d in column.distances.values())
            low, high = (end - curve.reserve for end in column.ends)
            figures |= {"low": low, "high": high}
        data.append(figures)
    titles.append(f"Without a {lacking(kernel)}")
    return PageTable("Distances along the text", titles, rows, data, id="pieces" if curve else "")


def areas(uses: Sequence[AreaUse]) -> PageTable:
    """Return the use of each area. A full one is as it should be; only too few stubs look like a failure."""
    rows = []
    for area, used, needed in uses:
        short = needed - area.count
        share = 100 * used / area.count if area.count else 0
        use = Cell(f"{used:,} of {area.count:,}", "share", bar=("used", share))
        if short > 0:
            use = Cell("", "share", bad=f"{short:,} too few", bar=("bad", 100))
        elif used == area.count:
            use = use._replace(text=f"all {used:,} used" if used else "none needed")
        rows.append(
            (
                Cell(area.name, swatch=area.role.value),
                Cell(_SERVES[area.role], "words"),
                _address(area.address),
                number(area.count),
                number(needed, "number bad" if short > 0 else "number"),
                use,
            )
        )
    return PageTable("Use of areas", ("Area", "Serves", "Address", "Stubs", "Asked for", "Use"), rows)


def growth(plan: PlanResult) -> PageTable:
    """Return how much text can be added where, for the linked and the recommended reserve."""
    rows = []
    for outcome in plan.outcomes:
        names = [
            name
            for reserve, name in ((plan.reserve, "as linked"), (plan.recommended, "recommended"))
            if reserve == outcome.reserve
        ]
        reserve = "-" if outcome.reserve is None else f"{outcome.reserve:,} ({', '.join(names)})"
        for shape, limit in outcome.limits.items():
            beyond = "-" if limit.function is None else f"{limit.function} ({limit.rule})"
            where = Cell(shape_words(plan, shape), "words")
            rows.append((Cell(reserve), where, _room(limit), _name(beyond)))
    titles = ("Reserve", "Where text is added", "Text can grow by", "Fails first with more")
    return PageTable("How much text can still grow", titles, rows)


def _room(limit: GrowthLimit) -> Cell:
    if not limit.works:
        return Cell("never works", "number bad")
    if limit.bytes is None:
        return Cell("no limit", "number")
    if limit.bytes < 0:
        return Cell(f"must lose {bytes_text(-limit.bytes)}", "number bad")
    return Cell(bytes_text(limit.bytes), "number")


def curve_table(curve: GrowthCurve, linked: int) -> PageTable:
    """Return what each reserve allows; the script reads the figures of the rows."""
    rows, data = [], []
    for point in curve.points:
        sizes = [point.growth.get(shape) for shape in GrowthShape]
        texts = ["-" if s is None else "no limit" if s >= GROWTH_MAX else size_text(s) for s in sizes]
        bad = "number bad" if point.without else "number"
        cells = (number(point.served), number(point.without, bad))
        rows.append((number(point.reserve, "number head"), *(Cell(text, "number") for text in texts), *cells))
        data.append({"reserve": point.reserve, "served": point.served, "stubs": point.end_stubs})
    scale = ProfileScale
    own = {"size": curve.stub_size, "end": curve.end - curve.reserve, "linked": linked}
    own |= {"moving": curve.moving - curve.first, "after": curve.after - curve.first}
    own |= {"top": scale.top, "plot": scale.plot, "shown": scale.shown}
    titles = ("Reserve", "Early", "Evenly", "Late", "Served by the reserve", "Without a working stub")
    return PageTable("Growth by reserve", titles, rows, data, own, id="curve")


def compared(new: ReportedKernel, old: ReportedKernel) -> PageTable:
    """Return the figures of two kernels and their changes."""
    rows = []
    for (label, new_value), (_, old_value) in zip(_figures(new), _figures(old), strict=True):
        known = new_value is not None and old_value is not None
        change = f"{(new_value or 0) - (old_value or 0):+,}".replace("+0", "0", 1) if known else "-"
        rows.append((Cell(label), number(old_value), number(new_value), Cell(change, "number")))
    around = [_name(f"{k.gap.before} and {k.gap.after}" if k.gap else "-") for k in (old, new)]
    rows.append((Cell("It is between"), *around, Cell("")))
    titles = ("Figure", f"Old: {kernel_name(old, new)}", f"New: {kernel_name(new, old)}", "Change")
    return PageTable("Compared with an old kernel", titles, rows)


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
    yield "Kernel text, bytes", kernel.text
    yield "Init text, bytes", kernel.inittext
    for side, label in enumerate(("Least distance, bytes", "Greatest distance, bytes")):
        yield label, None if kernel.extremes is None else kernel.extremes[side]
    yield "Largest gap without a traced function, bytes", None if kernel.gap is None else kernel.gap.bytes


def tightest(result: ReportResult) -> PageTable:
    """Return the functions with the least headroom, neighbours as one row."""
    stubs = bool(result.check.areas)
    titles = ["Function", "Headroom", "Neighbours", "Branch", "Distance"]
    titles += ["Area", "Index", "Location", "Stub"] if stubs else ["Location"]
    rows = []
    for group in result.tightest:
        cells = [_name(group.function, group.rule or ""), number(group.headroom), _neighbours(group)]
        cells += [Cell(group.branch), number(group.distance)]
        cells += [Cell(group.area or "-"), number(group.index)] if stubs else []
        cells += [_address(group.location), *([_address(group.stub)] if stubs else [])]
        rows.append(cells)
    return PageTable("Tightest functions", titles, rows, id="tightest", sortable=True)


def _neighbours(group: TightGroup) -> Cell:
    if group.count == 1:
        return Cell("none", "name", 0)
    farthest = next((name for name in group.ends if name != group.function), group.function)
    return Cell(f"{group.count - 1:,}, to {farthest}", "name", group.count - 1)

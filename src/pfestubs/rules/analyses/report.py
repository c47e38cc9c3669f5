# SPDX-License-Identifier: GPL-2.0-or-later
"""What a report shows of a kernel: the check, the plan, and how far each location is from its stub."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import LayoutMismatchError
from pfestubs.model import ppc
from pfestubs.rules.analyses.address_map import AddressSpan
from pfestubs.rules.analyses.plan import Planner, plan_reserve
from pfestubs.rules.check.check import CheckOptions, check_boot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.model import KernelIdentity
    from pfestubs.model.findings import BranchName
    from pfestubs.rules.analyses.address_map import AddressMap
    from pfestubs.rules.analyses.plan import PlanResult
    from pfestubs.rules.check.check import CheckResult
    from pfestubs.rules.kernel.boot import Boot

BIN_SIZE: Final = 1 << 20
"""Bytes of distance that a bin of the histogram covers."""
BINS: Final = (ppc.FORWARD_LIMIT + ppc.INSN_SIZE - ppc.BACKWARD_LIMIT) // BIN_SIZE
"""Bins of the window; one more on each side holds what is out of range."""
TIGHTEST: Final = 200
"""Functions that are listed by what is left of their tightest branch."""
CALLS: Final = "calls"
"""The series of a kernel without stubs: from each location to the tracer."""
_COLUMNS: Final = 160
"""Pieces of the texts for which the profile tells the distances."""


@dataclass(frozen=True)
class DistanceHistogram:
    """How many locations are how far from their stub.

    Attributes:
        counts: for each series (an area, or `CALLS`) the locations by bin: out of range backward, the `BINS`
            of the window from -32 MiB on, out of range forward.
        without: count of locations that have no stub (or no call).
        extremes: the least and the greatest distance, bytes; None without any.
    """

    counts: Mapping[str, Sequence[int]]
    without: int
    extremes: tuple[int, int] | None


class DistanceRange(NamedTuple):
    """The distances, in bytes, of some locations."""

    least: int
    greatest: int
    locations: int


@dataclass(frozen=True)
class ProfileColumn:
    """The locations in a piece of text: their distances by series, and how many have no stub."""

    span: AddressSpan
    distances: Mapping[str, DistanceRange]
    without: int


@dataclass(frozen=True)
class TightFunction:
    """A location that has a stub, and what is left of its tightest branch.

    Attributes:
        area: the area's name, None for a kernel without stubs.
        index: of the stub in its area.
        stub: the address of the stub's first instruction, None for a kernel without stubs.
        distance: bytes to the stub (to the tracer without stubs), as the kernel computes it.
        headroom: bytes, negative when out of range.
        rule: the test that the location fails, None if it works.
    """

    function: str
    location: int
    area: str | None
    index: int | None
    stub: int | None
    distance: int
    headroom: int
    branch: BranchName
    rule: str | None


@dataclass(frozen=True)
class OlderKernel:
    """The kernel that the report compares with."""

    kernel: KernelIdentity
    locations: int
    headroom: int | None
    histogram: DistanceHistogram


@dataclass(frozen=True)
class ReportResult:
    """Everything that a report shows.

    Attributes:
        plan: None for a kernel without stubs, and for one whose areas or table are damaged.
        stop: the location at which the boot disables ftrace, None if it does not.
        profile: ascending pieces of the two texts; those without locations are left out.
        tightest: the functions with the least headroom, ascending.
        older: what is compared with, None without it.
    """

    check: CheckResult
    plan: PlanResult | None
    stop: int | None
    histogram: DistanceHistogram
    profile: Sequence[ProfileColumn]
    tightest: Sequence[TightFunction]
    older: OlderKernel | None = None


def report_boot(boot: Boot, older: OlderKernel | None = None) -> ReportResult:
    """Return what a report shows of the kernel of a boot."""
    planner = Planner(boot)
    check = check_boot(boot, CheckOptions(), planner)
    return ReportResult(
        check=check,
        plan=plan_reserve(boot, planner=planner) if boot.kernel.layout and not boot.damage else None,
        stop=None if boot.stops_at is None else boot.locations[boot.stops_at],
        histogram=_histogram(boot),
        profile=_profile(boot, check.address_map),
        tightest=_tightest(boot),
        older=older,
    )


def older_kernel(boot: Boot, file: str, layout: str) -> OlderKernel:
    """Return what a report on another kernel, `file` with that layout, shows of the kernel of `boot`.

    Raises:
        LayoutMismatchError: one of them traces without stubs: its distances mean something else.
    """
    kernel, headroom = boot.kernel, boot.headroom
    own = kernel.layout_name
    if own != layout and "inline" in {own, layout}:
        raise LayoutMismatchError(kernel.file, own, file, layout)
    return OlderKernel(
        kernel=kernel.identity,
        locations=len(boot.locations),
        headroom=None if headroom is None else headroom.bytes,
        histogram=_histogram(boot),
    )


def _distances(boot: Boot) -> Iterator[tuple[str, int] | None]:
    """Yield each location's series and distance in boot order, None for one without a stub (or a call)."""
    if boot.kernel.layout is None:
        for location, target in zip(boot.locations, boot.target, strict=True):
            yield (CALLS, target - location) if target else None
        return
    names = [area.name for area in boot.kernel.areas]
    for location, area, insns in zip(boot.locations, boot.area, boot.insns, strict=True):
        yield (names[area], location - insns) if area >= 0 else None


def _series(boot: Boot) -> list[str]:
    return [area.name for area in boot.kernel.areas] if boot.kernel.layout else [CALLS]


def _bin_of(distance: int) -> int:
    return min(max(-1, (distance - ppc.BACKWARD_LIMIT) // BIN_SIZE), BINS) + 1


def _histogram(boot: Boot) -> DistanceHistogram:
    found: Counter[tuple[str, int]] = Counter()
    without, extremes = 0, None
    for entry in _distances(boot):
        if entry is None:
            without += 1
            continue
        name, distance = entry
        found[name, _bin_of(distance)] += 1
        low, high = extremes or (distance, distance)
        extremes = min(low, distance), max(high, distance)
    counts = {name: [found[name, i] for i in range(BINS + 2)] for name in _series(boot)}
    return DistanceHistogram(counts, without, extremes)


def _profile(boot: Boot, address_map: AddressMap) -> Sequence[ProfileColumn]:
    """Return the distances by piece of text; the pieces are of one size, each span has its own."""
    spans = address_map.spans
    size = max(ppc.INSN_SIZE, -(-sum(span.size for span in spans) // _COLUMNS))
    starts = [span.start for span in spans]
    columns: dict[tuple[int, int], tuple[dict[str, DistanceRange], int]] = {}
    for location, entry in zip(boot.locations, _distances(boot), strict=True):
        span = bisect_right(starts, location) - 1
        key = span, (location - starts[span]) // size
        ranges, without = columns.get(key) or ({}, 0)
        if entry is None:
            without += 1
        else:
            name, distance = entry
            old = ranges.get(name, DistanceRange(distance, distance, 0))
            ranges[name] = DistanceRange(
                min(old.least, distance), max(old.greatest, distance), old.locations + 1
            )
        columns[key] = ranges, without
    profile = []
    for (span, column), (ranges, without) in sorted(columns.items(), key=lambda item: item[0]):
        start = starts[span] + column * size
        piece = AddressSpan(start, min(start + size, spans[span].stop))
        profile.append(ProfileColumn(piece, ranges, without))
    return profile


def _tightest(boot: Boot) -> Sequence[TightFunction]:
    """Return the functions whose tightest branch, of stub, return and call, has the least headroom."""
    kernel = boot.kernel
    headrooms = ((boot.headroom_at(position), position) for position in range(len(boot.locations)))
    known = ((headroom, position) for headroom, position in headrooms if headroom is not None)
    found = []
    for headroom, position in nsmallest(TIGHTEST, known):
        location, stub = boot.locations[position], boot.insns[position] or None
        failure = boot.failure_at.get(position)
        area = kernel.areas[boot.area[position]].name if stub is not None else None
        target = stub or boot.target[position] or next(iter(kernel.tracers.values()))
        found.append(
            TightFunction(
                function=kernel.name(location),
                location=location,
                area=area,
                index=None if stub is None else boot.index[position],
                stub=stub,
                distance=location - target if stub else target - location,
                headroom=headroom.bytes,
                branch=headroom.branch,
                rule=None if failure is None else failure.rule,
            )
        )
    return found

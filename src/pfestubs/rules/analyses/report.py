# SPDX-License-Identifier: GPL-2.0-or-later
"""What a report shows of a kernel: the check, the plan, and how far each location is from its stub."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.layouts import AreaRole
from pfestubs.model import ppc
from pfestubs.rules.analyses.address_map import map_addresses, measure_text
from pfestubs.rules.analyses.plan import growth_curve, plan_reserve
from pfestubs.rules.analyses.relink import text_locations
from pfestubs.rules.check import CheckOptions, check_boot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.model.findings import BranchName
    from pfestubs.rules.analyses.plan import GrowthCurve, PlanResult
    from pfestubs.rules.check import CheckResult
    from pfestubs.rules.kernel.boot import Boot

TIGHTEST: Final = 100
"""Functions of each area that are listed by what is left of their tightest branch."""
CALLS: Final = "calls"
"""The series of a kernel without stubs: from each location to the tracer."""
_COLUMNS: Final = 160
"""Pieces of the texts for which the profile tells the distances."""
_NEIGHBOURS: Final = 16
"""Locations that may be between two functions of one row of the tightest."""


class DistanceRange(NamedTuple):
    """The distances, in bytes, of some locations."""

    least: int
    greatest: int
    locations: int


@dataclass(frozen=True)
class ProfileColumn:
    """The locations in a piece of text.

    Attributes:
        distances: by series (an area, or `CALLS`).
        without: locations that have no stub (or no call).
        first, last: positions of the first and the last location in boot order.
    """

    span: range
    distances: Mapping[str, DistanceRange]
    without: int
    first: int
    last: int


class ReserveEnd(NamedTuple):
    """The first location out of range of the reserve's next stub, and the stubs of the reserve left over."""

    location: int
    stubs: int


class ReportedKernel:
    """What is shown of the kernel of a boot, and compared with another.

    Attributes:
        series: areas by name, or `CALLS`; the value is the role that colours them.
        sizes: of the two texts.
        without: locations that have no stub (or no call).
        extremes: the least and the greatest distance from a location to its stub, bytes; None without any.
        profile: ascending pieces of the two texts; those without locations are left out.
        reserve_end: None where all stubs of the reserve that are needed are in range.
    """

    def __init__(self, boot: Boot) -> None:
        self.boot = boot
        roles = {area.name: area.role for area in boot.kernel.areas}
        self.series: Mapping[str, AreaRole] = roles or {CALLS: AreaRole.RESERVE}
        self.sizes = measure_text(boot)
        self.address_map = map_addresses(boot)
        known = [distance for distance, served in zip(boot.distances, _served(boot), strict=True) if served]
        self.without = len(boot.locations) - len(known)
        self.extremes = (min(known), max(known)) if known else None
        self.profile = _profile(boot, self.address_map.spans)
        self.reserve_end = _reserve_end(boot)


class TightGroup(NamedTuple):
    """Neighbouring locations of one area that the same branch limits, and what is left of it.

    Attributes:
        headroom: of the tightest of them, bytes, negative when out of range.
        position: of the tightest in boot order.
        members: the positions of all.
    """

    headroom: int
    position: int
    branch: BranchName
    members: Sequence[int]


@dataclass(frozen=True)
class ReportResult:
    """Everything that a report shows.

    Attributes:
        plan: None for a kernel without stubs of which no growth is required.
        curve: what each reserve allows, None where that cannot be told.
        tightest: the functions of each area with the least headroom, ascending.
        older: what is compared with, None without it.
    """

    check: CheckResult
    kernel: ReportedKernel
    plan: PlanResult | None
    curve: GrowthCurve | None
    tightest: Sequence[TightGroup]
    older: ReportedKernel | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and text can grow as much as is required."""
        return self.check.ok and (self.plan is None or self.plan.ok)


def report_boot(
    boot: Boot, older: ReportedKernel | None = None, min_growth: int | None = None
) -> ReportResult:
    """Return what a report shows of a kernel whose boot was simulated.

    Args:
        boot: of the kernel.
        older: what it is compared with.
        min_growth: bytes of text that can be added anywhere, at least.
    """
    check = check_boot(boot, CheckOptions())
    required = None if min_growth is None else (min_growth, None)
    planned = boot.kernel.layout is not None or required
    plan = plan_reserve(check.remedies, required=required) if planned else None
    return ReportResult(
        check=check,
        kernel=ReportedKernel(boot),
        plan=plan,
        curve=None if plan is None or plan.damage else growth_curve(check.remedies.planner),
        tightest=_tightest(boot),
        older=older,
    )


def older_kernel(boot: Boot, file: str, layout: str) -> ReportedKernel:
    """Return what a report on another kernel, `file` with that layout, shows of this one.

    Raises:
        RefusedError: one of them traces without stubs: its distances mean something else.
    """
    own = boot.kernel.layout_name
    if own != layout and "inline" in {own, layout}:
        raise RefusedError(Refusal.LAYOUT_DIFFERS, boot.kernel.file, own, file, layout)
    return ReportedKernel(boot)


def _served(boot: Boot) -> Sequence[int]:
    """Return for each location the address of its stub (without stubs, where its call goes), 0 for none."""
    return boot.insns if boot.kernel.layout else boot.target


def _reserve_end(boot: Boot) -> ReserveEnd | None:
    """Return where the reserve ends because its next stub is out of range."""
    kernel = boot.kernel
    reserve = kernel.area(AreaRole.RESERVE)
    used = boot.needed_of(AreaRole.RESERVE)
    if reserve is None or used >= reserve.count:
        return None
    locations = text_locations(boot)
    reach = reserve.address + used * boot.stub_size + ppc.FORWARD_LIMIT
    position = bisect_right(locations, reach)
    return ReserveEnd(locations[position], reserve.count - used) if position < len(locations) else None


def _profile(boot: Boot, spans: Sequence[range]) -> Sequence[ProfileColumn]:
    """Return the distances by piece of text; the pieces are of one size, each span has its own."""
    size = max(ppc.INSN_SIZE, -(-sum(map(ppc.span_size, spans)) // _COLUMNS))
    starts = [span.start for span in spans]
    pieces: dict[tuple[int, int], list[int]] = {}
    for position, location in enumerate(boot.locations):
        span = bisect_right(starts, location) - 1
        pieces.setdefault((span, (location - starts[span]) // size), []).append(position)
    names = [area.name for area in boot.kernel.areas] or [CALLS]
    served = _served(boot)
    profile = []
    for (span, piece), positions in sorted(pieces.items()):
        found: dict[str, list[int]] = {}
        for position in positions:
            if served[position]:
                found.setdefault(names[max(0, boot.area[position])], []).append(boot.distances[position])
        ranges = {name: DistanceRange(min(own), max(own), len(own)) for name, own in found.items()}
        start = starts[span] + piece * size
        profile.append(
            ProfileColumn(
                range(start, min(start + size, spans[span].stop)),
                ranges,
                len(positions) - sum(map(len, found.values())),
                positions[0],
                positions[-1],
            )
        )
    return profile


def _tightest(boot: Boot) -> Sequence[TightGroup]:
    """Return the locations of each area whose tightest branch has the least headroom, neighbours together."""
    groups: list[list[tuple[int, int, BranchName]]] = []
    for positions in boot.served:
        candidates = boot.tightest(positions, TIGHTEST)
        rooms = ((min(boot.headrooms_at(i), key=lambda room: room.bytes), i) for i in candidates)
        tightest = nsmallest(TIGHTEST, ((room.bytes, i, room.branch) for room, i in rooms))
        before, same = -_NEIGHBOURS - 1, None
        for entry in sorted(tightest, key=lambda entry: entry[1]):
            _, position, branch = entry
            if branch != same or position - before > _NEIGHBOURS:
                groups.append([])
            groups[-1].append(entry)
            before, same = position, branch
    return [
        TightGroup(*min(group), [position for _, position, _ in group]) for group in sorted(groups, key=min)
    ]

# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated boot: the kernel, what ftrace did with each of its locations, and what follows from that.

Results are columns with one element per location: a kernel has tens of thousands of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nlargest, nsmallest
from itertools import combinations, repeat
from operator import sub
from typing import TYPE_CHECKING, NamedTuple

from pfestubs.layouts import AreaRole
from pfestubs.model import TRAMPOLINE_FREED, ppc
from pfestubs.rules.kernel.integrity import find_damage
from pfestubs.rules.kernel.stubs import CALL_INSN, RETURN_SHIFT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pfestubs.model import Area, Kernel
    from pfestubs.model.findings import BranchName, Finding


class Failure(NamedTuple):
    """The first test that the kernel fails for a location (`position` in `Boot.locations`).

    `rule` is one of those about locations (`Scope.LOCATION`); `distance` and `limit` are bytes, signed as the
    kernel computes them. `word` is what the location holds (location-not-nop), `area` the position of the
    exhausted area, `tracer` the name of the one out of range; each None where the rule has none.
    """

    position: int
    rule: str
    distance: int | None = None
    limit: int | None = None
    word: int | None = None
    area: int | None = None
    tracer: str | None = None


class Headroom(NamedTuple):
    """Bytes left before a branch goes out of range (negative: it is), and the location it belongs to."""

    bytes: int
    location: int
    branch: BranchName


@dataclass(frozen=True, eq=False)
class Boot:
    """What the boot of `kernel` did; only the simulation adds to it.

    Attributes:
        stub_size: bytes.
        needed: stubs requested, by position in `kernel.areas`.
        locations: addresses of the nops, in boot order, without the skipped entries.
        area: position in `kernel.areas`, -1 for a location that got no stub.
        index: of the stub in its area.
        insns: address of the stub's first instruction, 0 if none.
        target: where the stub's (or the location's own) call goes, 0 if the boot wrote none.
        skipped: table values that the kernel does not take for locations, ascending.
        failures: in boot order. The kernel disables ftrace at the first (`ftrace_kill`); the simulation goes
            on, to find every other failure.
    """

    kernel: Kernel
    stub_size: int
    needed: list[int]
    locations: array[int] = field(default_factory=lambda: array("Q"))
    area: array[int] = field(default_factory=lambda: array("b"))
    index: array[int] = field(default_factory=lambda: array("Q"))
    insns: array[int] = field(default_factory=lambda: array("Q"))
    target: array[int] = field(default_factory=lambda: array("Q"))
    skipped: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def append(self, ip: int, area: int = -1, index: int = 0, insns: int = 0, target: int = 0) -> None:
        """Record one location; a wrapped address of a damaged kernel is cut as the machine would."""
        self.locations.append(ip & ppc.ADDRESS_MASK)
        self.area.append(area)
        self.index.append(index)
        self.insns.append(insns & ppc.ADDRESS_MASK)
        self.target.append(target)

    def extend(self, ips: array[int], area: int, first_index: int, insns: Iterable[int], target: int) -> None:
        """Record a run of locations whose stubs follow one another and call the same target."""
        count = len(ips)
        self.locations.extend(ips)
        self.area.extend(array("b", [area]) * count)
        self.index.extend(range(first_index, first_index + count))
        self.insns.extend(insns)
        self.target.extend(array("Q", [target]) * count)

    def fail(self, failure: Failure | None) -> None:
        """Record why the location appended next fails, if it does."""
        if failure is not None:
            self.failures.append(failure._replace(position=len(self.locations)))

    def has_stub(self, position: int) -> bool:
        """Return whether the boot writes a stub for the location.

        True also for init-trampoline-only: that stub is written at boot and breaks when init memory is freed.
        """
        return self.area[position] >= 0 and self.target[position] != 0

    def area_of(self, position: int) -> Area:
        """Return the area that the location's stub is in."""
        return self.kernel.areas[self.area[position]]

    def stub_address(self, position: int) -> int:
        """Return the address of the location's stub, its ops pointer included."""
        return ppc.add(self.area_of(position).address, self.index[position] * self.stub_size)

    def positions_in(self, span: range) -> slice:
        """Return the positions of the locations at the addresses of `span`."""
        return slice(bisect_left(self.locations, span.start), bisect_left(self.locations, span.stop))

    def function(self, position: int) -> str:
        """Return the name of the location's function."""
        return self.kernel.name(self.locations[position])

    @property
    def uses(self) -> Sequence[tuple[Area, int, int]]:
        """Each area with the stubs handed out of it, never more than it has, and those requested."""
        areas = zip(self.kernel.areas, self.needed, strict=True)
        return [(area, min(needed, area.count), needed) for area, needed in areas]

    def needed_of(self, role: AreaRole) -> int:
        """Return the stubs requested in the area of that role, 0 if the layout has none."""
        return next((needed for area, _, needed in self.uses if area.role is role), 0)

    @cached_property
    def failure_at(self) -> dict[int, Failure]:
        """Each failed location's failure by its position."""
        return {failure.position: failure for failure in self.failures}

    @cached_property
    def damage(self) -> Sequence[Finding]:
        """What is wrong with the location table and the areas; a boot of such a kernel proves nothing."""
        return find_damage(self)

    @cached_property
    def without_stub(self) -> int:
        """How many locations get no stub in a kernel with stubs: they hold no nop, or no stub was left."""
        return self.insns.count(0) if self.kernel.layout else 0

    @cached_property
    def needs_rebuild(self) -> bool:
        """Whether a function gets no stub wherever text is: it has no nop, or there are too few stubs."""
        missing = [0, 0]  # of text, of init text
        for area, _, needed in self.uses:
            missing[area.role is AreaRole.INIT] += needed - area.count
        return max(missing) > 0 or any(failure.rule == "location-not-nop" for failure in self.failures)

    @cached_property
    def stops_at(self) -> int | None:
        """The position of the location at which the boot disables ftrace (`ftrace_kill`), or None.

        A kernel without stubs tests the reach of its calls only when a tracer is enabled.
        """
        if self.kernel.layout is None:
            return next((f.position for f in self.failures if f.rule == "location-not-nop"), None)
        return self.target.index(0) if 0 in self.target else None

    @cached_property
    def stop_function(self) -> str | None:
        """The function at which the boot disables ftrace, None if it does not."""
        return None if self.stops_at is None else self.function(self.stops_at)

    @cached_property
    def trapped_reserve(self) -> Mapping[str, int]:
        """The stubs of the reserve, and those usable, if others are out of range and the end area exhausted.

        Empty where no stub is trapped so.
        """
        reserve, end = (self.kernel.area(role) for role in (AreaRole.RESERVE, AreaRole.END))
        usable, needed = self.needed_of(AreaRole.RESERVE), self.needed_of(AreaRole.END)
        if reserve is None or end is None or usable >= reserve.count or needed <= end.count:
            return {}
        return {"reserve": reserve.count, "usable": usable}

    @cached_property
    def distances(self) -> Sequence[int]:
        """Each location's distance in bytes; where there is no stub, it means nothing.

        It is from the stub, as the kernel computes it; without stubs, to the tracer.
        """
        if self.kernel.layout is None:
            tracer = next(iter(self.kernel.tracers.values()))
            targets = (target or tracer for target in self.target)
            return list(map(ppc.distance, self.locations, targets, repeat(self.kernel.bits)))
        distances = list(map(sub, self.locations, self.insns))
        if distances and not -ppc.DISTANCE_LIMIT <= min(distances) <= max(distances) < ppc.DISTANCE_LIMIT:
            return list(map(ppc.distance, self.insns, self.locations))
        return distances

    @cached_property
    def served(self) -> Sequence[Sequence[int]]:
        """The positions of the locations that each area serves, by area; all of a kernel without stubs."""
        if self.kernel.layout is None:
            return [range(len(self.locations))] if self.locations else []
        areas = range(len(self.kernel.areas))
        found = [[i for i, own in enumerate(self.area) if own == area and self.insns[i]] for area in areas]
        return list(filter(None, found))

    @cached_property
    def headrooms(self) -> dict[BranchName, Headroom]:
        """The tightest branch of each kind over all stubs; none where a function gets no stub."""
        found: dict[BranchName, Headroom] = {}
        if self.without_stub:
            return found
        for positions in self.served:
            for position in self.tightest(positions, 2):
                for room in self.headrooms_at(position):
                    found[room.branch] = min(room, found.get(room.branch, room))
        return found

    @property
    def headroom(self) -> Headroom | None:
        """The tightest branch of all, None without any."""
        return min(self.headrooms.values(), key=lambda headroom: headroom.bytes, default=None)

    def headrooms_at(self, position: int) -> Sequence[Headroom]:
        """Return the branches of one location that has a stub: to the stub, back, and to the tracer.

        Of the call it is the best of the tracer and the trampolines that the stub may use, the worse of the
        tracers. A kernel without stubs has no other.
        """
        kernel, location, insns = self.kernel, self.locations[position], self.insns[position]
        site = ppc.add(insns, CALL_INSN) if insns else location
        in_init = location in kernel.inittext
        usable = [
            address for name, address in kernel.trampolines.items() if in_init or name != TRAMPOLINE_FREED
        ]
        room = min(
            max(ppc.branch_headroom(ppc.distance(site, target, kernel.bits)) for target in (tracer, *usable))
            for tracer in kernel.tracers.values()
        )
        call = Headroom(room, location, "tracer")
        if not insns:
            return [call]
        distance = ppc.distance(insns, location)
        return [
            Headroom(ppc.branch_headroom(distance), location, "stub"),
            Headroom(ppc.branch_headroom(distance + RETURN_SHIFT), location, "return"),
            call,
        ]

    def tightest(self, positions: Sequence[int], count: int) -> Iterable[int]:
        """Return positions of one area among which are the `count` of the least headroom of each branch.

        A branch to or from a stub is tightest at the extremes of the distances. A call is so at the first and
        the last call of text and of init text, and midway between two targets.
        """
        kernel = self.kernel
        sites = self.insns if kernel.layout else self.locations
        targets = [*kernel.tracers.values(), *kernel.trampolines.values()]
        by_site = sorted(positions, key=sites.__getitem__)
        ends = [*targets, sites[by_site[0]], sites[by_site[-1]]]
        if max(ends) - min(ends) >= 1 << kernel.bits - 1:  # distances wrap
            return positions
        distance = self.distances.__getitem__
        found = {*nsmallest(count, positions, distance), *nlargest(count, positions, distance)}
        found.update(by_site[-count:])
        cuts = [0, kernel.inittext.start, kernel.inittext.stop]
        for cut in (*cuts, *(sum(pair) // 2 for pair in combinations(targets, 2))):
            place = bisect_left(by_site, cut, key=sites.__getitem__)
            found.update(by_site[max(0, place - count) : place + count])
        return found

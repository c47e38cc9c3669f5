# SPDX-License-Identifier: GPL-2.0-or-later
"""The check of a linked kernel: the boot's failures and what else is wrong, as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from pfestubs.errors import LayoutMismatchError, MachineMismatchError
from pfestubs.layouts import AreaRole
from pfestubs.model import ByteOrder
from pfestubs.rules.analyses.address_map import AddressMap, map_addresses
from pfestubs.rules.check import integrity
from pfestubs.rules.check.findings import (
    Action,
    AreaCountMismatch,
    AreaShortage,
    AreaUnused,
    EntryCountMismatch,
    EntrySkipped,
    Finding,
    Grown,
    HeadroomBelow,
    Remedy,
    StubTooFar,
    TracerTooFar,
    WordFound,
)
from pfestubs.rules.check.remedy import suggest_for_headroom, suggest_remedy
from pfestubs.rules.kernel.boot_inputs import require_known_kind
from pfestubs.rules.kernel.simulation import simulate_boot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from decimal import Decimal

    from pfestubs.model import Area, Baseline, Kernel, ObjectCounts
    from pfestubs.rules.check.findings import BranchName, Facts
    from pfestubs.rules.kernel.boot import Boot, Failure


class AreaUse(NamedTuple):
    """An area's stubs: handed out (`used`, never above its count) and requested (`needed`)."""

    area: Area
    used: int
    needed: int


class NamedHeadroom(NamedTuple):
    """Bytes left for the tightest branch of a kind, signed, and the function it belongs to."""

    bytes: int
    function: str
    location: int
    branch: BranchName


class AllowedGrowth(NamedTuple):
    """By how much the count of locations may grow: a number, or a percentage of the baseline."""

    amount: Decimal
    unit: Literal["locations", "percent"]

    def of(self, baseline: int) -> int:
        """Return the largest count of additional locations."""
        return int(self.amount if self.unit == "locations" else baseline * self.amount / 100)


class CheckOptions(NamedTuple):
    """Additional checks requested on the command line.

    `every_branch` asks for `CheckResult.by_branch`: finding a function's name costs 3 ms.
    """

    expected: ObjectCounts | None = None
    min_headroom: int | None = None
    baseline: Baseline | None = None
    max_growth: AllowedGrowth | None = None
    every_branch: bool = True


class CheckResult(NamedTuple):
    """Everything that `check` prints.

    Attributes:
        layout: a layout's name or "inline".
        locations: count of table entries that the kernel does not skip.
        stub_size: bytes; None for an inline kernel.
        headroom: the tightest branch of all, None without locations.
        by_branch: the tightest branch of each kind, or of all kinds alone (`CheckOptions.every_branch`).
        findings: about the whole file, then by location in boot order, then about thresholds.
        stops_at: the function at which the boot disables ftrace, None if it does not.
        release, banner, build_id: which kernel it is, None where the file does not tell.
        bits, byte_order: of the machine.
        address_map: where the kernel's texts and areas are.
    """

    file: str
    layout: str
    locations: int
    stub_size: int | None
    areas: Sequence[AreaUse]
    headroom: NamedHeadroom | None
    by_branch: Sequence[NamedHeadroom]
    findings: Sequence[Finding]
    options: CheckOptions = CheckOptions()
    stops_at: str | None = None
    release: str | None = None
    banner: str | None = None
    build_id: str | None = None
    bits: int = 64
    byte_order: ByteOrder = ByteOrder.LITTLE
    address_map: AddressMap = AddressMap((), ())

    @property
    def errors(self) -> list[Finding]:
        """Findings with which the check fails."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not self.errors


def check_kernel(kernel: Kernel, options: CheckOptions) -> CheckResult:
    """Simulate the boot of `kernel` and report what is wrong with it.

    Raises:
        MachineMismatchError, LayoutMismatchError: the expected counts or the baseline are of another kind
            of kernel.
    """
    require_known_kind(kernel)
    require_same_kind(kernel, options)
    return check_boot(simulate_boot(kernel), options)


def check_boot(boot: Boot, options: CheckOptions) -> CheckResult:
    """Report what is wrong with a kernel whose boot was simulated; see `check_kernel`."""
    kernel = boot.kernel
    tightest = boot.headroom
    rooms = boot.headrooms.values() if options.every_branch else () if tightest is None else (tightest,)
    by_branch = [
        NamedHeadroom(room.bytes, kernel.name(room.location), room.location, room.branch) for room in rooms
    ]
    headroom = min(by_branch, key=lambda room: room.bytes, default=None)
    stop = boot.stops_at
    table_findings = list(integrity.damaged_table(boot))
    findings = [
        *table_findings,
        *integrity.damaged_areas(kernel, boot.stub_size),
        *_count_mismatches(boot, options.expected),
        *_unused(boot),
        *_by_location(boot, {f.location for f in table_findings}),
        *_thresholds(boot, headroom, options),
    ]
    return CheckResult(
        file=kernel.file,
        layout=kernel.layout_name,
        locations=len(boot.locations),
        stub_size=boot.stub_size if kernel.layout else None,
        areas=[AreaUse(area, boot.used(i), boot.needed[i]) for i, area in enumerate(kernel.areas)],
        headroom=headroom,
        by_branch=by_branch,
        findings=findings,
        options=options,
        stops_at=None if stop is None else boot.function(stop),
        release=kernel.release,
        banner=kernel.banner,
        build_id=kernel.build_id,
        bits=kernel.bits,
        byte_order=kernel.byte_order,
        address_map=map_addresses(kernel, boot.stub_size),
    )


def require_same_kind(kernel: Kernel, options: CheckOptions) -> None:
    """Refuse expected counts and a baseline that cannot be of this kernel.

    Raises:
        MachineMismatchError: class or byte order differ.
        LayoutMismatchError: the layouts differ.
    """
    expected, baseline, layout = options.expected, options.baseline, kernel.layout_name
    if expected is not None:
        _require_machine(kernel, expected.file, expected.bits, expected.byte_order)
        if expected.layout is not None and expected.layout is not kernel.layout:
            raise LayoutMismatchError(expected.file, expected.layout.name, kernel.file, layout)
    if baseline is not None:
        if baseline.bits is not None and baseline.byte_order is not None:
            _require_machine(kernel, baseline.file, baseline.bits, baseline.byte_order)
        if baseline.layout != layout:
            raise LayoutMismatchError(baseline.file, baseline.layout, kernel.file, layout)


def _require_machine(kernel: Kernel, file: str, bits: int, byte_order: ByteOrder) -> None:
    if (bits, byte_order) != (kernel.bits, kernel.byte_order):
        theirs, own = (
            f"{width}-bit {order.value}-endian"
            for width, order in ((bits, byte_order), (kernel.bits, kernel.byte_order))
        )
        raise MachineMismatchError(file, theirs, kernel.file, own)


def _count_mismatches(boot: Boot, expected: ObjectCounts | None) -> Iterator[Finding]:
    if expected is None:
        return
    remedy = Remedy(Action.REGENERATE_AREAS)
    if expected.stubs is not None:
        for area in boot.kernel.areas:
            wanted = expected.stubs.of(area.role)
            if area.count != wanted:
                facts = AreaCountMismatch(area.spec, area.count, wanted, expected.file)
                finding = Finding("count-mismatch", facts, stub=area.address, remedy=remedy)
                yield finding
    entries = sum(value != 0 for value in boot.kernel.table)
    if entries > expected.entries.total or not boot.locations:
        mismatch = EntryCountMismatch(entries, expected.entries.total, expected.file)
        yield Finding("count-mismatch", mismatch, remedy=remedy)


def _unused(boot: Boot) -> Iterator[Finding]:
    for position, area in enumerate(boot.kernel.areas):
        unused = area.count - boot.used(position)
        if unused:
            yield Finding("area-unused", AreaUnused(area.spec, unused, area.count), stub=area.address)


def _by_location(boot: Boot, known: Collection[int | None]) -> list[Finding]:
    """Return skipped entries and failures, merged by address: boot order. One finding per location."""
    found = [(address, _skipped(boot.kernel, address)) for address in boot.skipped if address not in known]
    shortages = {
        position: shortage(boot, position)
        for position in {f.area for f in boot.failures}
        if position is not None
    }
    first: set[str] = set()
    for failure in boot.failures:
        location = boot.locations[failure.position]
        if location in known:
            continue
        remedy = None if failure.rule in first else suggest_remedy(boot, failure.rule)
        first.add(failure.rule)
        found.append((location, _failed(boot, failure, shortages, remedy)))
    found.sort(key=lambda pair: pair[0])
    return [finding for _, finding in found]


def finding_at(boot: Boot, position: int, *, with_remedy: bool = True) -> Finding | None:
    """Return the finding about the location at `position`, None if the boot serves it."""
    failure = boot.failure_at.get(position)
    if failure is None:
        return None
    shortages = {} if failure.area is None else {failure.area: shortage(boot, failure.area)}
    return _failed(boot, failure, shortages, suggest_remedy(boot, failure.rule) if with_remedy else None)


def _skipped(kernel: Kernel, address: int) -> Finding:
    function = kernel.name(address) if address else None
    return Finding("location-skipped", EntrySkipped(), function=function, location=address)


def _failed(
    boot: Boot, failure: Failure, shortages: Mapping[int, AreaShortage], remedy: Remedy | None
) -> Finding:
    location = boot.locations[failure.position]
    return Finding(
        failure.rule,
        _facts(failure, shortages),
        function=boot.kernel.name(location),
        location=location,
        stub=boot.insns[failure.position] or None,
        distance=failure.distance,
        limit=failure.limit,
        remedy=remedy,
    )


def failure_finding(boot: Boot, failure: Failure, remedy: Remedy | None) -> Finding:
    """Return one failure as a finding of its own."""
    shortages = {} if failure.area is None else {failure.area: shortage(boot, failure.area)}
    return _failed(boot, failure, shortages, remedy)


def _facts(failure: Failure, shortages: Mapping[int, AreaShortage]) -> Facts:
    if failure.rule == "location-not-nop":
        return WordFound(failure.word)
    if failure.area is not None:
        return shortages[failure.area]
    return StubTooFar() if failure.tracer is None else TracerTooFar(failure.tracer)


def shortage(boot: Boot, position: int) -> AreaShortage:
    """Return by how much the area at that position of the kernel's areas is too small."""
    area, reserve = boot.kernel.areas[position], boot.kernel.area(AreaRole.RESERVE)
    facts = AreaShortage(area.spec, area.count, boot.needed[position], boot.unserved)
    usable = boot.needed_of(AreaRole.RESERVE)
    if area.role is AreaRole.END and reserve is not None and usable < reserve.count:
        return AreaShortage(area.spec, area.count, facts.needed, boot.unserved, reserve.count, usable)
    return facts


def _thresholds(boot: Boot, headroom: NamedHeadroom | None, options: CheckOptions) -> Iterator[Finding]:
    """Yield the thresholds that are not met; one that has nothing to measure is not."""
    count = len(boot.locations)
    minimum = options.min_headroom
    if minimum is not None and (headroom is None or headroom.bytes < minimum):
        facts = HeadroomBelow(
            None if headroom is None else headroom.bytes,
            None if headroom is None else headroom.branch,
            minimum,
        )
        yield Finding(
            "low-headroom",
            facts,
            function=None if headroom is None else headroom.function,
            location=None if headroom is None else headroom.location,
            remedy=None if headroom is None else suggest_for_headroom(boot, headroom.bytes, minimum),
        )
    baseline, growth = options.baseline, options.max_growth
    if baseline is not None and growth is not None:
        grown = count - baseline.locations
        if not count or grown > growth.of(baseline.locations):
            yield Finding(
                "growth",
                Grown(count, baseline.locations, baseline.file, growth.amount, growth.unit),
            )

# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict on a linked kernel: the boot's failures and what else is wrong, as findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pfestubs.errors import ContradictionError
from pfestubs.rules import integrity
from pfestubs.rules.boot import Failure, Replay, Setting, headrooms, replay, stops_at
from pfestubs.rules.findings import Finding, symbolic
from pfestubs.rules.remedy import cure
from pfestubs.rules.setting import setting_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from decimal import Decimal

    from pfestubs.read.vmlinux import Kernel
    from pfestubs.rules.boot import BranchName
    from pfestubs.rules.sizing import Entries, Stubs

    _Namer = Callable[[int], str]


@dataclass(frozen=True)
class AreaUse:
    """An area's stubs: reserved, handed out (`used`, never above reserved) and asked for (`needed`)."""

    name: str
    address: int
    reserved: int
    used: int
    needed: int


@dataclass(frozen=True)
class NamedHeadroom:
    """Bytes left for the tightest branch of a kind, signed, and the function it belongs to."""

    bytes: int
    function: str
    location: int
    branch: BranchName


@dataclass(frozen=True)
class ExpectedCounts:
    """What the object before the link promised; layout and stubs are None where it does not say."""

    file: str
    layout: str | None
    entries: Entries
    stubs: Stubs | None
    bits: int | None = None
    byte_order: str | None = None


@dataclass(frozen=True)
class Baseline:
    """An earlier kernel's figures: count of locations, and headroom in bytes where known."""

    file: str
    locations: int
    headroom: int | None


@dataclass(frozen=True)
class Growth:
    """How much the count of locations may grow: by a number, or by a percentage of the baseline."""

    amount: Decimal
    unit: Literal["locations", "percent"]

    def allowed(self, baseline: int) -> int:
        """The largest count of additional locations."""
        return int(self.amount if self.unit == "locations" else baseline * self.amount / 100)

    def __str__(self) -> str:
        return f"{self.amount}%" if self.unit == "percent" else f"{self.amount:,.0f}"


@dataclass(frozen=True)
class CheckOptions:
    """What the user asks for beyond a boot that succeeds."""

    promise: ExpectedCounts | None = None
    min_headroom: int | None = None
    baseline: Baseline | None = None
    max_growth: Growth | None = None


@dataclass(frozen=True)
class CheckResult:
    """Everything that `check` says.

    Attributes:
        layout: a layout's name or "inline".
        locations: count of table entries that the kernel does not skip.
        stub_size: bytes; None for an inline kernel.
        headroom: the tightest branch of all, None without locations.
        by_branch: the tightest branch of each kind.
        findings: about the whole file, then by location in boot order, then about thresholds.
    """

    file: str
    layout: str
    locations: int
    stub_size: int | None
    areas: Sequence[AreaUse]
    headroom: NamedHeadroom | None
    by_branch: Sequence[NamedHeadroom]
    findings: Sequence[Finding]
    demands: CheckOptions
    stops_at: str | None = None
    """The function at which the boot gives up all tracing, None if it does not."""

    @property
    def errors(self) -> list[Finding]:
        """The findings that break the build."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not self.errors


def check_kernel(kernel: Kernel, demands: CheckOptions) -> CheckResult:
    """Replay the boot of `kernel` and say what is wrong with it.

    Raises:
        ContradictionError: the promise was made by a kernel of another layout.
    """
    setting = setting_of(kernel)
    result = replay(setting)

    def namer(address: int) -> str:
        return symbolic(*kernel.symbols.locate(address))

    uses = [
        AreaUse(area.name, area.address, area.count, min(result.needed[area.name], area.count), needed)
        for area in setting.areas
        for needed in (result.needed[area.name],)
    ]
    by_branch = [
        NamedHeadroom(room.bytes, namer(room.location), room.location, room.branch)
        for room in headrooms(setting, result).values()
    ]
    headroom = min(by_branch, key=lambda room: room.bytes, default=None)
    count = len(result.locations)
    stop = stops_at(setting, result)
    table_findings = list(integrity.damaged_table(kernel))
    findings = [
        *table_findings,
        *integrity.damaged_areas(kernel, setting.stub_size),
        *_count_mismatches(kernel, demands.promise),
        *_unused(uses),
        *_by_location(setting, result, namer, {f.location for f in table_findings}),
        *_thresholds(count, headroom, demands),
    ]
    return CheckResult(
        file=kernel.file,
        layout=kernel.layout.name if kernel.layout else "inline",
        locations=count,
        stub_size=setting.stub_size if kernel.layout else None,
        areas=uses,
        headroom=headroom,
        by_branch=by_branch,
        findings=findings,
        demands=demands,
        stops_at=None if stop is None else namer(result.locations[stop]),
    )


def _count_mismatches(kernel: Kernel, promise: ExpectedCounts | None) -> Iterator[Finding]:
    if promise is None:
        return
    order = "little" if kernel.order == "<" else "big"
    if promise.bits not in {None, kernel.bits} or promise.byte_order not in {None, order}:
        raise ContradictionError(
            promise.file,
            f"is {promise.bits}-bit, {promise.byte_order}-endian, {kernel.file} is {kernel.bits}-bit,"
            f" {order}-endian",
            "give the vmlinux.o (or its count) of the same build",
        )
    linked = kernel.layout.name if kernel.layout else None
    if promise.layout is not None and promise.layout != linked:
        raise ContradictionError(
            promise.file,
            f"is of layout {promise.layout}, {kernel.file} of layout {linked or 'inline'}",
            "give the vmlinux.o (or its count) of the same build",
        )
    advice = f"link again with the assembly file generated from {promise.file}, without --spare"
    if promise.stubs is not None:
        for area in kernel.areas:
            promised = promise.stubs.of_area(area.name)
            if area.count != promised:
                yield Finding(
                    "count-mismatch",
                    f"area {area.name} has {area.count:,} stubs, {promise.file} promised {promised:,};"
                    f" {advice}",
                    stub=area.address,
                )
    entries = sum(value != 0 for value in kernel.table)
    if entries > promise.entries.total:
        yield Finding(
            "count-mismatch",
            f"the location table has {entries:,} entries, {promise.file} only {promise.entries.total:,};"
            " something was linked that was not counted",
        )


def _unused(uses: Sequence[AreaUse]) -> Iterator[Finding]:
    for area in uses:
        if area.used < area.reserved:
            yield Finding(
                "area-unused",
                f"{area.reserved - area.used:,} of {area.reserved:,} stubs of area {area.name} stay unused",
                stub=area.address,
            )


def _by_location(
    setting: Setting, result: Replay, namer: _Namer, known: Collection[int | None]
) -> list[Finding]:
    """Skipped entries and failures, merged by address: boot order. A location has one finding."""
    found = [(address, _skipped(address, namer)) for address in result.skipped if address not in known]
    first: set[str] = set()
    for failure in result.failures:
        location = result.locations[failure.position]
        if location in known:
            continue
        advice = "" if failure.rule in first else cure(setting, result, failure.rule)
        finding = _failed(setting, result, failure, namer, advice)
        first.add(failure.rule)
        found.append((location, finding))
    found.sort(key=lambda pair: pair[0])
    return [finding for _, finding in found]


def _skipped(address: int, namer: _Namer) -> Finding:
    if not address:
        return Finding("location-skipped", "an entry of the location table is empty", location=0)
    function = namer(address)
    return Finding(
        "location-skipped",
        f"{function} at {address:#x} is neither in kernel text nor in init text",
        function=function,
        location=address,
    )


def _failed(setting: Setting, result: Replay, failure: Failure, namer: _Namer, advice: str) -> Finding:
    """A failure in words; the first of a rule carries the cure."""
    location = result.locations[failure.position]
    stub = result.insns[failure.position] or None
    function = namer(location)
    what = _sentence(setting, result, failure, f"{function} at {location:#x}", stub, first=bool(advice))
    return Finding(
        failure.rule,
        f"{what}; {advice}" if advice else what,
        function=function,
        location=location,
        stub=stub,
        distance=failure.distance,
        limit=failure.limit,
    )


def _sentence(
    setting: Setting, result: Replay, failure: Failure, where: str, stub: int | None, *, first: bool
) -> str:
    span = f"{abs(failure.distance or 0):,} bytes"
    limit = f"(limit {abs(failure.limit or 0):,})"
    at = f"{stub:#x}" if stub else ""
    match failure.rule:
        case "location-not-nop":
            word = f"{failure.detail:#010x}" if isinstance(failure.detail, int) else "nothing"
            return f"{where} holds {word}, expected what the compiler leaves for ftrace (nop 0x60000000)"
        case "area-exhausted":
            return f"{where} gets no stub{_shortage(setting, result, str(failure.detail)) if first else ''}"
        case "stub-out-of-range":
            return f"{where} is {span} from its stub at {at} {limit}"
        case "return-out-of-range":
            return f"{where} is {span} from the last branch of its stub at {at} {limit}"
        case "tracer-unreachable":
            caller = f"the stub at {at} of {where}" if stub else where
            return f"{caller} is {span} from {failure.detail} {limit}, and no trampoline is in reach"
        case "init-trampoline-only":
            caller = f"the stub at {at} of {where}" if stub else where
            return (
                f"{caller} is {span} from {failure.detail} {limit} and reaches only ftrace_tramp_init,"
                " which is freed after boot"
            )


def _shortage(setting: Setting, result: Replay, name: str) -> str:
    counts = {area.name: area.count for area in setting.areas}
    without = sum(failure.rule == "area-exhausted" for failure in result.failures)
    sentence = (
        f": area {name} has {counts[name]:,}, {result.needed[name]:,} are needed;"
        f" {without:,} {'function stays' if without == 1 else 'functions stay'} without a stub"
    )
    if name == "text_end" and result.needed.get("text", 0) < counts.get("text", 0):
        usable, reserve = result.needed["text"], counts["text"]
        sentence += f", while only {usable:,} of the {reserve:,} stubs of area text are in reach"
    return sentence


def _thresholds(count: int, headroom: NamedHeadroom | None, demands: CheckOptions) -> Iterator[Finding]:
    if demands.min_headroom is not None and headroom is not None and headroom.bytes < demands.min_headroom:
        yield Finding(
            "low-headroom",
            f"the headroom is {headroom.bytes:,} bytes ({headroom.branch} branch of {headroom.function}), at"
            f" least {demands.min_headroom:,} were asked for",
            function=headroom.function,
            location=headroom.location,
        )
    baseline, growth = demands.baseline, demands.max_growth
    if baseline is not None and growth is not None:
        grown = count - baseline.locations
        if grown > growth.allowed(baseline.locations):
            yield Finding(
                "growth",
                f"{count:,} locations, {grown:,} more than in {baseline.file} ({baseline.locations:,});"
                f" at most {growth} were allowed",
            )

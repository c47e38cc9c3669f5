# SPDX-License-Identifier: GPL-2.0-or-later
"""The check of a linked kernel: the boot's failures and what else is wrong, as findings with remedies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.layouts import RESERVE_CONFIG, AreaRole
from pfestubs.model import KernelIdentity
from pfestubs.model.findings import Action, Finding, Remedy
from pfestubs.rules.kernel.integrity import APPLY_RELOCATIONS, is_remnant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from pfestubs.model import Kernel, KernelFigures, ObjectCounts
    from pfestubs.model.findings import Rule
    from pfestubs.rules.analyses.planner import Planner
    from pfestubs.rules.kernel.boot import Boot, Failure

CALL_RULES = frozenset({"tracer-unreachable", "init-trampoline-only"})
"""Failures of the call to the tracer, which also show when a tracer is enabled after boot."""


class AllowedGrowth(NamedTuple):
    """By how much the count of locations may grow: a number, or a percentage of the baseline."""

    amount: Decimal
    unit: Literal["locations", "percent"]

    def of(self, baseline: int) -> int:
        """Return the largest count of additional locations."""
        return int(self.amount if self.unit == "locations" else baseline * self.amount / 100)


class CheckOptions(NamedTuple):
    """Additional checks requested on the command line."""

    expected: ObjectCounts | None = None
    min_headroom: int | None = None
    baseline: KernelFigures | None = None
    max_growth: AllowedGrowth | None = None

    def request(self, rule: Rule) -> bool:
        """Return whether a rule is tested, always or because its option is given."""
        values = {
            "--prelink": self.expected,
            "--min-headroom": self.min_headroom,
            "--max-growth": self.max_growth,
        }
        return rule.option is None or values[rule.option] is not None


@dataclass(frozen=True)
class CheckResult:
    """What is wrong with the kernel of a boot.

    Attributes:
        findings: about the whole file, then by location in boot order, then about thresholds.
    """

    boot: Boot
    options: CheckOptions
    findings: Sequence[Finding]
    remedies: Remedies

    @property
    def growth_left(self) -> Mapping[str, int | None] | None:
        """The bytes of text that can still be added, by where (`Planner.growth_left`); takes some boots."""
        return None if self.boot.damage else self.remedies.planner.growth_left

    @cached_property
    def errors(self) -> list[Finding]:
        """Findings with which the check fails."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not self.errors


def check_boot(boot: Boot, options: CheckOptions) -> CheckResult:
    """Report what is wrong with the kernel of a boot.

    Args:
        boot: of the kernel as linked.
        options: what else to check.

    Raises:
        RefusedError: the expected counts or the baseline are of another kind
            of kernel.
    """
    _require_same_kind(boot.kernel, options)
    remedies = Remedies(boot)
    findings = [
        *boot.damage,
        *_compared_with_object(boot, options.expected),
        *_unused(boot),
        *_by_location(boot, remedies),
        *_thresholds(boot, options, remedies),
    ]
    return CheckResult(boot, options, findings, remedies)


def _require_same_kind(kernel: Kernel, options: CheckOptions) -> None:
    """Refuse expected counts and a baseline that cannot be of this kernel.

    Raises:
        RefusedError: class, byte order or layout differ.
    """
    expected, others = options.expected, [options.baseline.kernel] if options.baseline else []
    if expected is not None:  # the object of a kernel with stubs refers to their symbols
        name = expected.layout.name if expected.layout else "inline"
        others.insert(0, KernelIdentity(expected.file, name, expected.bits, expected.byte_order))
    own = [kernel.bits, kernel.byte_order]
    for other in others:
        machine = [other.bits, other.byte_order]
        if None not in machine and machine != own:
            words = "{}-bit {}-endian".format
            raise RefusedError(Refusal.MACHINE_DIFFERS, other.file, words(*machine), kernel.file, words(*own))
        if other.layout != kernel.layout_name:
            facts = other.layout, kernel.file, kernel.layout_name
            raise RefusedError(Refusal.LAYOUT_DIFFERS, other.file, *facts)


def _compared_with_object(boot: Boot, expected: ObjectCounts | None) -> Iterator[Finding]:
    if expected is None:
        return
    source, remedy = expected.file, Remedy(Action.REGENERATE_AREAS)
    if expected.stubs is not None:
        for area in boot.kernel.areas:
            wanted = expected.stubs[area.name]
            if area.count != wanted:
                figures = {"area": area.spec, "stubs": area.count, "expected": wanted, "source": source}
                yield Finding("count-mismatch", "area-count", figures, stub=area.address, remedy=remedy)
    entries, counted = sum(value != 0 for value in boot.kernel.table), expected.entries
    if entries > counted.total or not boot.locations:
        case = "entry-count" if entries > counted.total else "nothing-to-count"
        figures = {"entries": entries, "expected": counted.total, "source": source}
        yield Finding("count-mismatch", case, figures, remedy=remedy)
    wanted, found = counted.text + counted.inittext, len(boot.locations)
    if is_remnant(found, wanted) and not any(finding.rule == "table-damaged" for finding in boot.damage):
        address = boot.kernel.table_address
        figures = {"address": address, "found": found, "expected": wanted, "source": source}
        yield Finding("table-damaged", "table-short", figures, remedy=APPLY_RELOCATIONS)


def _unused(boot: Boot) -> Iterator[Finding]:
    for area, used, _ in boot.uses:
        if used < area.count:
            figures = {"area": area.spec, "unused": area.count - used, "stubs": area.count}
            yield Finding("area-unused", figures=figures, stub=area.address)


def _by_location(boot: Boot, remedies: Remedies) -> list[Finding]:
    """Return skipped entries and failures, merged by address: boot order. One finding per location."""
    known = {finding.location for finding in boot.damage if finding.location is not None}
    found: list[tuple[int, Finding]] = []
    for address in boot.skipped:
        if address not in known:
            function, case = (boot.kernel.name(address), "") if address else (None, "entry-empty")
            found.append((address, Finding("location-skipped", case, function=function, location=address)))
    failures = [f for f in boot.failures if boot.locations[f.position] not in known]
    for failure, finding in zip(failures, failure_findings(boot, failures, remedies), strict=True):
        found.append((boot.locations[failure.position], finding))
    found.sort(key=lambda pair: pair[0])
    return [finding for _, finding in found]


def failure_findings(
    boot: Boot, failures: Iterable[Failure], remedies: Remedies | None = None
) -> Iterator[Finding]:
    """Yield failures of a boot as findings; the first of a cause, a rule or an area, has the remedy."""
    remedies = remedies or Remedies(boot)
    explained: set[tuple[str, int | None]] = set()
    for failure in failures:
        cause = failure.rule, failure.area
        yield failure_finding(boot, failure, None if cause in explained else remedies.for_failure(failure))
        explained.add(cause)


def failure_finding(boot: Boot, failure: Failure, remedy: Remedy | None) -> Finding:
    """Return one failure of a boot as a finding; only with a remedy is its cause part of the sentence."""
    known = {"tracer": failure.tracer, "word": failure.word}.items()
    case, figures = "", {name: value for name, value in known if value is not None}
    if failure.area is not None:
        case, figures = _shortage(boot, failure.area)
    elif failure.rule == "location-not-nop" and failure.word is None:
        case = "location-unreadable"
    return Finding(
        failure.rule,
        case,
        figures,
        function=boot.function(failure.position),
        location=boot.locations[failure.position],
        stub=boot.insns[failure.position] or None,
        distance=failure.distance,
        limit=failure.limit,
        remedy=remedy,
    )


def _shortage(boot: Boot, position: int) -> tuple[str, dict[str, Any]]:
    """Return by how much the area at that position of the kernel's areas is too small: case and figures."""
    area, needed = boot.kernel.areas[position], boot.needed[position]
    figures = {"area": area.spec, "stubs": area.count, "needed": needed, "missing": needed - area.count}
    trapped = boot.trapped_reserve if area.role is AreaRole.END else {}
    return "reserve-trapped" if trapped else "", {**figures, **trapped}


def _thresholds(boot: Boot, options: CheckOptions, remedies: Remedies) -> Iterator[Finding]:
    """Yield the thresholds that are not met; one that has nothing to measure is not."""
    count, minimum, headroom = len(boot.locations), options.min_headroom, boot.headroom
    if minimum is not None and headroom is None:
        yield Finding("low-headroom", "no-headroom", {"minimum": minimum})
    elif minimum is not None and headroom is not None and headroom.bytes < minimum:
        yield Finding(
            "low-headroom",
            figures={"bytes": headroom.bytes, "branch": headroom.branch, "minimum": minimum},
            function=boot.kernel.name(headroom.location),
            location=headroom.location,
            remedy=remedies.for_headroom(headroom.bytes, minimum),
        )
    baseline, growth = options.baseline, options.max_growth
    if baseline is not None and growth is not None:
        grown = count - baseline.locations
        figures = {"baseline": baseline.locations, "source": baseline.kernel.file}
        if not count:
            yield Finding("growth", "nothing-to-compare", figures)
        elif grown > growth.of(baseline.locations):
            case = "growth-in-percent" if growth.unit == "percent" else ""
            figures |= {"locations": count, "grown": grown, "allowed": growth.amount}
            yield Finding("growth", case, figures)


# -- what to change ------------------------------------------------------------------------------------------


class Remedies:
    """What to change in the kernel of one boot; a reserve is the one that `plan` recommends."""

    def __init__(self, boot: Boot) -> None:
        self.boot = boot

    @cached_property
    def planner(self) -> Planner:
        """The planner of the boot; imported here, since the check of a healthy kernel needs none."""
        from pfestubs.rules.analyses.planner import Planner

        return Planner(self.boot)

    def for_failure(self, failure: Failure) -> Remedy:
        """Return what to change so that no location fails for the same cause."""
        boot, rule = self.boot, failure.rule
        if rule == "location-not-nop":
            return Remedy(Action.REBUILD)
        if rule in CALL_RULES:
            return Remedy(Action.SHRINK_TEXT if boot.kernel.layout is None else Action.RESTORE_LINK_ORDER)
        exhausted = None if failure.area is None else boot.kernel.areas[failure.area].role
        if exhausted is AreaRole.INIT or (exhausted is not None and not boot.trapped_reserve):
            return Remedy(Action.REGENERATE_AREAS)
        reserve = boot.kernel.area(AreaRole.RESERVE)
        if reserve is None or not any(ip in boot.kernel.text for ip in boot.locations):
            return Remedy(Action.SHRINK_TEXT)
        if boot.damage:
            return Remedy(Action.REGENERATE_AREAS)
        recommended = self.planner.recommended
        if recommended is None or recommended == reserve.count:
            shrink = self.planner.shrink
            return Remedy(Action.SHRINK_TEXT, value=shrink[0] if shrink else None)
        span = self.planner.working[0]
        remedy = _set_reserve(reserve.count, recommended)
        return remedy._replace(working=(span[0], span[-1]), growth=self.planner.best_growth)

    def for_headroom(self, headroom: int, minimum: int) -> Remedy:
        """Return what to change so that at least `minimum` bytes of headroom are left, not `headroom`.

        That is the reserve that `plan` recommends, if the kernel boots with it and the headroom suffices.
        """
        linked, recommended = self.planner.linked, self.planner.recommended
        if linked is not None and recommended is not None and recommended != linked:
            planned = self.planner.boot_of(recommended)
            left = planned.headroom
            if not planned.failures and left is not None and left.bytes >= minimum:
                return _set_reserve(linked, recommended)
        return Remedy(Action.SHRINK_TEXT, value=minimum - headroom)


def _set_reserve(linked: int, recommended: int) -> Remedy:
    action = Action.LOWER_RESERVE if recommended < linked else Action.RAISE_RESERVE
    return Remedy(action, RESERVE_CONFIG, recommended)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which reserves give every function a working stub, and how much text can still grow with each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.rules.analyses.address_map import measure_text
from pfestubs.rules.analyses.planner import least_growth
from pfestubs.rules.analyses.relink import Growth, GrowthShape, text_entries
from pfestubs.rules.check import failure_findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import KernelIdentity
    from pfestubs.model.findings import Finding, Remedy
    from pfestubs.rules.analyses.address_map import TextSizes
    from pfestubs.rules.analyses.conditions import Conditions, CurvePoint
    from pfestubs.rules.analyses.planner import Outcome, Planner
    from pfestubs.rules.check import Remedies

_CURVE_STEPS: Final = 96
"""Steps of the reserves for which the curve of growth tells the growth."""


@dataclass(frozen=True)
class PlanResult:
    """Everything that `plan` prints; nothing is planned for a damaged kernel.

    Attributes:
        reserve: as linked, None for a layout without one.
        entries: text functions that need a stub.
        damage: what is wrong with the table, the areas or a location, whatever the reserve; None if nothing.
        remedy: of the first failure as linked, that of `check`; None where nothing fails.
        recommended: the reserve whose smallest growth over the shapes is largest, None if none works.
        working: ranges of reserves with which every function gets a working stub, all areas generated for it.
        shrink: where no reserve works, the bytes that text must lose evenly, and the reserve that works then.
        outcomes: of the linked and the recommended reserve, then of what was asked; none if damaged.
        asked: how many of the outcomes were asked for.
        text: how large the texts are as linked, None of a damaged kernel.
        required: bytes of text that must be left to grow, and where, None for anywhere; None if nothing is.
    """

    kernel: KernelIdentity
    reserve: int | None
    entries: int
    damage: Finding | None = None
    remedy: Remedy | None = None
    recommended: int | None = None
    working: Sequence[range] = ()
    shrink: tuple[int, int] | None = None
    outcomes: Sequence[Outcome] = ()
    asked: int = 0
    text: TextSizes | None = None
    required: tuple[int, GrowthShape | None] | None = None

    @property
    def growth(self) -> int | None:
        """The bytes of text that can be added where `required` says; None without any."""
        if not self.outcomes:
            return None
        shape, limits = self.required[1] if self.required else None, self.outcomes[0].limits
        return least_growth(limits.values() if shape is None else [limits[shape]])

    @property
    def boots(self) -> bool:
        """Whether the kernel as linked boots with tracing."""
        return self.damage is None and self.outcomes[0].ok

    @property
    def ok(self) -> bool:
        """Whether the kernel as linked boots with tracing, and enough growth is left."""
        if self.required is None or not self.boots:
            return self.boots
        return self.growth is not None and self.growth >= self.required[0]


def plan_reserve(
    remedies: Remedies,
    *,
    reserves: Sequence[int] = (),
    growths: Sequence[int] = (),
    shape: GrowthShape = GrowthShape.EARLY,
    required: tuple[int, GrowthShape | None] | None = None,
) -> PlanResult:
    """Find the reserves that work and the growth that each allows.

    Args:
        remedies: of the boot of the kernel as linked.
        reserves: values asked about; none: the linked and the recommended one.
        growths: bytes asked about, for each of the reserves.
        shape: where the growth that is asked about happens.
        required: bytes of text that must be left to grow, and where, None for anywhere.

    Raises:
        RefusedError: a reserve is asked about and the layout has none.
    """
    boot, planner = remedies.boot, remedies.planner
    kernel, no_nop = boot.kernel, (f for f in boot.failures if f.rule == "location-not-nop")
    if reserves and planner.linked is None:
        raise RefusedError(Refusal.RESERVE_UNEXPECTED, kernel.file, reserves[0], kernel.layout_name)
    damage = next(chain(boot.damage, failure_findings(boot, no_nop, remedies)), None)
    if damage is not None:
        linked = () if boot.damage else (planner.outcome(planner.linked, Growth()),)
        return PlanResult(
            kernel.identity, planner.linked, text_entries(boot), damage, outcomes=linked, required=required
        )
    usual = [planner.linked]
    if planner.recommended not in {planner.linked, None}:
        usual.append(planner.recommended)
    outcomes = [planner.outcome(reserve, Growth()) for reserve in usual]
    asked: list[Outcome] = []
    if reserves or growths:
        asked = [
            planner.outcome(reserve, Growth(grown, shape))
            for reserve in (reserves or usual)
            for grown in (growths or [0])
        ]
    return PlanResult(
        kernel=kernel.identity,
        reserve=planner.linked,
        entries=text_entries(boot),
        remedy=remedies.for_failure(boot.failures[0]) if boot.failures else None,
        recommended=planner.recommended,
        working=planner.working,
        shrink=planner.shrink if planner.linked is not None and not planner.working else None,
        outcomes=[*outcomes, *asked],
        asked=len(asked),
        text=measure_text(boot),
        required=required,
    )


class GrowthCurve(NamedTuple):
    """What reserves allow, ascending, and the conditions that tell it."""

    points: Sequence[CurvePoint]
    conditions: Conditions


def growth_curve(planner: Planner) -> GrowthCurve | None:
    """Return what reserves up to beyond the linked one and those that work allow, by the conditions alone.

    None for a layout without a reserve, and where the conditions do not tell what the boots do.
    """
    limits = planner.confirmed_limits()
    if limits is None:
        return None
    linked, recommended = planner.linked or 0, planner.recommended or 0
    ends = [recommended, *(end for span in planner.working for end in (span[0], span[-1]))]
    top = max(linked, min(limits.entries, max(ends))) * 5 // 4 + 1
    near = [end + step for end in ends for step in (-1, 0, 1) if 0 <= end + step <= top]
    reserves = {*range(0, top + 1, max(1, top // _CURVE_STEPS)), linked, *near}
    return GrowthCurve([limits.point(reserve) for reserve in sorted(reserves)], limits)

# SPDX-License-Identifier: GPL-2.0-or-later
"""What to change in a kernel that would fail."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pfestubs.layouts import RESERVE_CONFIG, AreaRole
from pfestubs.model.findings import Action, Remedy

if TYPE_CHECKING:
    from pfestubs.rules.analyses.planner import Planner
    from pfestubs.rules.kernel.boot import Boot

_CALL_RULES = frozenset({"tracer-unreachable", "init-trampoline-only"})
_RANGE_RULES = frozenset({"stub-out-of-range", "return-out-of-range"})


class Remedies:
    """What to change in the kernel of one boot; a reserve is the one that `plan` recommends."""

    def __init__(self, boot: Boot, planner: Planner | None = None) -> None:
        self._boot = boot
        self._given = planner

    @cached_property
    def planner(self) -> Planner:
        """The planner of the boot; imported here, since the check of a healthy kernel needs none."""
        from pfestubs.rules.analyses.planner import Planner

        return self._given or Planner(self._boot)

    def for_rule(self, rule: str) -> Remedy:
        """Return what to change so that no location fails by `rule`, one of those about locations."""
        boot = self._boot
        if rule == "location-not-nop":
            return Remedy(Action.REBUILD)
        if rule in _CALL_RULES:
            return Remedy(Action.SHRINK_TEXT if boot.kernel.layout is None else Action.RESTORE_LINK_ORDER)
        reserve = boot.kernel.area(AreaRole.RESERVE)
        out_of_range = any(failure.rule in _RANGE_RULES for failure in boot.failures)
        if reserve is None or not any(ip in boot.kernel.text for ip in boot.locations):
            return Remedy(Action.SHRINK_TEXT if out_of_range else Action.REGENERATE_AREAS)
        if boot.damage or not (out_of_range or boot.reserve_is_trapped):
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""What to change in a kernel that would fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.layouts import RESERVE_CONFIG, AreaRole
from pfestubs.rules.check.findings import Action, Remedy
from pfestubs.rules.check.integrity import damaged_areas

if TYPE_CHECKING:
    from pfestubs.rules.analyses.plan import Planner
    from pfestubs.rules.kernel.boot import Boot, LocationRule

_CALL_RULES: Final = frozenset({"tracer-unreachable", "init-trampoline-only"})
_RANGE_RULES: Final = frozenset({"stub-out-of-range", "return-out-of-range"})


def suggest_remedy(boot: Boot, rule: LocationRule) -> Remedy:
    """Return what to change so that no location fails by `rule`; a reserve is what `plan` recommends."""
    if rule == "location-not-nop":
        return Remedy(Action.REBUILD)
    if rule in _CALL_RULES:
        return Remedy(Action.SHRINK_TEXT if boot.kernel.layout is None else Action.RESTORE_LINK_ORDER)
    reserve = boot.kernel.area(AreaRole.RESERVE)
    out_of_range = any(failure.rule in _RANGE_RULES for failure in boot.failures)
    if reserve is None or not any(ip in boot.kernel.text for ip in boot.locations):
        return Remedy(Action.SHRINK_TEXT if out_of_range else Action.REGENERATE_AREAS)
    damaged = any(damaged_areas(boot.kernel, boot.stub_size))
    if damaged or not (out_of_range or boot.reserve_is_trapped):
        return Remedy(Action.REGENERATE_AREAS)
    planner = _planner(boot)
    recommended = planner.recommended
    if recommended is None or recommended == reserve.count:
        return Remedy(Action.SHRINK_TEXT, value=planner.shrink[0] if planner.shrink else None)
    return _set_reserve(reserve.count, recommended)


def suggest_for_headroom(boot: Boot, headroom: int, minimum: int) -> Remedy:
    """Return what to change so that at least `minimum` bytes of headroom are left, not `headroom`.

    That is the reserve that `plan` recommends, if the kernel boots with it and the headroom suffices.
    """
    planner = _planner(boot)
    linked, recommended = planner.linked, planner.recommended
    if linked is not None and recommended is not None and recommended != linked:
        planned = planner.boot_of(recommended)
        left = planned.headroom
        if not planned.failures and left is not None and left.bytes >= minimum:
            return _set_reserve(linked, recommended)
    return Remedy(Action.SHRINK_TEXT, value=minimum - headroom)


def _planner(boot: Boot) -> Planner:
    """Return the planner of a boot; imported here, since the check of a healthy kernel needs none."""
    from pfestubs.rules.analyses.plan import planner_of

    return planner_of(boot)


def _set_reserve(linked: int, recommended: int) -> Remedy:
    action = Action.LOWER_RESERVE if recommended < linked else Action.RAISE_RESERVE
    return Remedy(action, RESERVE_CONFIG, recommended)

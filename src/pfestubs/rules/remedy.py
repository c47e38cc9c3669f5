# SPDX-License-Identifier: GPL-2.0-or-later
"""What to change in a kernel that would fail: find a reserve with which every function gets a stub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.layouts import RESERVE_CONFIG, AreaRole
from pfestubs.rules.findings import Action, Remedy
from pfestubs.rules.relink import with_reserve
from pfestubs.rules.simulation import simulate_boot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.rules.boot import Boot, LocationRule

_CALL_RULES: Final = frozenset({"tracer-unreachable", "init-trampoline-only"})
_RANGE_RULES: Final = frozenset({"stub-out-of-range", "return-out-of-range"})


def suggest_remedy(boot: Boot, rule: LocationRule) -> Remedy:
    """Return what to change so that no location fails by `rule`."""
    if rule == "location-not-nop":
        return Remedy(Action.REBUILD)
    if rule in _CALL_RULES:
        return Remedy(Action.SHRINK_TEXT if boot.kernel.layout is None else Action.RESTORE_LINK_ORDER)
    reserve = boot.kernel.area(AreaRole.RESERVE)
    out_of_range = any(failure.rule in _RANGE_RULES for failure in boot.failures)
    if reserve is None or not any(ip in boot.kernel.text for ip in boot.locations):
        return Remedy(Action.SHRINK_TEXT if out_of_range else Action.REGENERATE_AREAS)
    if not out_of_range and not boot.reserve_is_trapped:
        return Remedy(Action.REGENERATE_AREAS)
    for candidate in dict.fromkeys(_candidates(boot, reserve.count)):
        if boots_with_reserve(boot, candidate):
            action = Action.LOWER_RESERVE if candidate < reserve.count else Action.RAISE_RESERVE
            return Remedy(action, RESERVE_CONFIG, candidate)
    return Remedy(Action.SHRINK_TEXT)


def _candidates(boot: Boot, reserve: int) -> Iterator[int]:
    """Yield candidate reserves, best first.

    The usable part rounded down, the usable part, or large enough for the last function out of range.
    """
    used = min(boot.needed_of(AreaRole.RESERVE), reserve)
    if used < reserve:
        step = 10 ** max(0, len(str(used)) - 2)
        for tenths in (10, 9, 8, 6, 4, 2):
            yield used * tenths // 10 // step * step
        yield used
    out_of_range = [failure.position for failure in boot.failures if failure.rule in _RANGE_RULES]
    if out_of_range:
        yield max(out_of_range) + 1


def boots_with_reserve(boot: Boot, reserve: int) -> bool:
    """Return whether the kernel, linked again with this reserve, would give every function a working stub."""
    return not simulate_boot(with_reserve(boot, reserve)).failures

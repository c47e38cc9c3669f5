# SPDX-License-Identifier: GPL-2.0-or-later
"""Which setting mends a kernel that would fail: the boot replayed with another reserve."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import RESERVE_CONFIG
from pfestubs.rules import ppc
from pfestubs.rules.boot import StubArea, replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.rules.boot import LocationRule, Replay, Setting

SMALLER_TEXT: Final = "make the kernel's text smaller, or disable CONFIG_FUNCTION_TRACER"
_REGENERATE: Final = "generate the areas again from this kernel's vmlinux.o, or add stubs with --spare"
_REBUILD: Final = "build it with -fpatchable-function-entry, and do not patch it afterwards"
_MOVE_BACK: Final = "put .tramp.ftrace.text and .tramp.ftrace.init back where the linker script has them"
_CALL_RULES: Final = frozenset({"tracer-unreachable", "init-trampoline-only"})
_RANGE_RULES: Final = frozenset({"stub-out-of-range", "return-out-of-range"})


def cure(setting: Setting, result: Replay, rule: LocationRule) -> str:
    """What to change so that no location fails by `rule`, in a few words for a message."""
    if rule == "location-not-nop":
        return _REBUILD
    if rule in _CALL_RULES:
        return SMALLER_TEXT if setting.layout is None else _MOVE_BACK
    reserve = next((area for area in setting.areas if area.name == "text"), None)
    if reserve is None or not any(ip in setting.text for ip in result.locations):
        return SMALLER_TEXT if _out_of_reach(result) else _REGENERATE
    if not _out_of_reach(result) and not _trapped(setting, result, reserve):
        return _REGENERATE
    for candidate in dict.fromkeys(_candidates(result, reserve)):
        if serves_all(setting, result, candidate):
            lower = candidate < reserve.count
            return (
                f"lower {RESERVE_CONFIG} to {candidate:,} and link again"
                if lower
                else f"raise {RESERVE_CONFIG} to at least {candidate:,} and link again"
            )
    return SMALLER_TEXT


def _out_of_reach(result: Replay) -> bool:
    return any(failure.rule in _RANGE_RULES for failure in result.failures)


def _trapped(setting: Setting, result: Replay, reserve: StubArea) -> bool:
    """Whether stubs of the reserve stay unused while the end area runs out (the reserve trap)."""
    end = next(area for area in setting.areas if area.name == "text_end")
    return result.needed.get("text", 0) < reserve.count and result.needed["text_end"] > end.count


def _candidates(result: Replay, reserve: StubArea) -> Iterator[int]:
    """Reserves worth a replay: what could be used, best rounded down; or enough for the last left out."""
    used = min(result.needed.get("text", 0), reserve.count)
    if used < reserve.count:
        step = 10 ** max(0, len(str(used)) - 2)
        for tenths in (10, 9, 8, 6, 4, 2):
            yield used * tenths // 10 // step * step
        yield used
    left_out = [failure.position for failure in result.failures if failure.rule in _RANGE_RULES]
    if left_out:
        yield max(left_out) + 1


def serves_all(setting: Setting, result: Replay, reserve: int) -> bool:
    """Whether the kernel, linked again with this reserve, would serve every function.

    What follows the reserve in .text moves by the difference; init text, which begins at a boundary of its
    own, stays. The end area is sized as the generator does.
    """
    old = next(area for area in setting.areas if area.name == "text")
    shift = (reserve - old.count) * setting.stub_size
    behind = range(old.address, setting.text.stop)

    def moved(address: int) -> int:
        return address + shift if address in behind and address != old.address else address

    counts = {area.name: area.count for area in setting.areas}
    text = counts["text"] + counts["text_end"]
    counts |= {"text": reserve, "text_end": max(0, text - reserve)}
    again = replace(
        setting,
        table=[moved(ip) for ip in result.locations],
        text=range(setting.text.start, setting.text.stop + shift),
        areas=[StubArea(area.name, moved(area.address), counts[area.name]) for area in setting.areas],
        tracers={name: moved(address) for name, address in setting.tracers.items()},
        trampolines={name: moved(address) for name, address in setting.trampolines.items()},
        word_at=lambda _address: ppc.NOP,
    )
    return not replay(again).failures

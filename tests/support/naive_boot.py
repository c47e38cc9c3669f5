# SPDX-License-Identifier: GPL-2.0-or-later
"""A second, slow implementation of the boot, written from the kernel's rules alone.

`pfestubs.rules.kernel.replay` and `pfestubs.rules.kernel.simulation` are compared with it. Plain numbers and one dict per
location; a step here is a step of the kernel's own code. Nothing of pfestubs is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

NOP = 0x60000000
MIB32 = 0x2000000


def inrange(d: int) -> bool:
    return d >= -MIB32 and d <= 0x1FFFFFC and d % 4 == 0


@dataclass
class Machine:
    """What a boot depends on: half-open ranges as pairs; an area is (address, count); NR is absent in pfe."""

    table: Sequence[int]
    text: tuple[int, int]
    inittext: tuple[int, int]
    reserve: tuple[int, int] | None
    end: tuple[int, int]
    init: tuple[int, int]
    stub_size: int
    caller: int
    regs_caller: int
    tramp_text: int
    tramp_init: int
    word: Callable[[int], int | None]


@dataclass
class Boot:
    """One dict per location: ip, area, index, insn0, target, error, distance. `asked` counts stubs by area."""

    locations: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    asked: dict[str, int] = field(default_factory=lambda: {"text": 0, "text_end": 0, "inittext": 0})


def boot(m: Machine) -> Boot:
    result = Boot()
    for value in sorted(m.table):
        is_text = m.text[0] <= value < m.text[1]
        is_init = m.inittext[0] <= value < m.inittext[1]
        if value == 0 or (not is_text and not is_init):
            result.skipped += 1
        else:
            result.locations.append(one(m, result, call_adjust(m, value)))
    return result


def call_adjust(m: Machine, address: int) -> int:
    if m.word(address) == NOP:
        return address
    first, second = m.word(address), m.word(address + 4)
    if first is None or second is None:
        return address
    sets_toc = (first & 0xFFFF0000) in (0x3C4C0000, 0x3C400000) and (second & 0xFFFF0000) == 0x38420000
    if sets_toc and m.word(address + 8) == NOP:
        return address + 8
    return address


def one(m: Machine, result: Boot, ip: int) -> dict[str, Any]:
    out: dict[str, Any] = dict.fromkeys(("area", "index", "insn0", "target", "error", "distance"))
    out["ip"] = ip
    if m.word(ip) != NOP:
        out["error"] = "location-not-nop"
        return out
    asked = result.asked
    if m.inittext[0] <= ip < m.inittext[1]:
        name, (base, limit) = "inittext", m.init
    elif (
        m.reserve is not None
        and asked["text"] < m.reserve[1]
        and inrange(ip - (m.reserve[0] + asked["text"] * m.stub_size))
    ):
        name, (base, limit) = "text", m.reserve
    else:
        name, (base, limit) = "text_end", m.end
    index = asked[name]
    asked[name] += 1
    if asked[name] > limit:
        out["error"] = "area-exhausted"
        return out
    insn0 = base + index * m.stub_size + (8 if m.stub_size == 24 else 0)
    insn3 = insn0 + 12
    out["area"], out["index"], out["insn0"] = name, index, insn0
    for rule, distance in (("stub-out-of-range", ip - insn0), ("return-out-of-range", ip + 4 - insn3)):
        if not inrange(distance):
            out["error"], out["distance"] = rule, distance
            return out
    site = insn0 + 4
    for tracer in (m.caller, m.regs_caller):
        if inrange(tracer - site):
            target = tracer
        elif inrange(m.tramp_text - site):
            target = m.tramp_text
        elif inrange(m.tramp_init - site):
            target = m.tramp_init
        else:
            out["error"], out["distance"] = "tracer-unreachable", tracer - site
            return out
        if out["target"] is None:
            out["target"] = target
        if target == m.tramp_init and name != "inittext":
            out["error"], out["distance"] = "init-trampoline-only", tracer - site
            return out
    return out


def stub_words(ip: int, insn0: int, target: int) -> list[int]:
    """Return mflr r0; bl target; mtlr r0; b ip+4."""
    call, back = target - (insn0 + 4), ip + 4 - (insn0 + 12)
    return [0x7C0802A6, 0x48000001 | (call & 0x03FFFFFC), 0x7C0803A6, 0x48000000 | (back & 0x03FFFFFC)]


def branch_target(word: int, address: int) -> int:
    """Return where a relative branch word at `address` goes: LI sign-extended from bit 25."""
    assert word >> 26 == 18
    assert not word & 2
    offset = word & 0x03FFFFFC
    return address + (offset - 0x4000000 if offset >= 0x2000000 else offset)


def headroom(distance: int) -> int:
    """Return the bytes that a branch over `distance` has left, in the direction with fewer."""
    return min(0x1FFFFFC - distance, distance + MIB32)


def headrooms(m: Machine, result: Boot) -> dict[str, int]:
    """Return the least headroom of each branch; text may not use tramp_init. None where a function has no stub."""
    if any(one["insn0"] is None for one in result.locations):
        return {}
    found: dict[str, list[int]] = {"stub": [], "return": [], "tracer": []}
    for one in result.locations:
        if one["insn0"] is None:
            continue
        ip, insn0, site = one["ip"], one["insn0"], one["insn0"] + 4
        found["stub"].append(headroom(ip - insn0))
        found["return"].append(headroom(ip + 4 - (insn0 + 12)))
        usable = [m.tramp_text, m.tramp_init] if one["area"] == "inittext" else [m.tramp_text]
        for tracer in (m.caller, m.regs_caller):
            found["tracer"].append(max(headroom(target - site) for target in (tracer, *usable)))
    return {branch: min(rooms) for branch, rooms in found.items() if rooms}

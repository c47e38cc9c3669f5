# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot replayed: what ftrace does with each location, in the kernel's own order.

Each function here mirrors one of the kernel's, named in its docstring; both can be read side by side.
Results are columns with one element a location: a kernel has tens of thousands of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pfestubs.rules import ppc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pfestubs.rules.layouts import Layout

INSNS_SIZE: Final = 4 * ppc.INSN_SIZE
"""Bytes of a stub's four instructions; what a stub has beyond them comes first (the ops pointer)."""
_RETURN_INSN: Final = 3 * ppc.INSN_SIZE
_CALL_INSN: Final = 1 * ppc.INSN_SIZE

BranchName = Literal["stub", "return", "tracer"]
LocationRule = Literal[
    "location-not-nop",
    "area-exhausted",
    "stub-out-of-range",
    "return-out-of-range",
    "tracer-unreachable",
    "init-trampoline-only",
]

_Reason = tuple[LocationRule, int | None, int | None, int | str | None]
"""What `Failure` holds beyond the position."""


@dataclass(frozen=True)
class StubArea:
    """An area as the kernel sees it: address of the array, count of stubs."""

    name: str
    address: int
    count: int


@dataclass(frozen=True)
class Setting:
    """All that the boot depends on: addresses, the stub's size in bytes, and the words in memory.

    Attributes:
        table: the location table's values; 0 is an empty slot.
        word_at: the word at an address, None where the kernel image has none.
        layout: None for a kernel that traces without stubs.
        trampolines: in the order in which the kernel tries them.
    """

    bits: int
    layout: Layout | None
    table: Sequence[int]
    text: range
    inittext: range
    areas: Sequence[StubArea]
    stub_size: int
    tracers: Mapping[str, int]
    trampolines: Mapping[str, int]
    word_at: Callable[[int], int | None]


class Failure(NamedTuple):
    """The first test that the kernel fails for a location (`position` in `Replay.locations`).

    `distance` and `limit` are bytes, signed as the kernel computes them; None where the rule has none.
    `detail` is the word found, the tracer's name or the area's, as the rule goes.
    """

    position: int
    rule: LocationRule
    distance: int | None
    limit: int | None
    detail: int | str | None


class Headroom(NamedTuple):
    """Bytes left before a branch goes out of range (negative: it is), and the location it belongs to."""

    bytes: int
    location: int
    branch: BranchName


@dataclass
class Replay:
    """What the boot did.

    Attributes:
        locations: addresses after `adjust`, in boot order, without the skipped ones.
        area: index into `Setting.areas`, -1 for a location that got no stub.
        index: of the stub in its area.
        insns: address of the stub's first instruction, 0 if none.
        target: where the stub's (or the location's own) call goes, 0 if nowhere.
        skipped: table values that the kernel does not take for locations.
        needed: stubs asked for, by area name.
    """

    locations: array[int] = field(default_factory=lambda: array("Q"))
    area: array[int] = field(default_factory=lambda: array("b"))
    index: array[int] = field(default_factory=lambda: array("Q"))
    insns: array[int] = field(default_factory=lambda: array("Q"))
    target: array[int] = field(default_factory=lambda: array("Q"))
    skipped: list[int] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    needed: Counter[str] = field(default_factory=Counter)


def replay(setting: Setting) -> Replay:
    """Boot: sort the table, skip what is no kernel text, prepare each location.

    Mirrors `kernel/trace/ftrace.c: ftrace_process_locs` and `ftrace_update_code`. The kernel stops tracing
    for good at the first failure; the replay goes on, to say how much else is wrong.
    """
    boot = _Boot(setting) if setting.layout else _InlineBoot(setting)
    for address in sorted(setting.table):
        if address == 0 or not (address in setting.text or address in setting.inittext):
            boot.result.skipped.append(address)
        else:
            boot.init_nop(address)
    return boot.finish()


def adjust(address: int, word_at: Callable[[int], int | None]) -> int:
    """The nop's address for a table entry of a kernel with stubs.

    Mirrors `arch/powerpc/kernel/trace/ftrace.c: ftrace_call_adjust`: clang records the global entry point.
    Whether clang built the kernel is a configuration's fact; the words tell it: no nop there, but a TOC
    set-up with a nop behind it.
    """
    first = word_at(address)
    if first is None or first == ppc.NOP:
        return address
    second = word_at(address + 4)
    if second is not None and ppc.is_global_entry(first, second) and word_at(address + 8) == ppc.NOP:
        return address + 8
    return address


class _Boot:
    """The state of `ftrace_init_ool_stub`: how many stubs of each area have been asked for."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.result = Replay()
        self._word_at = setting.word_at
        self._asked = [0] * len(setting.areas)
        names = [area.name for area in setting.areas]
        self._reserve = names.index("text") if "text" in names else -1
        self._end = names.index("text_end") if "text_end" in names else -1
        self._init = names.index("inittext") if "inittext" in names else -1
        self._insns_offset = setting.stub_size - INSNS_SIZE
        self._direct = _direct_sites(setting)
        self._boot_tracer = next(iter(setting.tracers.values()))

    def init_nop(self, address: int) -> None:
        """Prepare one location (`arch/powerpc/kernel/trace/ftrace.c: ftrace_init_nop`)."""
        ip, word = address, self._word_at(address)
        if word != ppc.NOP and self.setting.bits == 64:
            ip = adjust(address, self._word_at)
            word = self._word_at(ip)
        if word != ppc.NOP:
            self._record(ip, failure=("location-not-nop", None, None, word))
        else:
            self.init_ool_stub(ip)

    def init_ool_stub(self, ip: int) -> None:
        """Hand out a stub and test its branches (`ftrace_init_ool_stub`).

        Init text first; then the reserve, as long as its next slot's *struct* is in range; then the end. A
        reserve slot that is out of range is not used up: the next location tries it again.
        """
        setting, asked = self.setting, self._asked
        if ip in setting.inittext:
            chosen = self._init
        else:
            chosen = self._reserve
            slot = asked[chosen]
            area = setting.areas[chosen]
            if (
                chosen < 0
                or slot >= area.count
                or not ppc.in_branch_range(ip - (area.address + slot * setting.stub_size))
            ):
                chosen = self._end
        area = setting.areas[chosen]
        index = asked[chosen]
        asked[chosen] = index + 1
        if index + 1 > area.count:
            self._record(ip, failure=("area-exhausted", None, None, area.name))
            return
        insns = area.address + index * setting.stub_size + self._insns_offset
        out = ip - insns
        back = ip + ppc.INSN_SIZE - (insns + _RETURN_INSN)
        failure: _Reason | None = None
        target = 0
        if not ppc.in_branch_range(out):
            failure = "stub-out-of-range", out, ppc.branch_limit(out), None
        elif not ppc.in_branch_range(back):
            failure = "return-out-of-range", back, ppc.branch_limit(back), None
        elif insns + _CALL_INSN in self._direct:
            target = self._boot_tracer
        else:
            target, failure = call_target(setting, insns + _CALL_INSN, in_text=chosen != self._init)
        self._record(ip, chosen, index, insns, target, failure)

    def finish(self) -> Replay:
        """The result, once every location is prepared."""
        for area, asked in zip(self.setting.areas, self._asked, strict=True):
            self.result.needed[area.name] = asked
        return self.result

    def _record(
        self,
        ip: int,
        area: int = -1,
        index: int = 0,
        insns: int = 0,
        target: int = 0,
        failure: _Reason | None = None,
    ) -> None:
        result = self.result
        if failure is not None:
            result.failures.append(Failure(len(result.locations), *failure))
        result.locations.append(ip)
        result.area.append(area)
        result.index.append(index)
        result.insns.append(insns)
        result.target.append(target)


def _direct_sites(setting: Setting) -> range:
    """The call sites from which every tracer is in reach: nearly all, and no more to ask about them."""
    low = max(setting.tracers.values()) - ppc.FORWARD_LIMIT
    high = min(setting.tracers.values()) - ppc.BACKWARD_LIMIT
    aligned = len({tracer % ppc.INSN_SIZE for tracer in setting.tracers.values()}) == 1
    return range(low, high + 1, ppc.INSN_SIZE) if aligned else range(0)


class _InlineBoot(_Boot):
    """A kernel without stubs: the call stands at the location itself.

    How a location looks is a configuration's fact; the words of the majority tell it.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        words = [
            tuple(setting.word_at(address + offset) for offset in (0, 4, 8))
            for address in setting.table
            if address
        ]
        calls = sum(first is not None and ppc.is_branch(first, link=True) for first, _, _ in words)
        three = sum(triple == (ppc.NOP,) * 3 for triple in words)
        self._calls_mcount = 2 * calls > len(words)
        # ftrace_call_adjust: two nops, or three with CALL_OPS, whose first is in front of the function.
        self._nop_offset = 8 if 2 * three > len(words) else 4

    def init_nop(self, address: int) -> None:
        """Test the words around one location (`ftrace_init_nop`), then the reach of its call."""
        ip = address if self._calls_mcount else address + self._nop_offset
        wrong = self._wrong_word(ip)
        if wrong is not None:
            self._record(ip, failure=("location-not-nop", None, None, wrong if wrong >= 0 else None))
            return
        target, failure = call_target(self.setting, ip, in_text=ip not in self.setting.inittext)
        self._record(ip, target=target, failure=failure)

    def _wrong_word(self, ip: int) -> int | None:
        """The first word that is not what the kernel expects, -1 where there is none in the file."""
        at = {offset: self.setting.word_at(ip + offset) for offset in (-8, -4, 0)}
        if not self._calls_mcount:
            expected = {-4: {ppc.NOP}, 0: {ppc.NOP}}
        elif self.setting.bits == 32:
            expected = {-8: {ppc.MFLR_R0}, -4: {ppc.STW_R0_4_R1}}
        elif at[-4] == ppc.MFLR_R0:
            expected = {}
        else:  # -mprofile-kernel of GCC 5 stores LR in between
            expected = {-8: {ppc.MFLR_R0}, -4: {ppc.STD_R0_16_R1}}
        for offset, words in expected.items():
            word = at[offset]
            if word not in words:
                return -1 if word is None else word
        word = at[0]
        if self._calls_mcount and (word is None or not ppc.is_branch(word, link=True)):
            return -1 if word is None else word
        return None


def call_target(setting: Setting, site: int, *, in_text: bool) -> tuple[int, _Reason | None]:
    """Where the call at `site` goes: the tracer itself, or the first trampoline in reach.

    Mirrors `ftrace_get_call_inst` and `find_ftrace_tramp`. Boot asks for `ftrace_caller`; enabling a tracer
    later asks for `ftrace_regs_caller` too, by the same rule. `ftrace_tramp_init` is gone once init memory
    is freed, so text must not depend on it.

    Returns:
        The target of the boot's call (0 if none is in reach), and why the site fails, or None.
    """
    target = 0
    for name, tracer in setting.tracers.items():
        distance = tracer - site
        if ppc.in_branch_range(distance):
            reached = tracer
        else:
            reached = next((t for t in setting.trampolines.values() if ppc.in_branch_range(t - site)), 0)
            if not reached:
                return target, ("tracer-unreachable", distance, ppc.branch_limit(distance), name)
            if in_text and reached == setting.trampolines.get("ftrace_tramp_init"):
                return target or reached, (
                    "init-trampoline-only",
                    distance,
                    ppc.branch_limit(distance),
                    name,
                )
        target = target or reached
    return target, None


def headrooms(setting: Setting, result: Replay) -> dict[BranchName, Headroom]:
    """The tightest branch of each kind over all stubs handed out, in bytes.

    For stubs the window of the stub handed out; for calls the better of the tracer and `ftrace_tramp_text`,
    the worse of the tracers.
    """
    found: dict[BranchName, Headroom] = {}
    if setting.layout is None:
        sites = dict(zip(result.locations, result.locations, strict=True))
    else:
        served = [(ip, insns) for ip, insns in zip(result.locations, result.insns, strict=True) if insns]
        if not served:
            return {}
        outs = [ip - insns for ip, insns in served]
        shift = ppc.INSN_SIZE - _RETURN_INSN  # of the way back against the way out
        extremes = [served[outs.index(out)][0] for out in (min(outs), max(outs))]
        ways: tuple[tuple[BranchName, int], ...] = (("stub", 0), ("return", shift))
        for branch, offset in ways:
            found[branch] = min(
                Headroom(ppc.branch_headroom(out + offset), location, branch)
                for out, location in zip((min(outs), max(outs)), extremes, strict=True)
            )
        sites = {insns + _CALL_INSN: ip for ip, insns in served}
    found["tracer"] = _call_headroom(setting, sites)
    return found


def _call_headroom(setting: Setting, sites: Mapping[int, int]) -> Headroom:
    """The tightest call; `sites` maps the calls' addresses to their locations.

    A site's headroom falls with its distance from the nearer target. So the tightest site is the first, the
    last, or next to the middle between two targets: four to look at instead of all.
    """
    ordered = sorted(sites)
    relay = setting.trampolines.get("ftrace_tramp_text")
    worst = None
    for tracer in setting.tracers.values():
        targets = (tracer,) if relay is None else (tracer, relay)
        middle = bisect_left(ordered, sum(targets) // len(targets))
        near = ordered[max(0, middle - 2) : middle + 2]
        for site in (ordered[0], *near, ordered[-1]):
            room = max(ppc.branch_headroom(target - site) for target in targets)
            if worst is None or room < worst.bytes:
                worst = Headroom(room, sites[site], "tracer")
    assert worst is not None  # noqa: S101 - a kernel has a tracer, or it is refused
    return worst

# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot replayed: what ftrace does with each location, in the kernel's own order.

Each function here mirrors one of the kernel's, named in its docstring; both can be read side by side.
Results are columns with one element a location: a kernel has tens of thousands of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pfestubs.rules import ppc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pfestubs.layouts import Layout

INSNS_SIZE: Final = 4 * ppc.INSN_SIZE
"""Bytes of a stub's four instructions; what a stub has beyond them comes first (the ops pointer)."""
RETURN_INSN: Final = 3 * ppc.INSN_SIZE
CALL_INSN: Final = 1 * ppc.INSN_SIZE
# Addresses of a damaged kernel wrap, as they do in a machine.
_ADDRESS_MASK: Final = 0xFFFFFFFFFFFFFFFF
_WINDOW: Final = range(ppc.BACKWARD_LIMIT + RETURN_INSN - ppc.INSN_SIZE, ppc.FORWARD_LIMIT + 1, ppc.INSN_SIZE)
"""The offsets location - first instruction over which both the way out and the way back can branch."""

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


@dataclass(frozen=True)
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

    locations: array[int]
    area: array[int]
    index: array[int]
    insns: array[int]
    target: array[int]
    skipped: Sequence[int]
    failures: Sequence[Failure]
    needed: Mapping[str, int]


def replay(setting: Setting) -> Replay:
    """Boot: sort the table, skip what is no kernel text, prepare each location.

    Mirrors `kernel/trace/ftrace.c: ftrace_process_locs` and `ftrace_update_code`. The kernel stops tracing
    for good at the first failure; the replay goes on, to say how much else is wrong.
    """
    boot = _Boot(setting) if setting.layout else _InlineBoot(setting)
    text, inittext = setting.text, setting.inittext
    for address in sorted(setting.table):
        if address and (address in text or address in inittext):
            boot.init_nop(address)
        else:
            boot.skipped.append(address)
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
        self.skipped: list[int] = []
        self._rows: list[tuple[int, int, int, int, int]] = []
        self._failures: list[Failure] = []
        self._word_at = setting.word_at
        self._asked = [0] * len(setting.areas)
        names = [area.name for area in setting.areas]
        self._reserve = names.index("text") if "text" in names else -1
        self._end = names.index("text_end") if "text_end" in names else -1
        self._init = names.index("inittext") if "inittext" in names else -1
        self._areas = [(area.address, area.count) for area in setting.areas]
        self._inittext = setting.inittext
        self._stub_size = setting.stub_size
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
        asked = self._asked
        if ip in self._inittext:
            chosen = self._init
        else:
            chosen = self._end
            if self._reserve >= 0:
                address, count = self._areas[self._reserve]
                slot = asked[self._reserve]
                if slot < count and ip - (address + slot * self._stub_size) in ppc.BRANCH_RANGE:
                    chosen = self._reserve
        address, count = self._areas[chosen]
        index = asked[chosen]
        asked[chosen] = index + 1
        if index + 1 > count:
            self._record(ip, failure=("area-exhausted", None, None, self.setting.areas[chosen].name))
            return
        insns = address + index * self._stub_size + self._insns_offset
        if ip - insns in _WINDOW and insns + CALL_INSN in self._direct:
            self._rows.append((ip, chosen, index, insns, self._boot_tracer))
        else:
            target, failure = self._test_branches(ip, insns, in_text=chosen != self._init)
            self._record(ip, chosen, index, insns, target, failure)

    def _test_branches(self, ip: int, insns: int, *, in_text: bool) -> tuple[int, _Reason | None]:
        """The tests of `ftrace_init_ool_stub` one by one: out, back, and the call between them."""
        out = ip - insns
        if out not in ppc.BRANCH_RANGE:
            return 0, ("stub-out-of-range", out, ppc.branch_limit(out), None)
        back = ip + ppc.INSN_SIZE - (insns + RETURN_INSN)
        if back not in ppc.BRANCH_RANGE:
            return 0, ("return-out-of-range", back, ppc.branch_limit(back), None)
        return call_target(self.setting, insns + CALL_INSN, in_text=in_text)

    def finish(self) -> Replay:
        """The result, once every location is prepared."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 5
        return Replay(
            locations=array("Q", columns[0]),
            area=array("b", columns[1]),
            index=array("Q", columns[2]),
            insns=array("Q", columns[3]),
            target=array("Q", columns[4]),
            skipped=self.skipped,
            failures=self._failures,
            needed={area.name: asked for area, asked in zip(self.setting.areas, self._asked, strict=True)},
        )

    def _record(
        self,
        ip: int,
        area: int = -1,
        index: int = 0,
        insns: int = 0,
        target: int = 0,
        failure: _Reason | None = None,
    ) -> None:
        if failure is not None:
            self._failures.append(Failure(len(self._rows), *failure))
        self._rows.append((ip & _ADDRESS_MASK, area, index, insns & _ADDRESS_MASK, target))


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
        # ftrace_call_adjust: two nops, or three with CALL_OPS, whose first is in front of the function. Only
        # PPC32 has CALL_OPS without stubs; a third nop on PPC64 is what the linker made of `addis rN,r2,0`.
        self._nop_offset = 8 if setting.bits == 32 and 2 * three > len(words) else 4

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


def stops_at(setting: Setting, result: Replay) -> int | None:
    """The position of the location at which the boot gives up all tracing (`ftrace_kill`), or None.

    A stub whose call cannot be encoded ends it, too. Without stubs, reach is first tested when a tracer is
    enabled.
    """
    if setting.layout is None:
        return next((f.position for f in result.failures if f.rule == "location-not-nop"), None)
    return result.target.index(0) if 0 in result.target else None


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
    locations, insns = result.locations, result.insns
    if not locations:
        return {}
    if setting.layout is None:
        return {"tracer": _call_headroom(setting, locations, locations)}
    if 0 in insns:  # locations without a stub
        served = [(ip, stub) for ip, stub in zip(locations, insns, strict=True) if stub]
        if not served:
            return {}
        locations, insns = (array("Q", column) for column in zip(*served, strict=True))
    found: dict[BranchName, Headroom] = {}
    outs = list(map(sub, locations, insns))
    extremes = [(out, locations[outs.index(out)]) for out in (min(outs), max(outs))]
    # Of the way back against the way out:
    shift = ppc.INSN_SIZE - RETURN_INSN
    ways: tuple[tuple[BranchName, int], ...] = (("stub", 0), ("return", shift))
    for branch, offset in ways:
        found[branch] = min(
            Headroom(ppc.branch_headroom(out + offset), location, branch) for out, location in extremes
        )
    sites = array("Q", map(CALL_INSN.__add__, insns))
    found["tracer"] = _call_headroom(setting, sites, locations)
    return found


def _call_headroom(setting: Setting, sites: array[int], locations: array[int]) -> Headroom:
    """The tightest call; `sites` are the calls' addresses, in the order of their locations.

    A site's headroom falls with its distance from the nearer target. So the tightest site is the first, the
    last, or next to the middle between two targets: a few to look at instead of all.
    """
    ordered = sorted(sites)
    relay = setting.trampolines.get("ftrace_tramp_text")
    rooms = []
    for tracer in setting.tracers.values():
        targets = (tracer,) if relay is None else (tracer, relay)
        middle = bisect_left(ordered, sum(targets) // len(targets))
        for site in (ordered[0], *ordered[max(0, middle - 2) : middle + 2], ordered[-1]):
            rooms.append((max(ppc.branch_headroom(target - site) for target in targets), site))
    room, site = min(rooms)
    return Headroom(room, locations[sites.index(site)], "tracer")

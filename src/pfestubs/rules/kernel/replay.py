# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot, location by location: what ftrace does with each, in the kernel's own order.

Each function mirrors one of the kernel's, named in its docstring; both can be read side by side. This is the
specification; `pfestubs.rules.kernel.simulation` does the same in bulk where nothing can fail.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import AreaRole
from pfestubs.model import TRAMPOLINE_FREED, ppc
from pfestubs.rules.kernel.boot import Boot, Failure
from pfestubs.rules.kernel.integrity import measure_stub_size
from pfestubs.rules.kernel.stubs import CALL_INSN, INSNS_SIZE, RETURN_INSN, call_adjust

if TYPE_CHECKING:
    from pfestubs.model import Kernel

_SINGLE_NOPS: Final = 4
"""Fewer are damaged locations of a kernel without stubs."""


def replay(kernel: Kernel) -> Boot:
    """Boot: sort the table, skip addresses outside kernel text, prepare each location.

    Mirrors `kernel/trace/ftrace.c: ftrace_process_locs` and `ftrace_update_code`, as of 6.15: earlier kernels
    skip an entry when `ftrace_call_adjust` returns 0, which differs for exit text only. With
    CONFIG_BUILDTIME_MCOUNT_SORT the kernel does not sort; powerpc does not select it.
    """
    state: ReplayState = ReplayState(kernel) if kernel.layout else InlineReplayState(kernel)
    for address in sorted(kernel.table):
        if address and kernel.is_text(address):
            state.init_nop(address)
        else:
            state.boot.skipped.append(address)
    return state.boot


class ReplayState:
    """The state of `ftrace_init_ool_stub`: the boot so far, with the stubs of each area asked for."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.stub_size = measure_stub_size(kernel)
        self.boot = Boot(kernel, self.stub_size, [0] * len(kernel.areas))
        self.positions = {area.role: position for position, area in enumerate(kernel.areas)}

    def init_nop(self, address: int) -> None:
        """Prepare one location (`arch/powerpc/kernel/trace/ftrace.c: ftrace_init_nop`)."""
        word_at = self.kernel.memory.word
        ip = call_adjust(address, word_at) if self.kernel.bits == 64 else address
        word = word_at(ip)
        if word != ppc.NOP:
            self.boot.fail(Failure(0, "location-not-nop", word=word))
            self.boot.append(ip)
        else:
            self.hand_out(ip, self.choose_area(ip))

    def choose_area(self, ip: int) -> int:
        """Return the position of the area that serves a location (`ftrace_init_ool_stub`).

        Init text first; then the reserve, as long as its next slot's *struct* is in range; then the end. A
        reserve slot that is out of range is not used up: the next location tries it again.
        """
        if ip in self.kernel.inittext:
            return self.positions[AreaRole.INIT]
        reserve = self.positions.get(AreaRole.RESERVE)
        if reserve is not None:
            area, slot = self.kernel.areas[reserve], self.boot.needed[reserve]
            distance = ppc.distance(area.address + slot * self.stub_size, ip)
            if slot < area.count and ppc.in_branch_range(distance):
                return reserve
        return self.positions[AreaRole.END]

    def hand_out(self, ip: int, position: int) -> None:
        """Hand out the next stub of an area and test its branches (`ftrace_init_ool_stub`)."""
        boot, area = self.boot, self.kernel.areas[position]
        index = boot.needed[position]
        boot.needed[position] = index + 1
        if index + 1 > area.count:
            boot.fail(Failure(0, "area-exhausted", area=position))
            boot.append(ip)
            return
        insns = area.address + index * self.stub_size + self.stub_size - INSNS_SIZE
        target, failure = self._test_branches(ip, insns, in_text=area.role is not AreaRole.INIT)
        self.boot.fail(failure)
        boot.append(ip, position, index, insns, target)

    def _test_branches(self, ip: int, insns: int, *, in_text: bool) -> tuple[int, Failure | None]:
        """Test the branches in kernel order: function to stub, stub to function, stub to tracer."""
        to_function = ppc.distance(insns, ip)
        if not ppc.in_branch_range(to_function):
            return 0, Failure(0, "stub-out-of-range", to_function, ppc.branch_limit(to_function))
        back = ppc.distance(insns + RETURN_INSN, ip + ppc.INSN_SIZE)
        if not ppc.in_branch_range(back):
            return 0, Failure(0, "return-out-of-range", back, ppc.branch_limit(back))
        return call_target(self.kernel, insns + CALL_INSN, in_text=in_text)


class InlineSites:
    """The shape that most locations of a kernel without stubs have (`ftrace_init_nop`).

    The configuration is not in the binary; the words at the locations tell it: patchable entries (two nops,
    or three with CALL_OPS), `-mprofile-kernel` and PPC32's `-pg` (a call to `_mcount` after its set-up).
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._word_at = kernel.memory.word
        addresses = [address for address in kernel.table if address and kernel.is_text(address)]
        first, second, third = (
            kernel.memory.words_at(array("Q", [(a + offset) & ppc.ADDRESS_MASK for a in addresses]))
            for offset in (0, 4, 8)
        )
        calls = sum(word is not None and ppc.is_branch(word, link=True) for word in first)
        three = sum(words == (ppc.NOP,) * 3 for words in zip(first, second, third, strict=True))
        self._calls_mcount = 2 * calls > len(addresses)
        # One nop and then the function: what the compiler leaves in a kernel with stubs.
        self._single_nops = sum(a == ppc.NOP != b for a, b in zip(first, second, strict=True))
        # ftrace_call_adjust: two nops, or three with CALL_OPS, whose first is in front of the function. Only
        # PPC32 has CALL_OPS without stubs; a third nop on PPC64 is what the linker made of `addis rN,r2,0`.
        self._nop_offset = 8 if kernel.bits == 32 and 2 * three > len(addresses) else 4
        self._addresses = addresses

    def are_evident(self) -> bool:
        """Return whether the words prove a kernel without stubs: most fit one, few fit one with stubs."""
        # Linkers turn `addis rN,r2,0` into a second nop: in a small kernel with stubs, at most locations.
        if self._single_nops >= _SINGLE_NOPS and 5 * self._single_nops > len(self._addresses):
            return False
        fitting = sum(self.wrong_word(self.call_site(address)) is None for address in self._addresses)
        return 2 * fitting > len(self._addresses)

    def call_site(self, address: int) -> int:
        """Return where the call is, for a table entry (`ftrace_call_adjust`)."""
        return address if self._calls_mcount else address + self._nop_offset

    def wrong_word(self, ip: int) -> int | None:
        """Return the first word that is not what the kernel expects, -1 where the file holds none."""
        at = {offset: self._word_at(ip + offset) for offset in (-8, -4, 0)}
        if not self._calls_mcount:
            expected = {-4: ppc.NOP, 0: ppc.NOP}
        elif self._kernel.bits == 32:
            expected = {-8: ppc.MFLR_R0, -4: ppc.STW_R0_4_R1}
        elif at[-4] == ppc.MFLR_R0:
            expected = {}
        else:  # -mprofile-kernel of GCC 5 stores LR in between
            expected = {-8: ppc.MFLR_R0, -4: ppc.STD_R0_16_R1}
        wrong = [at[offset] for offset, word in expected.items() if at[offset] != word]
        call = at[0]
        if self._calls_mcount and (call is None or not ppc.is_branch(call, link=True)):
            wrong.append(call)
        if not wrong:
            return None
        return -1 if wrong[0] is None else wrong[0]


class InlineReplayState(ReplayState):
    """A kernel without stubs: the call is at the location itself."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._sites = InlineSites(kernel)

    def init_nop(self, address: int) -> None:
        """Test the words around one location (`ftrace_init_nop`), then the reach of its call."""
        ip = self._sites.call_site(address)
        wrong = self._sites.wrong_word(ip)
        if wrong is not None:
            self.boot.fail(Failure(0, "location-not-nop", word=wrong if wrong >= 0 else None))
            self.boot.append(ip)
            return
        target, failure = call_target(self.kernel, ip, in_text=ip not in self.kernel.inittext)
        self.boot.fail(failure)
        self.boot.append(ip, target=target)


def call_target(kernel: Kernel, site: int, *, in_text: bool) -> tuple[int, Failure | None]:
    """Return where the call at `site` goes: the tracer itself, or the first trampoline in range.

    Mirrors `ftrace_get_call_inst` and `find_ftrace_tramp`. Boot asks for `ftrace_caller`; enabling a tracer
    later asks for `ftrace_regs_caller` too, by the same rule. `ftrace_tramp_init` is gone once init memory
    is freed, so text must not depend on it.

    Returns:
        The target of the boot's call (0 if none is in range), and why the site fails (at position 0), or
        None.
    """
    target = 0
    for name, tracer in kernel.tracers.items():
        distance = ppc.distance(site, tracer, kernel.bits)
        if ppc.in_branch_range(distance):
            target = target or tracer
            continue
        limit = ppc.branch_limit(distance)
        trampolines = kernel.trampolines.items()
        reached = [t for t in trampolines if ppc.in_branch_range(ppc.distance(site, t[1], kernel.bits))]
        if not reached:
            return target, Failure(0, "tracer-unreachable", distance, limit, tracer=name)
        trampoline, address = reached[0]
        target = target or address
        if in_text and trampoline == TRAMPOLINE_FREED:
            return target, Failure(0, "init-trampoline-only", distance, limit, tracer=name)
    return target, None

# SPDX-License-Identifier: GPL-2.0-or-later
"""How the locations of a kernel without stubs look (`arch/powerpc/kernel/trace/ftrace.c: ftrace_init_nop`).

The configuration is not in the binary; the words at the locations tell it: patchable entries (two nops, or
three with CALL_OPS), `-mprofile-kernel` and PPC32's `-pg` (a call to `_mcount` after its set-up).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from pfestubs.model import ppc

if TYPE_CHECKING:
    from pfestubs.model import Kernel


_SINGLE_NOPS: Final = 4
"""Fewer are damaged locations of a kernel without stubs."""


class InlineSites:
    """The shape that most locations of `kernel` have."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._word_at = kernel.memory.word
        addresses = [a for a in kernel.table if a and (a in kernel.text or a in kernel.inittext)]
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
            expected = {-4: {ppc.NOP}, 0: {ppc.NOP}}
        elif self._kernel.bits == 32:
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

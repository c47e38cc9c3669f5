# SPDX-License-Identifier: GPL-2.0-or-later
"""What a stub is: its parts, and what the boot and tracing write, word by word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.model import ppc

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfestubs.rules.kernel.boot import Boot

INSNS_SIZE: Final = 4 * ppc.INSN_SIZE
"""Bytes of a stub's four instructions; what a stub has beyond them comes first (the ops pointer)."""
CALL_INSN: Final = 1 * ppc.INSN_SIZE
"""Offset in bytes from a stub's first instruction to its `bl`."""
RETURN_INSN: Final = 3 * ppc.INSN_SIZE
"""Offset in bytes from a stub's first instruction to its `b` back to the function."""
RETURN_SHIFT: Final = ppc.INSN_SIZE - RETURN_INSN
"""What the distance of the return branch has over that of the branch to the stub, in bytes."""
DISTANCE_MIN: Final = ppc.BACKWARD_LIMIT - RETURN_SHIFT
"""The least distance location - first instruction for which both branches, to the stub and back, reach."""
DISTANCE_MAX: Final = ppc.FORWARD_LIMIT

Words = tuple[int, int, int, int]


def stub_words(boot: Boot, position: int) -> Words:
    """Return the four instructions that the boot writes into the stub of a location that has one.

    Mirrors the template in `arch/powerpc/kernel/trace/ftrace.c: ftrace_init_ool_stub`.

    Raises:
        ValueError: if a branch cannot span its distance.
    """
    insns, location = boot.insns[position], boot.locations[position]
    return (
        ppc.MFLR_R0,
        ppc.encode_branch(insns + CALL_INSN, boot.target[position], link=True),
        ppc.MTLR_R0,
        ppc.encode_branch(insns + RETURN_INSN, location + ppc.INSN_SIZE),
    )


def traced_word(boot: Boot, position: int) -> int:
    """Return the word at a location with tracing on: a branch to its stub (`ftrace_replace_code`)."""
    return ppc.encode_branch(boot.locations[position], boot.insns[position])


def call_adjust(address: int, word_at: Callable[[int], int | None]) -> int:
    """Return the nop's address for a table entry of a 64-bit kernel with stubs.

    Mirrors `arch/powerpc/kernel/trace/ftrace.c: ftrace_call_adjust`: clang records the global entry point.
    CONFIG_CC_IS_CLANG is not in the binary; infer it from the instructions: no nop there, but a TOC set-up
    followed by a nop.
    """
    first = word_at(address)
    if first is None or first == ppc.NOP:
        return address
    second = word_at(address + 4)
    if second is not None and ppc.is_global_entry(first, second) and word_at(address + 8) == ppc.NOP:
        return address + 8
    return address

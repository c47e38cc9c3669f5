# SPDX-License-Identifier: GPL-2.0-or-later
"""What the boot writes into each stub, and tracing into each function, word by word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.model import ppc
from pfestubs.rules.kernel.boot import CALL_INSN, RETURN_INSN

if TYPE_CHECKING:
    from pfestubs.rules.kernel.boot import Boot

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

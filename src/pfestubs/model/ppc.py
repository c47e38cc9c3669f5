# SPDX-License-Identifier: GPL-2.0-or-later
"""PowerPC instruction words that ftrace reads and writes (Power ISA, Book I, 2.4: I-form branches)."""

from __future__ import annotations

from array import array
from typing import Final

NOP = 0x60000000
MFLR_R0 = 0x7C0802A6
MTLR_R0 = 0x7C0803A6
STD_R0_16_R1 = 0xF8010010
STW_R0_4_R1 = 0x90010004
INSN_SIZE = 4
ADDRESS_MASK = 0xFFFFFFFFFFFFFFFF
"""Addresses of a damaged kernel wrap, as they do in a machine."""
DISTANCE_LIMIT = 1 << 63
"""Addresses that are less apart than this have a distance that does not wrap."""

MACHINES: Final = {64: "ppc64", 32: "ppc"}
"""The machine of a file, by its bits."""
ADDRESS_RELOCATIONS: Final = {64: "R_PPC64_ADDR64", 32: "R_PPC_ADDR32"}
"""The psABI's name of the relocation of an entry, by the bits of the file."""

BRANCH = 0x48000000
LINK = 0x1
_OPCODE_MASK = 0xFC000000
_ABSOLUTE = 0x2
_LI_MASK = 0x03FFFFFC

BACKWARD_LIMIT = -0x2000000
"""Farthest backward branch offset, in bytes."""
FORWARD_LIMIT = 0x1FFFFFC
"""Farthest forward branch offset, in bytes."""

BRANCH_RANGE = range(BACKWARD_LIMIT, FORWARD_LIMIT + 1, INSN_SIZE)
"""Every offset that a branch can span, in bytes."""


def add(address: int, offset: int) -> int:
    """Return the address `offset` bytes after `address`."""
    return address + offset & ADDRESS_MASK


def distance(start: int, target: int, bits: int = 64) -> int:
    """Return the bytes from `start` to `target`, signed, as a machine of that many bits subtracts addresses.

    The kernel computes `(long)(target - start)`: near both ends of the address space the difference wraps.
    """
    half = 1 << bits - 1
    return (target - start + half & 2 * half - 1) - half


def span_size(span: range) -> int:
    """Return the bytes of half-open addresses; a damaged kernel's can be more than `len` can count."""
    return max(0, span.stop - span.start)


def in_branch_range(offset: int) -> bool:
    """Return whether an I-form branch can span `offset` bytes.

    Mirrors `arch/powerpc/include/asm/text-patching.h: is_offset_in_branch_range`.
    """
    return offset in BRANCH_RANGE


def branch_headroom(offset: int) -> int:
    """Return the bytes by which `offset` may still grow in range; negative when it is out of range."""
    return min(FORWARD_LIMIT - offset, offset - BACKWARD_LIMIT)


def branch_limit(offset: int) -> int:
    """Return the limit that a branch of `offset` bytes reaches first, signed like the offset."""
    return BACKWARD_LIMIT if offset < 0 else FORWARD_LIMIT


def encode_branch(start: int, target: int, *, link: bool = False) -> int:
    """Return the word of `b` (or `bl`) at `start` that goes to `target`.

    Mirrors `arch/powerpc/lib/code-patching.c: create_branch`.

    Raises:
        ValueError: if the branch cannot span the distance.
    """
    offset = distance(start, target)
    if not in_branch_range(offset):
        raise ValueError(f"a branch cannot span {offset} bytes")
    return BRANCH | (offset & _LI_MASK) | (LINK if link else 0)


def is_branch(word: int, *, link: bool) -> bool:
    """Return whether `word` is a relative `b` (or `bl`)."""
    return word & (_OPCODE_MASK | _ABSOLUTE | LINK) == BRANCH | (LINK if link else 0)


def branch_offset(word: int) -> int:
    """Return the signed offset in bytes of a relative branch word (LI sign-extended from bit 25)."""
    offset = word & _LI_MASK
    return offset - 0x4000000 if offset & 0x2000000 else offset


def branch_target(word: int, address: int) -> int:
    """Return where a relative branch word at `address` goes."""
    return add(address, branch_offset(word))


def is_global_entry(first: int, second: int) -> bool:
    """Return whether two words are the TOC set-up of an ELFv2 global entry point.

    `addis r2,r12` or `lis r2`, then `addi r2,r2`: the opcode test of
    `arch/powerpc/include/asm/text-patching.h: ppc_function_entry`.
    """
    return first & 0xFFFF0000 in {0x3C4C0000, 0x3C400000} and second & 0xFFFF0000 == 0x38420000


def disassemble(word: int, address: int) -> tuple[str, str, int | None]:
    """Return one of the instructions that ftrace writes, as objdump spells it.

    Returns:
        Mnemonic, operand, and the address that a branch goes to (then the operand is empty).

    Raises:
        ValueError: for any other instruction.
    """
    for known, text in ((NOP, ("nop", "")), (MFLR_R0, ("mflr", "r0")), (MTLR_R0, ("mtlr", "r0"))):
        if word == known:
            return *text, None
    for link, mnemonic in ((False, "b"), (True, "bl")):
        if is_branch(word, link=link):
            return mnemonic, "", branch_target(word, address)
    raise ValueError(f"{word:#010x} is not an instruction that ftrace writes")


_LAST_BITS: Final = bytes(value & 3 for value in range(256))
_LOWEST_IS_FIRST: Final = array("H", [1]).tobytes() == b"\1\0"


def offsets_in_word(addresses: array[int]) -> set[int]:
    """Return what addresses are modulo 4, each value once; looks at their lowest bytes only."""
    size = addresses.itemsize
    lowest = addresses.tobytes()[0 if _LOWEST_IS_FIRST else size - 1 :: size]
    return set(lowest.translate(_LAST_BITS))

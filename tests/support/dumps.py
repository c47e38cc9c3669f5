# SPDX-License-Identifier: GPL-2.0-or-later
"""What the memory of a small kernel holds, and dumps of it.

Stubs are written by `naive_boot`, from the kernel's rules alone; nothing of pfestubs is in it.
"""

import struct
from collections.abc import Sequence
from typing import Any

from support import naive_boot
from support.elfwriter import EM_PPC64, ET_CORE, PT_LOAD, PT_NOTE, Segment, note, write_elf
from support.kernelwriter import BASE, LinkedKernel

BANNER = b"Linux version 7.2.0-mini (me@here) (cc 14) #1 SMP Mon Nov  2 12:00:00 UTC 2026\n\0"


def with_text(kernel: LinkedKernel, offset: int, text: bytes) -> int:
    """Put bytes at an offset of the kernel's text; return their address."""
    address = kernel.base + offset
    text += bytes(-len(text) % 4)
    words = struct.unpack(f"{kernel.order}{len(text) // 4}I", text)
    kernel.words |= {address + 4 * i: word for i, word in enumerate(words)}
    return address


def with_banner(kernel: LinkedKernel, banner: bytes = BANNER, at: int = 0x800) -> LinkedKernel:
    """Return the kernel with `linux_banner` in its text, which matches it with maps and dumps."""
    kernel.places["linux_banner"] = with_text(kernel, at, banner)
    return kernel


def linked_memory(kernel: LinkedKernel) -> bytearray:
    """Return the memory from the kernel's base to the end of its texts, before it boots."""
    memory = bytearray(kernel.data_address - kernel.base)
    for address, word in {**dict.fromkeys(kernel.locations, naive_boot.NOP), **kernel.words}.items():
        struct.pack_into(kernel.order + "I", memory, address - kernel.base, word)
    return memory


def write_stubs(kernel: LinkedKernel, memory: bytearray) -> list[dict[str, Any]]:
    """Write the stubs into linked memory, as the boot does; return the locations of the boot."""
    stubs = naive_boot.boot(kernel.machine()).locations
    for stub in stubs:
        if stub["insn0"]:
            words = naive_boot.stub_words(stub["ip"], stub["insn0"], stub["target"])
            struct.pack_into(kernel.order + "4I", memory, stub["insn0"] - kernel.base, *words)
    return stubs


def core_of(segments: Sequence[Segment], order: str, notes: bytes = b"", machine: int = EM_PPC64) -> bytes:
    """Return an ELF core; `order` is that of its headers."""
    segments = [Segment(PT_NOTE, data=notes, align=4), *segments]
    return write_elf((), None, type_=ET_CORE, machine=machine, order=order, segments=segments)


def qemu(memory: bytes | bytearray, order: str, notes: bytes = b"") -> bytes:
    """Return a dump as QEMU writes it: physical addresses only."""
    return core_of([Segment(PT_LOAD, 0, 0, data=bytes(memory))], order, notes)


def kdump(pieces: Sequence[tuple[int, bytes]], order: str, notes: bytes = b"") -> bytes:
    """Return a dump as kdump and kcore have it, of pieces at offsets from `BASE`: virtual addresses."""
    return core_of([Segment(PT_LOAD, BASE + at, at, data=data) for at, data in pieces], order, notes)


def vmcoreinfo(order: str, *lines: str) -> bytes:
    """Return the note with which the kernel describes itself."""
    return note(b"VMCOREINFO", 0, "".join(f"{line}\n" for line in lines).encode(), order)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of a running or crashed kernel, from an ELF core: of kdump, of QEMU, or /proc/kcore."""

from __future__ import annotations

import mmap
import re
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Final

from pfestubs.errors import InputError
from pfestubs.model import RunningKernel
from pfestubs.read.elf import Elf
from pfestubs.read.file_types import require_kind
from pfestubs.read.memory import Extent, Memory
from pfestubs.read.source import Source, open_source
from pfestubs.read.vmlinux import BANNER, BANNER_MAX, NOTE_SYMBOLS, build_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pfestubs.model import Kernel, SymbolInfo

    _Track = Callable[[Sequence[range]], Iterator[range]]

_PAGE_OFFSET: Final = {64: 0xC000_0000_0000_0000, 32: 0xC000_0000}
"""Where the kernel maps physical memory (arch/powerpc/include/asm/page.h)."""
_HEAD: Final = 1 << 20
"""Bytes that hold the headers and notes of a core that cannot be mapped."""
_CHUNK: Final = 4 << 20
_SCAN_LIMIT: Final = 4 << 30
"""Bytes searched for a moved kernel: it runs where firmware can reach, near the beginning of memory."""
_ALIGNMENT: Final = 0x10000
"""A relocatable kernel moves by whole pages of the largest base size."""
_BUILD_NUMBER: Final = re.compile(rb"^Linux version \d.* #\d")
"""Each kernel also holds a banner without the number, the weak one of init/version.c."""
_SYMBOLS: Final = ("linux_banner", "ftrace_tramps", "ftrace_disabled", *NOTE_SYMBOLS)
_WANTED: Final = "give the vmlinux of the kernel that was dumped"


@contextmanager
def open_dump(path: str, kernel: Kernel, track: _Track = iter) -> Iterator[RunningKernel]:
    """Find `kernel` in the dump at `path`; its memory is valid inside the `with` block.

    Args:
        path: of the dump.
        kernel: as linked.
        track: what the pieces of the dump go through while they are searched, to show progress.

    Raises:
        InputError: the dump is damaged or cut short, not an ELF core of a powerpc kernel, or of another one.
    """
    with open_source(path, raw=True) as source:
        dump = _Dump(source, kernel)
        offset = dump.locate(track)
        dump.require_same_build(offset)
        disabled = dump.symbols.get("ftrace_disabled")
        yield RunningKernel(
            file=path,
            offset=offset,
            word_at=dump.linked_memory(offset).word,
            trampolines=dump.trampolines(offset),
            disabled=dump.number(disabled.address + offset, 4) if disabled else None,
        )


def _is_live(source: Source) -> bool:
    """Return whether a file is one of /proc, which cannot be mapped; the map is never touched."""
    try:
        mmap.mmap(source.stream.fileno(), 1, access=mmap.ACCESS_READ).close()
    except (OSError, ValueError, OverflowError):
        return True
    return False


class _Dump:
    """An ELF core of a kernel with `kernel`'s byte order; its header may have another."""

    def __init__(self, source: Source, kernel: Kernel) -> None:
        self._file = source.path
        self._source = source
        self._kernel = kernel
        self._is_live = _is_live(source)
        head = self._read(0, _HEAD) if self._is_live else b""  # it looks as large as the address space
        elf = Elf(Source(source.path, BytesIO(head), len(head)) if head else source)
        require_kind(elf, "core")
        if elf.bits != kernel.bits:
            raise InputError(
                self._file, f"is of a {elf.bits}-bit machine, {kernel.file} is of {kernel.bits} bits", _WANTED
            )
        self._extents = _extents(elf, None if self._is_live else source.size)
        self._memory = self.linked_memory(0)
        self._info = _vmcoreinfo(elf)
        self.symbols: Mapping[str, SymbolInfo] = kernel.symbols.find(_SYMBOLS)

    def _read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at a file offset, fewer where the file has no more of them.

        Raises:
            InputError: the system cannot read the file at all.
        """
        content = bytearray()
        while len(content) < size:
            try:
                piece = self._source.read_up_to(offset + len(content), min(size - len(content), _CHUNK))
            except InputError:
                if content or offset:  # kcore: a page that is gone
                    break
                raise
            if not piece:
                break
            content += piece
        return bytes(content)

    def linked_memory(self, offset: int) -> Memory:
        """Return the memory by linked addresses, for a kernel that runs `offset` bytes above them."""
        extents = [Extent(e.address - offset, e.offset, e.size) for e in self._extents]
        return Memory(self._read, extents, self._kernel.byte_order)

    def number(self, address: int, size: int) -> int | None:
        """Return the unsigned number of 4 or 8 bytes at a virtual address."""
        content = self._memory.read(address, size)
        return None if content is None else int.from_bytes(content, self._kernel.byte_order)

    # -- matching dump and kernel ------------------------------------------------------------------------

    def locate(self, track: _Track) -> int:
        """Return the offset at which the dumped kernel ran: where its memory holds the kernel's banner.

        A dump can hold more than one copy (a boot loader's, a page cache's). The one that runs is known by
        its `ftrace_tramps`, which holds addresses of its own; failing that, the first is taken.
        """
        kernel = self._kernel
        if kernel.banner is None:
            raise InputError(
                kernel.file, "has no linux_banner symbol", "it is needed to match the dump with the kernel"
            )
        banner = kernel.banner.encode("utf-8", "backslashreplace")
        copies: list[int] = []
        others: list[bytes] = []
        for offset in self._candidates(banner, others, track):
            copies.append(offset)
            if any(self.trampolines(offset) or ()):
                return offset
        if not copies:
            self._refuse_other_kernel(banner, others)
        return copies[0]

    def _candidates(self, banner: bytes, others: list[bytes], track: _Track) -> Iterator[int]:
        """Yield the offsets at which memory holds the banner; add those of other kernels to `others`."""
        address = self.symbols["linux_banner"].address
        hints = [0]
        for key, linked in (("SYMBOL(_stext)", self._kernel.text.start), ("KERNELOFFSET", 0)):
            with suppress(KeyError, ValueError):
                hints.append(int(self._info[key], 16) - linked)
        for offset in hints:
            if self._memory.read(address + offset, len(banner)) == banner:
                yield offset
        if self._is_live:
            return
        for found, text in self.banners(track):
            if text.split(b"\n")[0] == banner:
                if (found - address) % _ALIGNMENT == 0:
                    yield found - address
            elif _BUILD_NUMBER.search(text):
                others.append(text)

    def banners(self, track: _Track) -> Iterator[tuple[int, bytes]]:
        """Yield each "Linux version ..." in memory with its address, up to the zero that ends it."""
        # What the file has: segments that overlap are not searched repeatedly.
        left, chunks = min(_SCAN_LIMIT, self._source.size), []
        for run in self._memory.runs:
            size = min(len(run), left)
            left -= size
            # Also the beginning of the next chunk: a banner may cross the boundary.
            chunks += [run[at : min(at + _CHUNK, size) + BANNER_MAX] for at in range(0, size, _CHUNK)]
        for chunk in track(chunks):
            content = self._memory.read(chunk.start, len(chunk)) or b""
            at = content.find(BANNER)
            while 0 <= at < _CHUNK:
                yield chunk.start + at, content[at : at + BANNER_MAX].split(b"\0")[0]
                at = content.find(BANNER, at + 1)

    def _refuse_other_kernel(self, banner: bytes, others: Sequence[bytes]) -> None:
        file, own = self._kernel.file, _brief(banner)
        if others:
            found = _brief(others[0])
        elif "OSRELEASE" in self._info:
            found = self._info["OSRELEASE"]
        else:
            raise InputError(
                self._file, f"does not hold the memory of {file} ({own!r} is not in it)", _WANTED
            )
        if own == found:
            found, own = _text(others[0] if others else b""), _text(banner)
        raise InputError(self._file, f"is of another kernel: {found!r}, {file} has {own!r}", _WANTED)

    def require_same_build(self, offset: int) -> None:
        """Refuse a dump of another build: the same banner can come from two, the build id cannot."""
        kernel = self._kernel
        memory = self.linked_memory(offset)
        found = build_id_of(memory, self.symbols, kernel.byte_order, kernel.bits)
        for build_id in (found, self._info.get("BUILD-ID")):
            if None not in {build_id, kernel.build_id} and build_id != kernel.build_id:
                raise InputError(
                    self._file,
                    f"is of another build: its build id is {build_id}, that of {kernel.file}"
                    f" {kernel.build_id}",
                    _WANTED,
                )

    def trampolines(self, offset: int) -> Sequence[int] | None:
        """Return the slots of `ftrace_tramps`, as linked addresses.

        None if the kernel does not have them, or memory does not: a slot holds a trampoline's address or 0.
        """
        placed, kernel = self.symbols.get("ftrace_tramps"), self._kernel
        if placed is None:
            return None
        word = kernel.bits // 8
        slots = []
        for index in range(len(kernel.trampolines)):
            value = self.number(placed.address + offset + index * word, word)
            if value is None:
                return None
            slots.append(value - offset if value else 0)
        return slots if set(slots) <= {0, *kernel.trampolines.values()} else None


def _extents(elf: Elf, file_size: int | None) -> Sequence[Extent]:
    """Return the core's memory by virtual address.

    kdump and kcore give virtual addresses; QEMU knows only physical ones (p_vaddr 0).
    """
    loads = [s for s in elf.segments if s.type == "PT_LOAD" and s.filesz]
    if not loads:
        raise elf.error("is a core without any memory in it")
    base = _PAGE_OFFSET[elf.bits]
    extents = []
    for segment in loads:
        if segment.vaddr >= base:
            extents.append(Extent(segment.vaddr, segment.offset, segment.filesz))
        elif segment.vaddr in {0, segment.paddr}:
            extents.append(Extent(base + segment.paddr, segment.offset, segment.filesz))
    if not extents:
        raise elf.error(
            f"is the core of a program, not of a kernel: no memory in it is at {base:#x} or above",
            "give an ELF core of the kernel: of kdump, of QEMU's dump-guest-memory, or /proc/kcore",
        )
    end = max(extent.offset + extent.size for extent in extents)
    if file_size is not None and end > file_size:
        raise elf.error(
            f"is cut short: its memory would end at byte {end:,}, the file has {file_size:,}",
            "copy the dump again",
        )
    return extents


def _vmcoreinfo(elf: Elf) -> dict[str, str]:
    """Parse VMCOREINFO (Documentation/admin-guide/kdump/vmcoreinfo.rst)."""
    for note in elf.notes():
        if note.owner == "VMCOREINFO":
            lines = note.content.decode("utf-8", "replace").splitlines()
            return dict(line.split("=", 1) for line in lines if "=" in line)
    return {}


def _brief(banner: bytes) -> str:
    """Return release, and number and time of the build."""
    words = _text(banner).removeprefix(BANNER.decode())
    build = words.rfind("#")
    return f"{words.split(' ', 1)[0]} {words[build:]}" if build > 0 else words


def _text(banner: bytes) -> str:
    return banner.decode("utf-8", "backslashreplace").split("\n")[0]

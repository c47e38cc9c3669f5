# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of a running or crashed kernel, from an ELF core: of kdump, of QEMU, or /proc/kcore."""

from __future__ import annotations

import mmap
import re
import struct
from bisect import bisect_right
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import ContradictionError, UnreadableError, UnsuitableError
from pfestubs.model import RunningKernel
from pfestubs.read import elf as e
from pfestubs.read.file_types import require_core
from pfestubs.read.memory import Extent, Memory
from pfestubs.read.source import BufferSource, open_source, unreadable
from pfestubs.read.vmlinux import BANNER, BANNER_MAX, NOTE_SYMBOLS, NOTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pfestubs.model import Kernel, SymbolInfo
    from pfestubs.read.source import FileSource

    _Track = Callable[[Sequence["_Piece"]], Iterator["_Piece"]]

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
        UnreadableError: the dump cannot be read, or is damaged or cut short.
        UnsuitableError: it is not an ELF core of a powerpc kernel, or has no trace of this one.
        ContradictionError: it is of another kernel.
    """
    with open_source(path) as file:
        source = _Source(file)
        dump = _Dump(source, kernel)
        symbols = kernel.symbols.find(_SYMBOLS)
        offset = _locate(dump, kernel, symbols, track)
        _require_same_build(dump, kernel, symbols, offset)
        disabled = symbols.get("ftrace_disabled")
        yield RunningKernel(
            file=path,
            offset=offset,
            word_at=dump.memory(offset).word,
            trampolines=_trampolines(dump, kernel, symbols, offset),
            disabled=dump.number(disabled.address + offset, 4) if disabled else None,
        )


class _Source:
    """A dump's bytes, read where they are needed: a dump has as many as the machine has memory.

    /proc/kcore looks like a file of the size of the address space; a page that is gone cannot be read.
    """

    def __init__(self, file: FileSource) -> None:
        self.path = file.path
        self.file = file
        self.is_live = not _can_be_mapped(file.handle)
        self.size = _HEAD if self.is_live else file.size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at a file offset; fewer where the file has no more of them.

        Raises:
            UnreadableError: the system cannot read the file at all.
        """
        content = bytearray()
        while len(content) < size:
            try:
                piece = self.file.read_up_to(offset + len(content), min(size - len(content), _CHUNK))
            except (OSError, OverflowError) as error:
                if content or offset:  # kcore: a page that is gone
                    break
                raise unreadable(self.path, error) from error
            if not piece:
                break
            content += piece
        return bytes(content)


def _can_be_mapped(handle: int) -> bool:
    """Return whether a file is an ordinary one, not one of /proc; the map is never touched."""
    try:
        mmap.mmap(handle, 1, access=mmap.ACCESS_READ).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


class _Piece(NamedTuple):
    """A run of memory: virtual address, offset in the file, size in bytes."""

    address: int
    offset: int
    size: int


class _Dump:
    """An ELF core of a kernel with `kernel`'s byte order; its header may have another."""

    def __init__(self, source: _Source, kernel: Kernel) -> None:
        self.file = source.path
        self._source = source
        self._order = kernel.byte_order.struct
        head = source.read(0, _HEAD)
        elf = e.Elf(BufferSource(source.path, head) if source.is_live else source.file)
        require_core(elf)
        if elf.bits != kernel.bits:
            raise ContradictionError(
                self.file,
                f"is of a {elf.bits}-bit machine, {kernel.file} is of {kernel.bits} bits",
                _WANTED,
            )
        self._pieces = _pieces(elf, None if source.is_live else source.size)
        self.info = _vmcoreinfo(elf.notes())
        self._starts = [piece.address for piece in self._pieces]

    @property
    def searchable(self) -> bool:
        """Whether the whole dump may be scanned (false for /proc/kcore)."""
        return not self._source.is_live

    def read(self, address: int, size: int) -> bytes | None:
        """Return `size` bytes at a virtual address, if one run of memory holds them all."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        piece = self._pieces[index]
        if address + size > piece.address + piece.size:
            return None
        content = self._source.read(piece.offset + address - piece.address, size)
        return content if len(content) == size else None

    def number(self, address: int, size: int) -> int | None:
        """Return the unsigned number of 4 or 8 bytes at a virtual address."""
        content = self.read(address, size)
        if content is None:
            return None
        value: int = struct.unpack(self._order + {4: "I", 8: "Q"}[size], content)[0]
        return value

    def memory(self, offset: int) -> Memory:
        """Return the memory by linked addresses, for a kernel that runs `offset` bytes above them."""
        extents = [Extent(piece.address - offset, piece.offset, piece.size) for piece in self._pieces]
        return Memory(self._source.read, extents, self._order)

    def banners(self, track: _Track) -> Iterator[tuple[int, bytes]]:
        """Yield each "Linux version ..." in memory with its address, up to the zero that ends it."""
        for address, offset, size in track(self._chunks()):
            chunk = self._source.read(offset, size)
            found = chunk.find(BANNER)
            while 0 <= found < _CHUNK:
                yield address + found, chunk[found : found + BANNER_MAX].split(b"\0")[0]
                found = chunk.find(BANNER, found + 1)

    def _chunks(self) -> Sequence[_Piece]:
        """Return what is searched, in pieces to be read at once."""
        left = min(_SCAN_LIMIT, self._source.size)  # segments that overlap are not searched repeatedly
        chunks = []
        for piece in self._pieces:
            size = min(piece.size, left)
            left -= size
            # Also the beginning of the next chunk: a banner may cross the boundary.
            chunks += [
                _Piece(piece.address + at, piece.offset + at, min(_CHUNK + BANNER_MAX, piece.size - at))
                for at in range(0, size, _CHUNK)
            ]
        return chunks


def _pieces(elf: e.Elf, file_size: int | None) -> list[_Piece]:
    """Return the core's memory by virtual address.

    kdump and kcore give virtual addresses; QEMU knows only physical ones (p_vaddr 0).
    """
    loads = [s for s in elf.segments if s.type == e.PT_LOAD and s.filesz]
    if not loads:
        raise UnsuitableError(elf.path, "is a core without any memory in it")
    base = _PAGE_OFFSET[elf.bits]
    pieces = []
    for segment in loads:
        if segment.vaddr >= base:
            pieces.append(_Piece(segment.vaddr, segment.offset, segment.filesz))
        elif segment.vaddr in {0, segment.paddr}:
            pieces.append(_Piece(base + segment.paddr, segment.offset, segment.filesz))
    if not pieces:
        raise UnsuitableError(
            elf.path,
            f"is the core of a program, not of a kernel: no memory in it is at {base:#x} or above",
            "give an ELF core of the kernel: of kdump, of QEMU's dump-guest-memory, or /proc/kcore",
        )
    end = max(piece.offset + piece.size for piece in pieces)
    if file_size is not None and end > file_size:
        raise UnreadableError(
            elf.path,
            f"is cut short: its memory would end at byte {end:,}, the file has {file_size:,}",
            "copy the dump again",
        )
    return sorted(pieces)


def _vmcoreinfo(notes: Iterable[e.Note]) -> dict[str, str]:
    """Parse VMCOREINFO (Documentation/admin-guide/kdump/vmcoreinfo.rst)."""
    for note in notes:
        if note.owner == "VMCOREINFO":
            lines = note.content.decode("utf-8", "replace").splitlines()
            return dict(line.split("=", 1) for line in lines if "=" in line)
    return {}


# -- matching dump and kernel --------------------------------------------------------------------------------


def _locate(dump: _Dump, kernel: Kernel, symbols: Mapping[str, SymbolInfo], track: _Track) -> int:
    """Return the offset at which the dumped kernel ran: where its memory holds the linked kernel's banner.

    A dump can hold more than one copy (a boot loader's, a page cache's). The one that runs is known by its
    `ftrace_tramps`, which holds addresses of its own; failing that, the first is taken.
    """
    banner = _banner(kernel)
    address = symbols["linux_banner"].address
    hints = [0]
    with suppress(KeyError, ValueError):
        hints.append(int(dump.info["SYMBOL(_stext)"], 16) - kernel.text.start)
    with suppress(KeyError, ValueError):
        hints.append(int(dump.info["KERNELOFFSET"], 16))
    candidates = []
    for offset in hints:
        if dump.read(address + offset, len(banner)) == banner:
            candidates.append(offset)
            if any(_trampolines(dump, kernel, symbols, offset) or ()):
                return offset
    others: dict[bytes, None] = {}
    for found, text in dump.banners(track) if dump.searchable else ():
        offset = found - address
        if text.split(b"\n")[0] != banner:
            if _BUILD_NUMBER.search(text):
                others[text] = None
        elif offset % _ALIGNMENT == 0:
            candidates.append(offset)
            if any(_trampolines(dump, kernel, symbols, offset) or ()):
                return offset
    if not candidates:
        _refuse_other_kernel(dump, kernel, banner, list(others))
    return candidates[0]


def _banner(kernel: Kernel) -> bytes:
    """Return the text that identifies the kernel in memory, up to the newline."""
    if kernel.banner is None:
        raise UnsuitableError(
            kernel.file,
            "has no linux_banner symbol",
            "it is needed to match the dump with the kernel",
        )
    return kernel.banner.encode("utf-8", "backslashreplace")


def _refuse_other_kernel(dump: _Dump, kernel: Kernel, banner: bytes, others: Sequence[bytes]) -> None:
    if others:
        found = _brief(others[0])
    elif "OSRELEASE" in dump.info:
        found = dump.info["OSRELEASE"]
    else:
        raise UnsuitableError(
            dump.file, f"does not hold the memory of {kernel.file} ({_brief(banner)!r} is not in it)", _WANTED
        )
    own = _brief(banner)
    if own == found:
        found, own = _text(others[0] if others else b""), _text(banner)
    raise ContradictionError(dump.file, f"is of another kernel: {found!r}, {kernel.file} is {own!r}", _WANTED)


def _brief(banner: bytes) -> str:
    """Return release, and number and time of the build."""
    words = _text(banner).removeprefix(BANNER.decode())
    build = words.rfind("#")
    return f"{words.split(' ', 1)[0]} {words[build:]}" if build > 0 else words


def _text(banner: bytes) -> str:
    return banner.decode("utf-8", "backslashreplace").split("\n")[0]


def _require_same_build(dump: _Dump, kernel: Kernel, symbols: Mapping[str, SymbolInfo], offset: int) -> None:
    """Refuse a dump of another build: the same banner can come from two, the build id cannot."""
    if kernel.build_id is None or not all(name in symbols for name in NOTE_SYMBOLS):
        return
    start, stop = (symbols[name].address for name in NOTE_SYMBOLS)
    content = dump.read(start + offset, min(max(stop - start, 0), NOTES_MAX))
    found = None if content is None else e.build_id_in(content, kernel.byte_order.struct)
    for build_id in (found, dump.info.get("BUILD-ID")):
        if build_id is not None and build_id != kernel.build_id:
            raise ContradictionError(
                dump.file,
                f"is of another build: its build id is {build_id}, that of {kernel.file} {kernel.build_id}",
                _WANTED,
            )


def _trampolines(
    dump: _Dump, kernel: Kernel, symbols: Mapping[str, SymbolInfo], offset: int
) -> Sequence[int] | None:
    """Return the slots of `ftrace_tramps`, as linked addresses.

    None if the kernel does not have them, or memory does not: a slot holds a trampoline's address or 0.
    """
    placed = symbols.get("ftrace_tramps")
    if placed is None:
        return None
    word = kernel.bits // 8
    slots = []
    for index in range(len(kernel.trampolines)):
        value = dump.number(placed.address + offset + index * word, word)
        if value is None:
            return None
        slots.append(value - offset if value else 0)
    return slots if set(slots) <= {0, *kernel.trampolines.values()} else None

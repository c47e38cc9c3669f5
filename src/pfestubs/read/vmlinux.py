# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a linked kernel: the location table however it is stored, the areas, the tracer, the words of text."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from contextlib import contextmanager, suppress
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from pfestubs.errors import InputError
from pfestubs.layouts import STUB_SYMBOLS, Layout, detect_layout
from pfestubs.model import Area, Kernel
from pfestubs.read import elf as e
from pfestubs.read.dynamic import DYNAMIC_SYMBOLS, RelocatedWords
from pfestubs.read.file_types import require_kind
from pfestubs.read.headers import build_id_in
from pfestubs.read.memory import Extent, Memory
from pfestubs.read.symbols import ElfSymbols

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.model import ByteOrder, SymbolInfo, SymbolView
    from pfestubs.read.elf import Elf

TABLE_SYMBOLS: Final = ("__start_mcount_loc", "__stop_mcount_loc")
_BRACKETS: Final = ("_stext", "_etext", "_sinittext", "_einittext")
_TRACERS: Final = ("ftrace_caller", "ftrace_regs_caller")
_TRAMPOLINES: Final = ("ftrace_tramp_text", "ftrace_tramp_init")
_KNOWN: Final = (*TABLE_SYMBOLS, *_BRACKETS, *_TRACERS, *_TRAMPOLINES, *STUB_SYMBOLS)
NOTE_SYMBOLS: Final = ("__start_notes", "__stop_notes")
_IDENTITY: Final = ("linux_banner", *NOTE_SYMBOLS)
_NOTES_MAX: Final = 1 << 20
"""Bytes of notes that are read."""
BANNER: Final = b"Linux version "
BANNER_MAX: Final = 512
_WITH_SYMBOLS: Final = "give the vmlinux with its full symbol table, or its System.map with --system-map"
_WHOLE_MAP: Final = "give the whole System.map of this kernel"


@contextmanager
def open_kernel(path: str, system_map: str | None = None) -> Iterator[Kernel]:
    """Read the kernel at `path`; its memory and symbols are valid inside the `with` block.

    Raises:
        InputError: it is damaged, not a linked powerpc kernel, or has no location table, a symbol or a count;
            or the System.map is not this kernel's.
    """
    with e.open_elf(path) as elf:
        require_kind(elf, "kernel")
        if system_map is None:
            if elf.symtab is None:
                raise elf.error(
                    "has no symbol table: it was stripped", "give its System.map with --system-map"
                )
            yield _read(elf, ElfSymbols(elf), elf.path)
        else:
            yield _read_with_map(elf, system_map)


def _read_with_map(elf: Elf, system_map: str) -> Kernel:
    """Read a kernel with the symbols of a System.map, once the map is proved to be its own."""
    from pfestubs.read.system_map import read_system_map, require_matching_map, require_same_symbols

    symbols = read_system_map(system_map)
    if elf.symtab is not None:
        require_same_symbols(elf.path, system_map, ElfSymbols(elf), symbols, _KNOWN)
    kernel = _read(elf, symbols, system_map)
    require_matching_map(kernel, system_map, symbols)
    return kernel


def _read(elf: Elf, symbols: SymbolView, source: str) -> Kernel:
    """Read a kernel with the symbols of `source`, the file itself or a System.map."""
    found = symbols.find([*_KNOWN, *_IDENTITY])
    layout = _layout(elf, found, source)
    memory = Memory(elf.source.read, _extents(elf), elf.byte_order)
    start, stop = (found[name].address for name in TABLE_SYMBOLS)
    _require_loaded(elf, start)
    dynamic = {} if elf.sections else symbols.find(DYNAMIC_SYMBOLS)
    relocated = RelocatedWords(elf, memory, next((place.address for place in dynamic.values()), None))
    table = relocated.words(range(start, stop)) if stop > start else array("Q")
    if table is None:
        raise InputError(
            source,
            f"has its location table at {start:#x} to {stop:#x}, where {elf.path} holds nothing",
            "is the file truncated?" if source == elf.path else "give the System.map of the same build",
        )
    if not table and (layout is None or stop < start):
        raise InputError(
            source,
            f"has an empty location table ({TABLE_SYMBOLS[0]} {start:#x}, {TABLE_SYMBOLS[1]} {stop:#x})",
            "was it built with CONFIG_FUNCTION_TRACER?",
        )
    if 2 * table.count(0) <= len(table):  # else the check says that the table is damaged
        relocated.require_agreement()
    if table and not any(table) and not relocated.is_known:
        raise elf.error(
            "has no section headers and no dynamic section, and its location table holds only zeros: its"
            " relocations cannot be found",
            "give the vmlinux with its section headers",
        )
    return Kernel(
        file=elf.path,
        bits=elf.bits,
        byte_order=elf.byte_order,
        layout=layout,
        table_address=start,
        table=table,
        table_bytes=stop - start,
        text=range(found["_stext"].address, found["_etext"].address),
        inittext=range(found["_sinittext"].address, found["_einittext"].address),
        areas=_areas(source, memory, layout, found, symbols) if layout else (),
        tracers={name: found[name].address for name in _TRACERS if name in found},
        trampolines={name: found[name].address for name in _TRAMPOLINES if name in found},
        memory=memory,
        symbols=symbols,
        banner=_banner(memory, found),
        build_id=build_id_of(memory, found, elf.byte_order, elf.bits),
        beyond_table=partial(_beyond, relocated, range(start, stop), elf.word),
    )


def _layout(elf: Elf, found: Mapping[str, SymbolInfo], source: str) -> Layout | None:
    """Return the layout that the symbols name, once all that a boot depends on are there.

    Raises:
        InputError: naming those that are missing, or the ELF ABI.
    """
    if not any(name in found for name in TABLE_SYMBOLS):
        advice = "was it built with CONFIG_FUNCTION_TRACER?"
        raise InputError(
            source,
            f"has no location table (no {' and '.join(TABLE_SYMBOLS)})",
            advice if source == elf.path else _WHOLE_MAP,
        )
    layout = detect_layout(source, found, None)
    # ELFv1 kernels have neither patchable entries nor stubs (arch/powerpc/Kconfig, Makefile.postlink).
    if elf.machine == "EM_PPC64" and (elf.flags & 3 == 1 or elf.sections_named(".opd")):
        raise elf.error("uses the 64-bit ELF ABI v1, whose kernels have no ftrace stubs", "nothing to check")
    required = [*TABLE_SYMBOLS, *_BRACKETS, _TRACERS[0]]
    if layout is not None:
        required += [*_TRACERS[1:], *_TRAMPOLINES, *layout.symbols]
    missing = [name for name in required if name not in found]
    if missing:
        raise InputError(
            source,
            f"has no {'symbols' if len(missing) > 1 else 'symbol'} {', '.join(missing)}",
            _WITH_SYMBOLS if source == elf.path else _WHOLE_MAP,
        )
    return layout


def _beyond(relocated: RelocatedWords, table: range, word: int) -> Sequence[int]:
    """Return the values in the slots right before and after the table, as far as they can be read."""
    values: list[int] = []
    for slot in (table.start - word, table.stop):
        with suppress(InputError):
            values += relocated.words(range(slot, slot + word)) or ()
    return values


def _banner(memory: Memory, found: Mapping[str, SymbolInfo]) -> str | None:
    """Return `linux_banner` (init/version-timestamp.c): release, builder, compiler, number and time."""
    if "linux_banner" not in found:
        return None
    address = found["linux_banner"].address
    end = next((run.stop for run in memory.runs if address in run), address)
    content = memory.read(address, min(BANNER_MAX, end - address))
    if content is None or not content.startswith(BANNER):
        return None
    return content.split(b"\0")[0].decode("utf-8", "backslashreplace").removesuffix("\n")


def build_id_of(
    memory: Memory, found: Mapping[str, SymbolInfo], byte_order: ByteOrder, bits: int
) -> str | None:
    """Return the GNU build id in a kernel's notes, in hexadecimal."""
    if not all(name in found for name in NOTE_SYMBOLS):
        return None
    start, stop = (found[name].address for name in NOTE_SYMBOLS)
    content = memory.read(start, min(max(stop - start, 0), _NOTES_MAX))
    return None if content is None else build_id_in(content, byte_order, bits)


def _extents(elf: Elf) -> list[Extent]:
    """Return what the file holds of memory, by section, or by segment if there are no section headers."""
    extents = []
    for i, s in enumerate(elf.sections):
        if s.is_loaded:
            elf.require_in_file(s.offset, s.size, f"section {i}")
            extents.append(Extent(s.addr, s.offset, s.size))
    if not extents:
        for segment in elf.segments:
            if segment.type == "PT_LOAD" and segment.filesz:
                elf.require_in_file(segment.offset, segment.filesz, "segment")
                extents.append(Extent(segment.vaddr, segment.offset, segment.filesz))
    return extents


def _require_loaded(elf: Elf, table: int) -> None:
    """Refuse a file whose program headers do not load its code, or the section of `table`, as it is read."""
    loads = sorted((s for s in elf.segments if s.type == "PT_LOAD"), key=attrgetter("vaddr"))
    if not loads:
        return
    for i, s in enumerate(elf.sections):
        if not s.is_loaded or not (s.is_code or s.addr <= table < s.addr + s.size):
            continue
        load = loads[bisect_right(loads, s.addr, key=attrgetter("vaddr")) - 1]
        inside = load.vaddr <= s.addr and s.addr + s.size <= load.vaddr + load.filesz
        if not inside or load.offset - load.vaddr != s.offset - s.addr:
            raise elf.error(
                f"is damaged: its program headers do not load section {elf.section_label(i)} to {s.addr:#x}",
                "build it again",
            )


def _areas(
    source: str, memory: Memory, layout: Layout, found: Mapping[str, SymbolInfo], symbols: SymbolView
) -> list[Area]:
    areas = []
    for spec in layout.areas:
        place = found[spec.count_symbol].address
        count = memory.word(place)
        if count is None:
            raise InputError(source, f"has {spec.count_symbol} at {place:#x}, where the kernel holds nothing")
        address, size = found[spec.symbol]
        areas.append(Area(spec, address, count, size or symbols.gap(address), size_is_gap=size is None))
    return areas

# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a linked kernel: the location table however it is stored, the areas, the tracer, the words of text."""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.layouts import LAYOUTS, Layout, detect_layout
from pfestubs.model import Area, Kernel
from pfestubs.read import elf as e
from pfestubs.read.file_types import require_linked_kernel
from pfestubs.read.map_evidence import compare_symbols, require_matching_map
from pfestubs.read.memory import Extent, Memory
from pfestubs.read.symbols import ElfSymbols
from pfestubs.read.system_map import read_system_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pfestubs.model import SymbolInfo, SymbolView
    from pfestubs.read.elf import Elf

TABLE_SYMBOLS: Final = ("__start_mcount_loc", "__stop_mcount_loc")
_BRACKETS: Final = ("_stext", "_etext", "_sinittext", "_einittext")
_TRACERS: Final = ("ftrace_caller", "ftrace_regs_caller")
_TRAMPOLINES: Final = ("ftrace_tramp_text", "ftrace_tramp_init")
# Relocations that fill a slot with base + addend (boot: arch/powerpc/kernel/reloc_64.S, reloc_32.S).
_FILLING: Final = {
    64: {e.R_PPC_RELATIVE, e.R_PPC64_ADDR64, e.R_PPC64_UADDR64},
    32: {e.R_PPC_RELATIVE, e.R_PPC_ADDR32, e.R_PPC_UADDR32},
}
_R_NONE: Final = 0
NOTE_SYMBOLS: Final = ("__start_notes", "__stop_notes")
_IDENTITY: Final = ("linux_banner", *NOTE_SYMBOLS)
NOTES_MAX: Final = 1 << 20
"""Bytes of notes that are read."""
BANNER: Final = b"Linux version "
BANNER_MAX: Final = 512


@contextmanager
def open_kernel(path: str, system_map: str | None = None) -> Iterator[Kernel]:
    """Read the kernel at `path`; its memory and symbols are valid inside the `with` block.

    Raises:
        UnreadableError: it is damaged, or the table or a count is not in the file.
        UnsuitableError: it is not a linked powerpc kernel, has no location table, or lacks a symbol.
        ContradictionError: the System.map is not this kernel's.
    """
    with e.open_elf(path) as elf:
        require_linked_kernel(elf)
        if system_map is None:
            if elf.symtab is None:
                raise UnsuitableError(
                    elf.path, "has no symbol table: it was stripped", "give its System.map with --system-map"
                )
            yield _read(elf, ElfSymbols(elf), elf.path)
        else:
            yield _read_with_map(elf, system_map)


def _read_with_map(elf: Elf, system_map: str) -> Kernel:
    """Read a kernel with the symbols of a System.map, once the map is proved to be its own."""
    symbols = read_system_map(system_map)
    own = ElfSymbols(elf) if elf.symtab is not None else None
    if own is not None:
        names = _known_symbols()
        compare_symbols(elf.path, system_map, own.find(names), symbols.find(names))
    kernel = _read(elf, symbols, system_map)
    memory = Memory(_extents(elf), elf.order)
    start = kernel.table_address
    stop = start + kernel.table_bytes
    neighbours = [
        value
        for slot in (start - elf.word, stop)
        for value in _table(elf, memory, range(slot, slot + elf.word)) or ()
    ]
    require_matching_map(kernel, system_map, symbols, own, neighbours)
    return kernel


def _known_symbols() -> list[str]:
    stub_symbols = [s for layout in LAYOUTS.values() for s in layout.symbols]
    return [*TABLE_SYMBOLS, *_BRACKETS, *_TRACERS, *_TRAMPOLINES, *stub_symbols]


def _read(elf: Elf, symbols: SymbolView, source: str) -> Kernel:
    """Read a kernel with the symbols of `source`, the file itself or a System.map."""
    found = symbols.find([*_known_symbols(), *_IDENTITY])
    if not any(name in found for name in TABLE_SYMBOLS):
        advice = "was it built with CONFIG_FUNCTION_TRACER?"
        raise UnsuitableError(
            source,
            f"has no location table (no {' and '.join(TABLE_SYMBOLS)})",
            advice if source == elf.path else "give the whole System.map of this kernel",
        )
    stub_symbols = [s for layout in LAYOUTS.values() for s in layout.symbols]
    layout = detect_layout(source, [s for s in stub_symbols if s in found], None)
    _require_elfv2(elf)
    required = [*TABLE_SYMBOLS, *_BRACKETS, *_TRACERS, *_TRAMPOLINES, *(layout.symbols if layout else ())]
    if layout is None:
        required = [*TABLE_SYMBOLS, *_BRACKETS, _TRACERS[0]]
    missing = [name for name in required if name not in found]
    if missing:
        several = len(missing) > 1
        raise UnsuitableError(
            source,
            f"has no {'symbols' if several else 'symbol'} {', '.join(missing)}",
            f"{'these symbols are' if several else 'this symbol is'} required",
        )
    memory = Memory(_extents(elf), elf.order)
    start, stop = (found[name].address for name in TABLE_SYMBOLS)
    table = _table(elf, memory, range(start, stop)) if stop > start else array("Q")
    if table is None:
        raise UnreadableError(
            source,
            f"has its location table at {start:#x} to {stop:#x}, where {elf.path} holds nothing",
            "is the file truncated?" if source == elf.path else "give the System.map of the same build",
        )
    if not table and (layout is None or stop < start):
        raise UnsuitableError(
            source,
            f"has an empty location table ({TABLE_SYMBOLS[0]} {start:#x}, {TABLE_SYMBOLS[1]} {stop:#x})",
            "was it built with CONFIG_FUNCTION_TRACER?",
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
        build_id=_build_id(elf, memory, found),
    )


def _banner(memory: Memory, found: Mapping[str, SymbolInfo]) -> str | None:
    """Return `linux_banner` (init/version-timestamp.c): release, builder, compiler, number and time."""
    if "linux_banner" not in found:
        return None
    address, size = found["linux_banner"]
    for length in (min(size or BANNER_MAX, BANNER_MAX), BANNER_MAX):
        content = memory.read(address, length)
        if content is not None and bytes(content).startswith(BANNER):
            text = bytes(content).split(b"\0")[0].decode("utf-8", "backslashreplace")
            return text.removesuffix("\n")
    return None


def _build_id(elf: Elf, memory: Memory, found: Mapping[str, SymbolInfo]) -> str | None:
    """Return the GNU build id in the kernel's notes, in hexadecimal."""
    if not all(name in found for name in NOTE_SYMBOLS):
        return None
    start, stop = (found[name].address for name in NOTE_SYMBOLS)
    content = memory.read(start, min(max(stop - start, 0), NOTES_MAX))
    return None if content is None else e.build_id_in(content, elf.order)


def _require_elfv2(elf: Elf) -> None:
    """ELFv1 kernels have neither patchable entries nor stubs (arch/powerpc/Kconfig, Makefile.postlink)."""
    if elf.machine == e.EM_PPC64 and (elf.flags & 3 == 1 or elf.sections_named(".opd")):
        raise UnsuitableError(
            elf.path, "uses the 64-bit ELF ABI v1, whose kernels have no ftrace stubs", "nothing to check"
        )


def _extents(elf: Elf) -> list[Extent]:
    """What the file holds of memory, by section, or by segment where the section headers are gone."""
    sections = [
        Extent(s.addr, elf.section_data(i))
        for i, s in enumerate(elf.sections)
        if s.flags & e.SHF_ALLOC and s.size and s.type != e.SHT_NOBITS
    ]
    return sections or [
        Extent(s.vaddr, elf.file_range(s.offset, s.filesz, "segment"))
        for s in elf.segments
        if s.type == e.PT_LOAD and s.filesz
    ]


def _table(elf: Elf, memory: Memory, span: range) -> array[int] | None:
    """Return the value of each slot: the addend of the relocation that fills it, else the stored word.

    None where the file does not hold the slots.
    """
    size = (span.stop - span.start) // elf.word * elf.word
    content = memory.read(span.start, size)
    if content is None:
        return None
    values = elf.words(content, elf.word)
    dynamic = [i for i, s in enumerate(elf.sections) if s.type == e.SHT_RELA and s.flags & e.SHF_ALLOC]
    elf.refuse_overlapping(dynamic, "dynamic relocations")
    for index in dynamic:
        _fill(elf, index, range(span.start, span.start + size), values)
    return values


def _fill(elf: Elf, relocations: int, table: range, values: array[int]) -> None:
    """Put the addends of the relocations that fill slots of the table into `values`."""
    offsets, infos, addends = elf.relocations(relocations)
    assert addends is not None  # noqa: S101 - SHT_RELA
    low, high, word = table.start, table.stop, elf.word
    hits = [i for i, offset in enumerate(offsets) if low <= offset < high]
    wrong = {
        info
        for info in set(map(infos.__getitem__, hits))
        if elf.info_type(info) not in _FILLING[elf.bits] or elf.info_symbol(info)
    }
    for i in hits:
        slot, rest = divmod(offsets[i] - low, word)
        if infos[i] in wrong or rest:
            if elf.info_type(infos[i]) == _R_NONE:
                continue
            name = elf.relocation_name(elf.info_type(infos[i]))
            raise UnreadableError(
                elf.path,
                f"the location table has a relocation {name} at {offsets[i]:#x}, expected only relative ones,"
                " one a slot",
            )
        values[slot] = addends[i]


def _areas(
    source: str, memory: Memory, layout: Layout, found: Mapping[str, SymbolInfo], symbols: SymbolView
) -> list[Area]:
    areas = []
    for spec in layout.areas:
        count = memory.word(found[spec.count_symbol].address)
        if count is None:
            raise UnreadableError(
                source,
                f"has {spec.count_symbol} at {found[spec.count_symbol].address:#x}, where the kernel holds"
                " nothing",
            )
        address, size = found[spec.symbol]
        if size is None:
            areas.append(Area(spec, address, count, symbols.gap(address), size_is_gap=True))
        else:
            areas.append(Area(spec, address, count, size))
    return areas

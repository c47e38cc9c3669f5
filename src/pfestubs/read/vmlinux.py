# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a linked kernel: the location table however it is stored, the areas, the tracer, the words of text."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pfestubs.errors import ContradictionError, UnreadableError, UnsuitableError
from pfestubs.layouts import LAYOUTS, Layout, detect_layout
from pfestubs.read import elf as e
from pfestubs.read.file_types import require_linked_kernel
from pfestubs.read.memory import Extent, Memory
from pfestubs.read.symbols import ElfSymbols, SymbolInfo, Symbols, read_system_map

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Mapping, Sequence

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


@dataclass(frozen=True)
class LinkedArea:
    """An area of stubs as linked: address, size in bytes (None if unknown) and count of stubs."""

    name: str
    address: int
    size: int | None
    count: int


@dataclass(frozen=True)
class Kernel:
    """A linked kernel as plain values; addresses throughout.

    Attributes:
        layout: None for a kernel that traces without stubs.
        table: the values of the location table in table order, after relocation.
        table_bytes: the table's length in bytes.
        text: half-open [_stext, _etext).
        inittext: half-open [_sinittext, _einittext).
        areas: in the order of the layout.
        exact_sizes: area sizes come from symbols, not from the gap to the next one.
        tracers: ftrace_caller, and ftrace_regs_caller where the kernel has it.
        trampolines: ftrace_tramp_text and ftrace_tramp_init, in the order in which the kernel tries them.
        memory: the file's content by address.
        symbols: for naming functions.
    """

    file: str
    bits: int
    order: str
    layout: Layout | None
    table_address: int
    table: Sequence[int]
    table_bytes: int
    text: range
    inittext: range
    areas: Sequence[LinkedArea]
    exact_sizes: bool
    tracers: Mapping[str, int]
    trampolines: Mapping[str, int]
    memory: Memory
    symbols: Symbols


@contextmanager
def open_kernel(path: str, system_map: str | None = None) -> Iterator[Kernel]:
    """Read the kernel at `path`; its memory and symbols are good inside the `with` block.

    Raises:
        UnreadableError: it is damaged, or the table or a count does not lie in it.
        UnsuitableError: it is no linked powerpc kernel, has no location table, or lacks a symbol.
        ContradictionError: the System.map is not this kernel's.
    """
    with e.open_elf(path) as elf:
        require_linked_kernel(elf)
        yield _read(elf, _symbols(elf, system_map), exact_sizes=system_map is None)


def _symbols(elf: Elf, system_map: str | None) -> Symbols:
    if system_map is None:
        if elf.symtab is None:
            raise UnsuitableError(
                elf.path, "has no symbol table: it was stripped", "give its System.map with --system-map"
            )
        return ElfSymbols(elf)
    symbols = read_system_map(system_map)
    if elf.symtab is not None:
        stub_symbols = [s for layout in LAYOUTS.values() for s in layout.symbols]
        names = (*TABLE_SYMBOLS, *_BRACKETS, *_TRACERS, *_TRAMPOLINES, *stub_symbols)
        own, mapped = ElfSymbols(elf).find(names), symbols.find(names)
        for name in names:
            if name in own and (name not in mapped or own[name].address != mapped[name].address):
                found = f"{name} at {mapped[name].address:#x}" if name in mapped else f"no {name}"
                raise ContradictionError(
                    system_map,
                    f"has {found}, {elf.path} has it at {own[name].address:#x}",
                    "give the System.map of the same build",
                )
    return symbols


def _read(elf: Elf, symbols: Symbols, *, exact_sizes: bool) -> Kernel:
    stub_symbols = [s for layout in LAYOUTS.values() for s in layout.symbols]
    found = symbols.find([*TABLE_SYMBOLS, *_BRACKETS, *_TRACERS, *_TRAMPOLINES, *stub_symbols])
    if not any(name in found for name in TABLE_SYMBOLS):
        raise UnsuitableError(
            elf.path,
            f"has no location table ({' and '.join(TABLE_SYMBOLS)} are not there)",
            "was it built with CONFIG_FUNCTION_TRACER?",
        )
    layout = detect_layout(elf.path, [s for s in stub_symbols if s in found], None)
    _refuse_elfv1(elf)
    required = [*TABLE_SYMBOLS, *_BRACKETS, *_TRACERS, *_TRAMPOLINES, *(layout.symbols if layout else ())]
    if layout is None:
        required = [*TABLE_SYMBOLS, *_BRACKETS, _TRACERS[0]]
    missing = [name for name in required if name not in found]
    if missing:
        raise UnsuitableError(
            elf.path,
            f"has no symbol {', '.join(missing)}",
            "without it nothing can be said about this kernel's tracing",
        )
    memory = Memory(_extents(elf), elf.order)
    start, stop = (found[name].address for name in TABLE_SYMBOLS)
    return Kernel(
        file=elf.path,
        bits=elf.bits,
        order=elf.order,
        layout=layout,
        table_address=start,
        table=_table(elf, memory, start, stop),
        table_bytes=stop - start,
        text=range(found["_stext"].address, found["_etext"].address),
        inittext=range(found["_sinittext"].address, found["_einittext"].address),
        areas=_areas(elf, memory, layout, found) if layout else (),
        exact_sizes=exact_sizes,
        tracers={name: found[name].address for name in _TRACERS if name in found},
        trampolines={name: found[name].address for name in _TRAMPOLINES if name in found},
        memory=memory,
        symbols=symbols,
    )


def _refuse_elfv1(elf: Elf) -> None:
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


def _table(elf: Elf, memory: Memory, start: int, stop: int) -> array[int]:
    """The value of each slot: the addend of the relocation that fills it, else the stored word."""
    if stop <= start:
        raise UnsuitableError(
            elf.path,
            f"has an empty location table ({TABLE_SYMBOLS[0]} {start:#x}, {TABLE_SYMBOLS[1]} {stop:#x})",
            "was it built with CONFIG_FUNCTION_TRACER?",
        )
    size = (stop - start) // elf.word * elf.word
    content = memory.read(start, size)
    if content is None:
        raise UnreadableError(
            elf.path,
            f"does not hold its location table ({start:#x} to {stop:#x})",
            "is it cut or stripped of data?",
        )
    values = elf.words(content, elf.word)
    dynamic = [i for i, s in enumerate(elf.sections) if s.type == e.SHT_RELA and s.flags & e.SHF_ALLOC]
    elf.refuse_overlapping(dynamic, "dynamic relocations")
    for index in dynamic:
        _fill(elf, index, range(start, start + size), values)
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


def _areas(elf: Elf, memory: Memory, layout: Layout, found: Mapping[str, SymbolInfo]) -> list[LinkedArea]:
    areas = []
    for area in layout.areas:
        count = memory.word(found[area.count_symbol].address)
        if count is None:
            raise UnreadableError(
                elf.path, f"does not hold {area.count_symbol} ({found[area.count_symbol].address:#x})"
            )
        array = found[area.symbol]
        areas.append(LinkedArea(area.name, array.address, array.size, count))
    return areas

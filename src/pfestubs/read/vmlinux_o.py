# SPDX-License-Identifier: GPL-2.0-or-later
"""Read `vmlinux.o`: where the entries of `__patchable_function_entries` point, and the stub symbols."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import LAYOUTS, STUB_SYMBOLS
from pfestubs.model import ReserveArray, TextSection, VmlinuxO, ppc
from pfestubs.read import elf as e
from pfestubs.read.file_types import require_kind

if TYPE_CHECKING:
    from pfestubs.read.elf import Elf, Relocations, Symbol

ENTRIES: Final = "__patchable_function_entries"
_COUNT_SIZE: Final = 4
_HAS_ADDENDS: Final = 4
_VARIABLE_MAX: Final = 10
"""Bytes of a LEB128 number of 64 bits."""
_RELOCATION_TYPES: Final = frozenset({e.SHT_RELA, e.SHT_REL, e.SHT_CREL})


def read_vmlinux_o(path: str) -> VmlinuxO:
    """Read the object at `path`.

    Raises:
        InputError: it is damaged, not a relocatable powerpc object with a symbol table, or its entries and
            relocations do not agree.
    """
    with e.open_elf(path) as elf:
        require_kind(elf, "object")
        if elf.symtab is None:
            raise elf.error("has no symbol table: it was stripped", "give vmlinux.o as the linker wrote it")
        locations = _locations(elf)
        code = [i for i, s in enumerate(elf.sections) if i in locations or (s.is_code and s.is_allocated)]
        stubs = _stub_symbols(elf)
        return VmlinuxO(
            file=path,
            bits=elf.bits,
            byte_order=elf.byte_order,
            sections=[
                TextSection(
                    elf.section_name(i), elf.sections[i].size, elf.sections[i].align, locations.get(i, ())
                )
                for i in code
            ],
            stub_symbols=frozenset(stubs),
            reserve=_reserve(elf, stubs),
            reserve_array=_reserve_array(stubs, code),
        )


def _locations(elf: Elf) -> dict[int, array[int]]:
    """Return the byte offsets of the locations in each section, over every entries section."""
    relocations = _relocation_sections(elf)
    sizes = [section.size for section in elf.sections]
    elf.refuse_overlapping((sizes[i] for rows in relocations.values() for i in rows), "entries' relocations")
    elf.refuse_overlapping((sizes[i] for i in relocations), "entries")
    reader = _LocationReader(elf)
    for table, sections in relocations.items():
        reader.read_table(table, sections)
    return reader.found


def _relocation_sections(elf: Elf) -> dict[int, list[int]]:
    """Return the relocation sections of each entries section: by sh_info; names and links are ambiguous."""
    relocations: dict[int, list[int]] = {index: [] for index in elf.sections_named(ENTRIES)}
    for i, section in enumerate(elf.sections):
        if section.info in relocations:
            if section.type in _RELOCATION_TYPES:
                relocations[section.info].append(i)
            elif section.type != e.SHT_PROGBITS and elf.section_name(i).startswith((".rel", ".crel")):
                raise elf.error(
                    f"the relocations of section {elf.section_label(section.info)} are in section"
                    f" {elf.section_label(i)} of the unsupported type {section.type:#x}",
                    "link without packed relocations; SHT_RELA, SHT_REL and SHT_CREL are supported",
                )
    return relocations


class _LocationReader:
    """Collects `found`: the byte offsets of the locations in each section."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._mask = (1 << elf.bits) - 1
        self.found: dict[int, array[int]] = {}
        self._targets: dict[int, tuple[array[int], int]] = {}
        """By r_info: the offsets found in the section of its symbol, and the symbol's value."""

    def read_table(self, table: int, sections: list[int]) -> None:
        """Read the entries section `table` with its relocation sections."""
        elf = self._elf
        _refuse_bad_table(elf, table)
        slots = array("Q")
        stored: array[int] | None = None
        for index in sections:
            offsets, infos, addends = _relocations(elf, index)
            if elf.sections[index].link != elf.symtab:
                raise elf.error(
                    f"relocation section {elf.section_label(index)} does not use the symbol table"
                )
            slots.extend(_as_array(offsets))
            if addends is None:
                if stored is None:  # once, however many sections share the table
                    stored = elf.words(elf.section_data(table), elf.word)
                addends = _addends_in_place(elf, table, stored, offsets)
            kinds = dict.fromkeys(infos)
            for info in (info for info in kinds if info not in self._targets):
                target = _target(elf, info)
                if isinstance(target, str):
                    entry = f"{elf.section_label(table)}+{offsets[infos.index(info)]:#x}"
                    raise elf.error(f"entry {entry} {target}")
                section, value = target
                self._targets[info] = self.found.setdefault(section, array("Q")), value
            self._add(infos, addends, is_uniform=len(kinds) == 1)
        _compare_slots(elf, table, slots)

    def _add(self, infos: array[int], addends: array[int], *, is_uniform: bool) -> None:
        mask = self._mask
        if is_uniform:  # a table of a linked section, as GNU ld and LLD leave it: nearly always
            target, value = self._targets[infos[0]]
            target.extend([value + addend & mask for addend in addends] if value else _as_array(addends))
            return
        for info, addend in zip(infos, addends, strict=True):
            target, value = self._targets[info]
            target.append(value + addend & mask)


def _as_array(values: array[int]) -> array[int]:
    return values if values.typecode == "Q" else array("Q", values)


def _refuse_bad_table(elf: Elf, table: int) -> None:
    section = elf.sections[table]
    if section.is_nobits:
        raise elf.error(
            f"holds no data: section {elf.section_label(table)} is empty space",
            "it looks like a file of debug information (--only-keep-debug); give the object itself",
        )
    if section.size % elf.word:
        raise elf.error(
            f"section {elf.section_label(table)} has {section.size} bytes, not a multiple of {elf.word}"
        )


def _addends_in_place(elf: Elf, table: int, words: array[int], offsets: array[int]) -> array[int]:
    """Return the addends of SHT_REL: the words that the relocations change (gABI, "Relocation")."""
    try:
        return array("Q", [words[offset // elf.word] for offset in offsets])
    except IndexError as error:
        raise elf.error(f"a relocation of section {elf.section_label(table)} lies outside it") from error


def _target(elf: Elf, info: int) -> tuple[int, int] | str:
    """Return the section that an r_info points into, and its symbol's value; or what is wrong with it."""
    number = elf.info_type(info)
    if number not in e.ABSOLUTE[elf.bits]:
        return f"has a relocation {elf.relocation_name(number)}, expected {ppc.ADDRESS_RELOCATIONS[elf.bits]}"
    symbol = elf.symbol(elf.info_symbol(info))
    if symbol.reserved or symbol.section == e.SHN_UNDEF:
        kind = {e.SHN_UNDEF: "undefined", e.SHN_ABS: "absolute", e.SHN_COMMON: "common"}.get(
            symbol.section, f"reserved ({symbol.section:#x})"
        )
        name = elf.symbol_name(symbol)
        shown = f"symbol {name}" if name else f"symbol number {elf.info_symbol(info)}"
        return f"refers to the {kind} {shown}, expected a function of this object"
    if not elf.sections[symbol.section].is_code:
        return f"points into section {elf.section_label(symbol.section)}, which holds no code"
    return symbol.section, symbol.value


def _compare_slots(elf: Elf, table: int, slots: array[int]) -> None:
    size = elf.sections[table].size
    expected = size // elf.word
    wanted = array("Q", range(0, size, elf.word))
    if slots == wanted:
        return
    label = elf.section_label(table)
    if len(slots) != expected:
        advice = ""
        if not slots:
            advice = "its relocations were stripped or applied; give vmlinux.o as the linker wrote it"
        raise elf.error(
            f"section {label} has room for {expected:,} entries and {len(slots):,} relocations;"
            " they must be equal",
            advice,
        )
    for slot, entry in zip(sorted(slots), wanted, strict=True):
        if slot != entry:
            raise elf.error(
                f"a relocation at {label}+{slot:#x} fills no entry of its own ({size} bytes, entries of"
                f" {elf.word})"
            )


def _stub_symbols(elf: Elf) -> dict[str, Symbol]:
    """Return the stub symbols that the object defines or refers to."""
    return {elf.symbol_name(symbol): symbol for symbol in elf.symbols_named(STUB_SYMBOLS)}


def _reserve(elf: Elf, stubs: dict[str, Symbol]) -> int | None:
    """Return the content of the reserve's count symbol, a 4-byte `.long`; None if it is not defined here."""
    for name in (layout.reserve.count_symbol for layout in LAYOUTS.values() if layout.reserve):
        symbol = stubs.get(name)
        if symbol is None or symbol.section == e.SHN_UNDEF:
            continue
        section = None if symbol.reserved else elf.sections[symbol.section]
        if (
            section is None
            or section.is_nobits
            or symbol.size not in {0, _COUNT_SIZE}
            or symbol.value + _COUNT_SIZE > section.size
        ):
            raise elf.error(f"{name} is not a {_COUNT_SIZE}-byte number in a section")
        elf.require_in_file(section.offset, section.size, f"section {symbol.section}")
        content = elf.source.read(section.offset + symbol.value, _COUNT_SIZE)
        return int.from_bytes(content, elf.byte_order)
    return None


def _reserve_array(stubs: dict[str, Symbol], code: list[int]) -> ReserveArray | None:
    for layout in LAYOUTS.values():
        symbol = stubs.get(layout.reserve.symbol) if layout.reserve else None
        if symbol is not None and not symbol.reserved and symbol.section in code:
            return ReserveArray(code.index(symbol.section), symbol.value, symbol.size)
    return None


# -- CREL, the compact relocation format of LLVM (`clang -Wa,--crel`, section type SHT_CREL) -----------------


def _relocations(elf: Elf, index: int) -> Relocations:
    """Return the relocations of section `index`, of any of `_RELOCATION_TYPES`, as columns."""
    if elf.sections[index].type != e.SHT_CREL:
        return elf.relocations(index)
    try:
        offsets, symbols, types, addends = decode_crel(elf.section_data(index), elf.bits)
    except ValueError as error:
        raise elf.error(
            f"relocation section {elf.section_label(index)} (CREL) is damaged: {error}"
        ) from error
    shift = 32 if elf.bits == 64 else 8
    infos = array("Q", [symbol << shift | kind for symbol, kind in zip(symbols, types, strict=True)])
    return e.Relocations(offsets, infos, addends)


def decode_crel(data: bytes, bits: int) -> tuple[array[int], array[int], array[int], array[int] | None]:
    """Return the relocations of a CREL section of a 64- or 32-bit file: offsets, symbols, types, addends.

    A ULEB128 header (count, whether there are addends, shift of the offsets), then one record per relocation:
    each member is stored as the difference from the record before (LLVM: `llvm/include/llvm/Object/ELF.h`).
    Addends are unsigned, None if the section has none.

    Raises:
        ValueError: the data is damaged; the message says why.
    """
    header, at = _uleb(data, 0)
    count, flag_bits = header >> 3, 3 if header & _HAS_ADDENDS else 2
    shift = header & 3
    if count > len(data) - at:
        raise ValueError(f"it claims {count:,} relocations in {len(data):,} bytes")
    mask = (1 << bits) - 1
    offsets, symbols, types = array("Q"), array("Q"), array("Q")
    addends = array("Q") if flag_bits == 3 else None
    offset = symbol = kind = addend = 0
    for _ in range(count):
        if at >= len(data):
            raise ValueError("it ends inside a relocation")
        first = data[at]
        at += 1
        offset += (first & 0x7F) >> flag_bits
        if first & 0x80:
            more, at = _uleb(data, at)
            offset += more << (7 - flag_bits)
        if first & 1:
            change, at = _sleb(data, at)
            symbol += change
        if first & 2:
            change, at = _sleb(data, at)
            kind += change
        if first & header & _HAS_ADDENDS:
            change, at = _sleb(data, at)
            addend += change
        offsets.append(offset << shift & mask)
        symbols.append(symbol & 0xFFFFFFFF)
        types.append(kind & 0xFFFFFFFF)
        if addends is not None:
            addends.append(addend & mask)
    return offsets, symbols, types, addends


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + _VARIABLE_MAX]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("it has a number that does not end")


def _sleb(data: bytes, at: int) -> tuple[int, int]:
    value, end = _uleb(data, at)
    width = 7 * (end - at)
    return (value - (1 << width) if value >> (width - 1) & 1 else value), end

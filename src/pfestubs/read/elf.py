# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files as plain tables: what is large and regular is decoded in bulk (ELF gABI).

Section headers, symbols and relocations: a kernel has up to 100,000 of the first and millions of the others,
and an object for each of them costs seconds. What is small and irregular, pyelftools reads
(`pfestubs.read.headers`).
"""

from __future__ import annotations

import struct
import sys
from array import array
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import compress, count
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.read.headers import Headers
from pfestubs.read.source import open_source

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from pfestubs.read.source import Source

SHT_PROGBITS, _SHT_SYMTAB, SHT_RELA, SHT_DYNAMIC, SHT_NOBITS, SHT_REL = 1, 2, 4, 6, 8, 9
_SHT_SYMTAB_SHNDX, SHT_CREL = 18, 0x40000014
_SHF_ALLOC, _SHF_EXECINSTR, _SHF_COMPRESSED = 0x2, 0x4, 0x800
SHN_UNDEF, _SHN_LORESERVE, SHN_ABS, SHN_COMMON, _SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFF2, 0xFFFF
STT_NOTYPE, STT_FUNC = 0, 2
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
ABSOLUTE: Final = {64: frozenset({38, 43}), 32: frozenset({1, 24})}
"""The relocation of an address, by its bits, and its unaligned spelling: R_PPC64_ADDR64, R_PPC64_UADDR64,
R_PPC_ADDR32, R_PPC_UADDR32."""

NAME_LIMIT: Final = 512
"""Bytes of a name that are read: no kernel has longer ones (KSYM_NAME_LEN, include/linux/kallsyms.h)."""
_GROUP_PREFIX: Final = 7


class Section(NamedTuple):
    """A section header: offsets and sizes in bytes, `name` an offset into the name table."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int

    @property
    def is_code(self) -> bool:
        """Whether it holds instructions."""
        return bool(self.flags & _SHF_EXECINSTR)

    @property
    def is_nobits(self) -> bool:
        """Whether the file does not hold its bytes."""
        return self.type == SHT_NOBITS

    @property
    def is_compressed(self) -> bool:
        """Whether its bytes are packed."""
        return bool(self.flags & _SHF_COMPRESSED)

    @property
    def is_allocated(self) -> bool:
        """Whether it is in memory at run time."""
        return bool(self.flags & _SHF_ALLOC)

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory with bytes of the file."""
        return self.is_allocated and self.size > 0 and not self.is_nobits


class Symbol(NamedTuple):
    """A symbol: `section` is an index, resolved through SHT_SYMTAB_SHNDX, or a reserved value.

    `name_offset` is where `Elf.symbol_name` finds its name: most names are never shown.
    """

    name_offset: int
    value: int
    size: int
    type: int
    bind: int
    section: int
    reserved: bool
    """Whether `section` is a reserved value (SHN_ABS...), not the index of a section."""


class Relocations(NamedTuple):
    """Columns of one relocation section; `infos` still holds symbol and type (`Elf.info_symbol`...)."""

    offsets: array[int]
    infos: array[int]
    addends: array[int] | None
    """Unsigned, as stored; None for SHT_REL, whose addends are in the section."""


@contextmanager
def open_elf(path: str) -> Iterator[Elf]:
    """Open the file at `path` and read its ELF header.

    Raises:
        InputError: it is not an ELF file, or damaged.
    """
    with open_source(path) as source:
        yield Elf(source)


class Elf(Headers):
    """One ELF file: its headers, and its tables.

    Attributes:
        word: bytes of an address, 8 or 4.
        order: byte order, "<" or ">" as `struct` spells it.
        symbol_size: bytes of a symbol.
        symbol_value_offset: where st_value is in it, in bytes.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.word = self.bits // 8
        self.order = "<" if self.byte_order == "little" else ">"
        is_64 = self.bits == 64
        self._section_struct = struct.Struct(self.order + ("IIQQQQIIQQ" if is_64 else "10I"))
        self._symbol_struct = struct.Struct(self.order + ("IBBHQQ" if is_64 else "IIIBBH"))
        self.symbol_size = self._symbol_struct.size
        self.symbol_value_offset = 8 if is_64 else 4

    # -- words -------------------------------------------------------------------------------------------

    def words(self, data: bytes, size: int) -> array[int]:
        """Return `data` as unsigned words of `size` bytes (4 or 8) in the file's byte order, in bulk."""
        column = array({4: "I", 8: "Q"}[size])
        column.frombytes(data)
        if self.byte_order != sys.byteorder:
            column.byteswap()
        return column

    # -- sections ----------------------------------------------------------------------------------------

    @cached_property
    def sections(self) -> Sequence[Section]:
        """All section headers by index."""
        # Not Section._make: a call of Python for each of 80,000 headers takes three times as long.
        return list(
            map(partial(tuple.__new__, Section), self._section_struct.iter_unpack(self.section_table))
        )

    @cached_property
    def _section_names(self) -> bytes:
        index = self.name_section
        if not 0 < index < len(self.sections):
            return b""
        return self.section_data(index)

    def section_name(self, index: int) -> str:
        """Return the name of section `index`."""
        return string_at(self._section_names, self.sections[index].name)

    def sections_named(self, name: str) -> list[int]:
        """Return the indices of every section of that name: names are not unique."""
        wanted = offsets_of_names(self._section_names, [name])
        return [i for i, section in enumerate(self.sections) if section.name in wanted]

    def section_label(self, index: int) -> str:
        """Return a section as messages name it: `[12] .init.text`."""
        return f"[{index}] {self.section_name(index)}"

    def section_data(self, index: int) -> bytes:
        """Return the bytes of section `index`; none for SHT_NOBITS."""
        section = self.sections[index]
        if section.is_nobits:
            return b""
        return self.file_range(section.offset, section.size, f"section {index}")

    # -- symbols -----------------------------------------------------------------------------------------

    @cached_property
    def symtab(self) -> int | None:
        """The index of the symbol table (SHT_SYMTAB), or None: the file is stripped."""
        return next((i for i, s in enumerate(self.sections) if s.type == _SHT_SYMTAB), None)

    @cached_property
    def symbols(self) -> bytes:
        """The symbol table as it is in the file; empty for a stripped file."""
        if self.symtab is None:
            return b""
        data = self.section_data(self.symtab)
        if len(data) % self.symbol_size:
            raise self.error(f"has a symbol table of {len(data)} bytes, not a multiple of {self.symbol_size}")
        return data

    @cached_property
    def symbol_names(self) -> bytes:
        """The string table of the symbols' names."""
        if self.symtab is None:
            return b""
        link = self.sections[self.symtab].link
        if not 0 < link < len(self.sections):
            raise self.error(f"section {self.symtab} links to section {link}, which is not there")
        return self.section_data(link)

    @cached_property
    def _extended_indices(self) -> bytes:
        """The table that holds st_shndx where 16 bits do not (SHT_SYMTAB_SHNDX)."""
        for i, section in enumerate(self.sections):
            if section.type == _SHT_SYMTAB_SHNDX and section.link == self.symtab:
                return self.section_data(i)
        return b""

    @property
    def symbol_count(self) -> int:
        """Entries in the symbol table."""
        return len(self.symbols) // self.symbol_size

    def symbol_fields(self, index: int) -> tuple[int, int, int, int, int]:
        """Return the name offset, value, size, st_info and st_shndx of symbol `index`."""
        fields = self._symbol_struct.unpack_from(self.symbols, index * self.symbol_size)
        if self.bits == 64:
            name, info, _, section, value, size = fields
        else:
            name, value, size, info, _, section = fields
        return name, value, size, info, section

    def symbol(self, index: int) -> Symbol:
        """Return symbol `index` of the symbol table.

        Raises:
            InputError: there is no such symbol, or its extended section index is missing.
        """
        try:
            name, value, size, info, section = self.symbol_fields(index)
        except struct.error as e:
            raise self.error(f"refers to symbol {index}, the symbol table has {self.symbol_count}") from e
        reserved = section >= _SHN_LORESERVE
        if section == _SHN_XINDEX:
            try:
                (section,) = struct.unpack_from(self.order + "I", self._extended_indices, index * 4)
            except struct.error as e:
                raise self.error(
                    f"symbol {index} has its section index in a table that does not hold it"
                ) from e
            reserved = False
        if not reserved and section >= len(self.sections):
            raise self.error(f"symbol {index} is in section {section}, the file has {len(self.sections)}")
        return Symbol(name, value, size, info & 0xF, info >> 4, section, reserved)

    def symbol_name(self, symbol: Symbol) -> str:
        """Return the name of a symbol of the symbol table."""
        return string_at(self.symbol_names, symbol.name_offset)

    @cached_property
    def symbol_columns(self) -> tuple[array[int], array[int], bytes]:
        """Bulk columns of the symbol table: name offsets, values (0 if undefined), st_info bytes."""
        data = self.symbols
        if self.bits == 64:
            return self._name_offsets, self.words(data, 8)[1::3], data[4::24]
        return self._name_offsets, self.words(data, 4)[1::4], data[12::16]

    @cached_property
    def _name_offsets(self) -> array[int]:
        return self.words(self.symbols, 4)[:: 6 if self.bits == 64 else 4]

    def symbols_named(self, names: Sequence[str]) -> list[Symbol]:
        """Return the symbols with one of the given names, and only those: global ones before local ones.

        Local symbols are not searched for a name that a global one has.
        """
        # sh_info is the index of the first symbol that is not local (gABI, "Symbol Table").
        border = min(self.sections[self.symtab or 0].info, self.symbol_count)
        stride = self.symbol_size // 4
        global_names = self.words(self.symbols[border * self.symbol_size :], 4)[::stride]
        # Linkers write names in the order of their symbols: those of local ones fill most of the table.
        start = min(global_names[0], len(self.symbol_names)) if global_names else 0
        offsets = offsets_of_names(self.symbol_names, names, start)
        found = self._symbols_at(offsets, global_names, border)
        missing = set(names).difference(map(self.symbol_name, found))
        if missing and start:
            offsets = offsets_of_names(self.symbol_names, sorted(missing))
            found += self._symbols_at(offsets, global_names, border)
            missing.difference_update(map(self.symbol_name, found))
        offsets = {offset: name for offset, name in offsets.items() if name in missing}
        return found + self._symbols_at(offsets, self._name_offsets[:border], 0) if offsets else found

    def _symbols_at(self, wanted: Container[int], name_offsets: array[int], first: int) -> list[Symbol]:
        """Return the symbols whose name is at a wanted offset; `first` is the index of the column's first."""
        return [self.symbol(i) for i in compress(count(first), map(wanted.__contains__, name_offsets))]

    # -- relocations -------------------------------------------------------------------------------------

    def relocations(self, index: int) -> Relocations:
        """Return the relocations of section `index` (SHT_RELA or SHT_REL) as columns."""
        section = self.sections[index]
        data = self.section_data(index)
        columns = 3 if section.type == SHT_RELA else 2
        if len(data) % (columns * self.word):
            raise self.error(
                f"relocation section {self.section_label(index)} has {len(data)} bytes, not a multiple of"
                f" {columns * self.word}"
            )
        words = self.words(data, self.word)
        return Relocations(words[0::columns], words[1::columns], words[2::columns] if columns == 3 else None)

    def info_symbol(self, info: int) -> int:
        """Return the symbol index in an r_info (ELF32_R_SYM, ELF64_R_SYM)."""
        return info >> 32 if self.bits == 64 else info >> 8

    def info_type(self, info: int) -> int:
        """Return the relocation type in an r_info (ELF32_R_TYPE, ELF64_R_TYPE)."""
        return info & 0xFFFFFFFF if self.bits == 64 else info & 0xFF


# -- names in string tables ----------------------------------------------------------------------------------


def string_at(table: bytes, offset: int) -> str:
    """Return the string at `offset` of a string table as text."""
    return decode_name(raw_string_at(table, offset))


def raw_string_at(table: bytes, offset: int) -> bytes:
    """Return the bytes of the string at `offset` of a string table; of a long one the beginning."""
    end = table.find(b"\0", offset, offset + NAME_LIMIT)
    if end < 0:  # too long, or the table ends first
        end = offset + NAME_LIMIT if offset + NAME_LIMIT < len(table) else offset
    return table[offset:end]


def decode_name(name: bytes) -> str:
    r"""Return a name as text; bytes that are not ASCII as `\xNN` if they are not UTF-8 either.

    The codec's own handler (backslashreplace) takes 50 times as long, which hostile files can cause.
    """
    try:
        return name.decode()
    except UnicodeDecodeError:
        return repr(name)[2:-1]


def offsets_of_names(table: bytes, names: Sequence[str], start: int = 0) -> dict[int, str]:
    """Return where one of `names` can be read in a string table from `start` on, and which.

    Names that begin alike are searched for together: a table has megabytes.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(name[:_GROUP_PREFIX], []).append(name)
    found: dict[int, str] = {}
    for group in groups.values():
        keys = {name.encode() + b"\0": name for name in group}
        every = tuple(keys)
        prefix = every[0] if len(every) == 1 else group[0][:_GROUP_PREFIX].encode()
        at = table.find(prefix, start)
        while at >= 0:
            if table.startswith(every, at):
                found[at] = keys[table[at : table.index(b"\0", at) + 1]]
            at = table.find(prefix, at + 1)
    return found

# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files as plain tables: the only module that parses the format (ELF gABI).

Section headers, symbols and relocations are decoded in bulk: a kernel has up to 100,000 of the first and
millions of the others, and an object for each of them costs seconds. pyelftools, which takes longer to import
than these tables to decode, gives the names of machines and relocation types, which only messages need.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import compress, count
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.model import ByteOrder
from pfestubs.read.source import open_source

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from pfestubs.read.source import ByteSource

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_PPC, EM_PPC64 = 20, 21
SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL, SHT_SYMTAB_SHNDX, SHT_CREL = 2, 4, 8, 9, 18, 0x40000014
SHF_ALLOC, SHF_EXECINSTR, SHF_INFO_LINK = 0x2, 0x4, 0x40
SHN_UNDEF, SHN_LORESERVE, SHN_ABS, SHN_COMMON, SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFF2, 0xFFFF
STT_NOTYPE, STT_FUNC = 0, 2
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
PN_XNUM = 0xFFFF
_NT_GNU_BUILD_ID = 3
R_PPC64_ADDR64, R_PPC64_UADDR64, R_PPC_ADDR32, R_PPC_UADDR32, R_PPC_RELATIVE = 38, 43, 1, 24, 22

# pyelftools has no names of 32-bit relocations before 0.30; in the order of their numbers.
_PPC32_RELOCATIONS: Final = tuple(
    f"R_PPC_{name}"
    for name in (  # noqa: SIM905 - a list would take 33 lines
        "NONE ADDR32 ADDR24 ADDR16 ADDR16_LO ADDR16_HI ADDR16_HA ADDR14 ADDR14_BRTAKEN ADDR14_BRNTAKEN REL24"
        " REL14 REL14_BRTAKEN REL14_BRNTAKEN GOT16 GOT16_LO GOT16_HI GOT16_HA PLTREL24 COPY GLOB_DAT JMP_SLOT"
        " RELATIVE LOCAL24PC UADDR32 UADDR16 REL32 PLT32 PLTREL32 PLT16_LO PLT16_HI PLT16_HA SDAREL16"
    ).split()
)
_RELOCATION_SECTIONS: Final = {
    19: "SHT_RELR",
    0x60000001: "SHT_ANDROID_REL",
    0x60000002: "SHT_ANDROID_RELA",
    0x6FFFFF00: "SHT_ANDROID_RELR",
}

_FROM_BUILD_TREE: Final = "take vmlinux from the build tree or the debug package"
_COMPRESSED_MODULE: Final = re.compile(r"\.ko\.(?:xz|gz|zst)$")
_MAGICS: Final = (
    (b"!<arch>\n", "is an archive, not an ELF file", "unpack it with ar and name the object"),
    (b"!<thin>\n", "is a thin archive, not an ELF file", "name the object it refers to"),
    (b"\x1f\x8b", "is compressed (gzip)", "unpack it first, or take vmlinux from the build tree"),
    (b"\xfd7zXZ\0", "is compressed (xz)", "unpack it first: xz -dk"),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd)", "unpack it first: zstd -dk"),
    (b"BZh", "is compressed (bzip2)", "unpack it first: bzip2 -dk"),
    (b"\x04\x22\x4d\x18", "is compressed (lz4)", "unpack it first: lz4 -dk"),
    (b"\x02\x21\x4c\x18", "is compressed (lz4, legacy format)", "unpack it first: lz4 -dk"),
    (b"\x5d\0\0", "is compressed (lzma)", "unpack it first: xz -dk --format=lzma"),
    (b"\x89LZO", "is compressed (lzop)", "unpack it first: lzop -dk"),
    # makedumpfile refuses -E for input in its own format: "'-E' option is disable".
    (
        b"KDUMP   ",
        "is a compressed kdump",
        "makedumpfile cannot turn it back; save an ELF core instead: makedumpfile -E -d 31 /proc/vmcore CORE"
        " (QEMU: dump-guest-memory without -z, -l, -s)",
    ),
    (b"makedumpfile\0", "is a flattened dump", "restore it: makedumpfile -R CORE < DUMP"),
    (b"\x27\x05\x19\x56", "is a U-Boot image (uImage)", "take vmlinux from the build tree"),
    (
        b"\xd0\x0d\xfe\xed",
        "is a device tree blob, which a FIT image (.itb) is too",
        f"unpack the kernel in it (dumpimage -T flat_dt -p 0 -o KERNEL FILE), or {_FROM_BUILD_TREE}",
    ),
    (b"MZ", "is an EFI or DOS executable, not an ELF file", "take vmlinux from the build tree"),
)


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


class Segment(NamedTuple):
    """A program header: addresses, and offset and sizes in bytes."""

    type: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int


class Note(NamedTuple):
    """A note: the owner's name, the owner's type, the content."""

    owner: str
    type: int
    content: bytes


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
        UnreadableError: it cannot be opened, or is damaged.
        UnsuitableError: it is not an ELF file.
    """
    with open_source(path) as source:
        yield Elf(source)


class Elf:
    """One ELF file.

    Attributes:
        path: as the user named it.
        source: its bytes.
        bits: 64 or 32 (the class).
        word: bytes of an address, 8 or 4.
        order: byte order, "<" or ">" as `struct` spells it.
        type: ET_REL, ET_EXEC, ET_DYN, ET_CORE...
        machine: EM_PPC, EM_PPC64...
        flags: e_flags; for ppc64 the ABI version in the two lowest bits.
    """

    def __init__(self, source: ByteSource) -> None:
        self.path = source.path
        self.source = source
        head = source.read(0, min(64, source.size))
        _require_elf_magic(self.path, head)
        if len(head) < 16 or head[4] not in {1, 2} or head[5] not in {1, 2}:
            raise UnreadableError(self.path, "has a damaged ELF header (class or byte order unknown)")
        self.bits: int = 64 if head[4] == 2 else 32
        self.word = self.bits // 8
        self.byte_order = ByteOrder.LITTLE if head[5] == 1 else ByteOrder.BIG
        self.order = self.byte_order.struct
        try:
            fields = struct.unpack_from(
                self.order + ("HHIQQQI6H" if self.bits == 64 else "HHIIIII6H"), head, 16
            )
        except struct.error as e:
            raise UnreadableError(
                self.path, f"is cut short: {len(head)} bytes do not hold an ELF header"
            ) from e
        self.type: int
        self.machine: int
        self.flags: int
        self.type, self.machine, _, _, self._phoff, self._shoff, self.flags, *counts = fields
        _, self._phentsize, self._phnum, self._shentsize, self._shnum, self._shstrndx = counts

    @property
    def machine_name(self) -> str:
        """The gABI's name of the machine, for messages."""
        from elftools.elf.enums import ENUM_E_MACHINE

        return next((str(n) for n, v in ENUM_E_MACHINE.items() if v == self.machine), str(self.machine))

    def _slice(self, offset: int, size: int, what: str) -> bytes:
        if offset + size > self.source.size:
            raise UnreadableError(
                self.path,
                f"is cut short or damaged: its {what} would end at byte {offset + size:,}, the file has"
                f" {self.source.size:,}",
                "copy or build it again",
            )
        return self.source.read(offset, size)

    # -- words -------------------------------------------------------------------------------------------

    def unpack_at(self, code: str, offset: int) -> int:
        """Return one value (a `struct` code) at a file offset in bytes.

        Raises:
            UnreadableError: the file ends before it.
        """
        codes = struct.Struct(self.order + code)
        if offset + codes.size > self.source.size:
            raise UnreadableError(
                self.path, f"is cut short: nothing at byte {offset:,} of {self.source.size:,}"
            )
        value: int = codes.unpack(self.source.read(offset, codes.size))[0]
        return value

    def words(self, data: bytes, size: int) -> array[int]:
        """Return `data` as unsigned words of `size` bytes (4 or 8) in the file's byte order, in bulk."""
        column = array({4: "I", 8: "Q"}[size])
        column.frombytes(data)
        if (self.order == "<") != (sys.byteorder == "little"):
            column.byteswap()
        return column

    # -- sections ----------------------------------------------------------------------------------------

    @cached_property
    def _section_struct(self) -> struct.Struct:
        return struct.Struct(self.order + ("IIQQQQIIQQ" if self.bits == 64 else "10I"))

    @cached_property
    def _first_section(self) -> Section:
        """Section header 0, which holds what the ELF header's 16 bits cannot (gABI, "Sections")."""
        codes = self._section_struct
        return Section._make(codes.unpack(self._slice(self._shoff, codes.size, "section header table")))

    @cached_property
    def sections(self) -> Sequence[Section]:
        """All section headers by index.

        Raises:
            UnreadableError: the table does not lie in the file.
        """
        if not self._shoff:
            return ()
        codes, entry = self._section_struct, self._shentsize
        if entry != codes.size:
            raise UnreadableError(self.path, f"has section headers of {entry} bytes, expected {codes.size}")
        number = self._shnum or self._first_section.size
        table = self._slice(self._shoff, number * entry, "section header table")
        # Not Section._make: a call of Python for each of 80,000 headers takes three times as long.
        return list(map(partial(tuple.__new__, Section), codes.iter_unpack(table)))

    @cached_property
    def _section_names(self) -> bytes:
        index = self._shstrndx
        if index == SHN_XINDEX:
            index = self._first_section.link
        if not 0 < index < len(self.sections):
            return b""
        return self.section_data(index)

    def section_name(self, index: int) -> str:
        """Return the name of section `index`."""
        return _string(self._section_names, self.sections[index].name)

    def sections_named(self, name: str) -> list[int]:
        """Return the indices of every section of that name: names are not unique."""
        wanted = _string_offsets(self._section_names, name)
        return [i for i, section in enumerate(self.sections) if section.name in wanted]

    def section_label(self, index: int) -> str:
        """Return a section as messages name it: `[12] .init.text`."""
        return f"[{index}] {self.section_name(index)}"

    def section_data(self, index: int) -> bytes:
        """Return the bytes of section `index`; none for SHT_NOBITS.

        Raises:
            UnreadableError: they do not lie in the file.
        """
        section = self.sections[index]
        if section.type == SHT_NOBITS:
            return b""
        return self._slice(section.offset, section.size, f"section {index}")

    def require_in_file(self, offset: int, size: int, what: str) -> None:
        """Refuse a range that ends after the file, without reading it.

        Raises:
            UnreadableError: it does.
        """
        if offset + size > self.source.size:
            self._slice(offset, size, what)

    # -- segments ----------------------------------------------------------------------------------------

    @cached_property
    def segments(self) -> Sequence[Segment]:
        """All program headers."""
        offset, entry, number = self._phoff, self._phentsize, self._phnum
        if not offset or not number:
            return ()
        if number == PN_XNUM:
            number = self._first_section.info
        codes = struct.Struct(self.order + ("IIQQQQQQ" if self.bits == 64 else "8I"))
        if entry != codes.size:
            raise UnreadableError(self.path, f"has program headers of {entry} bytes, expected {codes.size}")
        table = self._slice(offset, number * entry, "program header table")
        if self.bits == 64:
            return [Segment(t, o, v, p, f, m) for t, _, o, v, p, f, m, _ in codes.iter_unpack(table)]
        return [Segment(t, o, v, p, f, m) for t, o, v, p, f, m, _, _ in codes.iter_unpack(table)]

    def file_range(self, offset: int, size: int, what: str) -> bytes:
        """Return `size` bytes at a file offset.

        Raises:
            UnreadableError: the file ends before them.
        """
        return self._slice(offset, size, what)

    def notes(self) -> Iterator[Note]:
        """Yield the notes of every PT_NOTE segment.

        Raises:
            UnreadableError: a segment does not lie in the file, or they overlap.
        """
        segments = [s for s in self.segments if s.type == PT_NOTE]
        self._refuse_more_than_file(sum(s.filesz for s in segments), "notes")
        for segment in segments:
            yield from notes_in(self.file_range(segment.offset, segment.filesz, "notes"), self.order)

    # -- symbols -----------------------------------------------------------------------------------------

    @cached_property
    def symtab(self) -> int | None:
        """The index of the symbol table (SHT_SYMTAB), or None: the file is stripped."""
        return next((i for i, s in enumerate(self.sections) if s.type == SHT_SYMTAB), None)

    @cached_property
    def _symbol_struct(self) -> struct.Struct:
        return struct.Struct(self.order + ("IBBHQQ" if self.bits == 64 else "IIIBBH"))

    @property
    def symbol_value_offset(self) -> int:
        """Where st_value is in a symbol, in bytes."""
        return 8 if self.bits == 64 else 4

    @property
    def symbol_size(self) -> int:
        """Bytes of a symbol."""
        return self._symbol_struct.size

    @cached_property
    def symbols(self) -> bytes:
        """The symbol table as it is in the file; empty for a stripped file.

        Raises:
            UnreadableError: its size is not a multiple of a symbol's.
        """
        if self.symtab is None:
            return b""
        data = self.section_data(self.symtab)
        if len(data) % self._symbol_struct.size:
            raise UnreadableError(
                self.path,
                f"has a symbol table of {len(data)} bytes, not a multiple of {self._symbol_struct.size}",
            )
        return data

    @cached_property
    def _symbol_names(self) -> bytes:
        if self.symtab is None:
            return b""
        return self.section_data(self._linked(self.symtab))

    def _linked(self, index: int) -> int:
        link = self.sections[index].link
        if not 0 < link < len(self.sections):
            raise UnreadableError(self.path, f"section {index} links to section {link}, which is not there")
        return link

    @cached_property
    def _extended_indices(self) -> bytes:
        """The table that holds st_shndx where 16 bits do not (SHT_SYMTAB_SHNDX)."""
        for i, section in enumerate(self.sections):
            if section.type == SHT_SYMTAB_SHNDX and section.link == self.symtab:
                return self.section_data(i)
        return b""

    @property
    def symbol_count(self) -> int:
        """Entries in the symbol table."""
        return len(self.symbols) // self._symbol_struct.size

    def symbol(self, index: int) -> Symbol:
        """Return symbol `index` of the symbol table.

        Raises:
            UnreadableError: there is no such symbol, or its extended section index is missing.
        """
        try:
            fields = self._symbol_struct.unpack_from(self.symbols, index * self._symbol_struct.size)
        except struct.error as e:
            raise UnreadableError(
                self.path, f"refers to symbol {index}, the symbol table has {self.symbol_count}"
            ) from e
        if self.bits == 64:
            name, info, _, section, value, size = fields
        else:
            name, value, size, info, _, section = fields
        reserved = section >= SHN_LORESERVE
        if section == SHN_XINDEX:
            try:
                (section,) = struct.unpack_from(self.order + "I", self._extended_indices, index * 4)
            except struct.error as e:
                raise UnreadableError(
                    self.path, f"symbol {index} has its section index in a table that does not hold it"
                ) from e
            reserved = False
        if not reserved and section >= len(self.sections):
            raise UnreadableError(
                self.path, f"symbol {index} is in section {section}, the file has {len(self.sections)}"
            )
        return Symbol(name, value, size, info & 0xF, info >> 4, section, reserved)

    def symbol_name(self, symbol: Symbol) -> str:
        """Return the name of a symbol of the symbol table."""
        return _string(self._symbol_names, symbol.name_offset)

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

    def symbol_fields(self, index: int) -> tuple[int, int, int]:
        """Return the name offset, value and st_info of symbol `index`."""
        fields = self._symbol_struct.unpack_from(self.symbols, index * self._symbol_struct.size)
        if self.bits == 64:
            return fields[0], fields[4], fields[1]
        return fields[0], fields[1], fields[3]

    @property
    def symbol_names_size(self) -> int:
        """Bytes of the symbol name table."""
        return len(self._symbol_names)

    def raw_symbol_name_at(self, offset: int) -> bytes:
        """Return the bytes of the string at `offset` of the symbol name table."""
        return _raw_string(self._symbol_names, offset)

    def symbols_named(self, names: Sequence[str]) -> list[Symbol]:
        """Return the symbols with one of the given names, and only those: global ones before local ones.

        Local symbols are not searched for a name that a global one has.
        """
        # sh_info is the index of the first symbol that is not local (gABI, "Symbol Table").
        border = min(self.sections[self.symtab or 0].info, self.symbol_count)
        stride = self.symbol_size // 4
        global_names = self.words(self.symbols[border * self.symbol_size :], 4)[::stride]
        # Linkers write names in the order of their symbols: those of local ones fill most of the table.
        start = min(global_names[0], len(self._symbol_names)) if global_names else 0
        offsets = _offsets_of_names(self._symbol_names, names, start)
        found = self._symbols_at(offsets, global_names, border)
        missing = set(names).difference(map(self.symbol_name, found))
        if missing and start:
            offsets = _offsets_of_names(self._symbol_names, sorted(missing))
            found += self._symbols_at(offsets, global_names, border)
            missing.difference_update(map(self.symbol_name, found))
        offsets = {offset: name for offset, name in offsets.items() if name in missing}
        return found + self._symbols_at(offsets, self._name_offsets[:border], 0) if offsets else found

    def _symbols_at(self, wanted: Container[int], name_offsets: array[int], first: int) -> list[Symbol]:
        """Return the symbols whose name is at a wanted offset; `first` is the index of the column's first."""
        return [self.symbol(i) for i in compress(count(first), map(wanted.__contains__, name_offsets))]

    def refuse_overlapping(self, indices: Iterable[int], what: str) -> None:
        """Refuse sections that together hold more bytes than the file: they overlap.

        Raises:
            UnreadableError: they do; decoding the same bytes many times would take unbounded time.
        """
        self._refuse_more_than_file(sum(self.sections[index].size for index in indices), what)

    def _refuse_more_than_file(self, total: int, what: str) -> None:
        if total > self.source.size:
            raise UnreadableError(
                self.path, f"is damaged: its {what} claim {total:,} bytes, the file has {self.source.size:,}"
            )

    # -- relocations -------------------------------------------------------------------------------------

    @cached_property
    def rela_struct(self) -> struct.Struct:
        """An entry of SHT_RELA: offset, info, addend (unsigned)."""
        return struct.Struct(self.order + ("3Q" if self.bits == 64 else "3I"))

    def relocations(self, index: int) -> Relocations:
        """Return the relocations of section `index` (SHT_RELA, SHT_REL or SHT_CREL) as columns.

        Raises:
            UnreadableError: the section's size is not a multiple of an entry's, or it is damaged.
        """
        section = self.sections[index]
        data = self.section_data(index)
        if section.type == SHT_CREL:
            return self._compact_relocations(index, data)
        columns = 3 if section.type == SHT_RELA else 2
        if len(data) % (columns * self.word):
            raise UnreadableError(
                self.path,
                f"relocation section {self.section_label(index)} has {len(data)} bytes, not a multiple of"
                f" {columns * self.word}",
            )
        words = self.words(data, self.word)
        return Relocations(words[0::columns], words[1::columns], words[2::columns] if columns == 3 else None)

    def _compact_relocations(self, index: int, data: bytes) -> Relocations:
        from pfestubs.read.crel import CrelError, decode_crel

        try:
            offsets, symbols, types, addends = decode_crel(data, self.bits)
        except CrelError as e:
            raise UnreadableError(
                self.path, f"relocation section {self.section_label(index)} (CREL) is damaged: {e}"
            ) from e
        shift = 32 if self.bits == 64 else 8
        infos = array("Q", [symbol << shift | kind for symbol, kind in zip(symbols, types, strict=True)])
        return Relocations(offsets, infos, addends)

    def relocation_section_type(self, index: int) -> str:
        """Return the type of a relocation section, by name where it is known, for messages."""
        number = self.sections[index].type
        name = _RELOCATION_SECTIONS.get(number)
        return f"{number:#x} ({name})" if name else f"{number:#x}"

    def info_symbol(self, info: int) -> int:
        """Return the symbol index in an r_info (ELF32_R_SYM, ELF64_R_SYM)."""
        return info >> 32 if self.bits == 64 else info >> 8

    def info_type(self, info: int) -> int:
        """Return the relocation type in an r_info (ELF32_R_TYPE, ELF64_R_TYPE)."""
        return info & 0xFFFFFFFF if self.bits == 64 else info & 0xFF

    def relocation_name(self, number: int) -> str:
        """Return the psABI's name of a relocation type."""
        if self.bits == 32 and number < len(_PPC32_RELOCATIONS):
            return _PPC32_RELOCATIONS[number]
        from elftools.elf import enums

        known = getattr(enums, f"ENUM_RELOC_TYPE_PPC{'64' if self.bits == 64 else ''}", {})
        return next((str(n) for n, v in known.items() if v == number), f"type {number}")


def notes_in(data: bytes, order: str) -> Iterator[Note]:
    """Yield the notes in `data`, names and contents padded to 4 bytes (gABI, "Note Section")."""
    header = struct.Struct(order + "3I")
    at = 0
    while at + header.size <= len(data):
        name_size, size, number = header.unpack_from(data, at)
        start = at + header.size
        content = start + name_size + -name_size % 4
        at = content + size + -size % 4
        if content + size > len(data):
            return
        owner = data[start : start + name_size].rstrip(b"\0").decode("utf-8", "replace")
        yield Note(owner, number, data[content : content + size])


def build_id_in(notes: bytes, order: str) -> str | None:
    """Return the GNU build id among notes, in hexadecimal, None if there is none."""
    ids = (n.content.hex() for n in notes_in(notes, order) if n.owner == "GNU" and n.type == _NT_GNU_BUILD_ID)
    return next(ids, None)


def _require_elf_magic(path: str, head: bytes) -> None:
    if not head:
        raise UnreadableError(path, "is empty")
    if head.startswith(b"\x7fELF"):
        return
    for magic, problem, advice in _MAGICS:
        if head.startswith(magic):
            if _COMPRESSED_MODULE.search(path):
                raise UnsuitableError(path, "is a compressed kernel module", "pfestubs modules reads it")
            raise UnsuitableError(path, problem, advice)
    raise UnsuitableError(path, f"is not an ELF file (starts with {head[:4].hex(' ')})")


_NAME_LIMIT: Final = 1024
"""Bytes of a name that are shown: twice the kernel's KSYM_NAME_LEN; bounds memory use for hostile files."""


def _string(table: bytes, offset: int) -> str:
    return decode_name(_raw_string(table, offset))


def _raw_string(table: bytes, offset: int) -> bytes:
    end = table.find(b"\0", offset, offset + _NAME_LIMIT)
    if end < 0:  # too long, or the table ends first
        end = offset + _NAME_LIMIT if offset + _NAME_LIMIT < len(table) else offset
    return table[offset:end]


def decode_name(name: bytes) -> str:
    r"""Return a name as text; bytes that are not ASCII as `\xNN` if they are not UTF-8 either.

    The codec's own handler (backslashreplace) takes 50 times as long, which hostile files can cause.
    """
    try:
        return name.decode()
    except UnicodeDecodeError:
        return repr(name)[2:-1]


def _string_offsets(table: bytes, name: str) -> set[int]:
    """Return where `name` can be read in a string table; it may be the tail of a longer name."""
    return set(_offsets_of_names(table, [name]))


_GROUP_PREFIX: Final = 7


def _offsets_of_names(table: bytes, names: Sequence[str], start: int = 0) -> dict[int, str]:
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

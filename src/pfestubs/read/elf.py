# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files as plain tables: the one module that knows the format (ELF gABI).

pyelftools reads the ELF header and its escapes (section 0). Section headers, symbols and relocations are
decoded in bulk from a map of the file: a kernel has up to 100,000 of the first and millions of the
others, and an object for each of them costs seconds.
"""

from __future__ import annotations

import io
import mmap
import os
import stat
import struct
import sys
from array import array
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from elftools.common.exceptions import ELFParseError
from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.model import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_PPC, EM_PPC64 = 20, 21
SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL, SHT_SYMTAB_SHNDX = 2, 4, 8, 9, 18
SHF_ALLOC, SHF_EXECINSTR = 0x2, 0x4
SHN_UNDEF, SHN_LORESERVE, SHN_ABS, SHN_COMMON, SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFF2, 0xFFFF
STT_NOTYPE, STT_FUNC = 0, 2
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
PT_LOAD, PT_NOTE = 1, 4
PN_XNUM = 0xFFFF
_NT_GNU_BUILD_ID = 3
R_PPC64_ADDR64, R_PPC64_UADDR64, R_PPC_ADDR32, R_PPC_UADDR32, R_PPC_RELATIVE = 38, 43, 1, 24, 22

_MAGICS: Final = (
    (b"!<arch>\n", "is an archive, not an ELF file", "unpack it with ar and name the object"),
    (b"!<thin>\n", "is a thin archive, not an ELF file", "name the object it refers to"),
    (b"\x1f\x8b", "is compressed (gzip)", "unpack it first, or take vmlinux from the build tree"),
    (b"\xfd7zXZ\0", "is compressed (xz)", "unpack it first: xz -dk"),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd)", "unpack it first: zstd -dk"),
    (b"BZh", "is compressed (bzip2)", "unpack it first: bzip2 -dk"),
    # makedumpfile refuses -E for input in its own format: "'-E' option is disable".
    (
        b"KDUMP   ",
        "is a compressed kdump",
        "makedumpfile cannot turn it back; save an ELF core instead: makedumpfile -E -d 31 /proc/vmcore CORE"
        " (QEMU: dump-guest-memory without -z, -l, -s)",
    ),
    (b"makedumpfile\0", "is a flattened dump", "restore it: makedumpfile -R CORE < DUMP"),
    (b"\x27\x05\x19\x56", "is a U-Boot image (uImage)", "take vmlinux from the build tree"),
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
    """A symbol: `section` is an index, resolved through SHT_SYMTAB_SHNDX, or a reserved value."""

    name: str
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
    """Unsigned, as stored; None for SHT_REL, whose addends stand in the section."""


@contextmanager
def open_elf(path: str) -> Iterator[Elf]:
    """Map the file at `path` and read its ELF header.

    Raises:
        UnreadableError: it cannot be opened, or is damaged.
        UnsuitableError: it is no ELF file.
    """
    with mapped(path) as data:
        elf = Elf(path, data)
        try:
            yield elf
        finally:
            elf.close()


@contextmanager
def mapped(path: str) -> Iterator[memoryview]:
    """The bytes of the file at `path`, mapped where that is possible."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the path is the user's word, also for messages
            status = os.fstat(file.fileno())
            if stat.S_ISCHR(status.st_mode):
                raise UnreadableError(path, "is a device, not a file")
            if stat.S_ISREG(status.st_mode) and status.st_size:
                content: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            else:
                content = file.read()
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise UnreadableError(path, f"cannot be read: {reason}") from e
    view = memoryview(content)
    try:
        yield view
    finally:
        view.release()
        if isinstance(content, mmap.mmap):
            with suppress(BufferError):  # an exception under way still holds a view; the map goes with it
                content.close()


class Elf:
    """One ELF file.

    Attributes:
        path: as the user named it.
        bits: 64 or 32 (the class).
        word: bytes of an address, 8 or 4.
        order: byte order, "<" or ">" as `struct` spells it.
        type: ET_REL, ET_EXEC, ET_DYN, ET_CORE...
        machine: EM_PPC, EM_PPC64...
        flags: e_flags; for ppc64 the ABI version in the two lowest bits.
    """

    def __init__(self, path: str, data: memoryview) -> None:
        self.path = path
        self._data = data
        _refuse_other_magic(path, data)
        header = self._parse_header()
        self.bits: int = 64 if data[4] == 2 else 32
        self.word = self.bits // 8
        self.byte_order = ByteOrder.LITTLE if data[5] == 1 else ByteOrder.BIG
        self.order = self.byte_order.struct
        self.type: int = self.unpack_at("H", 16)
        self.machine: int = self.unpack_at("H", 18)
        self.machine_name = str(header["e_machine"])
        self.flags: int = header["e_flags"]
        self._header = header

    def close(self) -> None:
        """Let go of the file's bytes."""
        self._data = memoryview(b"")

    # -- header ------------------------------------------------------------------------------------------

    def _parse_header(self) -> Any:
        data = self._data
        if len(data) < 16 or data[4] not in {1, 2} or data[5] not in {1, 2}:
            raise UnreadableError(self.path, "has a damaged ELF header (class or byte order unknown)")
        self._structs = _structs(data[5] == 1, 64 if data[4] == 2 else 32)
        try:
            header = struct_parse(self._structs.Elf_Ehdr, io.BytesIO(data[:64]), 0)
        except (ELFParseError, ValueError, KeyError, OverflowError) as e:
            raise UnreadableError(
                self.path, f"is cut short: {len(data)} bytes do not hold an ELF header"
            ) from e
        return header

    def _first_section(self) -> Any:
        """Section header 0, which holds what the ELF header's 16 bits cannot (gABI, "Sections")."""
        offset = self._header["e_shoff"]
        size = self._structs.Elf_Shdr.sizeof()
        chunk = self._slice(offset, size, "section header table")
        try:
            return struct_parse(self._structs.Elf_Shdr, io.BytesIO(chunk), 0)
        except (ELFParseError, ValueError, KeyError, OverflowError) as e:
            raise UnreadableError(self.path, "has a damaged section header table") from e

    def _slice(self, offset: int, size: int, what: str) -> memoryview:
        if offset + size > len(self._data):
            raise UnreadableError(
                self.path,
                f"is cut short or damaged: its {what} would end at byte {offset + size:,}, the file has"
                f" {len(self._data):,}",
                "copy or build it again",
            )
        return self._data[offset : offset + size]

    # -- words -------------------------------------------------------------------------------------------

    def unpack_at(self, code: str, offset: int) -> int:
        """One value (a `struct` code) at a file offset in bytes.

        Raises:
            UnreadableError: the file ends before it.
        """
        try:
            value: int = struct.unpack_from(self.order + code, self._data, offset)[0]
        except struct.error as e:
            raise UnreadableError(
                self.path, f"is cut short: nothing at byte {offset:,} of {len(self._data):,}"
            ) from e
        return value

    def words(self, data: memoryview, size: int) -> array[int]:
        """`data` as unsigned words of `size` bytes (4 or 8) in the file's byte order, in bulk."""
        column = array({4: "I", 8: "Q"}[size])
        column.frombytes(data)
        if (self.order == "<") != (sys.byteorder == "little"):
            column.byteswap()
        return column

    # -- sections ----------------------------------------------------------------------------------------

    @cached_property
    def sections(self) -> Sequence[Section]:
        """All section headers by index.

        Raises:
            UnreadableError: the table does not lie in the file.
        """
        offset, entry = self._header["e_shoff"], self._header["e_shentsize"]
        if not offset:
            return ()
        codes = struct.Struct(self.order + ("IIQQQQIIQQ" if self.bits == 64 else "10I"))
        if entry != codes.size:
            raise UnreadableError(self.path, f"has section headers of {entry} bytes, expected {codes.size}")
        count = self._header["e_shnum"] or self._first_section()["sh_size"]
        table = self._slice(offset, count * entry, "section header table")
        return list(map(Section._make, codes.iter_unpack(table)))

    @cached_property
    def _section_names(self) -> bytes:
        index = self._header["e_shstrndx"]
        if index == SHN_XINDEX:
            index = self._first_section()["sh_link"]
        if not 0 < index < len(self.sections):
            return b""
        return bytes(self.section_data(index))

    def section_name(self, index: int) -> str:
        """The name of section `index`."""
        return _string(self._section_names, self.sections[index].name)

    def sections_named(self, name: str) -> list[int]:
        """The indices of every section of that name: names are not unique."""
        wanted = _string_offsets(self._section_names, name)
        return [i for i, section in enumerate(self.sections) if section.name in wanted]

    def section_label(self, index: int) -> str:
        """A section as messages name it: `[12] .init.text`."""
        return f"[{index}] {self.section_name(index)}"

    def section_data(self, index: int) -> memoryview:
        """The bytes of section `index`; none for SHT_NOBITS.

        Raises:
            UnreadableError: they do not lie in the file.
        """
        section = self.sections[index]
        if section.type == SHT_NOBITS:
            return self._data[:0]
        return self._slice(section.offset, section.size, f"section {index}")

    # -- segments ----------------------------------------------------------------------------------------

    @cached_property
    def segments(self) -> Sequence[Segment]:
        """All program headers."""
        offset, entry = self._header["e_phoff"], self._header["e_phentsize"]
        count = self._header["e_phnum"]
        if not offset or not count:
            return ()
        if count == PN_XNUM:
            count = self._first_section()["sh_info"]
        codes = struct.Struct(self.order + ("IIQQQQQQ" if self.bits == 64 else "8I"))
        if entry != codes.size:
            raise UnreadableError(self.path, f"has program headers of {entry} bytes, expected {codes.size}")
        table = self._slice(offset, count * entry, "program header table")
        if self.bits == 64:
            return [Segment(t, o, v, p, f, m) for t, _, o, v, p, f, m, _ in codes.iter_unpack(table)]
        return [Segment(t, o, v, p, f, m) for t, o, v, p, f, m, _, _ in codes.iter_unpack(table)]

    def file_range(self, offset: int, size: int, what: str) -> memoryview:
        """`size` bytes at a file offset.

        Raises:
            UnreadableError: the file ends before them.
        """
        return self._slice(offset, size, what)

    def notes(self) -> Iterator[Note]:
        """The notes of every PT_NOTE segment.

        Raises:
            UnreadableError: a segment does not lie in the file.
        """
        for segment in self.segments:
            if segment.type == PT_NOTE:
                data = self.file_range(segment.offset, segment.filesz, "notes")
                yield from notes_in(data, self.order)

    # -- symbols -----------------------------------------------------------------------------------------

    @cached_property
    def symtab(self) -> int | None:
        """The index of the symbol table (SHT_SYMTAB), or None: the file is stripped."""
        return next((i for i, s in enumerate(self.sections) if s.type == SHT_SYMTAB), None)

    @cached_property
    def _symbol_struct(self) -> struct.Struct:
        return struct.Struct(self.order + ("IBBHQQ" if self.bits == 64 else "IIIBBH"))

    @cached_property
    def _symbols(self) -> memoryview:
        if self.symtab is None:
            return memoryview(b"")
        data = self.section_data(self.symtab)
        if len(data) % self._symbol_struct.size:
            raise UnreadableError(
                self.path,
                f"has a symbol table of {len(data)} bytes, no multiple of {self._symbol_struct.size}",
            )
        return data

    @cached_property
    def _symbol_names(self) -> bytes:
        if self.symtab is None:
            return b""
        return bytes(self.section_data(self._linked(self.symtab)))

    def _linked(self, index: int) -> int:
        link = self.sections[index].link
        if not 0 < link < len(self.sections):
            raise UnreadableError(self.path, f"section {index} links to section {link}, which is not there")
        return link

    @cached_property
    def _extended_indices(self) -> memoryview:
        """The table that holds st_shndx where 16 bits do not (SHT_SYMTAB_SHNDX)."""
        for i, section in enumerate(self.sections):
            if section.type == SHT_SYMTAB_SHNDX and section.link == self.symtab:
                return self.section_data(i)
        return memoryview(b"")

    @property
    def symbol_count(self) -> int:
        """Entries in the symbol table."""
        return len(self._symbols) // self._symbol_struct.size

    def symbol(self, index: int) -> Symbol:
        """Symbol `index` of the symbol table.

        Raises:
            UnreadableError: there is no such symbol, or its extended section index is missing.
        """
        try:
            fields = self._symbol_struct.unpack_from(self._symbols, index * self._symbol_struct.size)
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
        text = _string(self._symbol_names, name)
        return Symbol(text, value, size, info & 0xF, info >> 4, section, reserved)

    @cached_property
    def symbol_columns(self) -> tuple[array[int], array[int], bytes]:
        """Bulk columns of the symbol table: name offsets, values (0 if undefined), st_info bytes."""
        data = self._symbols
        if self.bits == 64:
            return self.words(data, 4)[0::6], self.words(data, 8)[1::3], bytes(data[4::24])
        words = self.words(data, 4)
        return words[0::4], words[1::4], bytes(data[12::16])

    def symbol_name_at(self, offset: int) -> str:
        """The string at `offset` of the symbol name table."""
        return _string(self._symbol_names, offset)

    def symbols_named(self, names: Sequence[str]) -> list[Symbol]:
        """Every symbol with one of the given names; only those are decoded."""
        wanted: set[int] = set()
        for name in names:
            wanted |= _string_offsets(self._symbol_names, name)
        if not wanted:
            return []
        column = self.words(self._symbols, 4)[:: 6 if self.bits == 64 else 4]
        return [self.symbol(i) for i, offset in enumerate(column) if offset in wanted]

    def refuse_overlapping(self, indices: Iterable[int], what: str) -> None:
        """Refuse sections that together hold more bytes than the file: they overlap.

        Raises:
            UnreadableError: they do; to read one stretch of the file again and again would never end.
        """
        total = sum(self.sections[index].size for index in indices)
        if total > len(self._data):
            raise UnreadableError(
                self.path, f"is damaged: its {what} claim {total:,} bytes, the file has {len(self._data):,}"
            )

    # -- relocations -------------------------------------------------------------------------------------

    def relocations(self, index: int) -> Relocations:
        """The relocations of section `index` (SHT_RELA or SHT_REL) as columns.

        Raises:
            UnreadableError: the section's size is no multiple of an entry's.
        """
        columns = 3 if self.sections[index].type == SHT_RELA else 2
        data = self.section_data(index)
        if len(data) % (columns * self.word):
            raise UnreadableError(
                self.path,
                f"relocation section {self.section_label(index)} has {len(data)} bytes, no multiple of"
                f" {columns * self.word}",
            )
        words = self.words(data, self.word)
        return Relocations(words[0::columns], words[1::columns], words[2::columns] if columns == 3 else None)

    def info_symbol(self, info: int) -> int:
        """The symbol index in an r_info (ELF32_R_SYM, ELF64_R_SYM)."""
        return info >> 32 if self.bits == 64 else info >> 8

    def info_type(self, info: int) -> int:
        """The relocation type in an r_info (ELF32_R_TYPE, ELF64_R_TYPE)."""
        return info & 0xFFFFFFFF if self.bits == 64 else info & 0xFF

    def relocation_name(self, number: int) -> str:
        """The psABI's name of a relocation type."""
        from elftools.elf import enums

        table = enums.ENUM_RELOC_TYPE_PPC64 if self.bits == 64 else enums.ENUM_RELOC_TYPE_PPC
        return next((str(n) for n, v in table.items() if v == number), f"type {number}")


@cache
def _structs(little_endian: bool, bits: int) -> ELFStructs:
    """Return pyelftools' structures of a class and byte order; to make them takes 2 ms."""
    structs = ELFStructs(little_endian=little_endian, elfclass=bits)
    structs.create_basic_structs()
    # Section headers do not depend on the file's type and machine.
    structs.create_advanced_structs("ET_REL", "EM_PPC64" if bits == 64 else "EM_PPC")
    return structs


def notes_in(data: memoryview, order: str) -> Iterator[Note]:
    """The notes in `data`, names and contents padded to 4 bytes (gABI, "Note Section")."""
    header = struct.Struct(order + "3I")
    at = 0
    while at + header.size <= len(data):
        name_size, size, number = header.unpack_from(data, at)
        start = at + header.size
        content = start + name_size + -name_size % 4
        at = content + size + -size % 4
        if content + size > len(data):
            return
        owner = bytes(data[start : start + name_size]).rstrip(b"\0").decode("utf-8", "backslashreplace")
        yield Note(owner, number, bytes(data[content : content + size]))


def build_id_in(notes: memoryview, order: str) -> str | None:
    """Return the GNU build id among notes, in hexadecimal, None if there is none."""
    ids = (n.content.hex() for n in notes_in(notes, order) if n.owner == "GNU" and n.type == _NT_GNU_BUILD_ID)
    return next(ids, None)


def _refuse_other_magic(path: str, data: memoryview) -> None:
    if not data:
        raise UnreadableError(path, "is empty")
    head = bytes(data[:16])
    if head.startswith(b"\x7fELF"):
        return
    for magic, problem, advice in _MAGICS:
        if head.startswith(magic):
            raise UnsuitableError(path, problem, advice)
    raise UnsuitableError(path, f"is no ELF file (it begins with {head[:4].hex(' ')})")


_NAME_LIMIT: Final = 1024
"""Bytes of a name that are shown: twice the kernel's KSYM_NAME_LEN, so that no file makes names a burden."""


def _string(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset, offset + _NAME_LIMIT)
    if end < 0:  # too long, or the table ends first
        end = offset + _NAME_LIMIT if offset + _NAME_LIMIT < len(table) else offset
    return table[offset:end].decode("utf-8", "backslashreplace")


def _string_offsets(table: bytes, name: str) -> set[int]:
    """Where `name` can be read in a string table; it may be the tail of a longer name."""
    key = name.encode() + b"\0"
    found = set()
    at = table.find(key)
    while at >= 0:
        found.add(at)
        at = table.find(key, at + 1)
    return found

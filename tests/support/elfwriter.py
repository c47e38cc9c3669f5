# SPDX-License-Identifier: GPL-2.0-or-later
"""A small ELF writer for tests: objects, linked kernels and cores, sound or deliberately odd.

Sections get the indices 1, 2, ... in the order given; relocation sections, symbol and name tables follow.
Symbols name their section, relocations their symbol, by object: names need not be unique.

    text = Section(".text", flags=AX, data=bytes(64))
    start = Symbol("", section=text, type=STT_SECTION, bind=STB_LOCAL)
    table = Section(ENTRIES, flags=WA, data=bytes(8), relocations=[Relocation(0, start, R_PPC64_ADDR64, 8)])
    path.write_bytes(write_elf([text, table], [start]))

A linked file has addresses and segments; a segment maps sections or holds bytes of its own (cores):

    write_elf([text], symbols, type_=ET_EXEC, segments=[Segment(PT_LOAD, vaddr=text.addr, sections=[text])])
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_386, EM_PPC, EM_PPC64, EM_X86_64 = 3, 20, 21, 62
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 1, 2, 3, 4, 8, 9
SHT_SYMTAB_SHNDX, SHT_CREL = 18, 0x40000014
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 0x1, 0x2, 0x4
AX, WA = SHF_ALLOC | SHF_EXECINSTR, SHF_ALLOC | SHF_WRITE
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION = range(4)
STB_LOCAL, STB_GLOBAL = range(2)
PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
PF_R = 4
R_PPC64_RELATIVE, R_PPC64_ADDR64, R_PPC64_REL64, R_PPC64_UADDR64 = 22, 38, 44, 43
R_PPC_ADDR32, R_PPC_UADDR32 = 1, 24
R_PPC64_ADDR32 = 1
ENTRIES = "__patchable_function_entries"

# Values of `Symbol.section` that are no section: negative, as an index may be above 0xff00.
UNDEF = 0
ABS, COMMON = 0xFFF1 - 0x10000, 0xFFF2 - 0x10000

_LORESERVE, _XINDEX, _PN_XNUM = 0xFF00, 0xFFFF, 0xFFFF


@dataclass(eq=False, slots=True)
class Section:
    """A section; `size` beyond `data` reads as zeros (and is empty space for SHT_NOBITS).

    `link` and `info` are sections or plain numbers.
    """

    name: str
    data: bytes | bytearray = b""
    type: int = SHT_PROGBITS
    flags: int = 0
    addr: int = 0
    size: int | None = None
    align: int = 1
    entsize: int = 0
    link: Section | int = 0
    info: Section | int = 0
    relocations: list[Relocation] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.data) if self.size is None else self.size


@dataclass(eq=False, slots=True)
class Symbol:
    """A symbol; `section` is a Section, UNDEF, ABS, COMMON, or a plain index."""

    name: str
    value: int = 0
    section: Section | int = UNDEF
    size: int = 0
    type: int = STT_NOTYPE
    bind: int = STB_GLOBAL


@dataclass(eq=False, slots=True)
class Relocation:
    """A relocation of the section that lists it; `symbol` is a Symbol of the table or a plain index."""

    offset: int
    symbol: Symbol | int
    type: int
    addend: int = 0


@dataclass(eq=False, slots=True)
class Segment:
    """A program header: maps `sections` (placed by their addresses), or holds `data`."""

    type: int
    vaddr: int = 0
    paddr: int | None = None
    flags: int = PF_R
    align: int = 0x1000
    sections: Sequence[Section] = ()
    data: bytes = b""


def write_elf(
    sections: Sequence[Section] = (), symbols: Sequence[Symbol] | None = (), **options: Any
) -> bytes:
    """The bytes of an ELF file.

    `sections` come without the null section and the tables made here, `symbols` with locals first;
    None leaves the symbol table out (a stripped file). The options are those of `_pieces`: `rel` stores the
    addends in the sections, `crel` writes compact relocations (then `rel` may leave the addends out of them).
    """
    pieces, total = _pieces(sections, symbols, **options)
    image = bytearray(total)
    for offset, piece in pieces:
        image[offset : offset + len(piece)] = piece
    return bytes(image)


def save_elf(
    path: Path,
    sections: Sequence[Section] = (),
    symbols: Sequence[Symbol] | None = (),
    **options: Any,
) -> Path:
    """`write_elf` to a file, with holes where sections are larger than their data."""
    pieces, total = _pieces(sections, symbols, **options)
    with path.open("wb") as file:
        for offset, piece in pieces:
            file.seek(offset)
            file.write(piece)
        file.truncate(total)
    return path


@dataclass
class KernelObject:
    """A `vmlinux.o` in the making: functions with entries, and the symbols that show the layout.

    With a reserve, the first section is the architecture's own code: the count at 0, the array at 8.
    `texts` are sections of code and the locations in them; `relocation` is the type of the entries'
    relocations, by default the machine's own.
    """

    texts: InitVar[Mapping[str, Sequence[int]] | None] = None
    bits: int = 64
    order: str = "<"
    layout: str | None = "ool"
    reserve: int | None = 5
    rel: bool = False
    crel: bool = False
    relocation: int | None = None
    sections: list[Section] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)

    def __post_init__(self, texts: Mapping[str, Sequence[int]] | None) -> None:
        if self.layout == "pfe":
            self.refer("ftrace_pfe_stub_text", "ftrace_pfe_stub_text_count", "ftrace_pfe_stub_inittext")
        elif self.layout == "ool":
            self.refer("ftrace_ool_stub_text_end", "ftrace_ool_stub_inittext_count")
            if self.reserve is not None:
                count = struct.pack(self.order + "I", self.reserve)
                section = Section(".text", count, flags=AX, size=8 + 24 * self.reserve, align=8)
                self.sections.append(section)
                self.symbols += [
                    Symbol("ftrace_ool_stub_text_count", 0, section, 4, STT_OBJECT),
                    Symbol("ftrace_ool_stub_text", 8, section, 24 * self.reserve),
                ]
        for name, locations in (texts or {}).items():
            self.text(name, locations)

    @property
    def word(self) -> int:
        return self.bits // 8

    def refer(self, *names: str) -> None:
        """Undefined symbols."""
        self.symbols += [Symbol(name) for name in names]

    def text(
        self, name: str, locations: Sequence[int], *, size: int | None = None, flags: int = AX
    ) -> Section:
        """A section of code with its own entries section, as LLD keeps them."""
        section = Section(
            name, flags=flags, size=max(locations, default=0) + 16 if size is None else size, align=4
        )
        self.sections.append(section)
        if locations:
            self.table(section, locations)
        return section

    def table(self, section: Section, locations: Sequence[int], symbol: Symbol | None = None) -> Section:
        """An entries section for locations in `section`, through its section symbol or `symbol`."""
        if symbol is None:
            symbol = Symbol("", section=section, type=STT_SECTION, bind=STB_LOCAL)
            self.symbols.append(symbol)
        table = Section(ENTRIES, bytes(self.word * len(locations)), flags=WA, align=self.word)
        kind = self.relocation
        if kind is None:
            kind = R_PPC64_ADDR64 if self.bits == 64 else R_PPC_ADDR32
        table.relocations = [Relocation(i * self.word, symbol, kind, at) for i, at in enumerate(locations)]
        self.sections.append(table)
        return table

    def save(self, path: Path) -> Path:
        """Write it."""
        return save_elf(
            path,
            self.sections,
            sorted(self.symbols, key=lambda s: s.bind != STB_LOCAL),
            machine=EM_PPC64 if self.bits == 64 else EM_PPC,
            bits=self.bits,
            order=self.order,
            flags=2 if self.bits == 64 else 0,
            rel=self.rel,
            crel=self.crel,
        )


def encode_crel(rows: Sequence[tuple[int, int, int, int]], *, addends: bool = True) -> bytes:
    """A CREL section of (offset, symbol, type, addend): as LLVM's assembler writes it.

    The offsets' common factor of up to 8 is divided out; each member is the difference to the row before.
    """
    shift = 3
    while shift and any(offset % (1 << shift) for offset, *_ in rows):
        shift -= 1
    flag_bits = 3 if addends else 2
    data = bytearray(_leb(len(rows) * 8 + (4 if addends else 0) + shift))
    before = (0, 0, 0, 0)
    for row in rows:
        offset, symbol, kind, addend = (new - old for new, old in zip(row, before, strict=True))
        before = row
        changes = [symbol, kind, addend] if addends else [symbol, kind]
        flags = sum((change != 0) << i for i, change in enumerate(changes))
        first = (offset % (1 << 64) >> shift) << flag_bits | flags
        data += _leb(first)
        for change in changes:
            if change:
                data += _leb(change, signed=True)
    return bytes(data)


def _leb(value: int, *, signed: bool = False) -> bytes:
    """A LEB128 number."""
    data = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        done = value == (-1 if byte & 0x40 and value < 0 else 0) and not (
            signed and value == 0 and byte & 0x40
        )
        data.append(byte | (0 if done else 0x80))
        if done:
            return bytes(data)


def section_headers(image: bytes | bytearray) -> range:
    """Where the section headers are in a little-endian file of 64 bits (sh_type is at 4, sh_size at 32)."""
    (start,), (count,) = struct.unpack_from("<Q", image, 40), struct.unpack_from("<H", image, 60)
    return range(start, start + 64 * count, 64)


def program_headers(image: bytes | bytearray) -> range:
    """Where the program headers are in such a file (p_type is at 0, p_offset at 8, p_filesz at 32)."""
    (start,), (count,) = struct.unpack_from("<Q", image, 32), struct.unpack_from("<H", image, 56)
    return range(start, start + 56 * count, 56)


def note(name: bytes, type_: int, desc: bytes, order: str = "<") -> bytes:
    """One note, as PT_NOTE segments hold them."""
    name += b"\0"
    return struct.pack(order + "3I", len(name), len(desc), type_) + _padded(name, 4) + _padded(desc, 4)


class Strings:
    """A string table that shares tails, as linkers make it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.at = {"": 0}
        table = bytearray(1)
        previous, start = "", 0
        for name in sorted(set(names) - {""}, key=lambda n: n[::-1], reverse=True):
            if previous.endswith(name):
                self.at[name] = start + len(previous.encode()) - len(name.encode())
                continue
            previous, start = name, len(table)
            self.at[name] = start
            table += name.encode() + b"\0"
        self.data = bytes(table)


def _padded(data: bytes, align: int) -> bytes:
    return data + bytes(-len(data) % align)


def _up(value: int, align: int) -> int:
    return value + -value % max(align, 1)


def _pieces(
    given: Sequence[Section],
    symbols: Sequence[Symbol] | None,
    *,
    type_: int = ET_REL,
    machine: int = EM_PPC64,
    bits: int = 64,
    order: str = "<",
    flags: int = 2,
    segments: Sequence[Segment] = (),
    rel: bool = False,
    crel: bool = False,
) -> tuple[list[tuple[int, bytes | bytearray]], int]:
    wide = bits == 64
    word = "Q" if wide else "I"
    index = {id(s): i for i, s in enumerate(given, 1)}
    sections = list(given)

    def number(section: Section | int) -> int:
        return section if isinstance(section, int) else index[id(section)]

    tables: list[Section] = []
    patched: dict[int, bytes] = {}
    if symbols is not None and (given or symbols):
        tables = _symbol_tables(symbols, number, order=order, wide=wide)
        sections += _relocation_sections(
            given, symbols, tables[0], patched, order=order, word=word, rel=rel, crel=crel
        )
        sections += tables
    if sections:
        sections.append(Section(".shstrtab", type=SHT_STRTAB))
        index = {id(s): i for i, s in enumerate(sections, 1)}
        names = Strings(s.name for s in sections)
        sections[-1].data = names.data

    # Program headers first, then segments with what they map, then the other sections, then the headers.
    ehsize, phsize, shsize = (64, 56, 64) if wide else (52, 32, 40)
    pieces: list[tuple[int, bytes | bytearray]] = []
    at = ehsize + len(segments) * phsize
    offsets: dict[int, int] = {}
    program = bytearray()
    for segment in segments:
        align = max(segment.align, 1)
        at = _up(at, align) + segment.vaddr % align
        end, memory = at + len(segment.data), len(segment.data)
        if segment.data:
            pieces.append((at, segment.data))
        for section in segment.sections:
            offset = at + section.addr - segment.vaddr
            offsets[id(section)] = offset
            if section.type != SHT_NOBITS:
                end = max(end, offset + section.length)
            memory = max(memory, offset + section.length - at)
        paddr = segment.vaddr if segment.paddr is None else segment.paddr
        place = at, segment.vaddr, paddr, end - at, memory
        row = (segment.flags, *place) if wide else (*place, segment.flags)
        program += struct.pack(order + ("IIQQQQQQ" if wide else "8I"), segment.type, *row, align)
        at = end
    pieces.append((ehsize, program))

    header_code = struct.Struct(order + ("IIQQQQIIQQ" if wide else "10I"))
    headers = bytearray(header_code.size)
    for section in sections:
        offset = offsets.get(id(section), -1)
        if offset < 0:
            offset = at = _up(at, section.align)
            if section.type != SHT_NOBITS:
                at += section.length
        data = patched.get(id(section), section.data)
        if data and section.type != SHT_NOBITS:
            pieces.append((offset, data))
        where = section.addr, offset, section.length
        links = number(section.link), number(section.info), section.align, section.entsize
        headers += header_code.pack(names.at[section.name], section.type, section.flags, *where, *links)

    count, shstrndx, phnum = len(sections) + bool(sections), len(sections), len(segments)
    escapes = [0] * 10
    if count >= _LORESERVE:
        escapes[5], count = count, 0
    if shstrndx >= _LORESERVE:
        escapes[6], shstrndx = shstrndx, _XINDEX
    if phnum >= _PN_XNUM:
        escapes[7], phnum = phnum, _PN_XNUM
    header_code.pack_into(headers, 0, *escapes)
    shoff = _up(at, 8) if sections else 0
    if sections:
        pieces.append((shoff, headers))
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    values = type_, machine, 1, 0, ehsize if segments else 0, shoff, flags
    sizes = ehsize, phsize if segments else 0, phnum, shsize, count, shstrndx
    pieces.append((0, ident + struct.pack(order + "HHI" + word * 3 + "I6H", *values, *sizes)))
    return pieces, max((o + len(p) for o, p in pieces), default=0) if not sections else shoff + len(headers)


def _symbol_tables(
    symbols: Sequence[Symbol], number: Callable[[Section | int], int], *, order: str, wide: bool
) -> list[Section]:
    names = Strings(s.name for s in symbols)
    pack = struct.Struct(order + ("IBBHQQ" if wide else "IIIBBH")).pack
    table = bytearray(pack(*[0] * 6))
    extended = [0]
    for symbol in symbols:
        section = number(symbol.section)
        info = symbol.bind << 4 | symbol.type
        is_far = isinstance(symbol.section, Section) and section >= _LORESERVE
        extended.append(section if is_far else 0)
        kind, value = (info, 0, _XINDEX if is_far else section & 0xFFFF), (symbol.value, symbol.size)
        table += pack(names.at[symbol.name], *((*kind, *value) if wide else (*value, *kind)))
    strings = Section(".strtab", names.data, SHT_STRTAB)
    first_global = 1 + next((i for i, s in enumerate(symbols) if s.bind != STB_LOCAL), len(symbols))
    symtab = Section(
        ".symtab", table, SHT_SYMTAB, align=8, link=strings, info=first_global, entsize=24 if wide else 16
    )
    tables = [symtab, strings]
    if any(extended):
        data = struct.pack(f"{order}{len(extended)}I", *extended)
        tables.append(Section(".symtab_shndx", data, SHT_SYMTAB_SHNDX, align=4, link=symtab, entsize=4))
    return tables


def _relocation_sections(
    given: Sequence[Section],
    symbols: Sequence[Symbol],
    symtab: Section,
    patched: dict[int, bytes],
    *,
    order: str,
    word: str,
    rel: bool,
    crel: bool,
) -> list[Section]:
    ids = {id(s): i for i, s in enumerate(symbols, 1)}
    shift = 32 if word == "Q" else 8
    mask = (1 << struct.calcsize(word) * 8) - 1
    pack = struct.Struct(order + word * (2 if rel else 3)).pack
    made: list[Section] = []
    for section in given:
        if not section.relocations:
            continue
        table = bytearray()
        rows: list[tuple[int, int, int, int]] = []
        content = bytearray(section.data)
        for relocation in section.relocations:
            symbol = relocation.symbol if isinstance(relocation.symbol, int) else ids[id(relocation.symbol)]
            fields = [relocation.offset, symbol << shift | relocation.type]
            addend = relocation.addend & mask
            if not rel:
                fields.append(addend)
            elif relocation.offset + struct.calcsize(word) <= len(content):
                struct.pack_into(order + word, content, relocation.offset, addend)
            table += pack(*fields)
            rows.append((relocation.offset, symbol, relocation.type, relocation.addend))
        if rel:
            patched[id(section)] = bytes(content)
        kind, number, columns = (".rel", SHT_REL, 2) if rel else (".rela", SHT_RELA, 3)
        if crel:
            kind, number, table = ".crel", SHT_CREL, bytearray(encode_crel(rows, addends=not rel))
        size = 1 if crel else struct.calcsize(order + word)
        row = Section(kind + section.name, table, number, flags=0x40, align=size, link=symtab, info=section)
        row.entsize = 1 if crel else columns * size
        made.append(row)
    return made

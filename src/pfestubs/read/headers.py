# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyelftools reads of a file: all that is small and irregular.

The ELF header with its escapes, program headers, notes, the dynamic section, the names of machines and
relocation types. pyelftools gets bytes that were read before, never the file: so much at a time is bounded,
and what it raises for damaged ones becomes one of pfestubs' errors here (`_ours`).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from io import BytesIO
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from elftools.common.utils import struct_parse
from elftools.elf import enums
from elftools.elf.notes import iter_notes
from elftools.elf.structs import ELFStructs

from pfestubs.errors import InputError
from pfestubs.read.file_types import HEAD, refuse_other_than_elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from elftools.elf.elffile import ELFFile

    from pfestubs.model import ByteOrder
    from pfestubs.read.source import Source

_SHN_XINDEX: Final = 0xFFFF
_PN_XNUM: Final = 0xFFFF
_SEGMENTS_MAX: Final = 1 << 16
"""Program headers that are read; `/proc/kcore` and kdump have one for each piece of memory."""
_NOTES_MAX: Final = 20_000
"""Notes that are read; a dump has five for each processor."""
DYNAMIC_MAX: Final = 4096
"""Bytes of the dynamic section that are read; kernels have about 20 entries of 16."""


class Segment(NamedTuple):
    """A program header: addresses, and offset and sizes in bytes; `type` by name, or the number."""

    type: str | int
    offset: int
    vaddr: int
    paddr: int
    filesz: int


class Note(NamedTuple):
    """A note: the owner's name, the type by name or number, the content."""

    owner: str
    type: str | int
    content: bytes


@contextmanager
def _ours(path: str, what: str) -> Iterator[None]:
    """Turn whatever pyelftools raises for damaged bytes into an `InputError`."""
    try:
        yield
    except Exception as error:
        raise InputError(path, f"has a damaged {what}: {error}") from error


def _notes_in(data: bytes, structs: Any) -> Iterator[Note]:
    """Yield the notes in `data`, at most `_NOTES_MAX`."""
    view = SimpleNamespace(structs=structs, stream=BytesIO(data), elfclass=structs.elfclass)
    for note in islice(iter_notes(cast("ELFFile", view), 0, len(data)), _NOTES_MAX):
        yield Note(note.n_name or "", note.n_type, note.n_descdata)


def build_id_in(data: bytes, byte_order: ByteOrder, bits: int) -> str | None:
    """Return the GNU build id among notes, in hexadecimal; None without one, or if they are damaged."""
    structs = _decoders(byte_order, bits, of_all=True)
    with suppress(InputError), _ours("", "note"):
        for note in _notes_in(data, structs):
            if note.owner == "GNU" and note.type == "NT_GNU_BUILD_ID":
                return note.content.hex()
    return None


@lru_cache(maxsize=8)
def _decoders(byte_order: ByteOrder, bits: int, *, of_all: bool) -> Any:
    """Return pyelftools' decoders: of the ELF header, or of all that it leads to, which takes 5 ms more."""
    structs = ELFStructs(little_endian=byte_order == "little", elfclass=bits)
    structs.create_basic_structs()
    if of_all:
        # Without the type of the file: the notes of a core are named like those of a kernel.
        structs.create_advanced_structs()
    return structs


class Headers:
    """The ELF header of a file, and the decoders for what it leads to.

    Attributes:
        path: as the user named it.
        source: the bytes.
        bits: 64 or 32 (the class).
        type: "ET_REL", "ET_EXEC", "ET_DYN", "ET_CORE", or the number.
        machine: "EM_PPC", "EM_PPC64", or another name or number.
        flags: e_flags; for ppc64 the ABI version in the two lowest bits.

    Raises:
        InputError: it is not an ELF file, or the header is damaged.
    """

    def __init__(self, source: Source) -> None:
        self.path = source.path
        self.source = source
        head = source.read_up_to(0, HEAD)
        refuse_other_than_elf(self.path, head)
        if len(head) < 16 or head[4] not in {1, 2} or head[5] not in {1, 2}:
            raise self.error("has a damaged ELF header (class or byte order unknown)")
        self.bits = 32 * head[4]
        self.byte_order: ByteOrder = "little" if head[5] == 1 else "big"
        header = _decoders(self.byte_order, self.bits, of_all=False).Elf_Ehdr
        if len(head) < header.sizeof():
            raise self.error(f"is cut short: {len(head)} bytes do not hold an ELF header")
        with _ours(self.path, "ELF header"):
            self._header = struct_parse(header, BytesIO(head))
        self.type: str | int = self._header.e_type
        self.machine: str | int = self._header.e_machine
        self.flags: int = self._header.e_flags

    @property
    def _structs(self) -> Any:
        return _decoders(self.byte_order, self.bits, of_all=True)

    def error(self, problem: str, advice: str = "") -> InputError:
        """Return the error that the file has a problem."""
        return InputError(self.path, problem, advice)

    def file_range(self, offset: int, size: int, what: str) -> bytes:
        """Return `size` bytes at a file offset."""
        self.require_in_file(offset, size, what)
        return self.source.read(offset, size)

    def require_in_file(self, offset: int, size: int, what: str) -> None:
        """Refuse a range that ends after the file, without reading it."""
        if offset + size > self.source.size:
            raise self.error(
                f"is cut short or damaged: its {what} would end at byte {offset + size:,}, the file has"
                f" {self.source.size:,}",
                "copy or build it again",
            )

    def refuse_overlapping(self, sizes: Iterable[int], what: str) -> None:
        """Refuse parts that together claim more bytes than the file has: they overlap.

        Decoding the same bytes many times would take unbounded time.
        """
        total = sum(sizes)
        if total > self.source.size:
            raise self.error(
                f"is damaged: its {what} claim {total:,} bytes, the file has {self.source.size:,}"
            )

    # -- the header and its escapes ----------------------------------------------------------------------

    @cached_property
    def _first_section(self) -> Any:
        """Section header 0, which holds what the ELF header's 16 bits cannot (gABI, "Sections")."""
        codes, offset = self._structs.Elf_Shdr, self._header.e_shoff
        content = self.file_range(offset, codes.sizeof(), "section header table")
        with _ours(self.path, "section header"):
            return struct_parse(codes, BytesIO(content))

    @property
    def section_table(self) -> bytes:
        """The section headers as they are in the file."""
        header = self._header
        if not header.e_shoff:
            return b""
        self._require_size("section", header.e_shentsize, 64 if self.bits == 64 else 40)
        number = header.e_shnum or self._first_section.sh_size
        return self.file_range(header.e_shoff, number * header.e_shentsize, "section header table")

    @property
    def name_section(self) -> int:
        """The index of the section that holds the names of sections; 0 if there is none."""
        index: int = self._header.e_shstrndx
        return self._first_section.sh_link if index == _SHN_XINDEX else index

    @cached_property
    def segments(self) -> Sequence[Segment]:
        """The program headers."""
        header = self._header
        if not header.e_phoff or not header.e_phnum:
            return ()
        number = self._first_section.sh_info if header.e_phnum == _PN_XNUM else header.e_phnum
        self._require_size("program", header.e_phentsize, self._structs.Elf_Phdr.sizeof())
        if number > _SEGMENTS_MAX:
            raise self.error(f"has {number:,} program headers, expected at most {_SEGMENTS_MAX:,}")
        table = self.file_range(header.e_phoff, number * header.e_phentsize, "program header table")
        stream = BytesIO(table)
        with _ours(self.path, "program header"):
            parsed = [struct_parse(self._structs.Elf_Phdr, stream) for _ in range(number)]
        return [Segment(p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz) for p in parsed]

    def _require_size(self, kind: str, size: int, expected: int) -> None:
        if size != expected:
            raise self.error(f"has {kind} headers of {size} bytes, expected {expected}")

    # -- notes and the dynamic section -------------------------------------------------------------------

    def notes(self) -> Iterator[Note]:
        """Yield the notes of every PT_NOTE segment."""
        segments = [s for s in self.segments if s.type == "PT_NOTE"]
        self.refuse_overlapping((s.filesz for s in segments), "notes")
        for segment in segments:
            content = self.file_range(segment.offset, segment.filesz, "notes")
            with _ours(self.path, "note"):
                yield from _notes_in(content, self._structs)

    def dynamic_in(self, data: bytes) -> Mapping[str | int, int]:
        """Return the values of the dynamic section by tag ("DT_RELA"), up to DT_NULL or the end of `data`."""
        codes, stream = self._structs.Elf_Dyn, BytesIO(data)
        entries: dict[str | int, int] = {}
        with _ours(self.path, "dynamic section"):
            for _ in range(len(data) // codes.sizeof()):
                entry = struct_parse(codes, stream)
                if entry.d_tag == "DT_NULL":
                    break
                entries.setdefault(entry.d_tag, entry.d_ptr)
        return entries

    # -- names -------------------------------------------------------------------------------------------

    def relocation_name(self, number: int) -> str:
        """Return the psABI's name of a relocation type."""
        # pyelftools has no names of 32-bit relocations before 0.30.
        known = getattr(enums, f"ENUM_RELOC_TYPE_PPC{'64' if self.bits == 64 else ''}", {})
        return next((str(n) for n, v in known.items() if v == number), f"type {number}")

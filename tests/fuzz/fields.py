# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the fields of an ELF file are, read from a sound file by the gABI's tables."""

import struct
from typing import NamedTuple

_SHT_NOBITS = 8
_CONTENT_LIMIT = 4096
"""Bytes of a section whose words are fields: tables and counts, not text full of holes."""
_WORDS_LIMIT = 512
"""Words of one section that are fields."""


class Field(NamedTuple):
    """Offset and size in bytes, and what it is part of."""

    offset: int
    size: int
    group: str


class ElfFields(NamedTuple):
    """The fields of a file, by group, and its byte order."""

    groups: dict[str, list[Field]]
    byte_order: str


def elf_fields(data: bytes) -> ElfFields:
    """Return every field of the headers, symbols, relocations and small sections of a sound ELF file."""
    bits, order = (64 if data[4] == 2 else 32), ("<" if data[5] == 1 else ">")
    fields: list[Field] = [Field(i, 1, "ident") for i in range(4, 16)]

    def table(offset: int, count: int, code: str, group: str) -> None:
        for number in range(count):
            at = offset + number * struct.calcsize("<" + code)
            for letter in code:
                size = struct.calcsize("<" + letter)
                fields.append(Field(at, size, group))
                at += size

    address = "Q" if bits == 64 else "I"
    header = "HHI" + 3 * address + "IHHHHHH"
    table(16, 1, header, "header")
    values = struct.unpack_from(order + header, data, 16)
    phoff, shoff, phnum, shnum = values[4], values[5], values[9], values[11]
    if phoff:
        table(phoff, phnum, "IIQQQQQQ" if bits == 64 else "I" * 8, "segments")
    section = "IIQQQQIIQQ" if bits == 64 else "I" * 10
    if shoff:
        table(shoff, shnum, section, "sections")
    symbol = "IBBHQQ" if bits == 64 else "IIIBBH"
    for index in range(shnum if shoff else 0):
        header_at = shoff + index * struct.calcsize("<" + section)
        row = struct.unpack_from(order + section, data, header_at)
        kind, offset, size = row[1], row[4], row[5]
        if kind == _SHT_NOBITS or offset + size > len(data):
            continue
        if kind in {2, 11}:
            table(offset, size // struct.calcsize("<" + symbol), symbol, "symbols")
        elif kind == 4:
            table(offset, min(size // (3 * bits // 8), _WORDS_LIMIT), 3 * address, "relocations")
        elif kind == 9:
            table(offset, min(size // (2 * bits // 8), _WORDS_LIMIT), 2 * address, "relocations")
        elif kind == 3:
            fields.extend(Field(offset + i, 1, "names") for i in range(min(size, _CONTENT_LIMIT)))
        elif size:
            fields.extend(_content(data, offset, size, bits))
    groups: dict[str, list[Field]] = {}
    for field in fields:
        groups.setdefault(field.group, []).append(field)
    return ElfFields(groups, order)


def _content(data: bytes, offset: int, size: int, bits: int) -> list[Field]:
    """Return the words of a section that are not zero, as addresses and as instructions."""
    found = []
    step = bits // 8
    for at in range(offset, offset + size - size % step, step):
        if any(data[at : at + step]):
            found += [Field(at, step, "content"), Field(at, 4, "content")]
        if len(found) >= 2 * _WORDS_LIMIT:
            break
    return found

# SPDX-License-Identifier: GPL-2.0-or-later
"""CREL, the compact relocation format of LLVM (`clang -Wa,--crel`, section type SHT_CREL).

A ULEB128 header (count, whether there are addends, shift of the offsets), then one record per relocation:
each member is stored as the difference from the record before (LLVM: `llvm/include/llvm/Object/ELF.h`).
"""

from __future__ import annotations

from array import array
from typing import Final

_HAS_ADDENDS: Final = 4
_VARIABLE_MAX: Final = 10
"""Bytes of a LEB128 number of 64 bits."""


def decode_crel(data: bytes, bits: int) -> tuple[array[int], array[int], array[int], array[int] | None]:
    """Return the relocations of a CREL section of a 64- or 32-bit file: offsets, symbols, types, addends.

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

# SPDX-License-Identifier: GPL-2.0-or-later
"""Words by address, from a linked file or a dump of memory."""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Sequence


class Extent(NamedTuple):
    """A run of bytes that begins at an address."""

    address: int
    content: memoryview


class Memory:
    """Extents of memory in one byte order ("<" or ">")."""

    def __init__(self, extents: Iterable[Extent], order: str) -> None:
        self._extents = sorted(extents, key=lambda extent: extent.address)
        self._starts = [extent.address for extent in self._extents]
        self._word = struct.Struct(order + "I")
        # Neighbours in the table are neighbours in memory: the last extent is nearly always the next one.
        self._start, self._end, self._content = 0, 0, memoryview(b"")

    def _find(self, address: int) -> bool:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return False
        extent = self._extents[index]
        self._start, self._content = extent
        self._end = extent.address + len(extent.content)
        return address < self._end

    def word(self, address: int) -> int | None:
        """The 4-byte word at `address`, None where nothing is known to be."""
        if not (self._start <= address and address + 4 <= self._end) and (
            not self._find(address) or address + 4 > self._end
        ):
            return None
        word: int = self._word.unpack_from(self._content, address - self._start)[0]
        return word

    def words_at(self, addresses: array[int]) -> Sequence[int | None]:
        """The words at `addresses`."""
        return list(map(self.word, addresses))

    def read(self, address: int, size: int) -> memoryview | None:
        """`size` bytes at `address` if one extent holds them all."""
        if not (self._start <= address < self._end) and not self._find(address):
            return None
        offset = address - self._start
        return self._content[offset : offset + size] if address + size <= self._end else None

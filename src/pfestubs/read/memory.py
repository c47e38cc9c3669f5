# SPDX-License-Identifier: GPL-2.0-or-later
"""Words by address, from a linked file or a dump of memory, read in blocks."""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.model.ppc import offsets_in_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pfestubs.model import ByteOrder

_WINDOW_BITS: Final = 15
"""Words one by one are taken from windows of 32 KiB: a function and its stub each stay in one."""
_WINDOWS: Final = 64
"""Windows that are kept: 2 MiB."""
_BLOCK: Final = 1 << 20
"""Bytes that are read at once for ascending addresses."""


class Extent(NamedTuple):
    """A run of bytes: its address, where it is in the file, its size in bytes."""

    address: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.address + self.size


class _Window(NamedTuple):
    start: int
    end: int
    content: bytes


class Memory:
    """Extents of memory in one byte order, in the order of their addresses.

    Of extents that overlap, the one that begins first holds what they share. Where one ends, the next may
    continue: what is read may span both.

    Args:
        read: returns the bytes at a file offset; missing bytes are unknown.
        extents: in any order.
        byte_order: of the words.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], extents: Iterable[Extent], byte_order: ByteOrder
    ) -> None:
        self._read = read
        self._extents = list(_disjoint(extents))
        self._starts = [extent.address for extent in self._extents]
        self._word = struct.Struct("<I" if byte_order == "little" else ">I")
        self._is_native = byte_order == sys.byteorder
        self._windows: dict[int, _Window] = {}

    @property
    def runs(self) -> Sequence[range]:
        """The addresses of what is held, each run as long as extents continue one another."""
        runs: list[range] = []
        for extent in self._extents:
            start = extent.address
            if runs and runs[-1].stop == start:
                start = runs.pop().start
            runs.append(range(start, extent.end))
        return runs

    def _extent(self, address: int) -> Extent | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        extent = self._extents[index]
        return extent if address < extent.end else None

    def word(self, address: int) -> int | None:
        """Return the 4-byte word at `address`, None where nothing is known to be."""
        window = self._windows.get(address >> _WINDOW_BITS)
        if window is None or not window.start <= address <= window.end - 4:
            window = self._load(address)
            if window is None or address > window.end - 4:  # the next extent may have the rest
                content = self.read(address, 4)
                if content is None:
                    return None
                window = _Window(address, address + 4, content)
        word: int = self._word.unpack_from(window.content, address - window.start)[0]
        return word

    def _load(self, address: int) -> _Window | None:
        """Read the window around `address`, clipped to its extent."""
        extent = self._extent(address)
        if extent is None:
            return None
        key = address >> _WINDOW_BITS
        start = max(extent.address, key << _WINDOW_BITS)
        # A word that begins before the border of two windows ends after it.
        end = min(extent.end, (key + 1 << _WINDOW_BITS) + 3)
        content = self._read(extent.offset + start - extent.address, end - start)
        window = _Window(start, start + len(content), content)
        if len(self._windows) >= _WINDOWS:
            del self._windows[next(iter(self._windows))]
        self._windows[key] = window
        return window

    def words_at(self, addresses: array[int]) -> Sequence[int | None]:
        """Return the words at `addresses`, in blocks where they ascend."""
        values = addresses.tolist()
        if sorted(values) != values:
            return list(map(self.word, values))
        words: list[int | None] = []
        start = 0
        while start < len(values):
            stop = self._append_block(words, addresses, start)
            if stop == start:
                words.append(self.word(values[start]))
                stop += 1
            start = stop
        return words

    def _append_block(self, words: list[int | None], addresses: array[int], start: int) -> int:
        """Append the words at the addresses from position `start` that one block holds; return the next."""
        first = addresses[start]
        extent = self._extent(first)
        if extent is None:
            return start
        stop = bisect_left(addresses, min(first + _BLOCK, extent.end) - 3, start)
        if stop - start < 2:
            return start
        block = addresses[start:stop]
        size = block[-1] + 4 - first
        content = self._read(extent.offset + first - extent.address, size)
        if len(content) < size or len(offsets_in_word(block)) > 1:
            words.extend(map(self.word, block))
            return stop
        column = memoryview(content).cast("I")
        found = [column[address - first >> 2] for address in block]
        swapped = array("I", found)
        if not self._is_native:
            swapped.byteswap()
        words.extend(swapped)
        return stop

    def read(self, address: int, size: int) -> bytes | None:
        """Return `size` bytes at `address`, None if they are not all there."""
        pieces = []
        end = address + size
        while True:
            extent = self._extent(address)
            if extent is None:
                return None
            length = min(end, extent.end) - address
            content = self._read(extent.offset + address - extent.address, length)
            if len(content) < length:
                return None
            pieces.append(content)
            address += length
            if address >= end:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _disjoint(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Yield the extents by address, without what an earlier one holds; those inside another go."""
    end = 0
    for address, offset, size in sorted(extents):
        hidden = max(end - address, 0)
        if size > hidden:
            yield Extent(address + hidden, offset + hidden, size - hidden)
            end = address + size

# SPDX-License-Identifier: GPL-2.0-or-later
"""The words that a linked kernel has after it has relocated itself.

Boot finds its relocations through the dynamic section (`arch/powerpc/kernel/reloc_64.S`, `reloc_32.S`);
section headers name the same tables, and are used where the file has them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pfestubs.read import elf as e
from pfestubs.read.headers import DYNAMIC_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.read.elf import Elf
    from pfestubs.read.memory import Memory

DYNAMIC_SYMBOLS: Final = ("_DYNAMIC", "__dynamic_start")
_R_NONE, _R_RELATIVE = 0, 22
"""Nothing; base + addend. So do those of `e.ABSOLUTE` without a symbol."""


class RelocatedWords:
    """The address-sized words of a linked kernel, as its boot leaves them.

    Relocations without addends (REL, RELR) have theirs in the words themselves, which then hold the value.

    Args:
        elf: the kernel.
        memory: its words as stored.
        dynamic: address of the dynamic section, for a file without section headers and PT_DYNAMIC.
    """

    def __init__(self, elf: Elf, memory: Memory, dynamic: int | None) -> None:
        self._elf = elf
        self._memory = memory
        self._dynamic = dynamic

    @property
    def is_known(self) -> bool:
        """Whether the file defines where its relocations are, or that it has none."""
        return bool(self._elf.sections) or self._dynamic_address is not None

    def words(self, span: range) -> array[int] | None:
        """Return the words at the addresses of `span`, None where the file does not hold them all.

        Raises:
            InputError: the relocations are damaged, or of a type that boot does not apply.
        """
        elf = self._elf
        size = (span.stop - span.start) // elf.word * elf.word  # len() has 63 bits
        content = self._memory.read(span.start, size)
        if content is None:
            return None
        values = elf.words(content, elf.word)
        for columns in self._columns:
            values = self._apply(columns, range(span.start, span.start + size), values)
        return values

    # -- where the relocations are -----------------------------------------------------------------------

    @cached_property
    def _columns(self) -> Sequence[array[int]]:
        """The words of each RELA table: offset, info, addend, and so on."""
        elf = self._elf
        columns = []
        for offset, size in self._section_tables() if elf.sections else self._dynamic_tables():
            if size % (3 * elf.word):
                raise elf.error(f"has {size} bytes of dynamic relocations, not a multiple of {3 * elf.word}")
            columns.append(elf.words(elf.file_range(offset, size, "dynamic relocations"), elf.word))
        return columns

    def require_agreement(self) -> None:
        """Refuse a file whose section headers and dynamic section name different relocations."""
        if not self._elf.sections or self._dynamic_address is None:
            return
        (start, size), (found, found_size) = (
            (min((offset for offset, _ in rows), default=0), sum(size for _, size in rows))
            for rows in (self._section_tables(), self._dynamic_tables())
        )
        if (start, size) != (found, found_size):
            raise self._elf.error(
                f"is damaged: its section headers have {size:,} bytes of relocations at byte {start:,}, its"
                f" dynamic section, which boot reads, {found_size:,} at byte {found:,}",
                "build it again",
            )

    def _section_tables(self) -> list[tuple[int, int]]:
        """Return the file offset and the size of each table, in bytes."""
        found = [s for s in self._elf.sections if s.type == e.SHT_RELA and s.is_allocated]
        self._elf.refuse_overlapping((s.size for s in found), "dynamic relocations")
        return [(s.offset, s.size) for s in found if s.size]

    @cached_property
    def _dynamic_address(self) -> int | None:
        """The dynamic section's; GNU ld leaves PT_DYNAMIC out of kernels, a section or symbol has it then."""
        segments = [s.vaddr for s in self._elf.segments if s.type == "PT_DYNAMIC"]
        sections = [s.addr for s in self._elf.sections if s.type == e.SHT_DYNAMIC]
        return next(iter(segments + sections), self._dynamic)

    def _dynamic_tables(self) -> list[tuple[int, int]]:
        """Return the same by the dynamic section."""
        if self._dynamic_address is None:
            return []
        entries = self._dynamic_entries(self._dynamic_address)
        address, size = entries.get("DT_RELA"), entries.get("DT_RELASZ", 0)
        return [] if address is None or not size else [(self._file_offset(address, size), size)]

    def _dynamic_entries(self, address: int) -> Mapping[str | int, int]:
        """Return the values of the dynamic section by tag."""
        run = next((run for run in self._memory.runs if address in run), range(0))
        size = min(run.stop - address, DYNAMIC_MAX)
        content = self._memory.read(address, size) if size > 0 else None
        if not content:
            raise self._elf.error(
                f"has its dynamic section at {address:#x}, where the file holds none",
                "is the file truncated?",
            )
        return self._elf.dynamic_in(content)

    def _file_offset(self, address: int, size: int) -> int:
        for segment in self._elf.segments:
            if segment.type == "PT_LOAD" and 0 <= address - segment.vaddr <= segment.filesz - size:
                return segment.offset + address - segment.vaddr
        raise self._elf.error(
            f"its dynamic section refers to {size:,} bytes at {address:#x}, where the file holds nothing",
            "is the file truncated?",
        )

    # -- what they do ------------------------------------------------------------------------------------

    def _apply(self, words: array[int], span: range, values: array[int]) -> array[int]:
        """Return `values` with the relocations applied that fill words of `span`."""
        elf = self._elf
        offsets = words[0::3]
        hits = _positions_within(offsets, span)
        if not hits:
            return values
        infos = words[1::3]
        plain = e.ABSOLUTE[elf.bits] | {_R_RELATIVE}
        if isinstance(hits, range):
            kinds = set(infos[hits.start : hits.stop])
            if all(elf.info_type(info) in plain and not elf.info_symbol(info) for info in kinds):
                slots = range(span.start, span.stop, elf.word)
                if offsets[hits.start : hits.stop] == array("Q", slots):
                    return words[3 * hits.start + 2 : 3 * hits.stop : 3]
        for i in hits:
            slot, rest = divmod(offsets[i] - span.start, elf.word)
            kind = elf.info_type(infos[i])
            if kind == _R_NONE:
                continue
            if rest or kind not in plain or elf.info_symbol(infos[i]):
                raise elf.error(
                    f"the location table has a relocation {elf.relocation_name(kind)} at {offsets[i]:#x},"
                    " expected only relative ones, one per slot"
                )
            values[slot] = words[3 * i + 2]
        return values


def _positions_within(offsets: array[int], span: range) -> Sequence[int]:
    """Return the positions of the values within `span`; linkers sort relocations, so they are a range."""
    start = bisect_left(offsets, span.start)
    stop = bisect_left(offsets, span.stop, start)
    middle = offsets[start:stop]
    if (
        max(offsets[:start], default=-1) < span.start
        and min(offsets[stop:], default=span.stop) >= span.stop
        and min(middle, default=span.start) >= span.start
        and max(middle, default=span.start) < span.stop
    ):
        return range(start, stop)
    return [i for i, offset in enumerate(offsets) if span.start <= offset < span.stop]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the areas and the location table of a linked kernel are what their sizes and counts say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import AreaRole
from pfestubs.model.findings import (
    Action,
    AreaMisaligned,
    AreaOutside,
    AreaOverlap,
    AreaSize,
    EntryMisaligned,
    EntryRepeated,
    Finding,
    Remedy,
    TableEmpty,
    TableLength,
    TableWithoutLocations,
)
from pfestubs.model.ppc import offsets_in_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.model import Kernel
    from pfestubs.rules.kernel.boot import Boot

_STUB_SIZES: Final = (16, 24)
"""sizeof(struct ftrace_ool_stub): four instructions, with CALL_OPS a pointer before them."""
_REGENERATE: Final = Remedy(Action.REGENERATE_AREAS)
_RESTORE_ORDER: Final = Remedy(Action.RESTORE_LINK_ORDER)
_APPLY_RELOCATIONS: Final = Remedy(Action.APPLY_RELOCATIONS)


def measure_stub_size(kernel: Kernel) -> int:
    """Return the bytes of one stub: size by count, as the majority of the areas that have stubs say.

    A tie goes to the area with more stubs. Where a size is a gap between symbols, it may hold padding: then
    the layout's own size counts if it fits. 0 for a kernel without stubs.
    """
    usual = kernel.layout.stub_size if kernel.layout else 0
    votes: Counter[int] = Counter()
    weight: Counter[int] = Counter()
    for area in kernel.areas:
        if not area.count or area.size is None:
            continue
        sizes = [size for size in _STUB_SIZES if area.size == size * area.count]
        if not sizes and area.size_is_gap:
            fitting = [size for size in _STUB_SIZES if size * area.count <= area.size]
            sizes = [usual] if usual in fitting else fitting[-1:]
        for size in sizes:
            votes[size] += 1
            weight[size] += area.count
    if votes:
        return max(votes, key=lambda size: (votes[size], weight[size]))
    return _nearest_size(kernel, usual)


def _nearest_size(kernel: Kernel, usual: int) -> int:
    """Return the size that the largest area comes closest to, `usual` where no area has a size."""
    sized = [area for area in kernel.areas if area.count and area.size]
    if not sized:
        return usual
    largest = max(sized, key=lambda area: area.count)
    return min(_STUB_SIZES, key=lambda size: abs((largest.size or 0) - size * largest.count))


def _damaged_areas(kernel: Kernel, stub_size: int) -> Iterator[Finding]:
    """Yield areas that are not what their counts say, not inside their text range, or not aligned."""
    for area in kernel.areas:
        expected = area.count * stub_size
        exact = area.size is not None and not area.size_is_gap
        if area.size is not None and (area.size != expected if exact else area.size < expected):
            facts = AreaSize(area.spec, area.address, area.size, area.count, stub_size)
            yield Finding("area-damaged", facts, stub=area.address, remedy=_REGENERATE)
        outer = kernel.inittext if area.role is AreaRole.INIT else kernel.text
        end = area.address + max(expected, area.size or 0 if exact else 0)
        if end > area.address and not (area.address in outer and end <= outer.stop):
            span = AreaOutside(area.spec, range(area.address, end), outer)
            yield Finding("area-damaged", span, stub=area.address, remedy=_RESTORE_ORDER)
        alignment = kernel.layout.alignment(kernel.bits) if kernel.layout else 4
        if area.address % alignment:
            misaligned = AreaMisaligned(area.spec, area.address, alignment)
            yield Finding("area-damaged", misaligned, stub=area.address, remedy=_REGENERATE)
    yield from _overlapping(kernel, stub_size)


def _overlapping(kernel: Kernel, stub_size: int) -> Iterator[Finding]:
    ordered = sorted((area for area in kernel.areas if area.count), key=lambda area: area.address)
    for first, second in pairwise(ordered):
        end = first.address + first.count * stub_size
        if end > second.address:
            facts = AreaOverlap(first.spec, end, second.spec, second.address)
            yield Finding("area-damaged", facts, stub=second.address, remedy=_RESTORE_ORDER)


def find_damage(boot: Boot) -> list[Finding]:
    """Return what is wrong with the location table and the areas themselves, independent of the boot."""
    return [*_damaged_table(boot), *_damaged_areas(boot.kernel, boot.stub_size)]


def _damaged_table(boot: Boot) -> Iterator[Finding]:
    """Yield what is wrong with the location table itself."""
    kernel = boot.kernel
    word = kernel.bits // 8
    if kernel.table_bytes % word:
        yield Finding("table-damaged", TableLength(kernel.table_address, kernel.table_bytes, word))
    if kernel.table and not any(kernel.table):
        facts = TableEmpty(kernel.table_address, len(kernel.table))
        yield Finding("table-damaged", facts, remedy=_APPLY_RELOCATIONS)
    elif not boot.locations:
        yield Finding("table-damaged", TableWithoutLocations(kernel.table_address, len(kernel.table)))
    distinct = len(set(kernel.table)) == len(kernel.table)
    if distinct and offsets_in_word(kernel.table) <= {0}:
        return
    seen: set[int] = set()
    for value in kernel.table:
        if value % 4:
            yield Finding("table-damaged", EntryMisaligned(), function=kernel.name(value), location=value)
        elif value and value in seen:
            yield Finding("table-damaged", EntryRepeated(), function=kernel.name(value), location=value)
        seen.add(value)

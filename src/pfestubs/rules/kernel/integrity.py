# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the areas and the location table of a linked kernel are what their sizes and counts say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import AreaRole
from pfestubs.model import ppc
from pfestubs.model.findings import (
    Action,
    AreaMisaligned,
    AreaOccupied,
    AreaOutside,
    AreaOverlap,
    AreaSize,
    EntryMisaligned,
    EntryRepeated,
    Finding,
    Remedy,
    TableContinues,
    TableEmpty,
    TableLength,
    TableShort,
    TableSkipped,
    TableWithoutLocations,
    TargetMisplaced,
    TextsOverlap,
)
from pfestubs.rules.kernel.stubs import call_adjust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.model import Kernel
    from pfestubs.model.findings import Facts
    from pfestubs.rules.kernel.boot import Boot

_STUB_SIZES: Final = (16, 24)
"""sizeof(struct ftrace_ool_stub): four instructions, with CALL_OPS a pointer before them."""
_MANY: Final = 1_000
"""Stubs that no build leaves unused in an area that is sized exactly."""
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


def find_damage(boot: Boot) -> list[Finding]:
    """Return what is wrong with the location table and the areas themselves, independent of the boot."""
    return [*_damaged_table(boot), *_damaged_areas(boot.kernel, boot.stub_size)]


# -- the location table --------------------------------------------------------------------------------------


def _damaged_table(boot: Boot) -> Iterator[Finding]:
    """Yield what is wrong with the location table as a whole: does it account for this kernel?

    The areas were sized from its entries, so that few entries for many stubs are the rest of a table. Healthy
    are entries of exit text, which the kernel skips, spare stubs of the end area, a reserve that is larger
    than text needs, and functions that the linker dropped (`--gc-sections`).
    """
    kernel, word = boot.kernel, boot.kernel.bits // 8
    address, entries, locations = kernel.table_address, len(kernel.table), len(boot.locations)
    found: list[Facts] = []
    if kernel.table_bytes % word:
        found.append(TableLength(address, kernel.table_bytes, word))
    if entries and not any(kernel.table):
        found.append(TableEmpty(address, entries))
    elif not locations:
        found.append(TableWithoutLocations(address, entries))
    elif len(boot.skipped) > locations or _have_lost_locations(boot):
        found.append(TableSkipped(address, len(boot.skipped), locations))
    else:
        found += _lost_entries(boot)
    for facts in found:
        remedy = _APPLY_RELOCATIONS if isinstance(facts, TableEmpty) else None
        yield Finding("table-damaged", facts, remedy=remedy)
    yield from _damaged_entries(kernel)


def _have_lost_locations(boot: Boot) -> bool:
    """Return whether skipped entries are the locations for which stubs of the exact areas were reserved.

    An empty entry was a location; one outside the texts may have been exit text, of which a kernel has few.
    """
    areas = enumerate(boot.kernel.areas)
    unused = sum(boot.unused(i) for i, area in areas if area.role is not AreaRole.RESERVE)
    empty = min(boot.kernel.table.count(0), unused)
    return empty >= max(2, min(_MANY, len(boot.kernel.table) // 8)) or min(len(boot.skipped), unused) >= _MANY


def _lost_entries(boot: Boot) -> Iterator[Facts]:
    kernel = boot.kernel
    init, end = kernel.area(AreaRole.INIT), kernel.area(AreaRole.END)
    if init is None or end is None:
        return
    if any(map(boot.unused, range(len(kernel.areas)))):
        known = set(kernel.table)
        for value in kernel.beyond_table():
            location = call_adjust(value, kernel.memory.word)
            inside = value in kernel.text or value in kernel.inittext
            if inside and not known & {value, location} and kernel.memory.word(location) == ppc.NOP:
                yield TableContinues(location)
                return
    # The area of init text is sized exactly, that of text may have spare stubs.
    needed, locations = boot.needed_of(AreaRole.INIT), len(boot.locations)
    if is_remnant(needed, init.count):
        if init.count - needed >= _MANY:
            yield TableShort(kernel.table_address, needed, init.count, in_init=True)
        elif is_remnant(locations, end.count + init.count):
            yield TableShort(kernel.table_address, locations, end.count + init.count)


def is_remnant(found: int, expected: int) -> bool:
    """Return whether nearly all of what was expected is missing; LLD's `--gc-sections` drops two thirds."""
    return found * 4 < expected


def _damaged_entries(kernel: Kernel) -> Iterator[Finding]:
    """Yield entries that are misaligned, or in the table more than once."""
    distinct = len(set(kernel.table)) == len(kernel.table)
    if distinct and ppc.offsets_in_word(kernel.table) <= {0}:
        return
    seen: set[int] = set()
    for value in kernel.table:
        if value % 4:
            yield Finding("table-damaged", EntryMisaligned(), function=kernel.name(value), location=value)
        elif value and value in seen:
            yield Finding("table-damaged", EntryRepeated(), function=kernel.name(value), location=value)
        seen.add(value)


# -- the areas -----------------------------------------------------------------------------------------------


def _damaged_areas(kernel: Kernel, stub_size: int) -> Iterator[Finding]:
    """Yield areas that are not what their counts say, outside their text, misaligned or not empty."""
    if max(kernel.text.start, kernel.inittext.start) < min(kernel.text.stop, kernel.inittext.stop):
        yield Finding("area-damaged", TextsOverlap(kernel.text, kernel.inittext), remedy=_RESTORE_ORDER)
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
        elif _holds_data(kernel, area.address, min(expected, area.size or expected)):
            occupied = AreaOccupied(area.spec, area.address, min(expected, area.size or expected))
            yield Finding("area-damaged", occupied, stub=area.address, remedy=_RESTORE_ORDER)
        alignment = kernel.layout.alignment(kernel.bits) if kernel.layout else 4
        if area.address % alignment:
            misaligned = AreaMisaligned(area.spec, area.address, alignment)
            yield Finding("area-damaged", misaligned, stub=area.address, remedy=_REGENERATE)
    yield from _overlapping(kernel, stub_size)
    for name, address in kernel.misplaced_targets():
        yield Finding("area-damaged", TargetMisplaced(name, address), stub=address, remedy=_RESTORE_ORDER)


def _holds_data(kernel: Kernel, address: int, size: int) -> bool:
    """Return whether the file holds something else than zeros there; nothing at all is what .bss has."""
    content = kernel.memory.read(address, size) if size else None
    return content is not None and bytes(content) != bytes(size)


def _overlapping(kernel: Kernel, stub_size: int) -> Iterator[Finding]:
    ordered = sorted((area for area in kernel.areas if area.count), key=lambda area: area.address)
    for first, second in pairwise(ordered):
        end = first.address + first.count * stub_size
        if end > second.address:
            facts = AreaOverlap(first.spec, end, second.spec, second.address)
            yield Finding("area-damaged", facts, stub=second.address, remedy=_RESTORE_ORDER)

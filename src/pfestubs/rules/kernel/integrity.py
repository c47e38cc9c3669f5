# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the areas and the location table of a linked kernel are what their sizes and counts say."""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import AreaRole
from pfestubs.model import ENTRY_OFFSETS, STUB_SIZES, ppc
from pfestubs.model.findings import Action, Finding, Remedy
from pfestubs.rules.kernel.stubs import call_adjust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.model import Area, Kernel
    from pfestubs.rules.kernel.boot import Boot

_MANY: Final = 1_000
"""Stubs that no build leaves unused in an area that is sized exactly."""
_FEW: Final = 16
"""Functions that may begin with another nop; in real kernels one in 200 does, such as assembly code."""
_REGENERATE: Final = Remedy(Action.REGENERATE_AREAS)
_RESTORE_ORDER: Final = Remedy(Action.RESTORE_LINK_ORDER)
APPLY_RELOCATIONS: Final = Remedy(Action.APPLY_RELOCATIONS)


def measure_stub_size(kernel: Kernel) -> int:
    """Return the bytes of one stub: size by count, as the majority of the areas that have stubs say.

    A tie goes to the area with more stubs. Where a size is a gap between symbols, it may hold padding: one
    that fits every size says nothing, and the layout's own size counts if no area says more. 0 for a kernel
    without stubs.
    """
    usual = kernel.layout.stub_size if kernel.layout else 0
    votes: Counter[int] = Counter()
    weight: Counter[int] = Counter()
    for area in kernel.areas:
        if not area.count or area.size is None:
            continue
        sizes = [size for size in STUB_SIZES if area.size == size * area.count]
        if not sizes and area.size_is_gap:
            sizes = [size for size in STUB_SIZES if size * area.count <= area.size]
        if len(sizes) == 1:
            votes[sizes[0]] += 1
            weight[sizes[0]] += area.count
    if votes:
        return max(votes, key=lambda size: (votes[size], weight[size]))
    return _nearest_size(kernel, usual)


def _nearest_size(kernel: Kernel, usual: int) -> int:
    """Return the size that the largest area comes closest to, `usual` where no area has a size of its own."""
    sized = [area for area in kernel.areas if area.count and area.size and not area.size_is_gap]
    if not sized:
        return usual
    largest = max(sized, key=lambda area: area.count)
    return min(STUB_SIZES, key=lambda size: abs((largest.size or 0) - size * largest.count))


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
    entries, skipped, locations = len(kernel.table), len(boot.skipped), len(boot.locations)
    if kernel.table_bytes % word:
        yield _table_damage(kernel, "table-length", bytes=kernel.table_bytes, word=word)
    if entries and not any(kernel.table):
        yield _table_damage(kernel, "table-empty", entries=entries)
    elif not locations:
        yield _table_damage(kernel, "no-locations" if entries else "no-entries", entries=entries)
    elif skipped > locations or _have_lost_locations(boot):
        seen = skipped + locations
        yield _table_damage(kernel, "entries-skipped", skipped=skipped, entries=seen, locations=locations)
    else:
        yield from _lost_entries(boot)
    yield from _damaged_entries(kernel)


def _table_damage(kernel: Kernel, case: str, **figures: int) -> Finding:
    figures = {"address": kernel.table_address, **figures}
    return Finding("table-damaged", case, figures, remedy=APPLY_RELOCATIONS)


def _have_lost_locations(boot: Boot) -> bool:
    """Return whether skipped entries are the locations for which stubs of the exact areas were reserved.

    An empty entry was a location; one outside the texts may have been exit text, of which a kernel has few.
    """
    unused = sum(area.count - used for area, used, _ in boot.uses if area.role is not AreaRole.RESERVE)
    empty = min(boot.kernel.table.count(0), unused)
    return empty >= max(2, min(_MANY, len(boot.kernel.table) // 8)) or min(len(boot.skipped), unused) >= _MANY


def _lost_entries(boot: Boot) -> Iterator[Finding]:
    kernel = boot.kernel
    init, end = kernel.area(AreaRole.INIT), kernel.area(AreaRole.END)
    if init is None or end is None:
        return
    if any(used < area.count for area, used, _ in boot.uses):
        known = set(kernel.table)
        for value in kernel.beyond_table():
            location = call_adjust(value, kernel.memory.word)
            is_nop = kernel.is_text(value) and kernel.memory.word(location) == ppc.NOP
            if is_nop and known.isdisjoint({value, location}):
                yield _table_damage(kernel, "table-continues", address=location)
                return
        functions = _unlisted_functions(boot)
        for text in (kernel.text, kernel.inittext):
            found, unlisted = (sum(map(text.__contains__, places)) for places in (boot.locations, functions))
            if unlisted > max(_FEW, found // 8):
                yield _table_damage(kernel, "functions-unlisted", found=found, unlisted=unlisted)
                return
    # The area of init text is sized exactly, that of text may have spare stubs.
    needed, locations, stubs = boot.needed_of(AreaRole.INIT), len(boot.locations), end.count + init.count
    if is_remnant(needed, init.count):
        if init.count - needed >= _MANY:
            yield _table_damage(kernel, "init-area-unfilled", found=needed, expected=init.count)
        elif is_remnant(locations, stubs):
            yield _table_damage(kernel, "areas-unfilled", found=locations, expected=stubs)


def _unlisted_functions(boot: Boot) -> set[int]:
    """Return the functions that begin with the nop for ftrace and are not in the table."""
    kernel = boot.kernel
    listed = {location - offset for location in boot.locations for offset in ENTRY_OFFSETS}
    starts = sorted({address for _, address in kernel.symbols.code_names()} - listed)
    unlisted: set[int] = set()
    for offset in (0, 8):  # the local entry of a function with a global one (ELFv2)
        places = array("Q", [start + offset & ppc.ADDRESS_MASK for start in starts])
        words = zip(starts, kernel.memory.words_at(places), strict=True)
        unlisted |= {start for start, word in words if word == ppc.NOP}
    return unlisted


def is_remnant(found: int, expected: int) -> bool:
    """Return whether nearly all of what was expected is missing; LLD's `--gc-sections` drops two thirds."""
    return found * 4 < expected


def _damaged_entries(kernel: Kernel) -> Iterator[Finding]:
    """Yield entries that are misaligned, or in the table more than once."""
    distinct = len(set(kernel.table)) == len(kernel.table)
    if distinct and ppc.offsets_in_word(kernel.table) <= {0}:
        return
    seen: set[int] = set()
    remedy: Remedy | None = APPLY_RELOCATIONS
    for value in kernel.table:
        if value % 4 or (value and value in seen):
            case = "entry-misaligned" if value % 4 else "entry-repeated"
            yield Finding("table-damaged", case, function=kernel.name(value), location=value, remedy=remedy)
            remedy = None
        seen.add(value)


# -- the areas -----------------------------------------------------------------------------------------------


def _damaged_areas(kernel: Kernel, stub_size: int) -> Iterator[Finding]:
    """Yield areas that are not what their counts say, outside their text, misaligned or not empty."""
    text, inittext = kernel.text, kernel.inittext
    if max(text.start, inittext.start) < min(text.stop, inittext.stop):
        figures = {"text": text, "inittext": inittext}
        yield Finding("area-damaged", "texts-overlap", figures, remedy=_RESTORE_ORDER)
    for area in kernel.areas:
        yield from _damaged_area(kernel, area, stub_size)
    yield from _overlapping(kernel, stub_size)
    for name, address in kernel.misplaced_targets():
        yield _area_damage("target-misplaced", address, _RESTORE_ORDER, symbol=name)


def _damaged_area(kernel: Kernel, area: Area, stub_size: int) -> Iterator[Finding]:
    start, expected, in_init = area.address, area.count * stub_size, area.role is AreaRole.INIT
    exact = area.size is not None and not area.size_is_gap
    if area.size is not None and (area.size != expected if exact else area.size < expected):
        figures = {"bytes": area.size, "expected": expected, "stubs": area.count, "stub_size": stub_size}
        yield _area_damage("area-size", start, _REGENERATE, area=area.spec, **figures)
    outer = kernel.inittext if in_init else kernel.text
    end = start + max(expected, area.size or 0 if exact else 0)
    content = min(expected, area.size or expected)
    if end > start and not (start in outer and end <= outer.stop):
        case = "area-outside-init" if in_init else "area-outside-text"
        yield _area_damage(case, start, _RESTORE_ORDER, area=area.spec, end=end, outer=outer)
    elif _holds_data(kernel, start, content):
        yield _area_damage("area-occupied", start, _RESTORE_ORDER, area=area.spec, bytes=content)
    alignment = kernel.layout.alignment(kernel.bits) if kernel.layout else 4
    if start % alignment:
        yield _area_damage("area-misaligned", start, _REGENERATE, area=area.spec, alignment=alignment)


def _area_damage(case: str, address: int, remedy: Remedy, **figures: object) -> Finding:
    return Finding("area-damaged", case, figures, stub=address, remedy=remedy)


def _holds_data(kernel: Kernel, address: int, size: int) -> bool:
    """Return whether the file holds something else than zeros there; nothing at all is what .bss has."""
    content = kernel.memory.read(address, size) if size else None
    return content is not None and bytes(content) != bytes(size)


def _overlapping(kernel: Kernel, stub_size: int) -> Iterator[Finding]:
    ordered = sorted((area for area in kernel.areas if area.count), key=lambda area: area.address)
    for first, second in pairwise(ordered):
        end = first.address + first.count * stub_size
        if end > second.address:
            figures = {"area": first.spec, "end": end, "other": second.spec}
            yield _area_damage("area-overlap", second.address, _RESTORE_ORDER, **figures)

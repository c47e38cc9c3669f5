# SPDX-License-Identifier: GPL-2.0-or-later
"""The areas and the location table of a linked kernel: are they whole?"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pfestubs.rules.findings import Finding, symbolic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.read.vmlinux import Kernel, LinkedArea

_STUB_SIZES: Final = (16, 24)
"""sizeof(struct ftrace_ool_stub): four instructions, with CALL_OPS a pointer before them."""


def stub_size(kernel: Kernel) -> int:
    """Bytes of one stub: size by count, as the majority of the areas that have stubs say.

    A tie goes to the area with more stubs. Where sizes come from gaps between symbols, a gap may hold
    padding: then the layout's own size counts if it fits.
    """
    votes: Counter[int] = Counter()
    weight: Counter[int] = Counter()
    for area in kernel.areas:
        if not area.count or area.size is None:
            continue
        sizes = [size for size in _STUB_SIZES if area.size == size * area.count]
        if not sizes and not kernel.exact_sizes:
            usual = kernel.layout.stub_size if kernel.layout else 0
            fitting = [size for size in _STUB_SIZES if size * area.count <= area.size]
            sizes = [usual] if usual in fitting else fitting[-1:]
        for size in sizes:
            votes[size] += 1
            weight[size] += area.count
    if votes:
        return max(votes, key=lambda size: (votes[size], weight[size]))
    return _nearest_size(kernel)


def _nearest_size(kernel: Kernel) -> int:
    """No area is whole: the size that the largest comes closest to, else what the layout has."""
    sized = [area for area in kernel.areas if area.count and area.size]
    if sized:
        largest = max(sized, key=lambda area: area.count)
        return min(_STUB_SIZES, key=lambda size: abs((largest.size or 0) - size * largest.count))
    return kernel.layout.stub_size if kernel.layout else 0


def damaged_areas(kernel: Kernel, size: int) -> Iterator[Finding]:
    """Areas that are not what their counts say, lie outside their text, overlap, or are misaligned."""
    for area in kernel.areas:
        wanted = area.count * size
        found = area.size
        if found is not None and (found != wanted if kernel.exact_sizes else found < wanted):
            yield Finding(
                "area-damaged",
                f"area {area.name} at {area.address:#x} has {found:,} bytes, expected {wanted:,}"
                f" ({area.count:,} stubs of {size}); generate the assembly file again and link again",
                stub=area.address,
            )
        outer, name = (
            (kernel.inittext, "init text") if area.name == "inittext" else (kernel.text, "kernel text")
        )
        end = area.address + max(wanted, found if found and kernel.exact_sizes else 0)
        if end > area.address and not (area.address in outer and end <= outer.stop):
            yield Finding(
                "area-damaged",
                f"area {area.name} ({area.address:#x} to {end:#x}) lies outside {name} ({outer.start:#x} to"
                f" {outer.stop:#x}); put its section back where the linker script has it",
                stub=area.address,
            )
        alignment = kernel.layout.alignment(kernel.bits) if kernel.layout else 4
        if area.address % alignment:
            yield Finding(
                "area-damaged",
                f"area {area.name} at {area.address:#x} is not aligned to {alignment} bytes",
                stub=area.address,
            )
    yield from _overlapping(kernel.areas, size)


def _overlapping(areas: Sequence[LinkedArea], size: int) -> Iterator[Finding]:
    ordered = sorted((area for area in areas if area.count), key=lambda area: area.address)
    for first, second in pairwise(ordered):
        end = first.address + first.count * size
        if end > second.address:
            yield Finding(
                "area-damaged",
                f"area {first.name} ends at {end:#x}, after area {second.name} begins ({second.address:#x})",
                stub=second.address,
            )


def damaged_table(kernel: Kernel) -> Iterator[Finding]:
    """What is wrong with the location table itself, whatever the boot makes of it."""
    word = kernel.bits // 8
    if kernel.table_bytes % word:
        yield Finding(
            "table-damaged",
            f"the location table at {kernel.table_address:#x} has {kernel.table_bytes:,} bytes,"
            f" no multiple of {word}",
        )
    if not any(kernel.table):
        yield Finding(
            "table-damaged",
            f"all {len(kernel.table):,} entries of the location table at {kernel.table_address:#x} are"
            " empty: no function can be traced; link with relocations, or apply them",
        )
    distinct = len(set(kernel.table)) == len(kernel.table)
    if distinct and not any(map((3).__and__, kernel.table)):
        return
    seen: set[int] = set()
    for value in kernel.table:
        if value % 4:
            yield _damaged_entry(kernel, value, "is not aligned to an instruction")
        elif value and value in seen:
            yield _damaged_entry(kernel, value, "stands in the location table more than once")
        seen.add(value)


def _damaged_entry(kernel: Kernel, value: int, problem: str) -> Finding:
    function = symbolic(*kernel.symbols.locate(value))
    return Finding("table-damaged", f"{function} at {value:#x} {problem}", function=function, location=value)

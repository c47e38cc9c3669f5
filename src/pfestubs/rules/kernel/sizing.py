# SPDX-License-Identifier: GPL-2.0-or-later
"""Count the entries of a `vmlinux.o`, size its areas, and find out whether its reserve is a trap.

Mirrors `arch/powerpc/tools/ftrace-gen-ool-stubs.sh` on healthy input, with the linker script's rules
where that script matches a pattern (`docs/differences.md`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.layouts import LAYOUTS, RESERVE_CONFIG, AreaRole, Layout, detect_layout
from pfestubs.model import EntryCounts, ObjectCounts, ppc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.model import VmlinuxO
    from pfestubs.model.findings import Remedy

TRAP_MARGIN: Final = 1 << 20
"""Bytes that the final link may add between a location and its stub, beyond what `vmlinux.o` shows."""
_ROUND: Final = 100
"""A suggested reserve is a multiple of this: the object only suggests where text will be."""

SectionKind = Literal["text", "inittext", "exittext"]

_INIT_EXACT: Final = frozenset({".init.text", ".text.startup"})
_INIT_PREFIXES: Final = (".init.text.", ".text.startup.")
_EXIT_EXACT: Final = frozenset({".exit.text", ".text.exit"})
_EXIT_PREFIXES: Final = (".text.exit.",)


@dataclass(frozen=True)
class Trap:
    """The location that decides whether the reserve is a trap; bytes, as `vmlinux.o` is laid out."""

    reserve: int
    index: int
    distance: int
    stubs: int
    """What the trap can cost at most: stubs of the reserve that may be out of range."""
    remedy: Remedy | None = None

    @property
    def exposed(self) -> bool:
        """Whether the location is too far from its stub, or nearer to the limit than the margin."""
        low, high = ppc.BACKWARD_LIMIT + TRAP_MARGIN, ppc.FORWARD_LIMIT - TRAP_MARGIN
        return not low <= self.distance <= high


class SizedObject(NamedTuple):
    """The counts of an object, and whether its reserve may be out of range.

    Attributes:
        judged: whether that was asked for.
        trap: the location that decides, with a remedy if it is exposed; None where none depends on a reserve.
    """

    counts: ObjectCounts
    judged: bool = False
    trap: Trap | None = None

    @property
    def ok(self) -> bool:
        """Whether the reserve is in range, as far as was asked."""
        return self.trap is None or not self.trap.exposed


def classify_section(section: str) -> SectionKind:
    """Return the kind of an entry whose location is in the section of that name.

    By the linker script's own rules, those of 7.2 (`include/asm-generic/vmlinux.lds.h`: INIT_TEXT, EXIT_TEXT
    and TEXT_MAIN): a name matches exactly or by its `name.` prefix: `.text.startup_pirq` is ordinary text.
    """
    if section in _INIT_EXACT or section.startswith(_INIT_PREFIXES):
        return "inittext"
    if section in _EXIT_EXACT or section.startswith(_EXIT_PREFIXES):
        return "exittext"
    return "text"


def count_entries(obj: VmlinuxO) -> EntryCounts:
    """Return the entries by the kind of the section that they point into."""
    counts = {"text": 0, "inittext": 0, "exittext": 0}
    for section in obj.sections:
        counts[classify_section(section.name)] += len(section.locations)
    return EntryCounts(**counts)


def size_areas(layout: Layout, entries: EntryCounts, reserve: int) -> Mapping[str, int]:
    """Return the stubs per area: exit text counts as text; the end area takes what the reserve does not."""
    end = max(0, entries.text + entries.exittext - reserve)
    counts = {AreaRole.RESERVE: reserve, AreaRole.END: end, AreaRole.INIT: entries.inittext}
    return {area.name: counts[area.role] for area in layout.areas}


def count(
    obj: VmlinuxO, *, layout: str | None = None, reserve: int | None = None, allow_empty: bool = False
) -> ObjectCounts:
    """Count the entries of an object and size its areas.

    Args:
        obj: the object.
        layout: a layout's name if the object has no stub symbols; None to detect.
        reserve: stubs of the reserve where the object does not define it.
        allow_empty: accept an object that has no entries.

    Raises:
        InputError: an option and the object disagree, it has no entries, or the reserve size is unknown.
    """
    entries = count_entries(obj)
    if not entries.total and not allow_empty:
        raise RefusedError(Refusal.NO_ENTRIES, obj.file)
    if layout is None and reserve is not None and not obj.stub_symbols:
        layout = next(name for name, row in LAYOUTS.items() if row.reserve)  # no other has a reserve
    chosen = detect_layout(obj.file, obj.stub_symbols, layout, has_option=True)
    return ObjectCounts(
        obj.file,
        obj.bits,
        obj.byte_order,
        chosen,
        entries,
        size_areas(chosen, entries, _known_reserve(obj, chosen, reserve)) if chosen else None,
    )


def _known_reserve(obj: VmlinuxO, layout: Layout, asked: int | None) -> int:
    area = layout.reserve
    if area is None:
        if asked is not None:
            raise RefusedError(Refusal.RESERVE_UNEXPECTED, obj.file, asked, layout.name)
        return 0
    if obj.reserve is None and asked is None:
        raise RefusedError(Refusal.RESERVE_UNKNOWN, obj.file, area.count_symbol)
    if obj.reserve is not None and asked is not None and asked != obj.reserve:
        raise RefusedError(Refusal.RESERVE_DIFFERS, obj.file, asked, area.count_symbol, obj.reserve)
    return obj.reserve if obj.reserve is not None else asked or 0


def measure_reserve(
    obj: VmlinuxO, layout: Layout, stubs: Mapping[str, int]
) -> Trap | Literal["unknown"] | None:
    """Return the location that decides whether every stub of the reserve can be used.

    `arch/powerpc/kernel/trace/ftrace.c: ftrace_init_ool_stub` skips reserve stubs that are out of range of
    the function, and the end area is sized as if it never did. The last location that gets a stub of the
    reserve decides: text only ever moves away from its slot.

    Returns:
        None without a reserve or text locations; "unknown" where the object does not hold the reserve.
    """
    reserve = stubs[layout.reserve.name] if layout.reserve else 0
    text = _place_text(obj, layout, reserve) if reserve else None
    if text is None or not text.locations:
        return None
    if text.reserve_at is None:
        return "unknown"
    index = min(reserve, len(text.locations)) - 1
    distance = text.locations[index] - (text.reserve_at + index * text.stub_size)
    return Trap(reserve, index, distance, min(reserve, len(text.locations)))


def judge_reserve(obj: VmlinuxO, counts: ObjectCounts) -> SizedObject:
    """Return whether the reserve that an object was counted with is in range, and what to change if not.

    Raises:
        RefusedError: the object does not tell.
    """
    if counts.layout is None or counts.stubs is None:
        raise RefusedError(Refusal.LAYOUT_UNTESTABLE, obj.file)
    trap = measure_reserve(obj, counts.layout, counts.stubs)
    if trap == "unknown":
        raise RefusedError(Refusal.RESERVE_UNTESTABLE, obj.file, "ftrace_ool_stub_text")
    if trap is not None and trap.exposed:
        trap = replace(trap, remedy=suggest_reserve(obj, counts.layout, trap.reserve))
    return SizedObject(counts, judged=True, trap=trap)


def suggest_reserve(obj: VmlinuxO, layout: Layout, reserve: int) -> Remedy:
    """Return what to change in an exposed kernel: a reserve for which both areas are within the margin.

    Another reserve moves the text after it together with the end area. For any reserve, the reserve reaches a
    prefix of the locations and the end area a suffix. The value returned leaves both the same margin.
    """
    from pfestubs.model.findings import Action, Remedy  # every `generate` would pay for it

    text = _place_text(obj, layout, reserve)
    first = text.end_at + ppc.BACKWARD_LIMIT
    last = (text.reserve_at or 0) + (reserve - 1) * text.stub_size + ppc.FORWARD_LIMIT
    low = bisect_left(text.locations, first + TRAP_MARGIN)
    high = bisect_right(text.locations, last - TRAP_MARGIN)
    value = bisect_left(text.locations, (first + last) // 2)
    rounded = value // _ROUND * _ROUND
    value = min(max(rounded if rounded >= low else value, low), high)
    if low > high or value == reserve:
        return Remedy(Action.SHRINK_TEXT)
    return Remedy(Action.LOWER_RESERVE if value < reserve else Action.RAISE_RESERVE, RESERVE_CONFIG, value)


@dataclass(frozen=True)
class _PlacedText:
    """Text as `vmlinux.o` suggests that it is linked, as offsets in bytes from its start.

    Attributes:
        locations: ascending.
        reserve_at: of the first stub of the reserve, None if the object does not hold it.
        end_at: of the end area.
        stub_size: bytes.
    """

    locations: Sequence[int]
    reserve_at: int | None
    end_at: int
    stub_size: int


def _place_text(obj: VmlinuxO, layout: Layout, reserve: int) -> _PlacedText:
    # Section order and the sum of sizes approximate the linker script's order closely.
    base, bases = 0, []
    locations: list[int] = []
    for section in obj.sections:
        align = max(section.align, 1)
        base += -base % align
        bases.append(base)
        if classify_section(section.name) == "text":
            locations += map(base.__add__, section.locations)
            base += section.size
    locations.sort()
    array = obj.reserve_array
    if array is None:
        return _PlacedText(locations, None, base, layout.stub_size)
    size, rest = divmod(array.size, reserve)
    return _PlacedText(
        locations, bases[array.section] + array.offset, base, size if size and not rest else layout.stub_size
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""The same kernel linked again, with another reserve or with more text, as a kernel to boot.

What is assumed of the linker: the order of sections stays; what is between the reserve and the end area moves
by the difference of the reserves (by that of the end areas where the end area comes first); the end area is
sized as the generator sizes it (`arch/powerpc/tools/ftrace-gen-ool-stubs.sh`), so that what follows both in
.text stays where it is as long as the reserve does not exceed the entries; the area of init text has a stub
for each of its locations; init text starts at a boundary of its own. Assumes a nop at every location and no
linker-generated stubs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.layouts import AreaRole
from pfestubs.model import TRAMPOLINE_FREED, ppc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import Area, Kernel
    from pfestubs.rules.kernel.boot import Boot

_INIT_ALIGNMENT: Final = 1 << 24
"""The largest boundary, in bytes, that init text is taken to start at on purpose (STRICT_KERNEL_RWX)."""
_TRAMPOLINE_DISTANCE: Final = 0x100
"""Bytes within which a trampoline before the end area belongs to its section (`.tramp.ftrace.text`)."""


class GrowthShape(Enum):
    """Where text is added; the value is the documents' word for it."""

    EARLY = "early"
    """In one piece, directly after the area in .text (in a layout without one, after the tracers)."""
    EVEN = "even"
    """Spread evenly over the text from there to the section of the end area."""
    LATE = "late"
    """In one piece, after the last function before the section of the end area."""


@dataclass(frozen=True)
class Growth:
    """Text that is added (negative: removed), in bytes."""

    bytes: int = 0
    shape: GrowthShape = GrowthShape.EARLY


class NopMemory:
    """Memory of a kernel that was not linked: a nop at every location, nothing to read."""

    def word(self, address: int) -> int | None:  # noqa: ARG002 - the interface of memory
        """Return a nop."""
        return ppc.NOP

    def words_at(self, addresses: array[int]) -> Sequence[int | None]:
        """Return nops."""
        return array("I", [ppc.NOP]) * len(addresses)

    def read(self, address: int, size: int) -> bytes | None:  # noqa: ARG002 - the interface of memory
        """Return None: no file holds this memory."""
        return None


def text_locations(boot: Boot) -> array[int]:
    """Return the locations in kernel text, ascending."""
    return boot.locations[boot.positions_in(boot.kernel.text)]


def text_entries(boot: Boot) -> int:
    """Return the text entries that the generator counted, `--spare` included: what the areas hold.

    Where the areas hold less, because the reserve alone holds all of text or the count was wrong, the
    locations tell.
    """
    reserve, end = (boot.kernel.area(role) for role in (AreaRole.RESERVE, AreaRole.END))
    counted = (reserve.count if reserve else 0) + end.count if end and end.count else 0
    return max(counted, len(text_locations(boot)))


def end_stubs(entries: int, reserve: int) -> int:
    """Return the stubs of the end area that go with a reserve, as the generator sizes it."""
    return max(0, entries - reserve)


def growth_span(boot: Boot) -> range:
    """Return the addresses over which text grows evenly: early growth is at its start, late at its stop."""
    kernel = boot.kernel
    reserve, end = kernel.area(AreaRole.RESERVE), kernel.area(AreaRole.END)
    start = max(kernel.tracers.values()) + ppc.INSN_SIZE
    if reserve is not None:
        start = reserve.address + reserve.count * boot.stub_size
    trampolines = [t for name, t in kernel.trampolines.items() if name != TRAMPOLINE_FREED]
    stop = kernel.text.stop if end is None else end.address
    for trampoline in trampolines:
        if end is None or end.address - _TRAMPOLINE_DISTANCE <= trampoline < end.address:
            stop = min(stop, trampoline)
    return range(start, max(start, stop))


def relink(boot: Boot, reserve: int | None = None, growth: Growth | None = None) -> Kernel:
    """Return the kernel of `boot` as it would be linked with this reserve (stubs) and this growth of text.

    With a reserve, all areas are generated again; None keeps them as they are.
    """
    kernel, growth = boot.kernel, growth or Growth()
    counts, linked = {area.role: area.count for area in kernel.areas}, kernel.area(AreaRole.RESERVE)
    if reserve is not None and linked is not None:
        counts |= {AreaRole.RESERVE: reserve, AreaRole.END: end_stubs(text_entries(boot), reserve)}
        counts[AreaRole.INIT] = max(counts[AreaRole.INIT], len(boot.locations) - len(text_locations(boot)))
    # Code at the address of an array follows it; a linker script may have the end area first.
    moves = _Moves(
        [
            (area.address, (counts[area.role] - area.count) * boot.stub_size)
            for area in kernel.areas
            if area.role is not AreaRole.INIT
        ],
        growth,
        growth_span(boot),
    )
    text, inittext, locations = kernel.text, kernel.inittext, boot.locations
    total = growth.bytes + sum(change for _, change in moves.changes)
    init = _init_shift(kernel, text.stop + total)

    def moved(address: int) -> int:
        if address in text:
            return moves.column(array("Q", [address]))[0]
        return (address + init) & ppc.ADDRESS_MASK if address in inittext else address

    def resized(area: Area) -> Area:
        count, address = counts[area.role], area.address
        inside = area.role is not AreaRole.INIT and address in text
        address = moves.area_address(address) if inside else moved(address)
        return replace(area, address=address, count=count, size=count * boot.stub_size, size_is_gap=False)

    in_text, in_init = boot.positions_in(text), boot.positions_in(inittext)
    table = locations[:]
    table[in_init] = _shifted(locations[in_init], init)
    table[in_text] = moves.column(locations[in_text])
    return replace(
        kernel,
        table=table,
        text=range(text.start, text.stop + total),
        inittext=range(inittext.start + init, inittext.stop + init),
        areas=[resized(area) for area in kernel.areas],
        tracers={name: moved(address) for name, address in kernel.tracers.items()},
        trampolines={name: moved(address) for name, address in kernel.trampolines.items()},
        memory=NopMemory(),
    )


def _shifted(addresses: array[int], shift: int) -> array[int]:
    """Return addresses, each `shift` bytes on."""
    return array("Q", [(address + shift) & ppc.ADDRESS_MASK for address in addresses]) if shift else addresses


class _Moves(NamedTuple):
    """How far the addresses of text move; all addresses are those before the move.

    Attributes:
        changes: the address of each area of text, and the bytes by which the area grows.
        span: where `growth` is.
    """

    changes: Sequence[tuple[int, int]]
    growth: Growth
    span: range

    def area_address(self, address: int) -> int:
        """Return where an area of text moves to: with what precedes it."""
        before = sum(change for at, change in self.changes if at < address)
        grown = self.growth.bytes if address >= self.span.stop else 0
        return (address + before + grown) & ppc.ADDRESS_MASK

    def column(self, addresses: array[int]) -> array[int]:
        """Return where ascending addresses in text move to."""
        span, grown, early = self.span, self.growth.bytes, self.growth.shape is GrowthShape.EARLY
        even = grown and self.growth.shape is GrowthShape.EVEN
        steps = [*self.changes, (span.start if early else span.stop, grown), (span.start, 0)]
        moved, shift, since, start = array("Q"), 0, 0, 0
        for at, change in [*sorted(steps), (1 << 64, 0)]:
            stop = bisect_left(addresses, at)
            piece = addresses[start:stop]
            if piece and even and span.start <= since and at <= span.stop:
                size, insn = ppc.span_size(span), ppc.INSN_SIZE
                evenly = ((a, grown * (a - span.start) // size // insn * insn) for a in piece)
                moved.extend([(a + by + shift) & ppc.ADDRESS_MASK for a, by in evenly])
            else:
                moved.extend(_shifted(piece, shift))
            shift, since, start = shift + change, at, stop
        return moved


def _init_shift(kernel: Kernel, text_stop: int) -> int:
    """Return the bytes by which init text moves: only where text reaches it, to a boundary like its own."""
    start = kernel.inittext.start
    if start < kernel.text.stop or text_stop <= start:
        return 0
    boundary = min(start & -start, _INIT_ALIGNMENT)
    return -(-(text_stop - start) // boundary) * boundary

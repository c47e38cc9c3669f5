# SPDX-License-Identifier: GPL-2.0-or-later
"""The same kernel linked again, with another reserve or with more text, as a kernel to boot.

What is assumed of the linker: the order of sections stays; what is between the reserve and the end area moves
by the difference of the reserves (by that of the end areas where the end area comes first); the end area is
sized as the generator sizes it (`arch/powerpc/tools/ftrace-gen-ool-stubs.sh`), so that what follows both in
.text stays where it is as long as the reserve does not exceed the entries; init text starts at a boundary of
its own. Assumes a nop at every location and no linker-generated stubs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import AreaRole
from pfestubs.model import TRAMPOLINE_FREED, ppc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import Kernel
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
    text, locations = boot.kernel.text, boot.locations
    return locations[bisect_left(locations, text.start) : bisect_left(locations, text.stop)]


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


def span_size(span: range) -> int:
    """Return the bytes of a span; a damaged kernel's can be larger than `len` can count."""
    return max(0, span.stop - span.start)


def relink(boot: Boot, reserve: int | None = None, growth: Growth | None = None) -> Kernel:
    """Return the kernel of `boot` as it would be linked with this reserve (stubs) and this growth of text.

    None keeps the value of the kernel.
    """
    moves = _Moves.of(boot, reserve, growth or Growth())
    kernel = boot.kernel
    areas = [
        replace(
            area,
            address=moves.area_address(area.role, area.address),
            count=moves.counts[area.role],
            size=moves.counts[area.role] * boot.stub_size,
            size_is_gap=False,
        )
        for area in kernel.areas
    ]
    text, inittext, locations = kernel.text, kernel.inittext, boot.locations
    start, stop = bisect_left(locations, text.start), bisect_left(locations, text.stop)
    first, last = bisect_left(locations, inittext.start), bisect_left(locations, inittext.stop)
    table = locations[:]
    table[first:last] = _shifted(locations[first:last], moves.init)
    table[start:stop] = moves.column(locations[start:stop])
    return replace(
        kernel,
        table=table,
        text=range(text.start, text.stop + moves.total),
        inittext=range(inittext.start + moves.init, inittext.stop + moves.init),
        areas=areas,
        tracers={name: moves.address(address) for name, address in kernel.tracers.items()},
        trampolines={name: moves.address(address) for name, address in kernel.trampolines.items()},
        memory=NopMemory(),
    )


def _shifted(addresses: array[int], shift: int) -> array[int]:
    """Return ascending addresses, each `shift` bytes on."""
    if not shift:
        return addresses
    if addresses and not 0 <= addresses[0] + shift <= addresses[-1] + shift <= ppc.ADDRESS_MASK:
        return array("Q", [(address + shift) & ppc.ADDRESS_MASK for address in addresses])
    return array("Q", map(shift.__add__, addresses))


@dataclass(frozen=True)
class _Moves:
    """How far the addresses of a kernel move; all addresses are those before the move.

    Attributes:
        first, second: addresses of the two areas of text in their order (equal without a reserve).
        middle: bytes by which what is between the two moves because the first area changes.
        after: bytes by which what is after both moves because both areas change.
        growth: of text; `span` where.
        init: bytes by which init text moves.
        counts: of stubs, by the role of the area.
    """

    text: range
    inittext: range
    first: int
    second: int
    second_role: AreaRole
    middle: int
    after: int
    growth: Growth
    span: range
    init: int
    counts: dict[AreaRole, int]

    @classmethod
    def of(cls, boot: Boot, reserve: int | None, growth: Growth) -> _Moves:
        """Return the moves for another reserve (None: the same) and this growth."""
        kernel = boot.kernel
        counts = {area.role: area.count for area in kernel.areas}
        old, end = kernel.area(AreaRole.RESERVE), kernel.area(AreaRole.END)
        if reserve is not None and old is not None and reserve != old.count:
            counts |= {AreaRole.RESERVE: reserve, AreaRole.END: end_stubs(text_entries(boot), reserve)}
        changes = {a.role: (counts[a.role] - a.count) * boot.stub_size for a in (old, end) if a is not None}
        # A linker script may have the end area first. Code at the address of an array follows it.
        ordered = sorted((a for a in (old, end) if a is not None), key=lambda a: a.address)
        first, second = (ordered[0], ordered[-1]) if ordered else (None, None)
        middle = changes[first.role] if first is not None and first is not second else 0
        return cls(
            text=kernel.text,
            inittext=kernel.inittext,
            first=first.address if first else kernel.text.stop,
            second=second.address if second else kernel.text.stop,
            second_role=second.role if second else AreaRole.END,
            middle=middle,
            after=sum(changes.values()),
            growth=growth,
            span=growth_span(boot),
            init=_init_shift(kernel, kernel.text.stop + sum(changes.values()) + growth.bytes),
            counts=counts,
        )

    @property
    def total(self) -> int:
        """Bytes by which the end of text moves."""
        return self.after + self.growth.bytes

    def address(self, address: int) -> int:
        """Return where an address moves to."""
        if address in self.text:
            return self.column(array("Q", [address]))[0]
        return (address + self.init) & ppc.ADDRESS_MASK if address in self.inittext else address

    def area_address(self, role: AreaRole, address: int) -> int:
        """Return where an area moves to: with what precedes it."""
        if role is AreaRole.INIT or address not in self.text:
            return self.address(address)
        before = self.middle if role is self.second_role and self.second != self.first else 0
        grown = self.growth.bytes if address >= self.span.stop else 0
        return (address + before + grown) & ppc.ADDRESS_MASK

    def column(self, addresses: array[int]) -> array[int]:
        """Return where ascending addresses in text move to."""
        cuts = [0, *(bisect_left(addresses, a) for a in (self.first, self.second)), len(addresses)]
        resized = array("Q")
        for shift, start, stop in zip((0, self.middle, self.after), cuts, cuts[1:], strict=False):
            resized.extend(_shifted(addresses[start:stop], shift))
        grown, span = self.growth.bytes, self.span
        if not grown:
            return resized
        early = self.growth.shape is GrowthShape.EARLY
        start = bisect_left(addresses, span.start)
        stop = start if early else bisect_left(addresses, span.stop)
        moved = resized[:start]
        if self.growth.shape is GrowthShape.EVEN:
            pairs = zip(resized[start:stop], even_shifts(grown, addresses[start:stop], span), strict=True)
            moved.extend([(to + by) & ppc.ADDRESS_MASK for to, by in pairs])
        else:
            moved.extend(resized[start:stop])
        moved.extend(_shifted(resized[stop:], grown))
        return moved


def even_shifts(grown: int, addresses: array[int], span: range) -> list[int]:
    """Return how far addresses in `span` move when `grown` bytes are spread evenly: whole instructions."""
    start, size, insn = span.start, span_size(span), ppc.INSN_SIZE
    return [grown * (address - start) // size // insn * insn for address in addresses]


def _init_shift(kernel: Kernel, text_stop: int) -> int:
    """Return the bytes by which init text moves: only where text reaches it, to a boundary like its own."""
    start = kernel.inittext.start
    if start < kernel.text.stop or text_stop <= start:
        return 0
    boundary = min(start & -start, _INIT_ALIGNMENT)
    return -(-(text_stop - start) // boundary) * boundary

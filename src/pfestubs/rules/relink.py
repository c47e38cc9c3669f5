# SPDX-License-Identifier: GPL-2.0-or-later
"""The same kernel linked with another reserve, as a kernel to boot.

What is assumed of the linker: the order of sections stays; what is between the reserve and the end area moves
by the difference of the reserves (by that of the end areas where the end area comes first); the end area is
sized as the generator sizes it (`arch/powerpc/tools/ftrace-gen-ool-stubs.sh`), so that what follows both in
.text stays where it is as long as the reserve does not exceed the entries; init text starts at a boundary of
its own and stays. Every location is taken to hold its nop.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pfestubs.layouts import AreaRole
from pfestubs.rules import ppc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import Kernel
    from pfestubs.rules.boot import Boot


class NopMemory:
    """Memory of a kernel that was not linked: a nop at every location, nothing to read."""

    def word(self, address: int) -> int | None:  # noqa: ARG002 - the interface of memory
        """Return a nop."""
        return ppc.NOP

    def words_at(self, addresses: array[int]) -> Sequence[int | None]:
        """Return nops."""
        return array("I", [ppc.NOP]) * len(addresses)

    def read(self, address: int, size: int) -> memoryview | None:  # noqa: ARG002 - the interface of memory
        """Return None: no file holds this memory."""
        return None


@dataclass(frozen=True)
class _Moves:
    """How far addresses move, by the ascending address from which on they do; 0 before the first."""

    starts: Sequence[int]
    shifts: Sequence[int]

    def address(self, address: int) -> int:
        """Return where an address moves to."""
        place = bisect_left(self.starts, address + 1) - 1
        return address if place < 0 else (address + self.shifts[place]) & ppc.ADDRESS_MASK

    def column(self, addresses: array[int]) -> array[int]:
        """Return where ascending addresses move to."""
        cuts = [0, *(bisect_left(addresses, start) for start in self.starts), len(addresses)]
        moved = addresses[: cuts[1]]
        for shift, first, last in zip(self.shifts, cuts[1:-1], cuts[2:], strict=True):
            moved.extend([(address + shift) & ppc.ADDRESS_MASK for address in addresses[first:last]])
        return moved


def text_entries(boot: Boot) -> int:
    """Return the text entries that the generator counted, `--spare` included: what the areas hold.

    Where the reserve alone holds all of text, the end area is empty and the locations tell.
    """
    reserve, end = (boot.kernel.area(role) for role in (AreaRole.RESERVE, AreaRole.END))
    assert reserve is not None and end is not None  # noqa: S101, PT018 - callers ask for a reserve
    if end.count:
        return reserve.count + end.count
    return sum(map(boot.kernel.text.__contains__, boot.locations))


def with_reserve(boot: Boot, reserve: int) -> Kernel:
    """Return the kernel of `boot` as it would be linked with this reserve, a count of stubs."""
    kernel = boot.kernel
    old, end = kernel.area(AreaRole.RESERVE), kernel.area(AreaRole.END)
    assert old is not None and end is not None  # noqa: S101, PT018 - callers ask for a reserve
    end_count = max(0, text_entries(boot) - reserve)
    growth = {
        AreaRole.RESERVE: (reserve - old.count) * boot.stub_size,
        AreaRole.END: (end_count - end.count) * boot.stub_size,
    }
    # Code at the address of an array follows it: the array is empty. A linker script may reverse the two.
    first, second = (old, end) if old.address <= end.address else (end, old)
    after = sum(growth.values())
    moves = _Moves((first.address, second.address), (growth[first.role], after))
    counts = {AreaRole.RESERVE: reserve, AreaRole.END: end_count}
    inside = kernel.text

    def moved(address: int) -> int:
        return moves.address(address) if address in inside else address

    # An array moves with what precedes it.
    arrays = {
        first.role: first.address,
        second.role: (second.address + growth[first.role]) & ppc.ADDRESS_MASK,
    }
    areas = [
        replace(
            area,
            address=arrays[area.role] if area.role in arrays else moved(area.address),
            count=counts.get(area.role, area.count),
            size=counts.get(area.role, area.count) * boot.stub_size,
            size_is_gap=False,
        )
        for area in kernel.areas
    ]
    start = bisect_left(boot.locations, inside.start)
    stop = bisect_left(boot.locations, inside.stop)
    table = boot.locations[:start] + moves.column(boot.locations[start:stop]) + boot.locations[stop:]
    return replace(
        kernel,
        table=table,
        text=range(inside.start, inside.stop + after),
        areas=areas,
        tracers={name: moved(address) for name, address in kernel.tracers.items()},
        trampolines={name: moved(address) for name, address in kernel.trampolines.items()},
        memory=NopMemory(),
    )

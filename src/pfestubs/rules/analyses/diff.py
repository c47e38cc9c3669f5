# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed between two kernels: locations by function, areas, headroom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.model import AreaFigures, KernelFigures
from pfestubs.rules.analyses.address_map import measure_text
from pfestubs.rules.analyses.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.rules.kernel.boot import Boot

_UNKNOWN_AREA = AreaFigures(None, None)


class FunctionCount(NamedTuple):
    """A symbol, and how many locations by that symbol were added or removed."""

    name: str
    number: int


class AreaChange(NamedTuple):
    """An area in the old and in the new kernel."""

    name: str
    old: AreaFigures
    new: AreaFigures


@dataclass(frozen=True)
class DiffResult:
    """Two kernels' figures and what differs.

    Attributes:
        locations: of the old and the new kernel; two counts of objects are compared with exit text.
        added, removed: by symbol, sorted; None where a source holds only totals.
        areas: those of the old layout, then those that only the new one has.
    """

    old: KernelFigures
    new: KernelFigures
    locations: tuple[int, int]
    added: Sequence[FunctionCount] | None
    removed: Sequence[FunctionCount] | None
    areas: Sequence[AreaChange]

    @cached_property
    def same_kind(self) -> bool:
        """Whether class, byte order and layout are the same, where both sources have them."""
        old, new = self.old.kernel, self.new.kernel
        pairs = (old.bits, new.bits), (old.byte_order, new.byte_order), (old.layout, new.layout)
        return not any(_differ(*pair) for pair in pairs)

    @property
    def new_fails(self) -> bool:
        """Whether the new kernel would fail at boot, where its source has that."""
        return bool(self.new.unserved or self.new.damage)

    @cached_property
    def same(self) -> bool:
        """Whether no figure that both sources hold differs."""
        old, new = self.old, self.new
        pairs = [
            self.locations,
            (old.stub_size, new.stub_size),
            (old.entries, new.entries),
            (old.unserved, new.unserved),
            (old.headroom, new.headroom),
            (old.growth, new.growth),
            (old.damage, new.damage),
            (old.text, new.text),
            (old.inittext, new.inittext),
            (old.gap, new.gap),
            *(pair for area in self.areas for pair in zip(area.old, area.new, strict=True)),
        ]
        return self.same_kind and not (self.added or self.removed) and not any(_differ(*p) for p in pairs)


def compare(old: KernelFigures, new: KernelFigures) -> DiffResult:
    """Return what differs between two kernels' figures.

    Raises:
        RefusedError: one source lists only some of the functions, the other is about all.
    """
    if old.partial != new.partial:
        partial = old if old.partial else new
        raise RefusedError(Refusal.LISTING_PARTIAL, partial.kernel.file, partial.locations)
    locations = old.locations, new.locations
    if old.entries is not None and new.entries is not None:
        locations = old.entries.total, new.entries.total
    added = removed = None
    if old.functions is not None and new.functions is not None:
        added = _more(new.functions, old.functions)
        removed = _more(old.functions, new.functions)
    return DiffResult(
        old=old,
        new=new,
        locations=locations,
        added=added,
        removed=removed,
        areas=[
            AreaChange(name, old.areas.get(name, _UNKNOWN_AREA), new.areas.get(name, _UNKNOWN_AREA))
            for name in {**old.areas, **new.areas}
        ],
    )


def boot_figures(boot: Boot) -> KernelFigures:
    """Return the figures of a linked kernel.

    A location is named by its symbol alone: the nop of a function can move from +0x8 to +0x0.
    """
    kernel, headroom = boot.kernel, boot.headroom
    locate, text = kernel.symbols.locate, measure_text(boot)
    return KernelFigures(
        kernel=kernel.identity,
        source="kernel",
        locations=len(boot.locations),
        stub_size=boot.stub_size if kernel.layout else None,
        functions=Counter(locate(location)[0] for location in boot.locations),
        areas={area.name: AreaFigures(area.count, boot.used(i)) for i, area in enumerate(kernel.areas)},
        unserved=len(boot.failures),
        headroom=None if headroom is None else headroom.bytes,
        growth=None if boot.damage else Planner(boot).growth_left,
        damage=boot.damage[0].rule if boot.damage else None,
        text=text.text,
        inittext=text.inittext,
        gap=None if text.gap is None else text.gap.bytes,
    )


def _more(functions: Mapping[str, int], others: Mapping[str, int]) -> Sequence[FunctionCount]:
    """Return by how much the count of each symbol is higher than among `others`, sorted by symbol."""
    more = ((name, count - others.get(name, 0)) for name, count in functions.items())
    return sorted(FunctionCount(name, count) for name, count in more if count > 0)


def _differ(old: object, new: object) -> bool:
    return old is not None and new is not None and old != new

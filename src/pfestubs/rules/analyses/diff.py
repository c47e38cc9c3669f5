# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed between two kernels: locations by function, areas, headroom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pfestubs.errors import Refusal, RefusedError
from pfestubs.model import AreaFigures, KernelFigures
from pfestubs.rules.analyses.address_map import measure_text
from pfestubs.rules.analyses.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pfestubs.rules.kernel.boot import Boot

_UNKNOWN_AREA = AreaFigures(None, None)
_COMPARED = ("stub_size", "entries", "unserved", "headroom", "growth", "text", "inittext", "gap")
"""The figures of which a difference counts, beside the locations, the areas and damage."""


@dataclass(frozen=True)
class DiffResult:
    """Two kernels' figures, and what differs between them."""

    old: KernelFigures
    new: KernelFigures

    @property
    def locations(self) -> tuple[int, int]:
        """Of the old and the new kernel; two counts of objects are compared with exit text."""
        if self.old.entries is None or self.new.entries is None:
            return self.old.locations, self.new.locations
        return self.old.entries.total, self.new.entries.total

    @cached_property
    def added(self) -> Counter[str] | None:
        """How many more locations the new kernel has, by symbol; None where a source has only totals."""
        return _more(self.new, self.old)

    @cached_property
    def removed(self) -> Counter[str] | None:
        """How many more locations the old kernel has, likewise."""
        return _more(self.old, self.new)

    @cached_property
    def areas(self) -> Mapping[str, tuple[AreaFigures, AreaFigures]]:
        """Each area in the old and the new kernel: those of the old, then those that only the new one has."""
        old, new = self.old.areas, self.new.areas
        return {name: (old.get(name, _UNKNOWN_AREA), new.get(name, _UNKNOWN_AREA)) for name in {**old, **new}}

    @cached_property
    def same_kind(self) -> bool:
        """Whether class, byte order and layout are the same, where both sources have them."""
        return not _differ(_pairs(self.old.kernel, self.new.kernel, "bits", "byte_order", "layout"))

    @property
    def new_fails(self) -> bool:
        """Whether the new kernel would fail at boot, where its source has that."""
        return bool(self.new.unserved or self.new.damage)

    @cached_property
    def same(self) -> bool:
        """Whether no figure that both sources hold differs."""
        pairs = [
            self.locations,
            *_pairs(self.old, self.new, *_COMPARED),
            *(pair for area in self.areas.values() for pair in zip(*area, strict=True)),
        ]
        sides = (self.old, self.new)
        damage = {side.damage for side in sides if side.source in {"kernel", "check"}}  # others do not tell
        return self.same_kind and not (self.added or self.removed or len(damage) > 1 or _differ(pairs))


def compare(old: KernelFigures, new: KernelFigures) -> DiffResult:
    """Return what differs between two kernels' figures.

    Raises:
        RefusedError: one source lists only some of the functions, the other is about all.
    """
    if old.partial != new.partial:
        partial = old if old.partial else new
        raise RefusedError(Refusal.LISTING_PARTIAL, partial.kernel.file, partial.locations)
    return DiffResult(old, new)


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
        stub_size=boot.stub_size or None,
        functions=Counter(locate(location)[0] for location in boot.locations),
        areas={area.name: AreaFigures(area.count, used) for area, used, _ in boot.uses},
        unserved=len(boot.failures),
        headroom=None if headroom is None else headroom.bytes,
        growth=None if boot.damage else Planner(boot).growth_left,
        damage=boot.damage[0].rule if boot.damage else None,
        text=text.text,
        inittext=text.inittext,
        gap=None if text.gap is None else text.gap.bytes,
    )


def _more(figures: KernelFigures, others: KernelFigures) -> Counter[str] | None:
    if figures.functions is None or others.functions is None:
        return None
    return Counter(dict(sorted((figures.functions - others.functions).items())))


def _pairs(old: object, new: object, *names: str) -> Iterator[tuple[object, object]]:
    return ((getattr(old, name), getattr(new, name)) for name in names)


def _differ(pairs: Iterable[tuple[object, object]]) -> bool:
    """Return whether the two of a pair differ, where both are known."""
    return any(old is not None and new is not None and old != new for old, new in pairs)

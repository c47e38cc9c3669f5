# SPDX-License-Identifier: GPL-2.0-or-later
"""The reserves that work, and the growth that each allows: the answers for one boot.

The conditions of a boot (`analyses.conditions`) answer for all reserves. Boots of relinked kernels
(`analyses.relink`) confirm what is reported, and replace it where a kernel is not laid out as the conditions
assume.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from math import inf
from typing import TYPE_CHECKING, Final

from pfestubs.layouts import AreaRole
from pfestubs.model import ppc
from pfestubs.rules.analyses.conditions import GROWTH_MAX, Conditions
from pfestubs.rules.analyses.relink import Growth, GrowthShape, growth_span, relink
from pfestubs.rules.kernel.simulation import simulate_boot
from pfestubs.rules.kernel.stubs import INSNS_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pfestubs.rules.kernel.boot import Boot

RESERVE_MAX: Final = (1 << 26) // INSNS_SIZE
"""The largest reserve tried: the smallest stubs that fill the reach of two branches."""
_KEPT: Final = 4
"""Boots that are remembered, the latest ones: each takes up to 3 MB."""
_GUESSES: Final = 4
"""How often the conditions are asked for a limit before it is searched for by boots."""
_CHEAPEST_FIRST: Final = (GrowthShape.EARLY, GrowthShape.LATE, GrowthShape.EVEN)


@dataclass(frozen=True)
class GrowthLimit:
    """The most growth, in bytes, with which every function still gets a working stub.

    `bytes` is None without a limit, or where no growth works, not even a negative one (then `works` is
    False). `rule` and `function`: what fails first with one instruction more.
    """

    bytes: int | None
    works: bool
    rule: str | None = None
    function: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The boot of the kernel linked with a reserve (None: a layout without one) and grown.

    Attributes:
        ok: whether every function gets a working stub.
        unserved: count of functions that do not.
        first: the first of them: the function and its location as linked in the file.
        rule: the test that it fails.
        headroom: bytes, of the tightest branch.
        limits: of growth for this reserve, from the kernel as linked.
    """

    reserve: int | None
    growth: Growth
    ok: bool
    unserved: int
    first: tuple[str, int] | None
    rule: str | None
    headroom: int | None
    limits: Mapping[GrowthShape, GrowthLimit]

    @property
    def least_growth(self) -> int | None:
        """The bytes of text that can be added anywhere, at most `GROWTH_MAX`; None if no growth works."""
        return least_growth(self.limits.values())


def least_growth(limits: Collection[GrowthLimit]) -> int | None:
    """Return the least of some limits in bytes, at most `GROWTH_MAX`; None if no growth works."""
    if not all(limit.works for limit in limits):
        return None
    return min((limit.bytes for limit in limits if limit.bytes is not None), default=GROWTH_MAX)


class Planner:
    """The answers for one boot; each is found when it is asked for."""

    def __init__(self, boot: Boot) -> None:
        self.boot = boot
        area = boot.kernel.area(AreaRole.RESERVE)
        self.linked = area.count if area is not None else None
        self._boots: dict[tuple[int | None, Growth], Boot] = {}
        self._limits: dict[int | None, Mapping[GrowthShape, GrowthLimit]] = {}

    @cached_property
    def _conditions(self) -> Conditions:
        return Conditions(self.boot)

    @cached_property
    def _limit_of(self) -> Callable[[int, GrowthShape], float]:
        """The limit by the conditions, remembered: it can take as long as a boot."""
        return cache(self._conditions.limit)

    def boot_of(self, reserve: int | None, growth: Growth | None = None) -> Boot:
        """Return the boot with that reserve and growth, the original one if nothing changes."""
        key = (reserve, growth if growth and growth.bytes else Growth())
        if key == (self.linked, Growth()):
            return self.boot
        if key not in self._boots:
            if len(self._boots) >= _KEPT:
                del self._boots[next(iter(self._boots))]
            changed = None if reserve == self.linked else reserve
            self._boots[key] = simulate_boot(relink(self.boot, changed, key[1]))
        return self._boots[key]

    def _generated(self, reserve: int) -> Boot:
        """Return the boot with that reserve and all areas generated for it, where the linked ones are not."""
        if reserve == self.linked and self.boot.needs_rebuild:
            return simulate_boot(relink(self.boot, reserve))
        return self.boot_of(reserve)

    def works(self, reserve: int | None, growth: Growth | None = None) -> bool:
        """Return whether every function gets a working stub."""
        return not self.boot_of(reserve, growth).failures

    # -- reserves

    @cached_property
    def working(self) -> Sequence[range]:
        """The reserves that work, with all areas generated for each: one range, or none."""
        if self.linked is None:
            return []
        found = self._range_with(0)
        works = found and not any(self._generated(end).failures for end in (found[0], found[-1]))
        return [found] if works else []

    @cached_property
    def recommended(self) -> int | None:
        """The reserve whose smallest growth over the shapes is largest; of equals, the nearest to linked."""
        if self.linked is None or not self.working:
            return None
        best = self._range_with(self._best_growth)
        return min(max(self.linked, best[0]), best[-1])

    @cached_property
    def shrink(self) -> tuple[int, int] | None:
        """The bytes that text must lose evenly so that a reserve works, and that reserve.

        None where it is not text that is too large.
        """
        least, most = 0, ppc.span_size(growth_span(self.boot)) // ppc.INSN_SIZE
        found: range = range(0)
        while least < most:
            middle = (least + most) // 2
            shrunk = relink(self.boot, None, Growth(-middle * ppc.INSN_SIZE, GrowthShape.EVEN))
            candidates = Planner(simulate_boot(shrunk))._range_with(0)  # noqa: SLF001 - of another kernel
            if candidates:
                most, found = middle, candidates
            else:
                least = middle + 1
        return (most * ppc.INSN_SIZE, found[len(found) // 2]) if most and found else None

    def _allows(self, reserve: int, growth: float) -> bool:
        """Return whether growth of any shape works with that reserve, by the conditions."""
        return all(self._limit_of(reserve, shape) >= growth for shape in _CHEAPEST_FIRST)

    def _range_with(self, growth: float) -> range:
        """Return the reserves with which that growth of any shape works, by the conditions.

        Functions of the end area are in range from some reserve upward, those of the reserve up to some
        reserve.
        """
        limits = self._conditions

        def others_reach(reserve: int) -> bool:
            served = min(reserve, limits.count)
            return all(limits.end_limit(reserve, served, shape) >= growth for shape in _CHEAPEST_FIRST)

        low = _first(others_reach, 0, limits.entries)
        if low is None or not self._allows(low, growth):
            return range(0)
        beyond = _first(lambda reserve: not self._allows(reserve, growth), low, RESERVE_MAX + 1)
        return range(low, RESERVE_MAX + 1 if beyond is None else beyond)

    @property
    def best_growth(self) -> int | None:
        """The bytes of growth of any shape that the recommended reserve allows, None without a limit."""
        return self._best_growth if self._best_growth < GROWTH_MAX else None

    @cached_property
    def _best_growth(self) -> int:
        """The largest growth, in bytes, that works in any shape with one and the same reserve."""
        steps = GROWTH_MAX // ppc.INSN_SIZE
        beyond = _first(lambda step: not self._range_with(step * ppc.INSN_SIZE), 0, steps)
        return (steps if beyond is None else max(0, beyond - 1)) * ppc.INSN_SIZE

    # -- growth

    def confirmed_limits(self) -> Conditions | None:
        """Return the conditions if they tell what the boots of the linked and the recommended reserve do."""
        for reserve in {r for r in (self.linked, self.recommended) if r is not None}:
            boot, point = self._generated(reserve), self._conditions.point(reserve)
            needed = boot.needed_of(AreaRole.RESERVE)
            if (point.served, point.without) != (needed, len(boot.failures)):
                return None
        return None if self.linked is None else self._conditions

    def outcome(self, reserve: int | None, growth: Growth) -> Outcome:
        """Return the boot with that reserve and growth, and the limits of growth for that reserve."""
        boot = self.boot_of(reserve, growth)
        failure = boot.failures[0] if boot.failures else None
        headroom = boot.headroom
        return Outcome(
            reserve=reserve,
            growth=growth,
            ok=failure is None,
            unserved=len(boot.failures),
            first=None if failure is None else self._function(failure.position),
            rule=None if failure is None else failure.rule,
            headroom=None if headroom is None else headroom.bytes,
            limits=self.limits(reserve),
        )

    @property
    def growth_left(self) -> Mapping[str, int | None] | None:
        """The bytes of text that can be added with the reserve as linked, by where they are added.

        Negative where text must shrink; a shape is None where nothing limits it, or less text does not help.
        None of a kernel without stubs, and where less text does not help in any shape.
        """
        if self.boot.kernel.layout is None:
            return None
        limits = self.limits(self.linked)
        if not any(limit.works for limit in limits.values()):
            return None
        return {shape.value: limit.bytes for shape, limit in limits.items()}

    def limits(self, reserve: int | None) -> Mapping[GrowthShape, GrowthLimit]:
        """Return the most growth of each shape with that reserve, confirmed by boots with it and beyond."""
        if reserve not in self._limits:
            self._limits[reserve] = {shape: self._limit(reserve, shape) for shape in GrowthShape}
        return self._limits[reserve]

    def _function(self, position: int) -> tuple[str, int]:
        """Return the function at a position in boot order, which no relinking changes, as linked."""
        return self.boot.function(position), self.boot.locations[position]

    def _limit(self, reserve: int | None, shape: GrowthShape) -> GrowthLimit:
        """Return the limit that the conditions name if boots confirm it, else what boots find."""
        guess = inf if reserve is None else self._limit_of(reserve, shape)
        limit, boot = None, self.boot_of(reserve)
        if not boot.needs_rebuild and (guess > -inf or not boot.failures):
            near = self._near(reserve, shape, guess)
            if (guess == inf or not near) and self.works(reserve, Growth(GROWTH_MAX, shape)):
                return GrowthLimit(None, works=True)
            limit = self._searched(reserve, shape, near)
        if limit is not None and limit < -self._removable(boot, shape):
            limit = None
        beyond = Growth(0 if limit is None else limit + ppc.INSN_SIZE, shape)
        failure = next(iter(self.boot_of(reserve, beyond).failures), None)
        if failure is None:
            return GrowthLimit(limit, works=limit is not None)
        return GrowthLimit(limit, limit is not None, failure.rule, self._function(failure.position)[0])

    def _removable(self, boot: Boot, shape: GrowthShape) -> int:
        """Return the bytes of text there: early before the first function that fails, late after the last."""
        span, locations = growth_span(self.boot), self.boot.locations
        first, last = span.stop, span.start
        if shape is GrowthShape.EARLY:
            failing = (locations[failure.position] for failure in boot.failures)
            first = next((address for address in failing if address in span), first)
        if shape is GrowthShape.LATE:
            last = max((address for address in locations if address in span), default=last)
        return first - last

    def _near(self, reserve: int | None, shape: GrowthShape, guess: float) -> int:
        """Return a guess, corrected for functions that come in another order once text is removed."""
        near = 0
        for _ in range(_GUESSES):
            if not abs(guess) < GROWTH_MAX or near + guess > GROWTH_MAX:
                break
            near += int(guess)
            boot = self.boot_of(reserve, Growth(near, shape))
            if not boot.failures:
                break
            guess = Conditions(boot).limit(reserve or 0, shape)
        return near

    def _searched(self, reserve: int | None, shape: GrowthShape, near: int) -> int | None:
        """Return the largest growth that boots, from a guess on; None if none does."""

        def works(grown: int) -> bool:
            return self.works(reserve, Growth(grown, shape))

        low = high = near
        step = ppc.INSN_SIZE
        if works(near):
            while high < GROWTH_MAX and works(high):
                low, high, step = high, min(high + step, GROWTH_MAX), 8 * step
        else:
            lowest = -ppc.span_size(growth_span(self.boot))
            while low > lowest and not works(low):
                high, low, step = low, max(low - step, lowest), 8 * step
            if not works(low):
                return None
        beyond = _first(lambda more: not works(low + more * ppc.INSN_SIZE), 1, (high - low) // ppc.INSN_SIZE)
        return low + ((beyond or 1) - 1) * ppc.INSN_SIZE


def _first(condition: Callable[[int], bool], start: int, stop: int) -> int | None:
    """Return the least number in [start, stop] from which on a condition holds, None if it never does."""
    if start > stop or not condition(stop):
        return None
    while start < stop:
        middle = (start + stop) // 2
        if condition(middle):
            stop = middle
        else:
            start = middle + 1
    return start

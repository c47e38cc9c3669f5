# SPDX-License-Identifier: GPL-2.0-or-later
"""Which reserves give every function a working stub, and how much text can still grow with each.

A boot succeeds if and only if the functions that the reserve serves reach its slots and all others reach
theirs in the end area. In boot order these conditions are linear in the reserve and in the growth, so that
prefix and suffix extremes of one column answer for all reserves at once (`_Limits`). Boots of relinked
kernels (`analyses.relink`) confirm what is reported, and replace it where a kernel is not laid out as
those conditions assume.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf
from operator import sub
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import UnexpectedReserveError
from pfestubs.layouts import AreaRole
from pfestubs.model import ppc
from pfestubs.rules.analyses.address_map import map_addresses, measure_text
from pfestubs.rules.analyses.relink import (
    Growth,
    GrowthShape,
    end_stubs,
    growth_span,
    relink,
    span_size,
    text_entries,
    text_locations,
)
from pfestubs.rules.kernel.simulation import simulate_boot
from pfestubs.rules.kernel.stubs import INSNS_SIZE, RETURN_SHIFT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pfestubs.model import KernelIdentity
    from pfestubs.model.findings import Finding
    from pfestubs.rules.analyses.address_map import AddressMap, TextSizes
    from pfestubs.rules.kernel.boot import Boot

RESERVE_MAX: Final = (1 << 26) // INSNS_SIZE
"""The largest reserve tried: the smallest stubs that fill the reach of two branches."""
GROWTH_MAX: Final = 1 << 32
"""The largest growth tried, in bytes; a kernel that boots with it has no limit."""
_LOW: Final = ppc.BACKWARD_LIMIT - RETURN_SHIFT
"""The least distance location - first instruction for which both branches, to the stub and back, reach."""
_CHEAPEST_FIRST: Final = (GrowthShape.EARLY, GrowthShape.LATE, GrowthShape.EVEN)
_SCAN_COST: Final = 2_000_000
"""Locations that are booted to find reserves where the conditions do not hold: a few seconds."""
_CURVE_STEPS: Final = 96
"""Steps of the reserves for which the curve of growth tells the growth."""


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


@dataclass(frozen=True)
class PlanResult:
    """Everything that `plan` prints; nothing is planned for a damaged kernel.

    Attributes:
        reserve: as linked, None for a layout without one.
        entries: text functions that need a stub.
        address_map: where the texts and areas are as linked.
        damage: what is wrong with the table or the areas themselves, whatever the reserve; None if nothing.
        recommended: the reserve whose smallest growth over the shapes is largest, None if none works.
        working: ranges of reserves with which every function gets a working stub, ascending.
        shrink: where no reserve works, the bytes that text must lose evenly, and the reserve that works then.
        outcomes: of the linked and the recommended reserve, then of what was asked.
        asked: how many of the outcomes were asked for.
        text: how large the texts are as linked, None of a damaged kernel.
    """

    kernel: KernelIdentity
    reserve: int | None
    entries: int
    address_map: AddressMap
    damage: Finding | None = None
    recommended: int | None = None
    working: Sequence[range] = ()
    shrink: tuple[int, int] | None = None
    outcomes: Sequence[Outcome] = ()
    asked: int = 0
    text: TextSizes | None = None

    @property
    def ok(self) -> bool:
        """Whether the kernel as linked boots with tracing."""
        return self.damage is None and self.outcomes[0].ok


class CurvePoint(NamedTuple):
    """What a reserve allows.

    Attributes:
        growth: bytes by shape, at most `GROWTH_MAX`; empty if a function gets no working stub as it is.
        served: text functions that get their stubs from the reserve: the first ones.
        end_stubs: of the end area that goes with the reserve.
        without: text functions that get no working stub.
    """

    reserve: int
    growth: Mapping[GrowthShape, int]
    served: int
    end_stubs: int
    without: int


class GrowthCurve(NamedTuple):
    """What each reserve allows, and where the stubs of text are: distances with another reserve follow.

    Attributes:
        points: by reserve, ascending.
        stub_size: bytes.
        reserve, end: address of the first instructions in each area of text, as linked.
        first, moving, after: positions of the first location in text, after the reserve, and after the end
            area: with the reserve those from `moving` on move, with the end area those from `after` on.
    """

    points: Sequence[CurvePoint]
    stub_size: int
    reserve: int
    end: int
    first: int
    moving: int
    after: int


def plan_reserve(
    boot: Boot,
    *,
    reserves: Sequence[int] = (),
    growths: Sequence[int] = (),
    shape: GrowthShape = GrowthShape.EARLY,
    planner: Planner | None = None,
) -> PlanResult:
    """Find the reserves that work and the growth that each allows.

    Args:
        boot: of the kernel as linked.
        reserves: values asked about; none: the linked and the recommended one.
        growths: bytes asked about, for each of the reserves.
        shape: where the growth that is asked about happens.
        planner: of the boot, where the caller has one.

    Raises:
        UnexpectedReserveError: a reserve is asked about and the layout has none.
    """
    planner = planner or Planner(boot)
    if reserves and planner.linked is None:
        raise UnexpectedReserveError(boot.kernel.file, reserves[0], boot.kernel.layout_name)
    kernel = boot.kernel
    address_map = map_addresses(kernel, boot.stub_size)
    if boot.damage:
        return PlanResult(
            kernel.identity, planner.linked, text_entries(boot), address_map, damage=boot.damage[0]
        )
    usual = [planner.linked]
    if planner.recommended not in {planner.linked, None}:
        usual.append(planner.recommended)
    outcomes = [planner.outcome(reserve, Growth()) for reserve in usual]
    asked: list[Outcome] = []
    if reserves or growths:
        asked = [
            planner.outcome(reserve, Growth(grown, shape))
            for reserve in (reserves or usual)
            for grown in (growths or [0])
        ]
    return PlanResult(
        kernel=kernel.identity,
        reserve=planner.linked,
        entries=text_entries(boot),
        address_map=address_map,
        recommended=planner.recommended,
        working=planner.working,
        shrink=planner.shrink if planner.linked is not None and not planner.working else None,
        outcomes=[*outcomes, *asked],
        asked=len(asked),
        text=measure_text(boot),
    )


def growth_curve(planner: Planner) -> GrowthCurve | None:
    """Return what reserves up to beyond the linked one and those that work allow, by the conditions alone.

    None for a layout without a reserve, and where the conditions do not tell what the boots do.
    """
    limits = planner.confirmed_limits()
    if limits is None:
        return None
    linked, recommended = planner.linked or 0, planner.recommended or 0
    ends = [recommended, *(end for span in planner.working for end in (span[0], span[-1]))]
    top = max(linked, min(limits.entries, max(ends))) * 5 // 4 + 1
    near = [end + step for end in ends for step in (-1, 0, 1) if 0 <= end + step <= top]
    reserves = {*range(0, top + 1, max(1, top // _CURVE_STEPS)), linked, *near}
    return limits.curve(sorted(reserves))


class _Limits:
    """The conditions of a boot for any reserve and growth, from columns of the text functions.

    Column i of `_line` is location i less the bytes of i stubs: its distance from the reserve's slot i, but
    for a constant. A limit is the most growth in bytes; -inf where no growth works, inf without a limit.
    """

    def __init__(self, boot: Boot) -> None:
        kernel = boot.kernel
        reserve, end = kernel.area(AreaRole.RESERVE), kernel.area(AreaRole.END)
        assert reserve is not None and end is not None  # noqa: S101, PT018 - the planner asks for a reserve
        self._locations = locations = text_locations(boot)
        self.count = n = len(locations)
        self._first = bisect_left(boot.locations, kernel.text.start)
        self.entries = text_entries(boot)
        self._size = size = boot.stub_size
        self._linked, self._end_count = reserve.count, end.count
        self._reserve_at = reserve.address
        self._end_at = end.address + size - INSNS_SIZE
        self._span = growth_span(boot)
        self._moving = bisect_left(locations, self._span.start)
        self._after = bisect_left(locations, self._span.stop)
        self._line = line = list(map(sub, locations, range(0, n * size or 1, size)))
        before, middle, after = line[: self._moving], line[self._moving : self._after], line[self._after :]
        # The reserve serves a prefix of the functions, the end area the rest.
        self._middle_max = list(accumulate(middle, max, initial=-inf))
        self._after_max = list(accumulate(after, max, initial=-inf))
        self._before_ok = list(
            accumulate((a >= reserve.address + size - INSNS_SIZE + _LOW for a in before), min, initial=True)
        )
        self._before_min_from = _suffixes(before, min, inf)
        self._middle_min_from = _suffixes(middle, min, inf)
        self._after_max_from = _suffixes(after, max, -inf)

    def end_count(self, reserve: int) -> int:
        """Return the stubs of the end area with that reserve."""
        return self._end_count if reserve == self._linked else end_stubs(self.entries, reserve)

    def limit(self, reserve: int, shape: GrowthShape) -> float:
        """Return the limit of growth with that reserve."""
        most = min(reserve, self.count)
        least = max(0, self.count - self.end_count(reserve))
        if least > most:
            return -inf
        # Serving more functions from the reserve lowers their limit and raises that of the others.
        low, high = least, most
        while low < high:
            middle = (low + high + 1) // 2
            if self.reserve_limit(reserve, middle, shape) >= self.end_limit(reserve, middle, shape):
                low = middle
            else:
                high = middle - 1
        return max(
            min(self.reserve_limit(reserve, served, shape), self.end_limit(reserve, served, shape))
            for served in {low, min(low + 1, most)}
        )

    def curve(self, reserves: Sequence[int]) -> GrowthCurve:
        """Return what each of these reserves allows."""
        offset = self._size - INSNS_SIZE
        return GrowthCurve(
            points=[self.point(reserve) for reserve in reserves],
            stub_size=self._size,
            reserve=self._reserve_at + offset,
            end=self._end_at,
            first=self._first,
            moving=self._first + self._moving,
            after=self._first + self._after,
        )

    def point(self, reserve: int) -> CurvePoint:
        """Return what a reserve allows: which functions it serves, and how many get no working stub."""
        room = ppc.FORWARD_LIMIT + self._reserve_at - (reserve - self._linked) * self._size
        served = self._moving + bisect_right(self._middle_max, room) - 1
        end_count = self.end_count(reserve)
        if served == self._after:
            served += bisect_right(self._after_max, room - (end_count - self._end_count) * self._size) - 1
        served = min(reserve, served)
        last = served + min(end_count, self.count - served)
        lowest = _LOW + self._end_at - served * self._size
        far = 0
        if self._middle_min_from[min(max(served, self._moving), self._after) - self._moving] < lowest:
            far = sum(map(lowest.__gt__, self._line[served : min(self._after, last)]))
        without = self.count - last + far
        growth: Mapping[GrowthShape, int] = {}
        if not without:
            growth = {s: int(max(0, min(GROWTH_MAX, self.limit(reserve, s)))) for s in GrowthShape}
        return CurvePoint(reserve, growth, served, end_count, without)

    def reserve_limit(self, reserve: int, served: int, shape: GrowthShape) -> float:
        """Return the limit at which the first `served` functions still reach their slots in the reserve."""
        if not self._before_ok[min(served, self._moving)]:
            return -inf
        moved = (reserve - self._linked) * self._size
        middle = min(served, self._after) - self._moving
        room = ppc.FORWARD_LIMIT + self._reserve_at - moved
        left = room - self._middle_max[max(0, middle)]
        if shape is GrowthShape.EARLY:
            limit = left
        elif shape is GrowthShape.LATE:
            limit = inf if left >= 0 else -inf
        else:
            limit = self._even_reserve_limit(room, max(0, middle), left)
        moved += (self.end_count(reserve) - self._end_count) * self._size
        room = ppc.FORWARD_LIMIT + self._reserve_at - moved
        return min(limit, room - self._after_max[max(0, served - self._after)])

    def end_limit(self, reserve: int, served: int, shape: GrowthShape) -> float:
        """Return the limit at which all but the first `served` functions reach the end area."""
        base = served * self._size - self._end_at
        changed = (self.end_count(reserve) - self._end_count) * self._size
        place = max(0, served - self._after)
        if self._after_max_from[place] + base + changed > ppc.FORWARD_LIMIT:
            return -inf
        moved = (reserve - self._linked) * self._size
        first = self._before_min_from[min(served, self._moving)] + base - moved - _LOW
        middle = min(max(served, self._moving), self._after) - self._moving
        left = self._middle_min_from[middle] + base - _LOW
        if shape is GrowthShape.LATE:
            return min(first, left)
        if shape is GrowthShape.EARLY:
            return first if left >= 0 else -inf
        return min(first, self._even_end_limit(base - _LOW, middle, left))

    def _even_reserve_limit(self, room: int, middle: int, left: float) -> float:
        """Return the least growth that moves one of the first functions of the span by more than it may."""
        start, length, first = self._span.start, span_size(self._span), self._moving
        limit, highest = inf, -inf
        for i in range(first + middle - 1, first - 1, -1):
            line = self._line[i]
            if left >= 0 and line <= highest:  # a later function is as far and moves more
                if self._middle_max[i - first + 1] <= highest:
                    break
                continue
            highest = max(highest, line)
            offset = self._locations[i] - start
            slack = room - line + ppc.INSN_SIZE
            if offset:
                limit = min(limit, (slack * length - 1) // offset // ppc.INSN_SIZE * ppc.INSN_SIZE)
            elif slack <= 0:
                return -inf
        return limit

    def _even_end_limit(self, base: int, middle: int, left: float) -> float:
        """Return the least growth that moves the end area away from one of the last functions of the span."""
        stop, length, first = self._span.stop, span_size(self._span), self._moving
        limit, lowest = inf, inf
        for i in range(first + middle, self._after):
            line = self._line[i]
            if left >= 0 and line >= lowest:  # an earlier function is as far and moves less
                if self._middle_min_from[i - first] >= lowest:
                    break
                continue
            lowest = min(lowest, line)
            slack = line + base
            away = stop - self._locations[i]
            limit = min(limit, slack * length // away // ppc.INSN_SIZE * ppc.INSN_SIZE)
        return limit


def _suffixes(values: Sequence[int], extreme: Callable[[float, float], float], empty: float) -> list[float]:
    """Return the extreme of each suffix of `values`, the empty one last."""
    return list(accumulate(reversed(values), extreme, initial=empty))[::-1]


class Planner:
    """The answers for one boot; each is found when it is asked for."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        area = boot.kernel.area(AreaRole.RESERVE)
        self.linked = area.count if area is not None else None
        self._limits_found: dict[tuple[int | None, GrowthShape], GrowthLimit] = {}

    @cached_property
    def _limits(self) -> _Limits:
        return _Limits(self._boot)

    def boot_of(self, reserve: int | None, growth: Growth | None = None) -> Boot:
        """Return the boot with that reserve and growth, the original one if nothing changes."""
        if reserve == self.linked and (growth is None or not growth.bytes):
            return self._boot
        return simulate_boot(relink(self._boot, reserve, growth))

    def works(self, reserve: int | None, growth: Growth | None = None) -> bool:
        """Return whether every function gets a working stub."""
        return not self.boot_of(reserve, growth).failures

    # -- reserves

    @cached_property
    def working(self) -> Sequence[range]:
        """Ranges of reserves with which every function gets a working stub, ascending."""
        if self.linked is None:
            return []
        found = self._range_with(0)
        probes = {0, self.linked, *((found[0] - 1, found[0], found[-1], found[-1] + 1) if found else ())}
        if all(self.works(r) == (r in found) for r in probes if 0 <= r <= RESERVE_MAX):
            return [found] if found else []
        return self._scanned()

    @cached_property
    def recommended(self) -> int | None:
        """The reserve whose smallest growth over the shapes is largest; of equals, the nearest to linked."""
        if self.linked is None or not self.working:
            return None
        candidates = self._range_with(self._best_growth)
        if not candidates:
            candidates = self.working[0]
        choice = min(max(self.linked, candidates[0]), candidates[-1])
        if any(choice in span for span in self.working):
            return choice
        ends = [end for span in self.working for end in (span[0], span[-1])]
        return min(ends, key=lambda end: abs(end - choice))

    @cached_property
    def shrink(self) -> tuple[int, int] | None:
        """The bytes that text must lose evenly so that a reserve works, and that reserve.

        None where it is not text that is too large.
        """
        least, most = 0, span_size(growth_span(self._boot)) // ppc.INSN_SIZE
        found: range = range(0)
        while least < most:
            middle = (least + most) // 2
            shrunk = relink(self._boot, None, Growth(-middle * ppc.INSN_SIZE, GrowthShape.EVEN))
            candidates = Planner(simulate_boot(shrunk))._range_with(0)  # noqa: SLF001 - of another kernel
            if candidates:
                most, found = middle, candidates
            else:
                least = middle + 1
        return (most * ppc.INSN_SIZE, found[len(found) // 2]) if most and found else None

    def _allows(self, reserve: int, growth: float) -> bool:
        """Return whether growth of any shape works with that reserve, by the conditions."""
        return all(self._limits.limit(reserve, shape) >= growth for shape in _CHEAPEST_FIRST)

    def _range_with(self, growth: float) -> range:
        """Return the reserves with which that growth of any shape works, by the conditions.

        Functions of the end area are in range from some reserve upward, those of the reserve up to some
        reserve.
        """
        limits = self._limits

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
        """The bytes by which text can grow in any shape with the recommended reserve.

        None without a limit, and where the conditions do not tell.
        """
        growth = self._best_growth
        return growth if growth < GROWTH_MAX and self.recommended in self._range_with(growth) else None

    @cached_property
    def _best_growth(self) -> int:
        """The largest growth, in bytes, that works in any shape with one and the same reserve."""
        steps = GROWTH_MAX // ppc.INSN_SIZE
        beyond = _first(lambda step: not self._range_with(step * ppc.INSN_SIZE), 0, steps)
        return (steps if beyond is None else max(0, beyond - 1)) * ppc.INSN_SIZE

    def _scanned(self) -> Sequence[range]:
        """Return the working reserves by replaying: all of them for a small kernel, samples otherwise."""
        top = min(self._limits.entries + 1, RESERVE_MAX)
        boots = max(1, _SCAN_COST // (len(self._boot.locations) or 1))
        tried = {*range(0, top + 1, -(-top // boots) or 1), min(self.linked or 0, RESERVE_MAX)}
        working = [reserve for reserve in tried if self.works(reserve)]
        spans: list[range] = []
        for reserve in sorted(working):
            if not any(reserve in span for span in spans):
                spans.append(self._widened(reserve))
        return spans

    def _widened(self, reserve: int) -> range:
        """Return the range of working reserves around one that works."""
        below = _first(lambda down: not self.works(reserve - down), 1, reserve)
        above = _first(lambda up: not self.works(reserve + up), 1, RESERVE_MAX - reserve)
        first = 0 if below is None else reserve - below + 1
        return range(first, (RESERVE_MAX if above is None else reserve + above - 1) + 1)

    # -- growth

    def confirmed_limits(self) -> _Limits | None:
        """Return the conditions if they tell what the boots of the linked and the recommended reserve do."""
        for reserve in {self.linked, self.recommended} - {None}:
            boot, point = self.boot_of(reserve), self._limits.point(reserve or 0)
            needed = boot.needed_of(AreaRole.RESERVE)
            if (point.served, point.without) != (needed, len(boot.failures)):
                return None
        return None if self.linked is None else self._limits

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

    def limits(self, reserve: int | None) -> Mapping[GrowthShape, GrowthLimit]:
        """Return the most growth of each shape with that reserve, confirmed by boots with it and beyond."""
        return {shape: self._limit(reserve, shape) for shape in GrowthShape}

    def _function(self, position: int) -> tuple[str, int]:
        """Return the function at a position in boot order, which no relinking changes, as linked."""
        return self._boot.function(position), self._boot.locations[position]

    def _limit(self, reserve: int | None, shape: GrowthShape) -> GrowthLimit:
        key = (reserve, shape)
        if key not in self._limits_found:
            self._limits_found[key] = self._found_limit(reserve, shape)
        return self._limits_found[key]

    def _found_limit(self, reserve: int | None, shape: GrowthShape) -> GrowthLimit:
        def works(grown: int) -> bool:
            return self.works(reserve, Growth(grown, shape))

        guess = inf if reserve is None else self._limits.limit(reserve, shape)
        if guess == -inf and not works(0):
            return self._failing(reserve, Growth(0, shape), None)
        if guess >= GROWTH_MAX:
            if works(GROWTH_MAX):
                return GrowthLimit(None, works=True)
        elif guess > -inf and works(int(guess)):
            beyond = self._failing(reserve, Growth(int(guess) + ppc.INSN_SIZE, shape), int(guess))
            if beyond.rule is not None:
                return beyond
        return self._searched_limit(reserve, shape, works, int(guess) if abs(guess) < GROWTH_MAX else 0)

    def _failing(self, reserve: int | None, growth: Growth, limit: int | None) -> GrowthLimit:
        """Return a limit together with the failure that `growth` brings, if any."""
        failures = self.boot_of(reserve, growth).failures
        if not failures:
            return GrowthLimit(limit, works=limit is not None)
        function, _ = self._function(failures[0].position)
        return GrowthLimit(limit, limit is not None, failures[0].rule, function)

    def _searched_limit(
        self, reserve: int | None, shape: GrowthShape, works: Callable[[int], bool], near: int
    ) -> GrowthLimit:
        """Return the limit by booting, first near a guess: for kernels that the conditions do not fit."""
        step = ppc.INSN_SIZE
        low = high = near
        if works(near):
            while high <= GROWTH_MAX and works(high):
                low, high, step = high, high + step, 2 * step
        else:
            lowest = -span_size(growth_span(self._boot))
            while low >= lowest and not works(low):
                high, low, step = low, low - step, 2 * step
            if low < lowest:
                return self._failing(reserve, Growth(0, shape), None)
        if high > GROWTH_MAX:
            return GrowthLimit(None, works=True)
        beyond = _first(lambda more: not works(low + more * ppc.INSN_SIZE), 1, (high - low) // ppc.INSN_SIZE)
        limit = low + ((beyond or 1) - 1) * ppc.INSN_SIZE
        return self._failing(reserve, Growth(limit + ppc.INSN_SIZE, shape), limit)


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

# SPDX-License-Identifier: GPL-2.0-or-later
"""The conditions of a boot, for all reserves and growths at once.

A boot succeeds if and only if the functions that the reserve serves reach its slots and all others reach
theirs in the end area. In boot order these conditions are linear in the reserve and in the growth, so that
prefix and suffix extremes of one column answer for all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from math import inf
from operator import sub
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.layouts import AreaRole
from pfestubs.model import ppc
from pfestubs.rules.analyses.relink import GrowthShape, end_stubs, growth_span, text_entries, text_locations
from pfestubs.rules.kernel.stubs import DISTANCE_MIN, INSNS_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pfestubs.rules.kernel.boot import Boot

GROWTH_MAX: Final = 1 << 31
"""The largest growth tried, in bytes: no limit if a kernel boots with it. Of 32 bits, twice that is none."""


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


class Conditions:
    """The conditions of a boot for any reserve and growth, from columns of the text functions.

    Column i of `_line` is location i less the bytes of i stubs: its distance from the reserve's slot i, but
    for a constant. A limit is the most growth in bytes; -inf where no growth works, inf without a limit.

    Attributes:
        count: of the locations in text.
        entries: that the areas of text were sized for.
        stub_size: bytes.
        first: position in boot order of the first location in text.
        moving, after: positions in text of the first location after the reserve, and after the end area: with
            the reserve those from `moving` on move, with the end area those from `after` on.
        reserve_at, end_at: address of the first instructions in each area of text, as linked.
    """

    def __init__(self, boot: Boot) -> None:
        kernel = boot.kernel
        reserve, end = kernel.area(AreaRole.RESERVE), kernel.area(AreaRole.END)
        assert reserve is not None and end is not None  # noqa: S101, PT018 - the planner asks for a reserve
        self._locations = locations = text_locations(boot)
        self.count = n = len(locations)
        self.first = boot.positions_in(kernel.text).start
        self.entries = text_entries(boot)
        self.stub_size = size = boot.stub_size
        self._linked, self._end_count = reserve.count, end.count
        self.reserve_at = reserve.address + size - INSNS_SIZE
        self._reach = ppc.FORWARD_LIMIT + reserve.address  # the kernel tests the distance from the whole stub
        self.end_at = end.address + size - INSNS_SIZE
        self._span = growth_span(boot)
        self.moving = bisect_left(locations, self._span.start)
        self.after = bisect_left(locations, self._span.stop)
        self._line = line = list(map(sub, locations, range(0, n * size or 1, size)))
        before, middle, after = line[: self.moving], line[self.moving : self.after], line[self.after :]
        # The reserve serves a prefix of the functions, the end area the rest.
        self._middle_max = list(accumulate(middle, max, initial=-inf))
        self._after_max = list(accumulate(after, max, initial=-inf))
        self._before_ok = list(
            accumulate((a >= self.reserve_at + DISTANCE_MIN for a in before), min, initial=True)
        )
        self._before_min_from = _suffixes(before, min, inf)
        self._middle_min_from = _suffixes(middle, min, inf)
        self._after_max_from = _suffixes(after, max, -inf)

    def limit(self, reserve: int, shape: GrowthShape) -> float:
        """Return the limit of growth with that reserve."""
        # Serving more functions from the reserve lowers their limit and raises that of the others.
        low, most = max(0, self.count - end_stubs(self.entries, reserve)), min(reserve, self.count)
        high = most
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

    def point(self, reserve: int) -> CurvePoint:
        """Return what a reserve allows: which functions it serves, and how many get no working stub."""
        room = self._reach - (reserve - self._linked) * self.stub_size
        served = self.moving + bisect_right(self._middle_max, room) - 1
        end_count = end_stubs(self.entries, reserve)
        if served == self.after:
            served += bisect_right(self._after_max, room - (end_count - self._end_count) * self.stub_size) - 1
        served = min(reserve, served)
        last = served + min(end_count, self.count - served)
        lowest = DISTANCE_MIN + self.end_at - served * self.stub_size
        far = 0
        if self._middle_min_from[min(max(served, self.moving), self.after) - self.moving] < lowest:
            far = sum(map(lowest.__gt__, self._line[served : min(self.after, last)]))
        without = self.count - last + far
        growth: Mapping[GrowthShape, int] = {}
        if not without:
            growth = {s: int(max(0, min(GROWTH_MAX, self.limit(reserve, s)))) for s in GrowthShape}
        return CurvePoint(reserve, growth, served, end_count, without)

    def reserve_limit(self, reserve: int, served: int, shape: GrowthShape) -> float:
        """Return the limit at which the first `served` functions still reach their slots in the reserve."""
        if not self._before_ok[min(served, self.moving)]:
            return -inf
        moved = (reserve - self._linked) * self.stub_size
        middle = min(served, self.after) - self.moving
        room = self._reach - moved
        left = room - self._middle_max[max(0, middle)]
        if shape is GrowthShape.EARLY:
            limit = left
        elif shape is GrowthShape.LATE:
            limit = inf if left >= 0 else -inf
        else:
            limit = self._even_reserve_limit(room, max(0, middle), left)
        moved += (end_stubs(self.entries, reserve) - self._end_count) * self.stub_size
        room = self._reach - moved
        return min(limit, room - self._after_max[max(0, served - self.after)])

    def end_limit(self, reserve: int, served: int, shape: GrowthShape) -> float:
        """Return the limit at which all but the first `served` functions reach the end area."""
        base = served * self.stub_size - self.end_at
        changed = (end_stubs(self.entries, reserve) - self._end_count) * self.stub_size
        place = max(0, served - self.after)
        if self._after_max_from[place] + base + changed > ppc.FORWARD_LIMIT:
            return -inf
        moved = (reserve - self._linked) * self.stub_size
        first = self._before_min_from[min(served, self.moving)] + base - moved - DISTANCE_MIN
        middle = min(max(served, self.moving), self.after) - self.moving
        left = self._middle_min_from[middle] + base - DISTANCE_MIN
        if shape is GrowthShape.LATE:
            return min(first, left)
        if shape is GrowthShape.EARLY:
            return first if left >= 0 else -inf
        return min(first, self._even_end_limit(base - DISTANCE_MIN, middle, left))

    def _even_reserve_limit(self, room: int, middle: int, left: float) -> float:
        """Return the least growth that moves one of the first functions of the span by more than it may."""
        start, length, first = self._span.start, ppc.span_size(self._span), self.moving
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
        stop, length, first = self._span.stop, ppc.span_size(self._span), self.moving
        limit, lowest = inf, inf
        for i in range(first + middle, self.after):
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

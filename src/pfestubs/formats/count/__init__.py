# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of an object, one module per format; here is what they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfestubs.formats.remedy import remedy_sentence
from pfestubs.model import ppc
from pfestubs.rules.kernel.sizing import TRAP_MARGIN

if TYPE_CHECKING:
    from pfestubs.model import ObjectCounts
    from pfestubs.rules.check.findings import Remedy
    from pfestubs.rules.kernel.sizing import Trap


@dataclass(frozen=True)
class TrapGate:
    """Whether the reserve may be out of range.

    Attributes:
        trap: the location that decides, None where no location depends on a reserve.
        remedy: what to change, None if the reserve is in range.
    """

    trap: Trap | None
    remedy: Remedy | None = None


@dataclass(frozen=True)
class CountListing:
    """The counts of an object; `gate` only if it was asked for."""

    counts: ObjectCounts
    gate: TrapGate | None = None


def stub_counts(counts: ObjectCounts) -> dict[str, int] | None:
    """Return the stubs by the names of their areas, None where the layout is unknown."""
    if counts.layout is None or counts.stubs is None:
        return None
    return {area.name: counts.stubs.of(area.role) for area in counts.layout.areas}


def trap_distance(trap: Trap) -> str:
    """Return how far the location that decides is from its stub."""
    return (
        f"text location {trap.index + 1:,} is {abs(trap.distance):,} bytes from its stub (limit"
        f" {abs(ppc.branch_limit(trap.distance)):,}, margin {TRAP_MARGIN:,})"
    )


def trap_sentence(trap: Trap) -> str:
    """Return why the reserve of an exposed kernel is a trap."""
    return (
        f"the reserve may be out of range: {trap_distance(trap)}, so up to {trap.stubs:,} stubs of the"
        f" reserve of {trap.reserve:,} may stay unused and as many functions get no stub"
    )


def trap_error(trap: Trap, remedy: Remedy) -> str:
    """Return why the reserve of an exposed kernel is a trap, and what to do."""
    return f"{trap_sentence(trap)}; {remedy_sentence(remedy)}"

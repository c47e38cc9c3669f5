# SPDX-License-Identifier: GPL-2.0-or-later
"""The stubs to list, and why functions have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pfestubs.rules.check.check import finding_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.rules.check.findings import Finding
    from pfestubs.rules.kernel.boot import Boot


class StubListing(NamedTuple):
    """Positions of locations, and why some have no stub: the first finding of a rule has the remedy."""

    boot: Boot
    positions: Sequence[int]
    missing: Mapping[int, Finding]


def list_stubs(boot: Boot, positions: Sequence[int]) -> StubListing:
    """Return the listing of the locations at `positions`, in their order."""
    missing: dict[int, Finding] = {}
    explained: set[str] = set()
    for position in positions:
        if not boot.has_stub(position):
            rule = boot.failure_at[position].rule
            finding = finding_at(boot, position, with_remedy=rule not in explained)
            assert finding is not None  # noqa: S101 - a location without a stub has failed
            missing[position] = finding
            explained.add(rule)
    return StubListing(boot, positions, missing)

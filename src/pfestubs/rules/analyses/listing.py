# SPDX-License-Identifier: GPL-2.0-or-later
"""The stubs to list, and why functions have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.rules.check.check import failure_findings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.model.findings import Finding
    from pfestubs.rules.kernel.boot import Boot


class StubListing(NamedTuple):
    """Positions of locations, and why some have no stub."""

    boot: Boot
    positions: Sequence[int]
    missing: Mapping[int, Finding]


def list_stubs(boot: Boot, positions: Sequence[int]) -> StubListing:
    """Return the listing of the locations at `positions`, in their order.

    Raises:
        RefusedError: the kernel's table or areas are damaged: nothing is predicted.
    """
    if boot.damage:
        raise RefusedError(Refusal.KERNEL_DAMAGED, boot.kernel.file, boot.damage[0].rule)
    missing = [position for position in positions if not boot.has_stub(position)]
    findings = failure_findings(boot, [boot.failure_at[position] for position in missing])
    return StubListing(boot, positions, dict(zip(missing, findings, strict=True)))

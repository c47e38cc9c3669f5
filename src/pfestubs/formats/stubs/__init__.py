# SPDX-License-Identifier: GPL-2.0-or-later
"""A listing of stubs, one module per format: written piece by piece, a kernel has tens of thousands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.rules.kernel.boot import Boot


@dataclass(frozen=True)
class Listing:
    """What to list: positions of locations in a boot."""

    boot: Boot
    positions: Sequence[int]

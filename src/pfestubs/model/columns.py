# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions about columns of addresses, answered in bulk."""

from __future__ import annotations

from array import array
from typing import Final

_LAST_BITS: Final = bytes(value & 3 for value in range(256))
_LOWEST_IS_FIRST: Final = array("H", [1]).tobytes() == b"\1\0"


def offsets_in_word(addresses: array[int]) -> set[int]:
    """Return what addresses are modulo 4, each value once; looks at their lowest bytes only."""
    size = addresses.itemsize
    lowest = addresses.tobytes()[0 if _LOWEST_IS_FIRST else size - 1 :: size]
    return set(lowest.translate(_LAST_BITS))

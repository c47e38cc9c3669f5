# SPDX-License-Identifier: GPL-2.0-or-later
"""The types that pass between the layers, once each."""

from __future__ import annotations

from enum import Enum


class ByteOrder(Enum):
    """The byte order of a file; the value is the contract's word for it."""

    LITTLE = "little"
    BIG = "big"

    @property
    def struct(self) -> str:
        """The prefix of a `struct` format in this byte order."""
        return "<" if self is ByteOrder.LITTLE else ">"

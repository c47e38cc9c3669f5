# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules, for `pfestubs modules`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import ByteOrder


@dataclass(frozen=True)
class ModuleFile:
    """A module (`.ko`) as plain values.

    Attributes:
        file: as named on the command line, or below a directory named there.
        tables: bytes of each section `__patchable_function_entries`, in the order of the section headers.
        text_bytes: of the sections of code that the module loader places.
    """

    file: str
    bits: int
    byte_order: ByteOrder
    tables: Sequence[int]
    text_bytes: int

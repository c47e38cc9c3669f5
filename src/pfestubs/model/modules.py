# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules, for `pfestubs modules`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import ByteOrder


class EntriesTable(NamedTuple):
    """A section `__patchable_function_entries`: its bytes, and what the loader needs to see its entries."""

    size: int
    relocations: int
    is_loaded: bool
    """Whether it has the flag SHF_ALLOC."""
    has_content: bool
    """Whether its bytes are in the file."""


@dataclass(frozen=True)
class ModuleFile:
    """A module (`.ko`) as plain values.

    Attributes:
        file: as named on the command line, or below a directory named there.
        size: bytes of the module, unpacked.
        vermagic: of `.modinfo`: the kernel that it was built for; None without one.
        abi: of ELF for 64 bits, 1 or 2; None for 32 bits.
        nops: at the functions' entries, 1 or 2; None if unknown.
        has_mcount: whether it calls `_mcount` or has a section `__mcount_loc`.
        has_symbols: whether it has a symbol table.
        tables: each section `__patchable_function_entries`, in the order of the section headers.
        text_bytes: of the sections of code that the module loader places.
    """

    file: str
    size: int
    bits: int
    byte_order: ByteOrder
    vermagic: str | None
    abi: int | None
    nops: int | None
    has_mcount: bool
    has_symbols: bool
    tables: Sequence[EntriesTable]
    text_bytes: int

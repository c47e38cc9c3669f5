# SPDX-License-Identifier: GPL-2.0-or-later
"""What the module loader reserves for each module's stubs, and what it would not see.

Mirrors `arch/powerpc/kernel/module_64.c: get_stubs_size` (since 6.13). Modules for 32 bits trace without
stubs (`arch/powerpc/Kconfig: PPC_FTRACE_OUT_OF_LINE`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pfestubs.layouts import LAYOUTS
from pfestubs.model import ppc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pfestubs.model.modules import ModuleFile

DEFAULT_STUB_SIZE: Final = max(layout.stub_size for layout in LAYOUTS.values())
"""Bytes of a stub (`sizeof(struct ftrace_ool_stub)`) on every mainline kernel: a module does not tell."""
STUB_ENTRY_SIZE: Final = 40
"""Bytes of an entry of the section `.stubs` (`sizeof(struct ppc64_stub_entry)`, ELFv2)."""

ModuleFlag = Literal["no-section", "duplicate-section", "partial-entry", "text-out-of-range", "no-stubs"]

HARMFUL: Final[frozenset[ModuleFlag]] = frozenset({"duplicate-section", "partial-entry", "text-out-of-range"})
"""Flags of modules that would not be traced as they were built to be."""


@dataclass(frozen=True)
class ModuleStubs:
    """A module's stubs.

    Attributes:
        locations: entries that the loader sees: those of the first section of the name.
        unseen: entries of further sections of the name.
        stub_bytes: of the locations' stubs.
        stub_entries: entries of the section `.stubs` that the loader reserves for them.
    """

    module: ModuleFile
    locations: int
    unseen: int
    stub_bytes: int
    stub_entries: int
    flags: Sequence[ModuleFlag]


@dataclass(frozen=True)
class ModuleTotals:
    """Sums over all modules, and how many modules have each flag."""

    modules: int
    locations: int
    unseen: int
    stub_bytes: int
    stub_entries: int
    flags: Mapping[ModuleFlag, int]


def size_module(module: ModuleFile, stub_size: int) -> ModuleStubs:
    """Return what the loader reserves for `module`, with stubs of `stub_size` bytes."""
    word = module.bits // 8
    seen, *others = [size // word for size in module.tables] or [0]
    stub_bytes = seen * stub_size if module.bits == 64 else 0
    stub_entries = -(-stub_bytes // STUB_ENTRY_SIZE)
    unseen = sum(others)
    flags: list[ModuleFlag] = []
    if not module.tables:
        flags.append("no-section")
    if unseen:
        flags.append("duplicate-section")
    if any(size % word for size in module.tables):
        flags.append("partial-entry")
    # A function and its stub, or what it calls, may be at opposite ends of the module's code.
    if module.text_bytes + stub_entries * STUB_ENTRY_SIZE > ppc.FORWARD_LIMIT + ppc.INSN_SIZE:
        flags.append("text-out-of-range")
    if module.tables and module.bits != 64:
        flags.append("no-stubs")
    return ModuleStubs(module, seen, unseen, stub_bytes, stub_entries, flags)


def total(modules: Iterable[ModuleStubs]) -> ModuleTotals:
    """Return the sums over `modules`."""
    rows = list(modules)
    flags: Counter[ModuleFlag] = Counter(flag for row in rows for flag in row.flags)
    return ModuleTotals(
        modules=len(rows),
        locations=sum(row.locations for row in rows),
        unseen=sum(row.unseen for row in rows),
        stub_bytes=sum(row.stub_bytes for row in rows),
        stub_entries=sum(row.stub_entries for row in rows),
        flags=dict(sorted(flags.items())),
    )

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the module loader reserves for each module's stubs, and what it would not see.

Mirrors `arch/powerpc/kernel/module_64.c: get_stubs_size` (since 6.13). Modules of kernels that trace without
stubs are told by what their compiler did (`arch/powerpc/Makefile: CC_FLAGS_FTRACE`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, get_args

from pfestubs.layouts import LAYOUTS
from pfestubs.model import ppc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.errors import PfestubsError
    from pfestubs.model import ModuleFile

DEFAULT_STUB_SIZE: Final = max(layout.stub_size for layout in LAYOUTS.values())
"""Bytes of a stub (`sizeof(struct ftrace_ool_stub)`) on every mainline kernel: a module does not tell."""
STUB_ENTRY_SIZE: Final = 40
"""Bytes of an entry of the section `.stubs` (`sizeof(struct ppc64_stub_entry)`, ELFv2)."""

ModuleFlag = Literal[
    "stripped",
    "no-section",
    "not-allocated",
    "no-contents",
    "no-relocations",
    "duplicate-section",
    "partial-entry",
    "text-out-of-range",
    "no-stubs",
]
TracingKind = Literal["stubs", "32-bit", "elf-v1", "mcount", "two-nops"]
"""How the kernel traces that a module was built for: with out-of-line stubs, or why it has none."""

_HARMLESS: Final[frozenset[ModuleFlag]] = frozenset({"no-section", "no-stubs"})
HARMFUL: Final[frozenset[ModuleFlag]] = frozenset(get_args(ModuleFlag)) - _HARMLESS
"""Flags of modules of which the loader would not trace every function that they were built to trace."""


@dataclass(frozen=True)
class ModuleStubs:
    """A module's stubs.

    Attributes:
        kind: how the kernel traces that it is for; None if nothing of the tracer is in it.
        locations: entries that the loader sees: those of the first section of the name.
        unseen: entries that it does not see.
        stub_bytes: that the loader reserves for the stubs.
        stub_entries: entries of the section `.stubs` that it reserves for them.
    """

    module: ModuleFile
    kind: TracingKind | None
    locations: int
    unseen: int
    stub_bytes: int
    stub_entries: int
    flags: Sequence[ModuleFlag]


@dataclass(frozen=True)
class ModuleListing:
    """Everything that `modules` prints: the modules that were read, and why others were not."""

    stub_size: int
    modules: Sequence[ModuleStubs]
    unread: Sequence[PfestubsError]

    @cached_property
    def distinct(self) -> Sequence[ModuleStubs]:
        """The modules, of the copies of one, packed or not, only the last."""
        return list({_identity(row.module): row for row in self.modules}.values())

    @cached_property
    def totals(self) -> Mapping[str, int]:
        """How many files and distinct modules there are, and sums over the latter."""
        names = ("locations", "unseen", "stub_bytes", "stub_entries")
        sums = {name: sum(getattr(row, name) for row in self.distinct) for name in names}
        return {"files": len(self.modules), "modules": len(self.distinct), **sums}

    @property
    def flags(self) -> Mapping[ModuleFlag, int]:
        """How many distinct modules have each flag."""
        return dict(sorted(Counter(flag for row in self.distinct for flag in row.flags).items()))


def size_module(module: ModuleFile, stub_size: int) -> ModuleStubs:
    """Return what the loader reserves for `module`, with stubs of `stub_size` bytes."""
    kind = _kind(module)
    word = module.bits // 8
    first, seen, flags = 0, 0, _table_flags(module)
    if module.tables and module.has_symbols:
        table = module.tables[0]
        first = table.size // word
        seen = min(first, table.relocations) if table.is_loaded and table.has_content else 0
    stub_bytes = first * stub_size if kind == "stubs" else 0
    stub_entries = -(-stub_bytes // STUB_ENTRY_SIZE)
    # A function and its stub, or what it calls, may be at opposite ends of the module's code.
    if module.text_bytes + stub_entries * STUB_ENTRY_SIZE > ppc.FORWARD_LIMIT + ppc.INSN_SIZE:
        flags.append("text-out-of-range")
    if kind not in {None, "stubs"}:
        flags.append("no-stubs")
    unseen = sum(table.size // word for table in module.tables) - seen
    return ModuleStubs(module, kind, seen, unseen, stub_bytes, stub_entries, flags)


def _kind(module: ModuleFile) -> TracingKind | None:
    if not module.tables and not module.has_mcount:
        return None
    if module.bits == 32:
        return "32-bit"
    if module.abi == 1:  # arch/powerpc/Kconfig: PPC_FTRACE_OUT_OF_LINE needs ELFv2
        return "elf-v1"
    if module.has_mcount:
        return "mcount"
    return "two-nops" if module.nops == 2 else "stubs"


def _table_flags(module: ModuleFile) -> list[ModuleFlag]:
    """Return what is wrong with the sections of entries, for the loader."""
    if not module.has_symbols:  # kernel/module/main.c: elf_validity_cache_index_sym
        return ["stripped"]
    if not module.tables:
        return [] if module.has_mcount else ["no-section"]
    word, table = module.bits // 8, module.tables[0]
    found: dict[ModuleFlag, bool] = {
        "not-allocated": not table.is_loaded,
        "no-contents": not table.has_content,
        "no-relocations": table.relocations < table.size // word,
        "duplicate-section": any(table.size >= word for table in module.tables[1:]),
        "partial-entry": any(table.size % word for table in module.tables),
    }
    return [flag for flag, is_set in found.items() if is_set]


def _identity(module: ModuleFile) -> tuple[object, ...]:
    name = module.file.rsplit("/", 1)[-1].split(".ko")[0].replace("-", "_")
    return name, module.size, module.vermagic, module.text_bytes, tuple(module.tables)

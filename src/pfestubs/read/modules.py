# SPDX-License-Identifier: GPL-2.0-or-later
"""Find and read kernel modules, packed or not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from pfestubs.errors import InputError, PfestubsError, ToolError
from pfestubs.model import EntriesTable, ModuleFile, ppc
from pfestubs.read import elf as e
from pfestubs.read.file_types import require_kind
from pfestubs.read.vmlinux_o import ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.read.elf import Elf

_SUFFIXES: Final = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")
_KBUILD_LINKS: Final = ("build", "source")
"""Links of `/lib/modules/RELEASE` to the trees that the kernel was built from and in."""
_SAMPLE: Final = 16
"""Locations whose instructions are read: all functions of a module are compiled with the same option."""


def find_modules(paths: Sequence[str]) -> tuple[Sequence[str], Sequence[PfestubsError]]:
    """Return the files that `paths` name or hold, each once, and the errors of directories.

    The modules of a directory are sorted by path. It is searched to any depth; a symbolic link to another
    directory is followed, but for kbuild's links `build` and `source`, and each directory is searched once. A
    directory without modules is an error.
    """
    found: dict[str, None] = {}
    problems: list[PfestubsError] = []
    for path in paths:
        if not os.path.isdir(path):  # the path stays as the user wrote it
            found[path] = None
            continue
        before = len(problems)
        inside = sorted(_walk(path, problems))
        if not inside and len(problems) == before:
            names = ", ".join(f"*{suffix}" for suffix in _SUFFIXES)
            problems.append(InputError(path, "is a directory without modules", f"expected files {names}"))
        found.update(dict.fromkeys(inside))
    return list(found), problems


def _walk(directory: str, problems: list[PfestubsError]) -> Iterator[str]:
    def record(error: OSError) -> None:
        problems.append(InputError(error.filename or directory, f"cannot be read: {error.strerror}"))

    searched = {os.path.realpath(directory)}
    for parent, directories, names in os.walk(directory, onerror=record, followlinks=True):
        wanted = []
        for name in sorted(directories):
            path = os.path.join(parent, name)
            real = os.path.realpath(path)
            if real not in searched and not (name in _KBUILD_LINKS and os.path.islink(path)):
                searched.add(real)
                wanted.append(name)
        directories[:] = wanted
        yield from (os.path.join(parent, name) for name in names if name.endswith(_SUFFIXES))


def read_modules(files: Sequence[str]) -> Iterator[ModuleFile | PfestubsError]:
    """Yield each module of `files`, in their order, or the error if it cannot be read.

    Raises:
        ToolError: a program that unpacks modules is missing.
    """
    for path in files:
        try:
            yield read_module(path)
        except ToolError:  # the same for every module
            raise
        except PfestubsError as error:
            yield error
        except MemoryError:
            yield InputError(path, "does not fit into memory")


def read_module(path: str) -> ModuleFile:
    """Read the module at `path`.

    Raises:
        InputError: it, or its packed form, is damaged; it is not a module for powerpc.
        ToolError: the program that unpacks it is missing.
    """
    with e.open_elf(path) as elf:
        require_kind(elf, "module")
        end = 0
        for index, section in enumerate(elf.sections):
            if section.type and not section.is_nobits:  # kernel/module/main.c: elf_validity_cache_sechdrs
                elf.require_in_file(section.offset, section.size, f"section {elf.section_label(index)}")
            if section.is_code and section.is_allocated:
                # kernel/module/main.c: module_get_offset_and_type
                end += -end % max(section.align, 1) + section.size
        relocations = _relocations(elf)
        return ModuleFile(
            file=elf.path,
            size=elf.source.size,
            bits=elf.bits,
            byte_order=elf.byte_order,
            vermagic=_vermagic(elf),
            abi=_abi(elf),
            nops=_nops(elf, next(iter(relocations.values()), [])),
            has_mcount=bool(elf.sections_named("__mcount_loc"))
            or (elf.symtab is not None and bool(elf.symbols_named(["_mcount"]))),
            has_symbols=elf.symtab is not None,
            tables=[_table(elf, index, indices) for index, indices in relocations.items()],
            text_bytes=end,
        )


def _relocations(elf: Elf) -> dict[int, list[int]]:
    """Return the relocation sections of each section of entries."""
    found: dict[int, list[int]] = {index: [] for index in elf.sections_named(ENTRIES)}
    for i, section in enumerate(elf.sections):
        if section.type in {e.SHT_RELA, e.SHT_REL} and section.info in found:
            found[section.info].append(i)
    return found


def _table(elf: Elf, index: int, relocations: Sequence[int]) -> EntriesTable:
    section = elf.sections[index]
    filled = {
        offset // elf.word
        for columns in map(elf.relocations, relocations)
        for offset, info in zip(columns.offsets, columns.infos, strict=True)
        if elf.info_type(info) and offset < section.size
    }
    return EntriesTable(section.size, len(filled), section.is_allocated, not section.is_nobits)


def _vermagic(elf: Elf) -> str | None:
    for index in elf.sections_named(".modinfo"):
        for item in elf.section_data(index).split(b"\0"):
            if item.startswith(b"vermagic="):
                return item.removeprefix(b"vermagic=").decode("utf-8", "backslashreplace").strip()
    return None


def _abi(elf: Elf) -> int | None:
    """Return the version of the 64-bit ELF ABI: as the header says, else what the byte order means."""
    if elf.bits == 32:
        return None
    usual = 1 if elf.byte_order == "big" else 2
    return 1 if elf.sections_named(".opd") else {1: 1, 2: 2}.get(elf.flags & 3, usual)


def _nops(elf: Elf, relocations: Sequence[int]) -> int | None:
    """Return how many nops all of the first locations have at least, up to 2; None if that is not known."""
    counts = []
    for index in relocations[:1]:
        _, infos, addends = elf.relocations(index)
        for info, addend in zip(infos[:_SAMPLE], (addends or ())[:_SAMPLE], strict=False):
            symbol = elf.symbol(elf.info_symbol(info))
            section = elf.sections[0 if symbol.reserved else symbol.section]
            at = (symbol.value + addend) % (1 << elf.bits)
            if section.is_code and not section.is_nobits and at + 2 * ppc.INSN_SIZE <= section.size:
                size = min(4, (section.size - at) // ppc.INSN_SIZE) * ppc.INSN_SIZE
                words = elf.words(elf.source.read(section.offset + at, size), ppc.INSN_SIZE).tolist()
                if len(words) == 4 and ppc.is_global_entry(*words[:2]):  # clang records it
                    words = words[2:]
                counts.append(2 if words[:2] == [ppc.NOP] * 2 else words[:1].count(ppc.NOP))
    return min(counts, default=0) or None

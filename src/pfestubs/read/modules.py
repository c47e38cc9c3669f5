# SPDX-License-Identifier: GPL-2.0-or-later
"""Read kernel modules, compressed or not, with all processors."""

from __future__ import annotations

import os
import signal
import stat
import sys
from typing import TYPE_CHECKING, Final

from pfestubs.errors import PfestubsError, ToolError, UnreadableError
from pfestubs.model.modules import ModuleFile
from pfestubs.read import elf as e
from pfestubs.read.compressed import unpack
from pfestubs.read.elf import Elf
from pfestubs.read.file_types import require_module
from pfestubs.read.source import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import ProcessPoolExecutor

ENTRIES_SECTION: Final = "__patchable_function_entries"
_SUFFIXES: Final = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")
_SERIAL_BYTES: Final = 1 << 20
"""Input below this size is read in this process: to start others takes longer."""
_CHUNK: Final = 8
"""Modules that a process takes at a time: most are small."""


def find_modules(paths: Sequence[str]) -> tuple[Sequence[str], Sequence[PfestubsError]]:
    """Return the files that `paths` name or hold, each once, and the errors of directories.

    The modules of a directory are sorted by path. It is searched to any depth; symbolic links to other
    directories are not followed (`/lib/modules/RELEASE/build`). A directory without modules is an error.
    """
    found: dict[str, None] = {}
    problems: list[PfestubsError] = []
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - the path stays as the user wrote it
            found[path] = None
            continue
        before = len(problems)
        inside = sorted(_walk(path, problems))
        if not inside and len(problems) == before:
            names = ", ".join(f"*{suffix}" for suffix in _SUFFIXES)
            problems.append(
                UnreadableError(path, "is a directory without modules", f"expected files {names}")
            )
        found.update(dict.fromkeys(inside))
    return list(found), problems


def _walk(directory: str, problems: list[PfestubsError]) -> Iterator[str]:
    def record(error: OSError) -> None:
        problems.append(UnreadableError(error.filename or directory, f"cannot be read: {error.strerror}"))

    for parent, _, names in os.walk(directory, onerror=record):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            if name.endswith(_SUFFIXES) and not _is_special(path):
                yield path


def _is_special(path: str) -> bool:
    """Return whether `path` is something else than a file (a pipe would block); False if nothing is there."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:  # said when it is opened
        return False


def read_modules(files: Sequence[str]) -> Iterator[ModuleFile | PfestubsError]:
    """Yield each module of `files`, in their order, or the error if it cannot be read.

    Raises:
        ToolError: a program that unpacks modules is missing, or a process of this command was killed.
    """
    pool = _pool(files)
    outcomes = map(_try_read, files) if pool is None else _read_parallel(pool, files)
    for outcome in outcomes:
        if isinstance(outcome, ToolError):  # the same for every module
            raise outcome
        yield outcome


def read_module(path: str) -> ModuleFile:
    """Read the module at `path`.

    Raises:
        UnreadableError: it, or its compressed form, is damaged.
        UnsuitableError: it is not a module for powerpc.
        ToolError: the program that unpacks it is missing.
    """
    with open_source(path) as source:
        return _read(Elf(unpack(source)))


def _read(elf: Elf) -> ModuleFile:
    require_module(elf)
    loaded = [i for i, section in enumerate(elf.sections) if section.flags & e.SHF_ALLOC]
    for index in loaded:  # kernel/module/main.c: elf_validity_cache_sechdrs
        section = elf.sections[index]
        if section.type != e.SHT_NOBITS:
            elf.require_in_file(section.offset, section.size, f"section {elf.section_label(index)}")
    code = [s for s in map(elf.sections.__getitem__, loaded) if s.flags & e.SHF_EXECINSTR]
    end = 0
    for section in code:  # kernel/module/main.c: module_get_offset_and_type
        end += -end % max(section.align, 1) + section.size
    return ModuleFile(
        file=elf.path,
        bits=elf.bits,
        byte_order=elf.byte_order,
        tables=[elf.sections[i].size for i in elf.sections_named(ENTRIES_SECTION)],
        text_bytes=end,
    )


def _try_read(path: str) -> ModuleFile | PfestubsError:
    try:
        return read_module(path)
    except PfestubsError as error:
        return error
    except MemoryError:
        return UnreadableError(path, "does not fit into memory")


# -- processes -----------------------------------------------------------------------------------------------


def _pool(files: Sequence[str]) -> ProcessPoolExecutor | None:
    """Return a pool of processes, None where one process is faster or others cannot be started."""
    workers = min(_processors(), -(-len(files) // _CHUNK))
    if workers < 2 or sum(map(_size, files)) < _SERIAL_BYTES:
        return None
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    try:
        # A fork needs nothing of the main module, which may be a zipapp; this process has one thread.
        context = get_context("fork" if sys.platform == "linux" else None)
        return ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_signals)
    except (OSError, ImportError, NotImplementedError):  # no semaphores: /dev/shm is missing
        return None


def _read_parallel(pool: ProcessPoolExecutor, files: Sequence[str]) -> Iterator[ModuleFile | PfestubsError]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        yield from pool.map(_try_read, files, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise ToolError(
            "pfestubs", "a process that read modules was killed", "is there enough memory?"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_signals() -> None:
    """Let the first process alone answer Ctrl-C; SIGTERM ends a process at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0

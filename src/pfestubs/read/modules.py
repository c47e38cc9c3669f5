# SPDX-License-Identifier: GPL-2.0-or-later
"""Read kernel modules, compressed or not, with all processors."""

from __future__ import annotations

import os
import signal
import stat
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import PfestubsError, ToolError, UnreadableError
from pfestubs.model.modules import ModuleFile
from pfestubs.read import elf as e
from pfestubs.read.elf import Elf
from pfestubs.read.file_types import require_module
from pfestubs.read.source import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

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
        if not os.path.isdir(path):  # the path stays as the user wrote it
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
            path = os.path.join(parent, name)
            if name.endswith(_SUFFIXES) and not _is_special(path):
                yield path


def _is_special(path: str) -> bool:
    """Return whether `path` is something else than a file (a pipe would block); False if nothing is there."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:  # said when it is opened
        return False


def read_modules(files: Sequence[str]) -> Iterator[ModuleFile | PfestubsError]:
    """Yield each module of `files`, in their order, or the error if it cannot be read.

    Raises:
        ToolError: a program that unpacks modules is missing, or a process of this command was killed.
    """
    workers = _workers(files)
    outcomes = map(_try_read, files) if workers < 2 else _read_parallel(files, workers)
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
        return _read(Elf(source))


def _read(elf: Elf) -> ModuleFile:
    require_module(elf)
    loaded = [i for i, section in enumerate(elf.sections) if section.flags & e.SHF_ALLOC]
    for index in loaded:  # kernel/module/main.c: elf_validity_cache_sechdrs
        section = elf.sections[index]
        if not section.is_nobits:
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


def _workers(files: Sequence[str]) -> int:
    """Return how many processes to use."""
    if sys.platform != "linux" or sum(map(_size, files)) < _SERIAL_BYTES:
        return 1
    return min(_processors(), -(-len(files) // _CHUNK))


class _Worker(NamedTuple):
    """A process that reads every n-th chunk of the files, and where its outcomes arrive."""

    process: ForkProcess
    outcomes: Connection


def _read_parallel(files: Sequence[str], workers: int) -> Iterator[ModuleFile | PfestubsError]:
    """Deal the files in chunks to processes. What a process that cannot be started would read is read here.

    Not with `concurrent.futures`: it takes threads, and waits for ever where one cannot be started.
    """
    chunks = [files[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)]
    started: list[_Worker] = []
    try:
        try:
            for number in range(workers):
                started.append(_start(chunks[number::workers], started))
        except (OSError, ImportError, MemoryError):  # a limit of processes, files or memory
            pass
        for number, chunk in enumerate(chunks):
            if number % workers < len(started):
                yield from _receive(started[number % workers])
            else:
                yield from map(_try_read, chunk)
    finally:
        for worker in started:
            worker.outcomes.close()
            worker.process.kill()
            worker.process.join()


def _start(chunks: Sequence[Sequence[str]], others: Sequence[_Worker]) -> _Worker:
    from multiprocessing import get_context

    # A fork needs nothing of the main module, which may be a zipapp; this process has one thread.
    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    try:
        process = context.Process(
            target=_work, args=(chunks, there, [here, *(o.outcomes for o in others)]), daemon=True
        )
        process.start()
    except BaseException:
        here.close()
        raise
    finally:
        there.close()
    return _Worker(process, here)


def _work(chunks: Sequence[Sequence[str]], outcomes: Connection, others: Sequence[Connection]) -> None:
    """Send the outcomes of each chunk, or the exception that a module raised; the parent reports it."""
    try:
        # The first process alone answers Ctrl-C; SIGTERM ends a process at once.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for other in others:  # else it would not be noticed that nobody reads any more
            other.close()
        for chunk in chunks:
            try:
                outcomes.send([_try_read(path) for path in chunk])
            except Exception as error:  # noqa: BLE001
                outcomes.send(error)
                break
    finally:  # also if nobody reads any more, or memory is out: the parent notices
        os._exit(0)


def _receive(worker: _Worker) -> Sequence[ModuleFile | PfestubsError]:
    try:
        found: Sequence[ModuleFile | PfestubsError] | Exception = worker.outcomes.recv()
    except (EOFError, OSError) as error:
        raise ToolError(
            "pfestubs", "a process that read modules was killed", "is there enough memory?"
        ) from error
    if isinstance(found, Exception):
        raise found
    return found


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0

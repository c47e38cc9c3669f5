# SPDX-License-Identifier: GPL-2.0-or-later
"""Atomic file writes, and writes to standard output that report errors.

There is one way to put a file in place. It asks what the target is: a regular file is replaced by a
rename; a device, a FIFO or an inherited descriptor is written directly.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import OutputError, UsageError
from pfestubs.system import signals
from pfestubs.system.messages import redirect_to_null
from pfestubs.system.staging import remove_stale, staging_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

_LINKS_MAX: Final = 40
"""Symbolic links in a row that are followed, as the kernel does."""
_READER_WAIT: Final = 1.0
"""Seconds that the reader of a FIFO has to open it: it may have been started in the background."""
_BLOCK: Final = 1 << 20
_PROCESS: Final = re.compile(r"/proc/[0-9]+(?:/|$)")


class Target(NamedTuple):
    """Where an output goes.

    Attributes:
        path: as given.
        real: the path after following symbolic links.
        descriptor: of this process, if the path names one.
        special: whether it exists and is not a regular file.
    """

    path: str
    real: str
    descriptor: int | None = None
    special: bool = False

    @property
    def direct(self) -> bool:
        """Whether it is written directly, not replaced."""
        return self.special or self.descriptor is not None


def refuse_input(output: str | None, *inputs: str | None) -> None:
    """Refuse to write the result over one of the files that it is made from.

    Raises:
        UsageError: `output` is one of `inputs`, by whatever name.
    """
    for name in inputs:
        with suppress(OSError):  # what is not there is not the same
            if output is not None and name is not None and os.path.samefile(output, name):
                raise UsageError(output, "is an input of this command; it is not overwritten")


# -- standard output -----------------------------------------------------------------------------------------


def is_stdout(path: str | None) -> bool:
    """Return whether `path`, as given with -o (None: not given), is standard output."""
    return path is None or path == "-"


def write_output(path: str | None, text: str | Iterable[str]) -> None:
    """Write text, whole or in pieces, to the file at `path`, or to standard output if it is None or "-"."""
    chunks = [text] if isinstance(text, str) else text
    if path is None or is_stdout(path):
        write_stream(chunks)
    else:
        write_file(path, map(_encode, chunks))


def write_stdout(text: str) -> None:
    """Write `text` to standard output and make sure that it arrived; raises as `write_stream`."""
    write_stream([text])


def write_stream(chunks: Iterable[str]) -> None:
    """Write text piece by piece to standard output and make sure that it arrived.

    Raises:
        OutputError: it cannot be written (closed, disk full).
        BrokenPipeError: the reader has gone away.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        stream = sys.stdout.buffer
        for chunk in chunks:
            stream.write(_encode(chunk))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        redirect_to_null(sys.stdout)
        raise OutputError("standard output", f"cannot be written: {e.strerror}") from e


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


# -- files ---------------------------------------------------------------------------------------------------


def write_atomic(path: str, data: bytes) -> None:
    """Put `data` into the file at `path`; see `write_file`."""
    write_file(path, [data])


def write_file(path: str, chunks: Iterable[bytes]) -> None:
    """Put `chunks`, one after the other, into the file at `path`: the old content or the new, never a part.

    A file that already holds the content keeps its modification time. A symbolic link is followed, the mode
    kept.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    with output_errors(path):
        target = resolve(path)
        if target.direct:
            with open_direct(target) as descriptor:
                for chunk in chunks:
                    write_all(descriptor, chunk)
            return
        remove_stale(target.real)
        _replace(target, chunks)


@contextmanager
def output_errors(path: str) -> Iterator[None]:
    """Make an `OutputError` about the output `path` of the operating system's errors."""
    try:
        yield
    except OSError as e:
        raise OutputError(path, f"cannot be written: {e.strerror or e}") from e


def resolve(path: str) -> Target:
    """Return what an output path names, symbolic links followed.

    Raises:
        UsageError: it is empty.
        OSError: it is a directory, or links go round in a circle.
    """
    if not path:
        raise UsageError("-o", "names no file")
    if path.endswith("/"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    own = {"/proc/self/fd", f"/proc/{os.getpid()}/fd", f"/proc/{os.getpid()}/task/{os.getpid()}/fd"}
    full = path
    for _ in range(_LINKS_MAX):
        parent, name = os.path.split(full)
        parent = os.path.realpath(parent or ".")
        full = os.path.join(parent, name)
        if parent in own and name.isascii() and name.isdigit() and len(name) < 7:
            # Not opened by its name: a regular file would be written from its start.
            return Target(path, full, descriptor=int(name))
        try:
            link = os.readlink(full)
        except OSError:
            break
        if _PROCESS.match(parent):  # /proc/self/exe, as root, would be the interpreter
            raise OSError(
                errno.EPERM, "it is a link of /proc to a file in use; give the file's own name", path
            )
        full = os.path.join(parent, link)
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    try:
        mode = os.stat(full).st_mode
    except FileNotFoundError:
        return Target(path, full)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return Target(path, full, special=not stat.S_ISREG(mode))


@contextmanager
def open_direct(target: Target) -> Iterator[int]:
    """Open a device, a FIFO or an inherited descriptor for writing.

    Raises:
        OSError: it cannot be opened, or nobody reads the FIFO.
    """
    if target.descriptor is not None:
        yield target.descriptor
        return
    descriptor = _open_special(target.real)
    try:
        os.set_blocking(descriptor, True)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_special(path: str) -> int:
    limit = time.monotonic() + _READER_WAIT
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as e:
            if e.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
            if time.monotonic() > limit:
                raise OSError(errno.ENXIO, "it is a FIFO that nobody reads", path) from e
        time.sleep(0.01)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`; a single write may take less."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _replace(target: Target, chunks: Iterable[bytes]) -> None:
    """Replace a regular file, or make it; nothing is written if the content is what it already is."""
    pieces = iter(chunks)
    with ExitStack() as stack:
        try:
            old: BinaryIO = stack.enter_context(open(target.real, "rb"))
        except OSError:  # none, or not readable: it is replaced in any case
            same, rest = 0, b""
        else:
            same, rest = _common_start(old, pieces)
            if not rest and not old.read(1):
                return
        directory = stack.enter_context(staging_directory(target.real))
        new = os.path.join(directory, "new")
        with _created(new) as descriptor:
            if same:
                old.seek(0)
            while same:
                block = old.read(min(same, _BLOCK))
                if not block:
                    raise OSError(errno.EIO, "its content changed meanwhile", target.path)
                write_all(descriptor, block)
                same -= len(block)
            for piece in chain([rest], pieces):
                write_all(descriptor, piece)
        put_in_place(new, target)


def _common_start(old: BinaryIO, pieces: Iterator[bytes]) -> tuple[int, bytes]:
    """Return how many bytes of `old` the pieces repeat, and the first piece that differs, empty if none."""
    same = 0
    for piece in pieces:
        if old.read(len(piece)) != piece:
            return same, piece
        same += len(piece)
    return same, b""


@contextmanager
def _created(path: str) -> Iterator[int]:
    """Create a file with the mode that the umask gives it, and open it for writing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def put_in_place(new: str, target: Target) -> None:
    """Give the file `new` the name of a regular target, with the mode and owner of the file it replaces."""
    try:
        status = os.stat(target.real)
    except FileNotFoundError:
        pass
    else:
        with suppress(PermissionError):  # only root may give a file away
            os.chown(new, status.st_uid, status.st_gid)
        os.chmod(new, stat.S_IMODE(status.st_mode))
    os.replace(new, target.real)


def same_content(first: str, second: str) -> bool:
    """Return whether both files hold the same bytes; false if one is missing."""
    try:
        with open(first, "rb") as one, open(second, "rb") as two:
            while True:
                block = one.read(_BLOCK)
                if block != two.read(_BLOCK):
                    return False
                if not block:
                    return True
    except FileNotFoundError:
        return False


@contextmanager
def replaced_for_now(target: Target, data: bytes) -> Iterator[Callable[[], None]]:
    """Put `data` into a regular file; unless the function that this yields is called, the old one comes back.

    The old file is kept under another name, not copied: it comes back with its time, and a full disk cannot
    prevent that.

    Raises:
        OSError: it cannot be written.
    """
    if _holds(target.real, data):
        yield _nothing_to_keep
        return
    with staging_directory(target.real) as directory:
        new, old = (os.path.join(directory, name) for name in ("new", "old"))
        with _created(new) as descriptor:
            write_all(descriptor, data)
        replacement = _Replacement(target, old)
        with signals.deferred():
            replacement.start(new)
            signals.on_end(replacement.undo)
        try:
            yield replacement.keep
        finally:
            with signals.deferred():
                signals.forget(replacement.undo)
                replacement.undo()


class _Replacement:
    """A regular file that was replaced, and the name under which the old one, if any, is kept."""

    def __init__(self, target: Target, old: str) -> None:
        self._target = target
        self._old = old
        self._kept = False

    def start(self, new: str) -> None:
        path = self._target.real
        try:
            os.link(path, self._old)
        except FileNotFoundError:
            pass
        except OSError:  # no links here
            os.rename(path, self._old)
        try:
            put_in_place(new, self._target)
        except OSError:
            if not os.path.lexists(path):
                self.undo()
            raise

    def keep(self) -> None:
        self._kept = True

    def undo(self) -> None:
        path = self._target.real
        if self._kept:
            return
        if os.path.lexists(self._old):
            os.replace(self._old, path)
        else:
            with suppress(FileNotFoundError):
                os.unlink(path)


def _nothing_to_keep() -> None:
    """Do nothing, in place of `_Replacement.keep`: the file was not replaced."""


def _holds(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
    except OSError:
        return False

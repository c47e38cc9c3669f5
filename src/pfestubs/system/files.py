# SPDX-License-Identifier: GPL-2.0-or-later
"""Output: files that are written whole or not at all, standard output whose errors are reported, messages.

A regular file is replaced by a rename; a device, a pipe or a FIFO is written directly.
"""

from __future__ import annotations

import filecmp
import os
import stat
import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final, TextIO

from pfestubs.errors import OutputError, UsageError
from pfestubs.formats.text import escape_line, wrap
from pfestubs.system import signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME_LIMIT: Final = 32
"""Characters of the output's name in that of its staging directory, which has to fit into 255 bytes."""


def refuse_input(output: str | None, *inputs: str | None) -> None:
    """Refuse to write the result over one of the files that it is made from.

    Raises:
        UsageError: `output` is one of `inputs`, by whatever name.
    """
    for name in inputs:
        with suppress(OSError):  # a missing file is never the same
            if output is not None and name is not None and os.path.samefile(output, name):
                raise UsageError(output, "is an input of this command", "name another file")


# -- standard output and standard error ----------------------------------------------------------------------


def is_stdout(path: str | None) -> bool:
    """Return whether `path`, as given with -o (None: not given), is standard output."""
    return path in {None, "-", "/dev/stdout"}


def write_output(path: str | None, text: str | Iterable[str]) -> None:
    """Write text, whole or in pieces, to the file at `path`, or to standard output, and see that it arrived.

    Raises:
        OutputError: it cannot be written (closed, disk full).
        BrokenPipeError: the reader of standard output has gone away.
    """
    chunks = (
        piece.encode("utf-8", "backslashreplace") for piece in ([text] if isinstance(text, str) else text)
    )
    if path is not None and not is_stdout(path):
        write_file(path, chunks)
        return
    try:
        stream = sys.stdout.buffer
        for chunk in chunks:
            _write_all(stream, chunk)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        redirect_to_null(sys.stdout)
        raise OutputError("standard output", f"cannot be written: {e.strerror}") from e


def _write_all(stream: IO[bytes], data: bytes) -> None:
    """Write all of `data`: an unbuffered stream (PYTHONUNBUFFERED) may take a part, as on a full disk."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) or 0 :]


def print_messages(*lines: str) -> None:
    """Write each message as one line to standard error; that it is closed or full changes nothing else.

    On a terminal lines break between words.
    """
    try:
        texts = [escape_line(line) for line in lines]
        if sys.stderr.isatty():
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            texts = [wrap(text, width) for text in texts]
        sys.stderr.write("".join(f"{text}\n" for text in texts))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # full, closed by us, closed by the caller (None)
        redirect_to_null(sys.stderr)


def redirect_to_null(stream: TextIO | None) -> None:
    """Discard buffered output: else the interpreter would fail on it and exit with 120."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


# -- files ---------------------------------------------------------------------------------------------------


def write_file(path: str, chunks: Iterable[bytes]) -> None:
    """Put `chunks`, one after the other, into the file at `path`: the old content or the new, never a part.

    A file that already holds the content keeps its modification time. A symbolic link is followed, the mode
    kept.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
        UsageError: the path is empty.
    """
    if not path:
        raise UsageError("-o", "names no file")
    with output_errors(path):
        if _is_special(path):
            with open(path, "wb", buffering=0) as stream:
                for chunk in chunks:
                    _write_all(stream, chunk)
            return
        target = os.path.realpath(path)
        with staging_directory(target) as directory:
            new = os.path.join(directory, "new")
            with open(new, "xb") as file:
                file.writelines(chunks)
            same = False
            with suppress(OSError):  # there is none, or it cannot be read
                same = filecmp.cmp(new, target, shallow=False)
            if not same:
                _put_in_place(new, target)


def _is_special(path: str) -> bool:
    """Return whether `path` is not to be replaced by a rename: a device or a pipe, which is written directly.

    So is a directory: to open it says what is wrong.
    """
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return path.endswith("/")


@contextmanager
def output_errors(path: str) -> Iterator[None]:
    """Make an `OutputError` about the output `path` of the operating system's errors."""
    try:
        yield
    except OSError as e:
        raise OutputError(path, f"cannot be written: {e.strerror or e}") from e


def _put_in_place(new: str, target: str) -> None:
    """Give the file `new` the name `target`, with the mode and owner of the file that it replaces."""
    with suppress(FileNotFoundError):
        status = os.stat(target)
        with suppress(PermissionError):  # only root may give a file away
            os.chown(new, status.st_uid, status.st_gid)
        os.chmod(new, stat.S_IMODE(status.st_mode))
    os.replace(new, target)


@contextmanager
def staging_directory(target: str) -> Iterator[str]:
    """Make a directory `.NAME.*.tmp` next to `target`; remove it at the end of the block and on a signal.

    Raises:
        OSError: it cannot be made.
    """
    parent, name = os.path.split(target)
    path = os.path.join(parent, f".{name[:_NAME_LIMIT]}.{os.urandom(4).hex()}.tmp")

    def remove() -> None:
        with suppress(OSError):
            for name in os.listdir(path):
                os.unlink(os.path.join(path, name))
            os.rmdir(path)

    with signals.deferred():
        os.mkdir(path, 0o700)
        signals.on_end(remove)
    try:
        yield path
    finally:
        with signals.deferred():
            signals.forget(remove)
            remove()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Write a file whole or not at all, and standard output honestly."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pfestubs.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_DESCRIPTOR: Final = re.compile(
    r"/dev/(?P<name>stdout|stderr)|(?:/dev|/proc/self)/fd/(?P<number>[0-9]{1,6})", re.ASCII
)


def refuse_input(output: str | None, *inputs: str | None) -> None:
    """Refuse to write the result over one of the files that it is made from.

    Raises:
        UsageError: `output` is one of `inputs`, by whatever name.
    """
    for name in inputs:
        with contextlib.suppress(OSError):  # what is not there is not the same
            if output is not None and name is not None and os.path.samefile(output, name):  # noqa: PTH121
                raise UsageError(output, "is an input of this command; it is not overwritten")


def write_output(path: str | None, text: str | Iterable[str]) -> None:
    """Write text, whole or in pieces, to the file at `path`, or to standard output if it is None or "-"."""
    chunks = [text] if isinstance(text, str) else text
    if path is None or path == "-":
        write_stream(chunks)
    else:
        write_atomic(path, b"".join(chunk.encode("utf-8", "backslashreplace") for chunk in chunks))


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
            raise OSError(9, os.strerror(9))
        stream = sys.stdout.buffer
        for chunk in chunks:
            stream.write(chunk.encode("utf-8", "backslashreplace"))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as e:
        raise OutputError("standard output", f"cannot be written: {e.strerror}") from e


def write_atomic(path: str, data: bytes) -> None:
    """Put `data` into the file at `path`: the old content or the new, never a part.

    A file that already holds `data` keeps its modification time. A symbolic link is followed, the mode kept.
    A target that is no regular file (`/dev/stdout`) is written directly.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    if not path:
        raise UsageError("-o", "names no file")
    target = os.path.realpath(path)
    try:
        if path.endswith("/"):
            raise IsADirectoryError(21, os.strerror(21), path)
        descriptor = _DESCRIPTOR.fullmatch(path)
        if descriptor is not None:
            # What stands behind it may be a regular file; to open it again would write from its start.
            number = descriptor["number"] or {"stdout": "1", "stderr": "2"}[descriptor["name"]]
            with open(int(number), "wb", closefd=False) as stream:
                stream.write(data)
            return
        if _is_special(path):
            Path(path).write_bytes(data)
            return
        if _holds(target, data):
            return
        with atomic_replacement(path) as temporary:
            Path(temporary).write_bytes(data)
    except OSError as e:
        raise OutputError(path, f"cannot be written: {e.strerror or e}") from e


@contextlib.contextmanager
def atomic_replacement(path: str) -> Iterator[str]:
    """A temporary name beside `path`; what is written there takes its place if the block ends well.

    It keeps the suffix, for tools that go by it. Unchanged content keeps the old file and its time.

    Raises:
        OSError: the folder cannot be written, or `path` is a folder.
    """
    import tempfile  # a third of a short command's start-up, and most commands write no file

    target = Path(os.path.realpath(path))
    mode = _mode_for(target)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    try:
        yield temporary
        if _holds(str(target), Path(temporary).read_bytes()):
            return
        os.chmod(temporary, mode)  # noqa: PTH101 - mkstemp made it private
        os.replace(temporary, target)  # noqa: PTH105
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108


def _mode_for(target: Path) -> int:
    try:
        status = target.stat()
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(21, os.strerror(21), str(target))
    return stat.S_IMODE(status.st_mode)


def _is_special(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _holds(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
    except FileNotFoundError:
        return False

# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of an input file, read where they are needed.

Files are not mapped: linkers and `cp` rewrite kernels in place, and touching a page of a map beyond the new
end of the file kills the process (SIGBUS). Reading the words at 77,026 locations in blocks costs as much
processor time as the page faults of a map, and 30 MiB less memory.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from pfestubs.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK: Final = 64 << 20
"""Bytes requested in one system call."""
_SMALL, _WINDOW = 256, 1 << 14
"""Bytes of a read that is served from a window, and of the window."""
DOCUMENT_MAX: Final = 128 << 20
"""Bytes of a System.map or a saved document: four times the largest real one."""


class ByteSource(Protocol):
    """Bytes by offset."""

    @property
    def path(self) -> str:
        """The file, for messages."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`.

        Raises:
            UnreadableError: there are fewer.
        """
        ...


class BufferSource:
    """Bytes that are in memory already."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path = path
        self.size = len(content)
        self._content = content

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`.

        Raises:
            UnreadableError: there are fewer.
        """
        content = self._content[offset : offset + size]
        if len(content) != size:
            raise _truncated(self.path, offset + size, self.size)
        return content


class FileSource:
    """An open regular file."""

    def __init__(self, path: str, handle: int, size: int) -> None:
        self.path = path
        self.size = size
        self.handle = handle
        self._window_start, self._window = 0, b""

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`.

        Raises:
            UnreadableError: there are fewer, or the system cannot read them.
        """
        if size <= _SMALL:  # an object can have 20,000 tables of one entry, one after the other
            start = offset - self._window_start
            if not 0 <= start <= len(self._window) - size:
                self._window = self._read(offset, min(_WINDOW, max(size, self.size - offset)))
                self._window_start, start = offset, 0
            return self._window[start : start + size]
        return self._read(offset, size)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            content = self.read_up_to(offset, size)
        except (OSError, OverflowError) as error:
            raise unreadable(self.path, error) from error
        if len(content) != size:
            raise _truncated(self.path, offset + size, offset + len(content))
        return content

    def read_up_to(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at `offset`, fewer where the file ends.

        Raises:
            OSError: the system cannot read them.
        """
        content = os.pread(self.handle, min(size, _CHUNK), offset)
        if len(content) == size or not content:
            return content
        pieces, total = [content], len(content)
        while total < size:
            content = os.pread(self.handle, min(size - total, _CHUNK), offset + total)
            if not content:
                break
            pieces.append(content)
            total += len(content)
        return b"".join(pieces)


def _truncated(path: str, expected: int, found: int) -> UnreadableError:
    return UnreadableError(
        path, f"ends at byte {found:,}, data was expected up to byte {expected:,}", "is the file truncated?"
    )


def unreadable(path: str, error: OSError | ValueError | OverflowError) -> UnreadableError:
    """Return the error for a file that the system cannot open or read."""
    if isinstance(error, FileNotFoundError):
        with suppress(OSError):  # not a link
            return UnreadableError(path, f"is a symbolic link to {os.readlink(path)}, which does not exist")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return UnreadableError(path, f"cannot be read: {reason}")


@contextmanager
def open_source(path: str) -> Iterator[FileSource]:
    """Open the regular file at `path`; anything else would block, never end, or have no size.

    Raises:
        UnreadableError: it cannot be opened, or is not a regular file.
    """
    try:  # without O_NONBLOCK, a FIFO without a writer waits for one
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    try:
        status = os.fstat(handle)
        _require_regular(path, status.st_mode)
        yield FileSource(path, handle, status.st_size)
    finally:
        os.close(handle)


def _require_regular(path: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise UnreadableError(path, "is a directory, not a file")
    if stat.S_ISFIFO(mode):
        raise UnreadableError(path, "is a pipe, not a file", "save its content to a file and give that")
    raise UnreadableError(path, "is a device, not a file")


def read_document(path: str) -> bytes:
    """Return the content of a System.map or a saved document; files of /proc have no size.

    Raises:
        UnreadableError: it cannot be read, is not a regular file, or is too large.
    """
    with open_source(path) as source:
        pieces: list[bytes] = []
        total = 0
        while total <= DOCUMENT_MAX:
            try:
                piece = source.read_up_to(total, 1 << 20)
            except OSError as error:
                raise unreadable(path, error) from error
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            total += len(piece)
        raise UnreadableError(path, f"has more than {DOCUMENT_MAX:,} bytes")


def read_head(path: str, size: int) -> bytes:
    """Return the first `size` bytes of a file, fewer if it is shorter.

    Raises:
        UnreadableError: it cannot be read, or is not a regular file.
    """
    with open_source(path) as source:
        try:
            return source.read_up_to(0, size)
        except OSError as error:
            raise unreadable(path, error) from error

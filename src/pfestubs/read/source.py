# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of an input file, read where they are needed; those of a packed file once it is unpacked.

Files are not mapped: linkers and `cp` rewrite kernels in place, and touching a page of a map beyond the new
end of the file kills the process (SIGBUS). Reading the words at 77,026 locations in blocks costs as much
processor time as the page faults of a map, and 30 MiB less memory.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final

from pfestubs.errors import UnreadableError
from pfestubs.read.file_types import HEAD, is_packed

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUFFER: Final = 1 << 14
"""Bytes read at once for small reads: an object can have 20,000 tables of one entry each."""
DOCUMENT_MAX: Final = 128 << 20
"""Bytes of a System.map or a saved document: four times the largest real one."""


class Source:
    """Bytes by offset: of a file, of an unpacked one, or in memory.

    Attributes:
        path: the file, as the user named it.
        stream: the bytes; binary, seekable.
        size: of the whole in bytes; 0 for files of /proc.
    """

    def __init__(self, path: str, stream: IO[bytes], size: int) -> None:
        self.path = path
        self.stream = stream
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`.

        Raises:
            UnreadableError: there are fewer, or the system cannot read them.
        """
        content = self.read_up_to(offset, size)
        if len(content) != size:
            raise UnreadableError(
                self.path,
                f"ends at byte {offset + len(content):,}, data was expected up to byte {offset + size:,}",
                "is the file truncated?",
            )
        return content

    def read_up_to(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at `offset`, fewer where the file ends.

        Raises:
            UnreadableError: the system cannot read them.
        """
        try:
            self.stream.seek(offset)
            return self.stream.read(size)
        except (OSError, ValueError, OverflowError, MemoryError) as error:
            raise unreadable(self.path, error) from error


def unreadable(path: str, error: Exception) -> UnreadableError:
    """Return the error for a file that the system cannot open or read."""
    if isinstance(error, FileNotFoundError):
        with suppress(OSError):  # not a link
            return UnreadableError(path, f"is a symbolic link to {os.readlink(path)}, which does not exist")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return UnreadableError(path, f"cannot be read: {reason or 'out of memory'}")


@contextmanager
def open_source(path: str, *, raw: bool = False) -> Iterator[Source]:
    """Open the regular file at `path`; anything else would block, never end, or have no size.

    A file packed with xz, gzip or zstd, by its content, is read unpacked: from a temporary file without a
    name, so that memory stays flat (`pfestubs.read.compressed` has the bounds).

    Args:
        path: of the file.
        raw: do not unpack it, and read no more than is asked for: pages of `/proc/kcore` can be missing.

    Raises:
        UnreadableError: it cannot be opened, is not a regular file, or is packed and damaged.
        ToolError: it is packed, and nothing here can unpack it.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = {stat.S_IFDIR: "directory", stat.S_IFIFO: "pipe"}.get(stat.S_IFMT(mode), "device")
            advice = "save its content to a file and give that" if kind == "pipe" else ""
            raise UnreadableError(path, f"is a {kind}, not a file", advice)
        stream = open(path, "rb", buffering=0 if raw else _BUFFER)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with stream:
        source = Source(path, stream, os.fstat(stream.fileno()).st_size)
        if raw or not is_packed(source.read_up_to(0, HEAD)):
            yield source
            return
        from pfestubs.read.compressed import unpacked

        with unpacked(source) as content:
            yield content


def read_document(path: str) -> bytes:
    """Return the content of a System.map or a saved document; files of /proc have no size.

    Raises:
        UnreadableError: it cannot be read, is not a regular file, or is too large.
    """
    with open_source(path) as source:
        content = source.read_up_to(0, DOCUMENT_MAX + 1)
    if len(content) > DOCUMENT_MAX:
        raise UnreadableError(path, f"has more than {DOCUMENT_MAX:,} bytes")
    return content


def read_head(path: str) -> bytes:
    """Return the first bytes of a file as stored: enough to know what it is.

    Raises:
        UnreadableError: it cannot be read, or is not a regular file.
    """
    with open_source(path, raw=True) as source:
        return source.read_up_to(0, HEAD)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of an input file, read where they are needed; those of a packed file once it is unpacked.

Files are not mapped: linkers and `cp` rewrite kernels in place, and touching a page of a map beyond the new
end of the file kills the process (SIGBUS). Reading the words at 77,026 locations in blocks costs as much
processor time as the page faults of a map, and 30 MiB less memory.
"""

from __future__ import annotations

import os
import stat
from contextlib import closing, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import InputError, ToolError
from pfestubs.read.file_types import GZIP, HEAD, XZ, is_packed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_BUFFER: Final = 1 << 14
"""Bytes read at once for small reads: an object can have 20,000 tables of one entry each."""
DOCUMENT_MAX: Final = 128 << 20
"""Bytes of a System.map or a saved document: four times the largest real one."""
UNPACKED_LIMIT: Final = 4 << 30
"""Bytes: several times the largest kernel with its debug information."""
_SMALL: Final = 32 << 20
"""Bytes that any file may unpack to."""
_RATIO: Final = 100
"""How many times the size of the file it may be beyond that: far more than code and data compress."""
_WINDOW_LIMIT: Final = 128 << 20
"""Bytes that a decompressor may need: xz -9 takes 65 MiB, zstd's own limit is this."""
_STEP: Final = 1 << 20


class Source(NamedTuple):
    """Bytes by offset: of a file, of an unpacked one, or in memory.

    Attributes:
        path: the file, as the user named it.
        stream: the bytes; binary, seekable.
        size: of the whole in bytes; 0 for files of /proc.
    """

    path: str
    stream: IO[bytes]
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`."""
        content = self.read_up_to(offset, size)
        if len(content) != size:
            raise InputError(
                self.path,
                f"ends at byte {offset + len(content):,}, data was expected up to byte {offset + size:,}",
                "is the file truncated?",
            )
        return content

    def read_up_to(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes at `offset`, fewer where the file ends."""
        try:
            self.stream.seek(offset)
            return self.stream.read(size)
        except (OSError, ValueError, OverflowError, MemoryError) as error:
            raise unreadable(self.path, error) from error


def unreadable(path: str, error: Exception) -> InputError:
    """Return the error for a file that the system cannot open or read."""
    if isinstance(error, FileNotFoundError):
        with suppress(OSError):  # not a link
            return InputError(path, f"is a symbolic link to {os.readlink(path)}, which does not exist")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return InputError(path, f"cannot be read: {reason or 'out of memory'}")


@contextmanager
def open_source(path: str, *, raw: bool = False) -> Iterator[Source]:
    """Open the regular file at `path`; anything else would block, never end, or have no size.

    A file packed with xz, gzip or zstd, by its content, is read unpacked: from a temporary file without a
    name, so that memory stays flat (`unpacked` has the bounds).

    Args:
        path: of the file.
        raw: do not unpack it, and read no more than is asked for: pages of `/proc/kcore` can be missing.

    Raises:
        InputError: it cannot be opened, is not a regular file, or is packed and damaged.
        ToolError: it is packed, and nothing here can unpack it.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = {stat.S_IFDIR: "directory", stat.S_IFIFO: "pipe"}.get(stat.S_IFMT(mode), "device")
            advice = "save its content to a file and give that" if kind == "pipe" else ""
            raise InputError(path, f"is a {kind}, not a file", advice)
        stream = open(path, "rb", buffering=0 if raw else _BUFFER)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with stream:
        source = Source(path, stream, os.fstat(stream.fileno()).st_size)
        if raw or not is_packed(source.read_up_to(0, HEAD)):
            yield source
            return
        with unpacked(source) as content:
            yield content


def read_head(path: str) -> bytes:
    """Return the first bytes of a file, those that tell what it is; of a packed one, of its content."""
    with open_source(path, raw=True) as source:
        head = source.read_up_to(0, HEAD)
        if is_packed(head):
            with closing(_unpack(source, head)) as pieces:
                head = next(filter(None, pieces), b"")[:HEAD]
        return head


def read_document(path: str) -> bytes:
    """Return the content of a System.map or a saved document; files of /proc have no size."""
    with open_source(path) as source:
        content = bytearray()
        while len(content) <= DOCUMENT_MAX and (piece := source.read_up_to(len(content), _STEP)):
            content += piece
    if len(content) > DOCUMENT_MAX:
        raise InputError(path, f"has more than {DOCUMENT_MAX >> 20} MiB, the limit for a map or document")
    return bytes(content)


# -- packed files --------------------------------------------------------------------------------------------


@contextmanager
def unpacked(source: Source) -> Iterator[Source]:
    """Unpack `source` and yield the content: in a file without a name, valid inside the `with` block.

    It may have `UNPACKED_LIMIT` bytes, or 100 times the size of the packed file if that is less.

    Raises:
        InputError: the packed form is damaged, or unpacks to more.
        ToolError: neither Python nor a program can unpack it.
    """
    import tempfile

    path, head = source.path, source.read_up_to(0, HEAD)
    limit = min(UNPACKED_LIMIT, max(_SMALL, _RATIO * source.size))
    try:
        with tempfile.TemporaryFile() as content:
            with closing(_unpack(source, head)) as pieces:
                for piece in pieces:
                    content.write(piece)
                    if content.tell() > limit:
                        raise InputError(
                            path,
                            f"unpacks to more than {limit >> 20:,} MiB, the limit for a packed file of its"
                            " size",
                            "unpack it first if it is meant to be so large",
                        )
            yield Source(path, content, content.tell())
    except OSError as error:  # no room, no temporary file, no process
        raise InputError(path, f"cannot be unpacked: {error.strerror or error}") from error


def _unpack(source: Source, head: bytes) -> Generator[bytes, None, None]:
    unpack = _unpack_xz if head.startswith(XZ) else _unpack_gzip if head.startswith(GZIP) else _unpack_zstd
    source.stream.seek(0)
    return unpack(source.path, source.stream)


def _unpack_xz(path: str, stream: IO[bytes]) -> Generator[bytes, None, None]:
    """Yield the content of every stream of a file; they may be padded with zeros."""
    import lzma

    decoder, data = None, stream.read(_STEP)
    try:
        while data or decoder is not None:
            decoder = decoder or lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW_LIMIT)
            yield decoder.decompress(data, _STEP)
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data.lstrip(b"\0"), None
                while not data and (block := stream.read(_STEP)):
                    data = block.lstrip(b"\0")
                if not data.startswith(XZ[: len(data)]):
                    raise InputError(path, "has other data after its xz stream")
            elif decoder.needs_input and not (data := stream.read(_STEP)):
                raise InputError(path, "is cut short: its xz stream does not end")
    except lzma.LZMAError as error:
        raise InputError(path, f"cannot be unpacked (xz): {error}") from error


def _unpack_gzip(path: str, stream: IO[bytes]) -> Generator[bytes, None, None]:
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=stream) as content:
            yield from iter(lambda: content.read(_STEP), b"")
    except EOFError as error:
        raise InputError(path, "is cut short: its gzip stream does not end") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        if str(error).startswith("Not a gzipped file"):  # the first stream is one
            raise InputError(path, "has other data after its gzip stream") from error
        raise InputError(path, f"cannot be unpacked (gzip): {error}") from error


def _unpack_zstd(path: str, stream: IO[bytes]) -> Generator[bytes, None, None]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        yield from _run_zstd(path, stream)
        return
    try:
        with zstd.ZstdFile(stream) as content:  # its window is limited to 128 MiB
            yield from iter(lambda: content.read(_STEP), b"")
    except EOFError as error:
        raise InputError(path, "is cut short: its zstd frame does not end") from error
    except zstd.ZstdError as error:
        raise InputError(path, f"cannot be unpacked (zstd): {error}") from error


def _run_zstd(path: str, stream: IO[bytes]) -> Generator[bytes, None, None]:
    """Unpack with the program `zstd`, for a Python that cannot."""
    import shutil
    import subprocess
    import tempfile

    program = shutil.which("zstd")
    if program is None:
        raise ToolError(
            path,
            "is packed with zstd, and the program zstd is not installed",
            "install it (Debian, Fedora: package zstd), or use Python 3.14, which needs none",
        )
    os.lseek(stream.fileno(), 0, os.SEEK_SET)
    words = [program, "-dcq", f"--memory={_WINDOW_LIMIT >> 20}MB"]
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(words, stdin=stream, stdout=subprocess.PIPE, stderr=messages) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - a pipe
        content = process.stdout
        try:
            yield from iter(lambda: content.read(_STEP), b"")
        except BaseException:  # also: the reader has seen enough
            process.kill()
            raise
        if process.wait():
            messages.seek(0)
            reason = messages.read(400).decode("utf-8", "backslashreplace").strip()
            raise InputError(path, f"cannot be unpacked (zstd): {reason or process.returncode}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpack files packed with xz, gzip or zstd into a temporary file, to a bounded size."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING, Final

from pfestubs.errors import ToolError, UnreadableError
from pfestubs.read.file_types import GZIP, HEAD, XZ
from pfestubs.read.source import Source

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

UNPACKED_LIMIT: Final = 4 << 30
"""Bytes: several times the largest kernel with its debug information."""
_SMALL: Final = 32 << 20
"""Bytes that any file may unpack to."""
_RATIO: Final = 100
"""How many times the size of the file it may be beyond that: far more than code and data compress."""
_WINDOW_LIMIT: Final = 128 << 20
"""Bytes that a decompressor may need: xz -9 takes 65 MiB, zstd's own limit is this."""
_STEP: Final = 1 << 20


@contextmanager
def unpacked(source: Source) -> Iterator[Source]:
    """Unpack `source` and yield the content: in a file without a name, valid inside the `with` block.

    It may have `UNPACKED_LIMIT` bytes, or 100 times the size of the packed file if that is less.

    Raises:
        UnreadableError: the packed form is damaged, or unpacks to more.
        ToolError: neither Python nor a program can unpack it.
    """
    path, head = source.path, source.read_up_to(0, HEAD)
    unpack = _unpack_xz if head.startswith(XZ) else _unpack_gzip if head.startswith(GZIP) else _unpack_zstd
    limit = min(UNPACKED_LIMIT, max(_SMALL, _RATIO * source.size))
    source.stream.seek(0)
    try:
        with tempfile.TemporaryFile() as content:
            with closing(unpack(path, source.stream)) as pieces:
                for piece in pieces:
                    content.write(piece)
                    if content.tell() > limit:
                        raise UnreadableError(
                            path,
                            f"unpacks to more than {limit >> 20:,} MiB, the limit for a packed file of its"
                            " size",
                            "unpack it first if it is meant to be so large",
                        )
            yield Source(path, content, content.tell())
    except OSError as error:  # no room, no temporary file, no process
        raise UnreadableError(path, f"cannot be unpacked: {error.strerror or error}") from error


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
            elif decoder.needs_input and not (data := stream.read(_STEP)):
                raise UnreadableError(path, "is cut short: its xz stream does not end")
    except lzma.LZMAError as error:
        raise UnreadableError(path, f"cannot be unpacked (xz): {error}") from error


def _unpack_gzip(path: str, stream: IO[bytes]) -> Generator[bytes, None, None]:
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=stream) as content:
            yield from iter(lambda: content.read(_STEP), b"")
    except EOFError as error:
        raise UnreadableError(path, "is cut short: its gzip stream does not end") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableError(path, f"cannot be unpacked (gzip): {error}") from error


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
        raise UnreadableError(path, "is cut short: its zstd frame does not end") from error
    except zstd.ZstdError as error:
        raise UnreadableError(path, f"cannot be unpacked (zstd): {error}") from error


def _run_zstd(path: str, stream: IO[bytes]) -> Generator[bytes, None, None]:
    """Unpack with the program `zstd`, for a Python that cannot."""
    import shutil
    import subprocess

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
            raise UnreadableError(path, f"cannot be unpacked (zstd): {reason or process.returncode}")

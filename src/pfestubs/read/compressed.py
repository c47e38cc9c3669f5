# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpack compressed files, in memory, to a bounded size."""

from __future__ import annotations

import io
from contextlib import closing
from typing import IO, TYPE_CHECKING, Final

from pfestubs.errors import ToolError, UnreadableError
from pfestubs.read.source import BufferSource

if TYPE_CHECKING:
    from collections.abc import Generator

    from pfestubs.read.source import ByteSource, FileSource

UNPACKED_LIMIT: Final = 512 << 20
"""Bytes: ten times the largest module of a distribution with its debug information."""
_SMALL: Final = 32 << 20
"""Bytes that any file may unpack to."""
_RATIO: Final = 100
"""How many times the size of the file it may be beyond that: far more than code and data compress."""
_WINDOW_LIMIT: Final = 128 << 20
"""Bytes that a decompressor may need: xz -9 takes 65 MiB, zstd's own limit is this."""
_STEP: Final = 1 << 20
_INPUT: Final = 1 << 12
"""Bytes that a decompressor is given at a time; what is left at the end of a stream is copied."""

_XZ: Final = b"\xfd7zXZ\0"


def unpack(source: FileSource) -> ByteSource:
    """Return the content of a file by its first bytes: unpacked (xz, gzip, zstd), or the file itself.

    Raises:
        UnreadableError: the compressed form is damaged, or unpacks to more than `UNPACKED_LIMIT` bytes.
        ToolError: neither Python nor a program can unpack it.
    """
    path = source.path
    head = source.read(0, min(len(_XZ), source.size))
    unpacker = next((function for magic, function in _UNPACKERS if head.startswith(magic)), None)
    if unpacker is None:
        return source
    if source.size > UNPACKED_LIMIT:
        raise _too_large(path, "is", UNPACKED_LIMIT)
    limit = min(UNPACKED_LIMIT, max(_SMALL, _RATIO * source.size))
    content = io.BytesIO()
    with closing(unpacker(path, source.read(0, source.size))) as unpacked:
        for piece in unpacked:
            content.write(piece)
            if content.tell() > limit:
                raise _too_large(path, "unpacks to", limit)
    return BufferSource(path, content.getvalue())


def _too_large(path: str, verb: str, limit: int) -> UnreadableError:
    return UnreadableError(
        path,
        f"{verb} more than {limit >> 20:,} MiB, the limit for a compressed file of its size",
        "unpack it first if it is meant to be so large",
    )


def _unpack_xz(path: str, data: bytes) -> Generator[bytes, None, None]:
    import lzma

    position = 0
    try:
        while position < len(data):
            decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW_LIMIT)
            while not decoder.eof:
                piece = data[position : position + _INPUT] if decoder.needs_input else b""
                if decoder.needs_input and not piece:
                    raise UnreadableError(path, "is cut short: its xz stream does not end")
                position += len(piece)
                yield decoder.decompress(piece, _STEP)
            position = _after_padding(data, position - len(decoder.unused_data))
    except lzma.LZMAError as error:
        raise UnreadableError(path, f"cannot be unpacked (xz): {error}") from error


def _after_padding(data: bytes, position: int) -> int:
    """Return where the next stream of a file begins, or its end: streams are padded with zeros."""
    while block := data[position : position + _INPUT]:
        rest = block.lstrip(b"\0")
        position += len(block) - len(rest)
        if rest:
            break
    return position


def _unpack_gzip(path: str, data: bytes) -> Generator[bytes, None, None]:
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            yield from _read_stream(stream)
    except EOFError as error:
        raise UnreadableError(path, "is cut short: its gzip stream does not end") from error
    except (OSError, zlib.error) as error:
        raise UnreadableError(path, f"cannot be unpacked (gzip): {error}") from error


def _unpack_zstd(path: str, data: bytes) -> Generator[bytes, None, None]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        yield from _run_zstd(path, data)
        return
    try:
        with zstd.ZstdFile(io.BytesIO(data)) as stream:  # its window is limited to 128 MiB
            yield from _read_stream(stream)
    except EOFError as error:
        raise UnreadableError(path, "is cut short: its zstd frame does not end") from error
    except (OSError, zstd.ZstdError) as error:
        raise UnreadableError(path, f"cannot be unpacked (zstd): {error}") from error


def _run_zstd(path: str, data: bytes) -> Generator[bytes, None, None]:
    """Unpack with the program `zstd`, for a Python that cannot."""
    import shutil
    import subprocess
    import tempfile

    program = shutil.which("zstd")
    if program is None:
        raise ToolError(
            path,
            "is compressed (zstd), and the program zstd is not installed",
            "install it (Debian, Fedora: package zstd), or use Python 3.14, which needs none",
        )
    try:
        # From a file: to feed one pipe and drain another takes a thread.
        with tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as messages:
            packed.write(data)
            packed.seek(0)
            words = [program, "-dcq", f"--memory={_WINDOW_LIMIT >> 20}MB"]
            with subprocess.Popen(words, stdin=packed, stdout=subprocess.PIPE, stderr=messages) as process:
                assert process.stdout is not None  # noqa: S101 - a pipe
                try:
                    yield from _read_stream(process.stdout)
                except BaseException:  # also: the reader has seen enough
                    process.kill()
                    raise
            if process.returncode:
                messages.seek(0)
                reason = messages.read(400).decode("utf-8", "backslashreplace").strip()
                raise UnreadableError(path, f"cannot be unpacked (zstd): {reason or process.returncode}")
    except OSError as error:  # no temporary file, no pipe, no process
        raise UnreadableError(path, f"cannot be unpacked (zstd): {error.strerror}") from error


def _read_stream(stream: IO[bytes] | io.BufferedIOBase) -> Generator[bytes, None, None]:
    while piece := stream.read(_STEP):
        yield piece


_UNPACKERS: Final = ((_XZ, _unpack_xz), (b"\x1f\x8b", _unpack_gzip), (b"\x28\xb5\x2f\xfd", _unpack_zstd))
"""By the first bytes of the file; the name is not evidence."""

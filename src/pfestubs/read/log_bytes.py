# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of a boot log: opened, decoded, without colours, escapes resolved."""

from __future__ import annotations

import codecs
import errno
import html
import os
import re
import stat
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from pfestubs.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 1 << 18
_LOOK_BACK: Final = 4096
"""Bytes before the end of a chunk in which a newline is looked for."""
_DRESSED: Final = (b"\x1b", b"\\", b"&", b"#0", b"^[", b"<br", b"</", b"%0")
_DRESS: Final = re.compile(  # the first character outside every group makes the search fast
    rb"[\x1b\\&#^<%](?:(?<=\\)\\*(?:(?P<end>[nrf]|01[245]|x0[acdACD]|u000[acdACD])"
    rb"|(?P<colour>(?:u001[bB]|x1[bB]|033|e)\[[0-?]*[ -/]*[@-~])"
    rb"|(?P<code>u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|(?P<mark>[\"'/])|t)"
    rb"|(?P<control>(?<=\x1b)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]"
    rb"|[0-~])"
    rb"|(?:(?<=\^)|(?<=#)033)\[[0-?]*[@-~])"
    rb"|(?P<line>(?<=#)01[25]|(?<=&)#(?:10|13|x[aAdD]);|(?<=<)(?:br ?/?|/(?:p|tr|li|div|pre))>"
    rb"|(?<=%)0[aAdD])"
    rb"|(?<=&)(?P<name>lt|gt|quot|amp|apos|#39);)"
)
_OPEN_ESCAPE: Final = re.compile(rb"(?:[\x1b\\&#^<%][^\n]{0,15})?\Z")
_BREAKS: Final = bytes.maketrans(b"\0\v\f", b"\r\r\r")
_NUMBERS: Final = re.compile(rb'"MESSAGE" ?: ?\[([\d, \n\t]+)\]')
"""A message of `journalctl -o json` that is not printable."""
_NUMBER: Final = re.compile(rb"\d{1,3}")
_BINARY: Final = re.compile(rb"(?m)^MESSAGE\n.{8}", re.DOTALL)
"""The same in `journalctl -o export`: a length, the text."""
_MAGIC: Final = {
    b"\x7fELF": ("an ELF file", "give the log after the kernel"),
    b"\x1f\x8b": ("compressed with gzip", "pipe it: zcat LOG | pfestubs explain VMLINUX"),
    b"\xfd7zXZ\0": ("compressed with xz", "pipe it: xzcat LOG | pfestubs explain VMLINUX"),
    b"(\xb5/\xfd": ("compressed with zstd", "pipe it: zstdcat LOG | pfestubs explain VMLINUX"),
    b"LPKSHHRH": ("a journal in binary form", "pipe it: journalctl -k --file LOG | pfestubs explain VMLINUX"),
}


@contextmanager
def open_log(path: str | None) -> Iterator[IO[bytes]]:
    """Open a log, or standard input if `path` is None or "-"."""
    if path is None or path == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield sys.stdin.buffer
        return
    with open(path, "rb") as stream:
        # The writer of a pipe and a serial line may be silent for a while; /dev/kmsg and /proc/kmsg end
        # where a read would wait for the next message.
        may_wait = stream.isatty() or stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
        os.set_blocking(stream.fileno(), may_wait)
        yield stream


def clean_chunks(stream: IO[bytes], name: str, bytes_max: int) -> Iterator[bytes]:
    """Yield the log in UTF-8, one kind of line break beside newlines, escapes resolved; b"" at its end.

    Raises:
        InputError: it has more than `bytes_max` bytes; it is not text.
    """
    decoder = None
    size = 0
    rest = b""
    while raw := stream.read(CHUNK):
        if not size:
            for magic, (what, advice) in _MAGIC.items():
                if raw.startswith(magic):
                    raise InputError(name, f"is {what}, not a log", advice)
            encoding = _wide_encoding(raw)
            decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
            raw = raw.removeprefix(codecs.BOM_UTF8)
        size += len(raw)
        if size > bytes_max:
            raise InputError(name, f"is longer than {bytes_max >> 20} MiB", "give one boot: journalctl -k -b")
        text = rest + (raw if decoder is None else decoder.decode(raw).encode("utf-8", "replace"))
        cut = text.rfind(b"\n", max(0, len(text) - _LOOK_BACK)) + 1 or len(text)
        cut -= len(_OPEN_ESCAPE.search(text, max(0, cut - 16), cut)[0])  # type: ignore[index]
        rest = text[cut:]
        if cut:
            yield _undress(text[:cut])
    if rest:
        yield _undress(rest)
    yield b""


def _wide_encoding(start: bytes) -> str | None:
    """Return the UTF-16 that a log begins with, with a mark or in Latin letters, None for bytes."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = start[::2].count(0), start[1::2].count(0)
    if 4 * max(zeros) < len(start) or 8 * min(zeros) > len(start):
        return None
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _undress(text: bytes) -> bytes:
    """Return `text` without colours, each escape as what it stands for, an escaped line break as CR."""
    if b'"MESSAGE"' in text:
        text = _NUMBERS.sub(
            lambda m: b'"MESSAGE":"%b"' % bytes(int(n) & 0xFF for n in _NUMBER.findall(m[1])), text
        )
    elif b"\nMESSAGE\n" in text:
        text = _BINARY.sub(b"MESSAGE=", text)
    if any(mark in text for mark in _DRESSED):
        text = _DRESS.sub(_resolve, text)
    for quote in (b'"', b"'"):  # items of a list
        text = re.sub(quote + b", ?" + quote, quote + b"\r" + quote, text)
    return text.translate(_BREAKS)


def _resolve(match: re.Match[bytes]) -> bytes:
    kind = match.lastgroup
    if kind == "code":
        return chr(int(match["code"][1:], 16)).encode("utf-8", "replace")
    if kind == "name":
        return html.unescape(match[0].decode()).encode()
    if kind == "mark":
        return match["mark"]
    return {"end": b"\r", "line": b"\r", None: b" "}.get(kind, b"")

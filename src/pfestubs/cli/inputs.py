# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of input files that cannot be right, each with what to give instead."""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from pfestubs.errors import UnreadableError, UnsuitableError, UsageError
from pfestubs.read.source import read_head

_MAP_LINE: Final = re.compile(rb"[0-9a-f]{8}(?:[0-9a-f]{8})? [A-Za-z] ")
_ADVICE: Final = {
    "vmlinux": "give vmlinux, and this file with --system-map",
    "vmlinux.o": "give vmlinux.o",
}


def check_input_name(label: str, path: str, usual_name: str | None = None) -> None:
    """Refuse standard input, directories, and a System.map in place of a kernel.

    Whether the file exists, and its type, is checked by its reader.

    Args:
        label: the argument or option.
        path: as given.
        usual_name: of the file that a directory given by mistake may hold.

    Raises:
        UsageError: it is "-".
        UnreadableError: it is a directory.
        UnsuitableError: it is a System.map.
    """
    if path == "-":
        raise UsageError(label, "cannot be standard input: save it to a file and give its name")
    if os.path.isdir(path):
        raise UnreadableError(
            path, f"cannot be read: {os.strerror(errno.EISDIR)}", _file_in(path, usual_name)
        )
    if usual_name in _ADVICE and _is_system_map(path):
        raise UnsuitableError(path, "is a System.map, not an ELF file", _ADVICE[usual_name])


def _is_system_map(path: str) -> bool:
    try:
        return _MAP_LINE.match(read_head(path, 20)) is not None
    except UnreadableError:  # the reader says so
        return False


def _file_in(directory: str, usual_name: str | None) -> str:
    if usual_name is None:
        return ""
    candidate = os.path.join(directory, usual_name)
    return f"give {candidate}" if os.path.isfile(candidate) else f"it holds no {usual_name}"


def refuse_swapped(first: str, others: tuple[str, ...], usage: str) -> None:
    """Refuse a first argument that is not a file where one of the others is: they are in the wrong order.

    Raises:
        UsageError: naming the right order, `usage` with the file and the rest filled in.
    """
    if os.path.lexists(first):
        return
    file = next((other for other in others if os.path.isfile(other)), None)
    if file is not None:
        rest = " ".join([first, *(other for other in others if other != file)])
        raise UsageError(
            first,
            f"is not a file, but {file} is: the kernel comes first",
            usage.format(file=file, rest=rest),
        )

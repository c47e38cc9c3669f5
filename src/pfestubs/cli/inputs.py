# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of input files: what a directory stands for, and names that cannot be right."""

from __future__ import annotations

import errno
import os
from typing import Final

from pfestubs.errors import UnreadableError, UsageError
from pfestubs.read.file_types import ELF, is_packed
from pfestubs.read.source import read_head

_PACKED: Final = ("", ".xz", ".gz", ".zst")


def input_file(label: str, path: str, usual_name: str | None = None) -> str:
    """Return the file that `path` names: itself, or the one of the usual name in a directory.

    Whether the file exists, and its type, is checked by its reader.

    Args:
        label: the argument or option.
        path: as given.
        usual_name: what people call that file.

    Raises:
        UsageError: it is "-".
        UnreadableError: it is a directory without such a file.
    """
    if path == "-":
        raise UsageError(label, "cannot be standard input: save it to a file and give its name")
    if os.path.isdir(path):
        return _file_in(path, usual_name)
    return path


def _file_in(directory: str, usual_name: str | None) -> str:
    """Return the file of that name in a directory, or a packed one.

    Raises:
        UnreadableError: there is none.
    """
    for suffix in _PACKED if usual_name else ():
        candidate = os.path.join(directory, f"{usual_name}{suffix}")
        if os.path.isfile(candidate):
            return candidate
    raise UnreadableError(
        directory,
        f"cannot be read: {os.strerror(errno.EISDIR)}",
        f"it holds no {usual_name}" if usual_name else "",
    )


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


def refuse_log_first(vmlinux: str, log: str | None) -> None:
    """Refuse a log where the kernel should be, and the kernel where the log should be.

    Raises:
        UsageError: naming the right order.
    """
    if log is None or not os.path.isfile(log) or not os.path.isfile(vmlinux):
        return
    first, second = read_head(vmlinux), read_head(log)
    if second.startswith(ELF) and not (first.startswith(ELF) or is_packed(first)):
        advice = f"pfestubs explain {log} {vmlinux}"
        raise UsageError(vmlinux, f"is not an ELF file, but {log} is: the kernel comes first", advice)

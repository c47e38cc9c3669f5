# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of input files: what a directory stands for, and names that cannot be right."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Final

from pfestubs.errors import InputError, PfestubsError, UsageError
from pfestubs.read.file_types import ELF, HEAD
from pfestubs.read.source import open_source

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
        InputError: it is a directory without such a file.
    """
    if path == "-":
        raise UsageError(label, "cannot be standard input: save it to a file and give its name")
    if not os.path.isdir(path):
        return path
    names = [f"{usual_name}{suffix}" for suffix in _PACKED] if usual_name else []
    for candidate in (os.path.join(path, name) for name in names):
        if os.path.isfile(candidate):
            return candidate
    raise InputError(
        path,
        f"cannot be read: {os.strerror(errno.EISDIR)}",
        f"it holds no {usual_name}" if usual_name else "",
    )


def refuse_swapped(command: str, kernel: str, *others: str) -> None:
    """Refuse a first argument that is no ELF file where one of the others is: they are in the wrong order.

    Raises:
        UsageError: naming the right order.
    """
    file = next((other for other in others if _is_elf(other)), None)
    if file is not None and not _is_elf(kernel):
        rest = [kernel, *(other for other in others if other != file)]
        raise UsageError(
            kernel,
            f"is not an ELF file, but {file} is: the kernel comes first",
            " ".join(["pfestubs", command, file, *rest]),
        )


def _is_elf(path: str) -> bool:
    """Return whether `path` is an ELF file, packed or not."""
    if not os.path.isfile(path):
        return False
    with suppress(PfestubsError), open_source(path) as source:
        return source.read_up_to(0, HEAD).startswith(ELF)
    return False

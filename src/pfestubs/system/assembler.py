# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the assembler as kbuild does: `CC` and the flag variables from the environment."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pfestubs.errors import OutputError, ToolError, UsageError
from pfestubs.formats.text import escape
from pfestubs.system.files import atomic_replacement, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FLAG_VARIABLES: Final = (
    "NOSTDINC_FLAGS",
    "LINUXINCLUDE",
    "KBUILD_CPPFLAGS",
    "KBUILD_AFLAGS",
    "KBUILD_AFLAGS_KERNEL",
)


def assembler_words(environment: Mapping[str, str]) -> list[str]:
    """The compiler and its flags as words: split and unquoted as a shell would, never evaluated.

    Raises:
        UsageError: `CC` is not set, or a variable's quotes do not match.
    """
    words: list[str] = []
    for name in ("CC", *FLAG_VARIABLES):
        try:
            words += shlex.split(environment.get(name, ""))
        except ValueError as e:
            raise UsageError(name, f"cannot be split into words: {e}", "mend its quotes") from e
        if name == "CC" and not words:
            raise UsageError("CC", "is not set", "run the hook from kbuild, or set CC to the cross compiler")
    return words


def assemble(source_path: str, object_path: str, source: str) -> None:
    """Write the assembly file and assemble it; on failure both files stay as they were.

    The source is assembled under its own name: with debug information the object carries that name.

    Raises:
        UsageError: the environment does not name a compiler.
        ToolError: the assembler failed; its own message has gone to standard error.
        OutputError: a file cannot be written.
    """
    words = assembler_words(os.environ)
    with _restored_on_failure(source_path):
        write_atomic(source_path, source.encode())
        try:
            with atomic_replacement(object_path) as temporary:
                _run([*words, "-c", "-o", temporary, source_path])
                if not Path(temporary).stat().st_size:
                    raise ToolError(words[0], f"ended well but wrote no object for {source_path}")
        except OSError as e:
            raise OutputError(object_path, f"cannot be written: {e.strerror or e}") from e


def _verbose() -> bool:
    return "1" in os.environ.get("KBUILD_VERBOSE", os.environ.get("V", ""))


def _run(words: list[str]) -> None:
    if _verbose():
        sys.stderr.write(escape(shlex.join(words)) + "\n")
        sys.stderr.flush()
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as e:
        raise ToolError(words[0], f"cannot be run: {e.strerror}", "set CC to the cross compiler") from e
    try:
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if status:
        ending = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
        raise ToolError(words[0], f"{ending} on {words[-1]}", "its message is above")


@contextmanager
def _restored_on_failure(path: str) -> Iterator[None]:
    """Bring back what the file at `path` held, its time included, if the block fails."""
    target = Path(os.path.realpath(path))
    try:
        before: bytes | None = target.read_bytes() if target.is_file() else None
        status = target.stat() if before is not None else None
    except OSError as e:
        raise OutputError(path, f"cannot be read: {e.strerror}") from e
    try:
        yield
    except BaseException:
        if before is not None and status is not None:
            write_atomic(str(target), before)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif target.is_file():
            target.unlink()
        raise

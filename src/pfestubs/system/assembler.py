# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the assembler as kbuild does: `CC` and the flag variables from the environment.

It, and what it starts, ends with this process.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from pfestubs.errors import InputError, ToolError, UsageError
from pfestubs.model import ppc
from pfestubs.read.elf import Elf
from pfestubs.read.source import open_source
from pfestubs.system import signals
from pfestubs.system.files import output_errors, print_messages, staging_directory, write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.model import VmlinuxO

FLAG_VARIABLES: Final = (
    "NOSTDINC_FLAGS",
    "LINUXINCLUDE",
    "KBUILD_CPPFLAGS",
    "KBUILD_AFLAGS",
    "KBUILD_AFLAGS_KERNEL",
)
_GRACE: Final = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0))
"""How a group of processes is ended: signals, and the seconds that it has after each."""
_POLL: Final = 0.02


def assembler_words(environment: Mapping[str, str]) -> list[str]:
    """Return the compiler and its flags as words: split and unquoted as a shell would, never evaluated.

    Raises:
        UsageError: `CC` is not set, or a variable's quotes do not match.
    """
    words: list[str] = []
    for name in ("CC", *FLAG_VARIABLES):
        try:
            words += shlex.split(environment.get(name, ""))
        except ValueError as e:
            raise UsageError(name, f"cannot be split into words: {e}", "fix the quoting") from e
        if name == "CC" and not (words and words[0]):
            problem = "names an empty word" if words else "is not set"
            raise UsageError("CC", problem, "run the hook from kbuild, or set CC to the cross compiler")
    return words


def assemble(source_path: str, object_path: str, source: str, kernel: VmlinuxO) -> None:
    """Write the assembly file and assemble it for `kernel`; the object stays as it was if that fails.

    It is made under its own name, in a directory of its own. Other files that the compiler names after it are
    discarded: kbuild's flags for assembly ask for none (`-gsplit-dwarf` is among those for C only).

    Raises:
        UsageError: the environment does not name a compiler.
        ToolError: the assembler failed, with its messages on standard error; or its output is not an object.
        OutputError: a file cannot be written.
    """
    words = assembler_words(os.environ)
    write_file(source_path, [source.encode()])
    with output_errors(object_path), staging_directory(object_path) as directory:
        made = os.path.join(directory, os.path.basename(object_path))
        _run([*words, "-c", "-o", _as_operand(made), _as_operand(source_path)])
        write_file(object_path, [_read_object(words[0], made, source_path, kernel)])


def _as_operand(path: str) -> str:
    """Return a path that no compiler takes for an option or a file of options."""
    return f"./{path}" if path.startswith(("-", "@")) else path


def _run(words: Sequence[str]) -> None:
    """Run a program, its standard output joined to standard error.

    It runs in its own session, whose processes are ended if this process is signalled, and if it fails.

    Raises:
        ToolError: it cannot be run, or fails.
    """
    if "1" in os.environ.get("KBUILD_VERBOSE", os.environ.get("V", "")):
        print_messages(shlex.join(words))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by the caller, the status would be lost
    with signals.deferred():
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=2 if sys.stderr else subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as e:
            raise ToolError(words[0], f"cannot be run: {e.strerror}", "set CC to the cross compiler") from e
        end = partial(_end_group, process.pid)
        signals.on_end(end)
    status = -1
    try:
        status = process.wait()
    finally:
        if status:
            end()
        signals.forget(end)
    if status:
        ending = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
        raise ToolError(words[0], f"{ending} on {words[-1]}", "its message is above")


def _end_group(group: int) -> None:
    """End every process of a group: those that ignore SIGTERM, after a moment, by SIGKILL."""
    with suppress(ProcessLookupError, PermissionError):  # all are gone, or those of other users are left
        for number, grace in _GRACE:
            limit = time.monotonic() + grace
            os.killpg(group, number)
            while time.monotonic() < limit:
                with suppress(ChildProcessError):
                    os.waitpid(group, os.WNOHANG)
                os.killpg(group, 0)
                time.sleep(_POLL)


def _read_object(tool: str, path: str, source: str, kernel: VmlinuxO) -> bytes:
    """Return what a tool wrote, if it is an object of the kernel's class, byte order and machine.

    Raises:
        ToolError: it is not.
    """
    try:
        with open_source(path, raw=True) as made:
            elf = Elf(made)
            found = (elf.bits, elf.byte_order, elf.machine, elf.type)
            content = made.read(0, made.size)
    except InputError as error:
        raise ToolError(tool, f"succeeded but wrote no object for {source}: it {error.problem}") from error
    expected = (kernel.bits, kernel.byte_order, f"EM_{ppc.MACHINES[kernel.bits].upper()}", "ET_REL")
    if found != expected:
        shown = ["{}-bit {}-endian, {}, {}".format(*kind) for kind in (found, expected)]
        raise ToolError(
            tool,
            f"wrote an ELF file of another kind for {source}: {shown[0]}; expected {shown[1]}",
            f"set CC and KBUILD_AFLAGS for the compiler that built {kernel.file}",
        )
    return content

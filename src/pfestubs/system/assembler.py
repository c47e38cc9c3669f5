# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the assembler as kbuild does: `CC` and the flag variables from the environment."""

from __future__ import annotations

import os
import re
import shlex
import stat
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from pfestubs.errors import OutputError, ToolError, UsageError
from pfestubs.model import ByteOrder
from pfestubs.system import signals
from pfestubs.system.files import (
    open_direct,
    output_errors,
    put_in_place,
    replaced_for_now,
    resolve,
    same_content,
    write_all,
)
from pfestubs.system.messages import print_messages
from pfestubs.system.process import run_tool
from pfestubs.system.staging import remove_stale, staging_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfestubs.model import VmlinuxO
    from pfestubs.system.files import Target

FLAG_VARIABLES: Final = (
    "NOSTDINC_FLAGS",
    "LINUXINCLUDE",
    "KBUILD_CPPFLAGS",
    "KBUILD_AFLAGS",
    "KBUILD_AFLAGS_KERNEL",
)
_ET_REL: Final = 1
_HEADER: Final = {64: 64, 32: 52}
"""Bytes of an ELF header."""
_MACHINES: Final = {"ppc": 20, "ppc64": 21}
_NAMES_IN_MAKE: Final = re.compile(r"[ $#]")


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
    """Write the assembly file and assemble it for `kernel`; both files stay as they were if that fails.

    The source is assembled under its own name, which the object's debug information carries. The object is
    made under its own name, in a directory of its own: what the compiler names after it (*.dwo, *.d) is then
    moved with it.

    Raises:
        UsageError: the environment does not name a compiler.
        ToolError: the assembler failed, with its messages on standard error; or its output is not an object.
        OutputError: a file cannot be written.
    """
    words = assembler_words(os.environ)
    with output_errors(source_path):
        source_target = resolve(source_path)
        if source_target.direct:
            raise OutputError(source_path, "is not a regular file: the compiler could not read it")
    with output_errors(object_path), ExitStack() as stack:
        target = resolve(object_path)
        descriptor = stack.enter_context(open_direct(target)) if target.direct else None
        final = os.path.abspath(object_path) if target.direct else target.real
        for path in (source_target.real, final):
            remove_stale(path)
            # A run that was killed while it started its compiler leaves a copy of itself until that begins,
            # which holds its locks.
            stack.callback(remove_stale, path)
        with output_errors(source_path):
            keep = stack.enter_context(replaced_for_now(source_target, source.encode()))
        directory = stack.enter_context(staging_directory(final))
        name = os.path.basename(final)
        made = os.path.join(directory, name)
        scratch = os.path.join(directory, "scratch" if name == "tmp" else "tmp")
        os.mkdir(scratch)
        _run([*words, "-c", "-o", made, _as_operand(source_path)], scratch)
        _require_object(words[0], made, source_path, kernel)
        if descriptor is not None:  # may wait for a reader, so a signal has to end it
            with open(made, "rb") as file:
                write_all(descriptor, file.read())
        with signals.deferred():
            _move_side_files(made, final, object_path)
            if descriptor is None:
                _place(made, target)
            keep()


def _as_operand(path: str) -> str:
    """Return a path that no compiler takes for an option or a file of options."""
    return f"./{path}" if path.startswith(("-", "@")) else path


def _verbose() -> bool:
    return "1" in os.environ.get("KBUILD_VERBOSE", os.environ.get("V", ""))


def _run(words: list[str], scratch: str) -> None:
    """Run the compiler; what it leaves in its directory for temporary files is removed with `scratch`."""
    if _verbose():
        print_messages(shlex.join(words))
    status = run_tool(words, {**os.environ, "TMPDIR": scratch})
    if status:
        code = os.waitstatus_to_exitcode(status)
        ending = f"was ended by signal {-code}" if code < 0 else f"failed with status {code}"
        raise ToolError(words[0], f"{ending} on {words[-1]}", "its message is above")


def _require_object(tool: str, path: str, source: str, kernel: VmlinuxO) -> None:
    """Refuse what a tool left in place of an object of the kernel's class, byte order and machine."""
    try:  # without O_NONBLOCK, a FIFO waits for a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ToolError(tool, f"succeeded but wrote no object for {source}") from None
    except OSError as e:
        raise ToolError(tool, f"wrote no regular file as object for {source}: {e.strerror}") from e
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ToolError(tool, f"wrote no regular file as object for {source}")
        head, size = os.read(descriptor, 64), status.st_size
    finally:
        os.close(descriptor)
    if len(head) < _HEADER[kernel.bits] or not head.startswith(b"\x7fELF"):
        found = f"{size:,} bytes, starting with {head[:4].hex(' ')}" if head else "an empty file"
        raise ToolError(tool, f"succeeded but wrote no ELF object for {source}: {found}")
    bits = {1: 32, 2: 64}.get(head[4])
    order = {1: ByteOrder.LITTLE, 2: ByteOrder.BIG}.get(head[5])
    kind, machine = struct.unpack_from(f"{(order or ByteOrder.LITTLE).struct}HH", head, 16)
    if (bits, order, kind, machine) != (kernel.bits, kernel.byte_order, _ET_REL, _MACHINES[kernel.machine]):
        found = f"{bits}-bit {order.value if order else 'unknown'}-endian, machine {machine}, type {kind}"
        raise ToolError(
            tool,
            f"wrote an ELF file of another kind for {source}: {found}; expected {kernel.bits}-bit"
            f" {kernel.byte_order.value}-endian, machine {_MACHINES[kernel.machine]}, type {_ET_REL}",
            f"set CC and KBUILD_AFLAGS for the compiler that built {kernel.file}",
        )


def _move_side_files(made: str, final: str, object_path: str) -> None:
    """Move what the compiler wrote next to the object; make rules get the object's final path."""
    source, target = (os.path.dirname(path) for path in (made, final))
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        if entry.path == made or not entry.is_file(follow_symlinks=False):
            continue
        if entry.name.endswith(".d"):
            with open(entry.path, "r+b") as file:
                rules = file.read().replace(_in_make(made), _in_make(object_path))
                file.seek(0)
                file.truncate()
                file.write(rules)
        os.replace(entry.path, os.path.join(target, entry.name))


def _in_make(path: str) -> bytes:
    """Return a path as compilers spell it in make rules."""
    return os.fsencode(_NAMES_IN_MAKE.sub(lambda m: {" ": "\\ ", "$": "$$", "#": "\\#"}[m[0]], path))


def _place(made: str, target: Target) -> None:
    if not same_content(made, target.real):
        put_in_place(made, target)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the assembler as kbuild does: `CC` and the flag variables from the environment."""

from __future__ import annotations

import os
import shlex
import struct
from typing import TYPE_CHECKING, Final

from pfestubs.errors import ToolError, UsageError
from pfestubs.model import ByteOrder
from pfestubs.system.files import output_errors, staging_directory, write_file
from pfestubs.system.messages import print_messages
from pfestubs.system.process import run_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfestubs.model import VmlinuxO

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

    The object is made under its own name, in a directory of its own: what the compiler names after it (*.dwo,
    *.d) is then moved with it.

    Raises:
        UsageError: the environment does not name a compiler.
        ToolError: the assembler failed, with its messages on standard error; or its output is not an object.
        OutputError: a file cannot be written.
    """
    words = assembler_words(os.environ)
    write_file(source_path, [source.encode()])
    parent, name = os.path.split(object_path)
    with output_errors(object_path), staging_directory(object_path) as directory:
        made = os.path.join(directory, name)
        _run([*words, "-c", "-o", _as_operand(made), _as_operand(source_path)])
        content = _read_object(words[0], made, source_path, kernel)
        for entry in sorted(os.listdir(directory)):
            if entry != name:
                _move_side_file(
                    os.path.join(directory, entry), os.path.join(parent, entry), made, object_path
                )
        write_file(object_path, [content])


def _as_operand(path: str) -> str:
    """Return a path that no compiler takes for an option or a file of options."""
    return f"./{path}" if path.startswith(("-", "@")) else path


def _verbose() -> bool:
    return "1" in os.environ.get("KBUILD_VERBOSE", os.environ.get("V", ""))


def _run(words: list[str]) -> None:
    if _verbose():
        print_messages(shlex.join(words))
    status = run_tool(words)
    if status:
        ending = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
        raise ToolError(words[0], f"{ending} on {words[-1]}", "its message is above")


def _read_object(tool: str, path: str, source: str, kernel: VmlinuxO) -> bytes:
    """Return what a tool wrote, if it is an object of the kernel's class, byte order and machine.

    Raises:
        ToolError: it is not.
    """
    if not os.path.isfile(path):
        raise ToolError(tool, f"succeeded but wrote no object for {source}")
    with open(path, "rb") as file:
        content = file.read()
    if len(content) < _HEADER[kernel.bits] or not content.startswith(b"\x7fELF"):
        found = (
            f"{len(content):,} bytes, starting with {content[:4].hex(' ')}" if content else "an empty file"
        )
        raise ToolError(tool, f"succeeded but wrote no ELF object for {source}: {found}")
    bits = {1: 32, 2: 64}.get(content[4])
    order = {1: ByteOrder.LITTLE, 2: ByteOrder.BIG}.get(content[5])
    kind, machine = struct.unpack_from(f"{(order or ByteOrder.LITTLE).struct}HH", content, 16)
    if (bits, order, kind, machine) != (kernel.bits, kernel.byte_order, _ET_REL, _MACHINES[kernel.machine]):
        found = f"{bits}-bit {order.value if order else 'unknown'}-endian, machine {machine}, type {kind}"
        raise ToolError(
            tool,
            f"wrote an ELF file of another kind for {source}: {found}; expected {kernel.bits}-bit"
            f" {kernel.byte_order.value}-endian, machine {_MACHINES[kernel.machine]}, type {_ET_REL}",
            f"set CC and KBUILD_AFLAGS for the compiler that built {kernel.file}",
        )
    return content


def _move_side_file(made: str, target: str, made_object: str, object_path: str) -> None:
    """Move what the compiler wrote next to the object; make rules get the object's final path."""
    with open(made, "rb") as file:
        content = file.read()
    if made.endswith(".d"):
        content = content.replace(os.fsencode(made_object), os.fsencode(object_path))
    write_file(target, [content])

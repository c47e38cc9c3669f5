# SPDX-License-Identifier: GPL-2.0-or-later
"""The executables with the names and arguments of the kernel's scripts.

They read `sys.argv` themselves: the scripts take no options, and a build calls them on every link.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NoReturn

from pfestubs import __version__
from pfestubs.cli.main import run
from pfestubs.errors import ContradictionError, UsageError
from pfestubs.system.files import refuse_input, write_atomic, write_stdout

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfestubs.model import VmlinuxO

_PFE: Final = ("gen-ftrace-pfe-stubs", ("VMLINUX_O", "ARCH_VMLINUX_O"))
_OOL: Final = ("ftrace-gen-ool-stubs", ("NUM_RESERVE", "IS_64BIT", "OBJDUMP", "VMLINUX_O", "OUT_S"))
_CHECK: Final = ("ftrace-check", ("NM", "VMLINUX"))


def gen_ftrace_pfe_stubs() -> NoReturn:
    """`gen-ftrace-pfe-stubs VMLINUX_O ARCH_VMLINUX_O`: the RFC patch's script."""
    _run(_PFE, _hook_pfe)


def ftrace_gen_ool_stubs() -> NoReturn:
    """`ftrace-gen-ool-stubs NUM_RESERVE IS_64BIT OBJDUMP VMLINUX_O OUT_S`: mainline's script."""
    _run(_OOL, _generate_ool)


def ftrace_check() -> NoReturn:
    """`ftrace-check NM VMLINUX`: mainline's `ftrace_check.sh`; NM may be several words, none is used."""
    _run(_CHECK, _check)


def _run(executable: tuple[str, tuple[str, ...]], action: Callable[..., int | None]) -> NoReturn:
    name, parameters = executable
    words = sys.argv[1:]
    usage = f"usage: {name} {' '.join(parameters)}"

    def call() -> int | None:
        if words in (["-h"], ["--help"]):
            write_stdout(f"{usage}\n")
            return 0
        if words == ["--version"]:
            write_stdout(f"{__version__}\n")
            return 0
        if len(words) != len(parameters):
            raise UsageError(name, f"takes {len(parameters)} arguments, not {len(words)}", usage)
        for parameter, word in zip(parameters, words, strict=True):
            if not word and parameter != "IS_64BIT":  # kbuild's spelling of 32 bits
                raise UsageError(name, f"{parameter} is empty", "is the kernel configured?")
        return action(*words)

    run(call)


def _hook_pfe(vmlinux_o: str, arch_vmlinux_o: str) -> None:
    from pfestubs.cli.generation import GenerateOptions
    from pfestubs.cli.hook import run_hook

    run_hook(vmlinux_o, arch_vmlinux_o, GenerateOptions(layout="pfe"))


def _generate_ool(num_reserve: str, is_64bit: str, _objdump: str, vmlinux_o: str, out_s: str) -> None:
    from pfestubs.cli.generation import GenerateOptions, generate
    from pfestubs.read.vmlinux_o import read_vmlinux_o

    if not (num_reserve.isascii() and num_reserve.isdigit() and len(num_reserve) <= 10):
        raise UsageError(_OOL[0], f"NUM_RESERVE is {num_reserve!r}, not a number")
    obj = read_vmlinux_o(vmlinux_o)
    _compare_class(obj, is_64bit)
    refuse_input(out_s, vmlinux_o)
    text = generate(obj, GenerateOptions(layout="ool", reserve=int(num_reserve)))
    write_atomic(out_s, text.encode())


def _compare_class(obj: VmlinuxO, is_64bit: str) -> None:
    asked = 64 if is_64bit else 32
    if obj.bits != asked:
        raise ContradictionError(
            obj.file,
            f"is a {obj.bits}-bit object, IS_64BIT ({is_64bit!r}) means {asked} bits",
            "pass $(CONFIG_64BIT)",
        )


def _check(_nm: str, vmlinux: str) -> int:
    """Silent when all is well, as the script; else what is wrong, on standard error."""
    from pfestubs.formats import RenderOptions, render
    from pfestubs.read.vmlinux import open_kernel
    from pfestubs.rules.check import CheckOptions, check_kernel

    with open_kernel(vmlinux) as kernel:
        result = check_kernel(kernel, CheckOptions())
    if result.ok:
        return 0
    sys.stderr.writelines(render("check", "text", result, RenderOptions()))
    return 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""The executables with the names and arguments of the kernel's scripts.

Their arguments are read without click: the scripts take no options, and a build calls them on every link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs import __version__
from pfestubs.cli.options import input_file
from pfestubs.errors import Exit, InputError, UsageError
from pfestubs.layouts import RESERVE_CONFIG
from pfestubs.system.files import print_messages, refuse_input, write_output

if TYPE_CHECKING:
    from collections.abc import Callable


def call_drop_in(name: str, words: list[str]) -> int | None:
    """Run the drop-in executable `name` with the arguments `words`.

    Raises:
        UsageError: the arguments are not the script's.
    """
    parameters, action = _DROP_INS[name]
    usage = f"usage: {name} {' '.join(parameters)}"
    if words in (["-h"], ["--help"], ["--version"]):
        write_output(None, f"{__version__ if words == ['--version'] else usage}\n")
        return Exit.SUCCESS
    if len(words) != len(parameters):
        raise UsageError(name, f"takes {len(parameters)} arguments, not {len(words)}", usage)
    for parameter, word in zip(parameters, words, strict=True):
        if not word and parameter != "IS_64BIT":  # empty is kbuild's spelling of 32 bits
            raise UsageError(name, f"{parameter} is empty", "is the kernel configured?")
        if parameter in {"VMLINUX", "VMLINUX_O"}:
            input_file(parameter, word, parameter.lower().replace("_", "."))
    return action(*words)


def _hook_pfe(vmlinux_o: str, arch_vmlinux_o: str) -> None:
    from pfestubs.cli.commands.hook import run_hook

    run_hook(vmlinux_o, arch_vmlinux_o, layout="pfe")


def _generate_ool(num_reserve: str, is_64bit: str, _objdump: str, vmlinux_o: str, out_s: str) -> None:
    from pfestubs.cli.commands.generate import generate
    from pfestubs.read.vmlinux_o import read_vmlinux_o

    if not (num_reserve.isascii() and num_reserve.isdigit() and len(num_reserve) <= 10):
        raise UsageError("NUM_RESERVE", f"is {num_reserve!r}, not a number", f"pass $({RESERVE_CONFIG})")
    obj = read_vmlinux_o(vmlinux_o)
    asked = 64 if is_64bit else 32
    if obj.bits != asked:
        raise InputError(
            obj.file,
            f"is a {obj.bits}-bit object, IS_64BIT ({is_64bit!r}) means {asked} bits",
            "pass $(CONFIG_64BIT)",
        )
    refuse_input(out_s, vmlinux_o)
    write_output(out_s, generate(obj, layout="ool", reserve=int(num_reserve)))


def _check(_nm: str, vmlinux: str) -> int:
    """Check `vmlinux`; print nothing on success, as the script, else the findings on standard error."""
    from pfestubs.formats import RenderOptions, render
    from pfestubs.read.vmlinux import open_kernel
    from pfestubs.rules.check import CheckOptions, check_boot
    from pfestubs.rules.kernel.simulation import boot_kernel

    with open_kernel(vmlinux) as kernel:
        result = check_boot(boot_kernel(kernel), CheckOptions())
        if result.ok:
            return Exit.SUCCESS
        print_messages(*"".join(render("check", "text", result, RenderOptions())).splitlines())
        return Exit.PROBLEMS


_DROP_INS: Final[dict[str, tuple[tuple[str, ...], Callable[..., int | None]]]] = {
    "gen-ftrace-pfe-stubs": (("VMLINUX_O", "ARCH_VMLINUX_O"), _hook_pfe),
    "ftrace-gen-ool-stubs": (("NUM_RESERVE", "IS_64BIT", "OBJDUMP", "VMLINUX_O", "OUT_S"), _generate_ool),
    # NM may be several words; it is not used.
    "ftrace-check": (("NM", "VMLINUX"), _check),
}
"""The arguments of each script, and what takes its place."""

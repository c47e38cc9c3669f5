# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs hook`."""

from typing import Unpack

import click

from pfestubs.cli import options
from pfestubs.cli.commands.generate import generate
from pfestubs.errors import UsageError
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.system.files import refuse_input


@options.command(
    "hook",
    """Generate the assembly file of VMLINUX_O and assemble it to ARCH_VMLINUX_O.

    The .S file is written next to the object. The assembler is run as kbuild runs it, from the environment:
    CC, NOSTDINC_FLAGS, LINUXINCLUDE, KBUILD_CPPFLAGS, KBUILD_AFLAGS and KBUILD_AFLAGS_KERNEL. V=1 shows its
    command line.
    """,
    "pfestubs hook vmlinux.o .vmlinux.arch.o",
    "CC=powerpc64le-linux-gnu-gcc pfestubs hook vmlinux.o .vmlinux.arch.o",
)
@options.vmlinux_o
@click.argument("arch_vmlinux_o", type=click.Path(readable=False))
@options.sizing(spare=True)
def command(
    vmlinux_o: str, arch_vmlinux_o: str, spare: int | str | None, **sizes: Unpack[options.Sizing]
) -> None:
    """Run `pfestubs hook`."""
    run_hook(vmlinux_o, arch_vmlinux_o, spare, **sizes)


def run_hook(
    vmlinux_o: str, arch_vmlinux_o: str, spare: int | str | None = None, **sizes: Unpack[options.Sizing]
) -> None:
    """Write `arch_vmlinux_o` and the `.S` of the same name.

    Raises:
        UsageError: `arch_vmlinux_o` is not named `*.o`.
        PfestubsError: what reading, sizing and assembling raise.
    """
    from pfestubs.system.assembler import assemble  # and subprocess: 5 ms

    if not arch_vmlinux_o.endswith(".o"):
        raise UsageError(arch_vmlinux_o or "ARCH_VMLINUX_O", "is not the name of an object (*.o)")
    assembly = arch_vmlinux_o.removesuffix(".o") + ".S"
    refuse_input(arch_vmlinux_o, vmlinux_o)
    refuse_input(assembly, vmlinux_o)
    obj = read_vmlinux_o(vmlinux_o)
    assemble(assembly, arch_vmlinux_o, generate(obj, spare, **sizes), obj)

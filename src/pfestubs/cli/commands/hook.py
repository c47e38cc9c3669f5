# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs hook`."""

from __future__ import annotations

import click

from pfestubs.cli.generation import GenerateOptions, run_hook
from pfestubs.cli.options import epilog, sizing_options, vmlinux_o_argument


@click.command(
    "hook",
    help="""Generate the assembly file of VMLINUX_O and assemble it to ARCH_VMLINUX_O.

    The .S file is written next to the object. The assembler is run as kbuild runs it, from the environment:
    CC, NOSTDINC_FLAGS, LINUXINCLUDE, KBUILD_CPPFLAGS, KBUILD_AFLAGS and KBUILD_AFLAGS_KERNEL. V=1 shows its
    command line.
    """,
    epilog=epilog(
        "pfestubs hook vmlinux.o .vmlinux.arch.o",
        "CC=powerpc64le-linux-gnu-gcc pfestubs hook vmlinux.o .vmlinux.arch.o",
    ),
)
@vmlinux_o_argument
@click.argument("arch_vmlinux_o", type=click.Path(readable=False))
@sizing_options(spare=True)
def command(
    vmlinux_o: str,
    arch_vmlinux_o: str,
    layout: str | None,
    reserve: int | None,
    spare: int | str | None,
    allow_empty: bool,
) -> None:
    """Run `pfestubs hook`."""
    run_hook(vmlinux_o, arch_vmlinux_o, GenerateOptions(layout, reserve, spare, allow_empty))

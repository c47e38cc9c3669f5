# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs hook`."""

from __future__ import annotations

import click

from pfestubs.cli.generation import GenerateOptions
from pfestubs.cli.hook import run_hook
from pfestubs.cli.options import asked_layout, sizing_options


@click.command("hook")
@click.argument("vmlinux_o")
@click.argument("arch_vmlinux_o")
@sizing_options(spare=True)
def command(
    vmlinux_o: str,
    arch_vmlinux_o: str,
    layout: str,
    reserve: int | None,
    spare: int | str | None,
    allow_empty: bool,
) -> None:
    """Generate the assembly file of VMLINUX_O and assemble it to ARCH_VMLINUX_O.

    The .S file is written next to the object. The assembler is run as kbuild runs it, from the environment:
    CC, NOSTDINC_FLAGS, LINUXINCLUDE, KBUILD_CPPFLAGS, KBUILD_AFLAGS and KBUILD_AFLAGS_KERNEL. V=1 shows its
    command line.
    """
    run_hook(vmlinux_o, arch_vmlinux_o, GenerateOptions(asked_layout(layout), reserve, spare, allow_empty))

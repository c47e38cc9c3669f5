# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs generate`."""

from __future__ import annotations

import click

from pfestubs.cli.generation import GenerateOptions, generate
from pfestubs.cli.options import epilog, output_option, sizing_options, vmlinux_o_argument
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.system.files import refuse_input, write_output


@click.command(
    "generate",
    help="""Write the assembly file that reserves the stubs of VMLINUX_O.

    Without --spare the file reserves exactly what the kernel's own script does.
    """,
    epilog=epilog(
        "pfestubs generate vmlinux.o", "pfestubs generate --spare auto -o vmlinux.arch.S vmlinux.o"
    ),
)
@vmlinux_o_argument
@output_option
@sizing_options(spare=True)
def command(
    vmlinux_o: str,
    output: str | None,
    layout: str | None,
    reserve: int | None,
    spare: int | str | None,
    allow_empty: bool,
) -> None:
    """Run `pfestubs generate`."""
    refuse_input(output, vmlinux_o)
    options = GenerateOptions(layout, reserve, spare, allow_empty)
    write_output(output, generate(read_vmlinux_o(vmlinux_o), options))

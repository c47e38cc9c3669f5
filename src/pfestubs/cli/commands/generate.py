# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs generate`."""

from __future__ import annotations

import click

from pfestubs.cli.generation import GenerateOptions, generate_from
from pfestubs.cli.options import asked_layout, sizing_options
from pfestubs.system.files import refuse_input, write_output


@click.command("generate")
@click.argument("vmlinux_o")
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@sizing_options(spare=True)
def command(
    vmlinux_o: str,
    output: str | None,
    layout: str,
    reserve: int | None,
    spare: int | str | None,
    allow_empty: bool,
) -> None:
    """Write the assembly file that reserves the stubs of VMLINUX_O.

    Without --spare the file reserves exactly what the kernel's own script does.
    """
    refuse_input(output, vmlinux_o)
    request = GenerateOptions(asked_layout(layout), reserve, spare, allow_empty)
    write_output(output, generate_from(vmlinux_o, request))

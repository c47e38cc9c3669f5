# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs count`."""

from __future__ import annotations

import click

from pfestubs.cli.help_text import epilog
from pfestubs.cli.options import format_option, output_option, sizing_options, vmlinux_o_argument
from pfestubs.formats import RenderOptions, render
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules import sizing
from pfestubs.system.files import refuse_input, write_output


@click.command(
    "count",
    help="Count the entries of VMLINUX_O by kind, and the stubs to reserve for them.",
    epilog=epilog("pfestubs count vmlinux.o", "pfestubs count --format json -o count.json vmlinux.o"),
)
@vmlinux_o_argument
@format_option("count")
@output_option
@sizing_options(spare=False)
def command(
    vmlinux_o: str,
    format_: str,
    output: str | None,
    layout: str | None,
    reserve: int | None,
    allow_empty: bool,
) -> None:
    """Run `pfestubs count`."""
    refuse_input(output, vmlinux_o)
    obj = read_vmlinux_o(vmlinux_o)
    found = sizing.count(obj, layout=layout, reserve=reserve, allow_empty=allow_empty)
    write_output(output, render("count", format_, found, RenderOptions()))

# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs count`."""

from __future__ import annotations

import click

from pfestubs.cli.options import asked_layout, sizing_options
from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules import sizing
from pfestubs.system.files import write_output


@click.command("count")
@click.argument("vmlinux_o")
@click.option(
    "--format", "format_", type=click.Choice(list(FORMATS["count"])), default="text", show_default=True
)
@sizing_options(spare=False)
def command(vmlinux_o: str, format_: str, layout: str, reserve: int | None, allow_empty: bool) -> None:
    """Count the entries of VMLINUX_O by kind, and the stubs to reserve for them."""
    obj = read_vmlinux_o(vmlinux_o)
    found = sizing.count(obj, layout=asked_layout(layout), reserve=reserve, allow_empty=allow_empty)
    write_output(None, render("count", format_, found, RenderOptions()))

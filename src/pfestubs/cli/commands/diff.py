# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pfestubs.cli.colour import wants_colour
from pfestubs.errors import UsageError
from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.read.saved import read_saved_figures
from pfestubs.rules.diff import compare, kernel_figures
from pfestubs.system.files import refuse_input, write_output

if TYPE_CHECKING:
    from pfestubs.model import KernelFigures


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option(
    "--format", "format_", type=click.Choice(list(FORMATS["diff"])), default="text", show_default=True
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@click.option(
    "--all", "show_all", is_flag=True, help="Show every function, not only 20 added and 20 removed."
)
@click.option(
    "--old-system-map", metavar="FILE", help="Take the symbols of OLD from FILE: if it is stripped."
)
@click.option(
    "--new-system-map", metavar="FILE", help="Take the symbols of NEW from FILE: if it is stripped."
)
def command(
    old: str,
    new: str,
    format_: str,
    output: str | None,
    show_all: bool,
    old_system_map: str | None,
    new_system_map: str | None,
) -> None:
    """Show what changed between the kernels OLD and NEW: functions, areas, headroom.

    Each is a vmlinux, or what check, count or stubs saved of one with --format json. Exit status: 0 both
    could be read, whether they differ or not, 2 error.
    """
    refuse_input(output, old, new, old_system_map, new_system_map)
    result = compare(_figures(old, old_system_map), _figures(new, new_system_map))
    colour = format_ == "text" and output in {None, "-"} and wants_colour()
    write_output(output, render("diff", format_, result, RenderOptions(show_all, colour=colour)))


def _figures(path: str, system_map: str | None) -> KernelFigures:
    saved = read_saved_figures(path)
    if saved is not None:
        if system_map is not None:
            raise UsageError(path, "is a saved document, which has no use for a System.map")
        return saved
    from pfestubs.read.vmlinux import open_kernel

    with open_kernel(path, system_map) as kernel:
        return kernel_figures(kernel)

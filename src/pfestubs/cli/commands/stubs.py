# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs stubs`."""

from __future__ import annotations

import sys

import click

from pfestubs.cli.lookup import FoundLocations, find_locations
from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.formats.stubs import Listing
from pfestubs.formats.text import escape_line
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.boot_inputs import require_stubs
from pfestubs.rules.simulation import simulate_boot
from pfestubs.system.files import write_output


@click.command("stubs")
@click.argument("vmlinux")
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
@click.option(
    "--format", "format_", type=click.Choice(list(FORMATS["stubs"])), default="text", show_default=True
)
@click.option("--system-map", metavar="FILE", help="Take the symbols from FILE: for a stripped vmlinux.")
def command(vmlinux: str, functions: tuple[str, ...], format_: str, system_map: str | None) -> int:
    """Show each function's stub in VMLINUX: the instructions before boot, at boot and with tracing on.

    FUNCTION is a symbol, an address (of a function or a stub) or a shell pattern; all functions if none is
    named. Exit status 1 if a function has no stub, 2 if a FUNCTION names none that is traceable.
    """
    with open_kernel(vmlinux, system_map) as kernel:
        require_stubs(kernel)
        boot = simulate_boot(kernel)
        found = (
            find_locations(boot, functions) if functions else FoundLocations(range(len(boot.locations)), ())
        )
        if found.positions or format_ == "json":
            write_output(None, render("stubs", format_, Listing(boot, found.positions), RenderOptions()))
    for name, problem in found.problems:
        sys.stderr.write(escape_line(f"{vmlinux}: error: {name} {problem}") + "\n")
    if found.problems:
        return 2
    return 0 if all(map(boot.has_stub, found.positions)) else 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs stubs`."""

from __future__ import annotations

import sys

import click

from pfestubs.cli.lookup import Selection, select
from pfestubs.formats.stubs import FORMATS, Listing
from pfestubs.formats.text import escape
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.boot import replay
from pfestubs.rules.setting import layout_of, setting_of
from pfestubs.rules.stubs import stubs
from pfestubs.system.files import write_stream


@click.command("stubs")
@click.argument("vmlinux")
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...")
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), default="text", show_default=True)
@click.option("--system-map", metavar="FILE", help="Take the symbols from FILE: for a stripped vmlinux.")
def command(vmlinux: str, functions: tuple[str, ...], format_: str, system_map: str | None) -> int:
    """Show each function's stub in VMLINUX: the instructions before boot, at boot and with tracing on.

    FUNCTION is a symbol, an address (of a function or a stub) or a shell pattern; all functions if none is
    named. Exit code 1 if a function has no stub, 2 if a FUNCTION names none that is traceable.
    """
    with open_kernel(vmlinux, system_map) as kernel:
        layout = layout_of(kernel)
        setting = setting_of(kernel)
        result = replay(setting)
        selection = (
            select(setting, result, kernel.symbols, functions)
            if functions
            else Selection(range(len(result.locations)))
        )
        positions, problems = selection.positions, selection.problems
        listing = Listing(
            vmlinux,
            layout.name,
            setting.stub_size,
            kernel.symbols,
            stubs(setting, result, positions),
        )
        if positions or format_ == "json":
            write_stream(FORMATS[format_](listing))
        for name, problem in problems:
            sys.stderr.write(escape(f"{vmlinux}: error: {name} {problem}") + "\n")
        if problems:
            return 2
        return 0 if all(result.target[position] for position in positions) else 1

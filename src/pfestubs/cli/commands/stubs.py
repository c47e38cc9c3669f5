# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs stubs`."""

import click

from pfestubs.cli import options
from pfestubs.cli.lookup import find_locations
from pfestubs.errors import Exit, PfestubsError
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.stubs import list_stubs
from pfestubs.rules.kernel.simulation import boot_kernel
from pfestubs.system.files import print_messages


def _complete_function(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the functions with a location, of the kernel that was named before."""
    try:
        with open_kernel(ctx.params["vmlinux"], None) as kernel:
            names = {kernel.symbols.locate(address)[0] for address in kernel.table}
    except (PfestubsError, KeyError, TypeError):  # no kernel yet, or not one
        return []
    return [name for name in sorted(names) if name.startswith(incomplete)]


@options.command(
    "stubs",
    """Show each function's stub in VMLINUX: the instructions before boot, at boot and with tracing on.

    FUNCTION is a symbol, an address (of a function or a stub, as in an oops) or a shell pattern; all
    functions if none is named. Exit status 1 if a function has no stub, 2 if a FUNCTION names no traceable
    function.
    """,
    "pfestubs stubs vmlinux vfs_read 'ext4_*'",
    "pfestubs stubs --format json -o s.json vmlinux",
)
@options.vmlinux
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...", shell_complete=_complete_function)
@options.output("stubs")
@options.system_map
def command(vmlinux: str, functions: tuple[str, ...], output: options.Output, system_map: str | None) -> int:
    """Run `pfestubs stubs`."""
    options.refuse_swapped("stubs", vmlinux, *functions)
    with open_kernel(vmlinux, system_map) as kernel:
        boot = boot_kernel(kernel, with_stubs=True)
        found = find_locations(boot, functions)
        listing = list_stubs(boot, found.positions)
        if found.positions or output.format == "json":
            output.finish(listing, ok=True)
        print_messages(*(f"{vmlinux}: {meaning}" for meaning in found.meanings))
        print_messages(*(f"{vmlinux}: error: {problem}" for problem in found.problems))
        if found.problems:
            return Exit.ERROR
        return Exit.SUCCESS if all(map(boot.has_stub, found.positions)) else Exit.PROBLEMS

# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs stubs`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from pfestubs.cli.inputs import refuse_swapped
from pfestubs.cli.lookup import FoundLocations, find_locations
from pfestubs.cli.options import epilog, format_option, output_option, system_map_option, vmlinux_argument
from pfestubs.cli.output import finish
from pfestubs.errors import Exit, PfestubsError
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.listing import list_stubs
from pfestubs.rules.kernel.simulation import boot_kernel
from pfestubs.system.files import print_messages, refuse_input


def _complete_function(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the functions with a location, of the kernel that was named before."""
    try:
        with open_kernel(ctx.params["vmlinux"], None) as kernel:
            names = {kernel.symbols.locate(address)[0] for address in kernel.table}
    except (PfestubsError, KeyError, TypeError):  # no kernel yet, or not one
        return []
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


@click.command(
    "stubs",
    help="""Show each function's stub in VMLINUX: the instructions before boot, at boot and with tracing on.

    FUNCTION is a symbol, an address (of a function or a stub, as in an oops) or a shell pattern; all
    functions if none is named. Exit status 1 if a function has no stub, 2 if a FUNCTION names none that is
    traceable.
    """,
    epilog=epilog(
        "pfestubs stubs vmlinux vfs_read 'ext4_*'", "pfestubs stubs --format json -o s.json vmlinux"
    ),
)
@vmlinux_argument
@click.argument("functions", nargs=-1, metavar="[FUNCTION]...", shell_complete=_complete_function)
@format_option("stubs")
@output_option
@system_map_option
def command(
    vmlinux: str, functions: tuple[str, ...], format_: str, output: str | None, system_map: str | None
) -> int:
    """Run `pfestubs stubs`."""
    refuse_swapped("stubs", vmlinux, *functions)
    refuse_input(output, vmlinux, system_map)
    with open_kernel(vmlinux, system_map) as kernel:
        boot = boot_kernel(kernel, with_stubs=True)
        if functions:
            found = find_locations(boot, functions)
        else:
            found = FoundLocations(range(len(boot.locations)), (), ())
        listing = list_stubs(boot, found.positions)
        if found.positions or format_ == "json":
            finish("stubs", listing, ok=True, format_=format_, output=output)
        print_messages(*(f"{vmlinux}: {name} {meaning}" for name, meaning in found.meanings))
        print_messages(*(f"{vmlinux}: error: {name} {problem}" for name, problem in found.problems))
        if found.problems:
            return Exit.ERROR
        return Exit.SUCCESS if all(map(boot.has_stub, found.positions)) else Exit.PROBLEMS
